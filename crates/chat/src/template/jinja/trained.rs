//! Which bytes of a render are trained.
//!
//! In: the render, where the conversation's texts stand in it, and the renders up to each answer. Out: spans. An answer
//! is trained from where its generation prompt ends to its stop token, which is looked for behind the last text of its
//! message and before the first one of the next. Where the template marks what is generated, its marks decide alone.

use std::ops::Range;

use super::habits::Habits;
use super::marks::Found;
use crate::data::{Conversation, Role};
use crate::template::RenderError;

/// A trained stretch and the message it belongs to.
pub(super) type Span = (Range<usize>, usize);

/// What is known of a render.
pub(super) struct Render<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) text: &'a str,
    pub(super) found: &'a [Found],
    pub(super) habits: &'a Habits,
}

impl Render<'_> {
    /// The spans that the template's own marks name, less those of messages that are not to be trained.
    pub(super) fn marked_spans(&self, generated: &[Range<usize>]) -> Vec<Span> {
        let answers: Vec<usize> = self.answers().collect();
        let inside = |span: &Range<usize>| {
            self.found.iter().find(|found| span.start <= found.range.start && found.range.end <= span.end)
        };
        let owner = |(index, span): (usize, &Range<usize>)| {
            let by_order = if answers.len() == generated.len() { answers.get(index).copied() } else { None };
            by_order.or_else(|| inside(span)?.message).or_else(|| answers.last().copied()).unwrap_or(0)
        };
        let spans = generated.iter().enumerate().map(|(index, span)| (span.clone(), owner((index, span))));
        spans.filter(|(_, message)| self.conversation.messages[*message].is_trained()).collect()
    }

    /// The messages that are answers.
    pub(super) fn answers(&self) -> impl Iterator<Item = usize> {
        let messages = self.conversation.messages.iter().enumerate();
        messages.filter(|(_, message)| message.role == Role::Assistant).map(|(index, _)| index)
    }

    /// The span of an answer; `prompt` is the render of what was said before it, generation prompt included.
    pub(super) fn answer(&self, message: usize, prompt: &str) -> Result<Span, RenderError> {
        if self.text.starts_with(prompt) {
            return self.answer_from(message, prompt.len());
        }
        // Some templates write the last tool result with one newline less, so what is served differs before the answer.
        self.answer_after_header(message)
    }

    /// The span of an answer whose prompt cannot be rendered, or is not the beginning of this render: from after what a
    /// generation prompt ends with, which must stand between the texts of earlier messages and its own.
    pub(super) fn answer_after_header(&self, message: usize) -> Result<Span, RenderError> {
        let not_served_so = RenderError::NotServedSo { message };
        let header = self.habits.prompt.as_str();
        let first = self.found.iter().find(|found| found.message == Some(message));
        let (Some(first), false) = (first, header.is_empty()) else { return Err(not_served_so) };
        let earlier = self.found.iter().filter(|found| found.range.end <= first.range.start);
        let floor = earlier.map(|found| found.range.end).max().unwrap_or(0);
        let at = self.text[floor..first.range.start].rfind(header).ok_or(not_served_so)?;
        self.answer_from(message, floor + at + header.len())
    }

    fn answer_from(&self, message: usize, start: usize) -> Result<Span, RenderError> {
        let from = self.last_text(message).unwrap_or(start).max(start);
        let until = self.next_text(message, from);
        let stop = self.stop(from, until);
        let end = match stop {
            Some((at, token)) if self.belongs(message, token) => at + token.len(),
            Some((at, _)) => at,
            // Only the last answer may end without a word.
            None if until == self.text.len() => self.text.len(),
            None => return Err(RenderError::NoStopToken { message }),
        };
        Ok((start..end, message))
    }

    /// The span of a message that is no answer and is trained all the same: its texts, and the stop token after them.
    pub(super) fn other(&self, message: usize) -> Option<Span> {
        let first = self.found.iter().find(|found| found.message == Some(message))?.range.start;
        let last = self.last_text(message)?;
        let stop = self.habits.stop.as_deref().filter(|_| self.habits.writes_stop);
        let stop = stop.filter(|stop| self.text[last..].starts_with(stop)).map_or(0, str::len);
        Some((first..last + stop, message))
    }

    /// Whether the answer that was written last lacks its stop token.
    pub(super) fn lacks_stop(&self, last: &Span) -> Option<&str> {
        let stop = self.expected_stop(last.1)?;
        (!self.text[last.0.clone()].ends_with(stop)).then_some(stop)
    }

    fn expected_stop(&self, message: usize) -> Option<&str> {
        if self.conversation.messages[message].tool_calls.is_empty() {
            self.habits.stop.as_deref()
        } else {
            self.habits.stop_after_call.as_deref()
        }
    }

    /// Whether a token ends this answer as the model should end it, or goes on with another one.
    fn belongs(&self, message: usize, token: &str) -> bool {
        if self.habits.writes_stop || self.expected_stop(message) == Some(token) {
            return true;
        }
        let next = self.conversation.messages.get(message + 1);
        self.habits.header.as_deref() == Some(token) && next.is_some_and(|next| next.role == Role::Assistant)
    }

    /// The first token between these places that may end an answer.
    fn stop(&self, from: usize, until: usize) -> Option<(usize, &str)> {
        let Habits { stop, stop_after_call, header, writes_stop, .. } = self.habits;
        let header = header.as_ref().filter(|_| !writes_stop);
        let tokens = [stop.as_ref(), stop_after_call.as_ref(), header].into_iter().flatten();
        let found = tokens.filter_map(|token| {
            let at = self.text[from..until].find(token.as_str())?;
            Some((from + at, std::cmp::Reverse(token.len()), token.as_str()))
        });
        found.min().map(|(at, _, token)| (at, token))
    }

    fn last_text(&self, message: usize) -> Option<usize> {
        self.found.iter().filter(|found| found.message == Some(message)).map(|found| found.range.end).max()
    }

    /// Where the texts of later messages begin.
    fn next_text(&self, message: usize, from: usize) -> usize {
        let later = self.found.iter().filter(|found| found.message.is_some_and(|other| other > message));
        later.map(|found| found.range.start).filter(|start| *start >= from).min().unwrap_or(self.text.len())
    }
}
