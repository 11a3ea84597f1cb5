//! The text that a grammar reads, and what it says about it.
//!
//! In: text in any portions. Out: events. A grammar moves two places through the text: `at`, before which everything is
//! settled, and `look`, up to which it has looked. Settled text is let go.

use super::offered::Offered;
use super::sink::Sink;
use super::{MalformedToolCall, ParseEvent};
use crate::data::ToolCall;
use crate::json::{Scan, ScanState};

/// Text on its way to events.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    pub(super) offered: Offered,
    pub(super) text: String,
    /// Where what is not settled yet begins.
    pub(super) at: usize,
    /// How far the grammar has looked.
    pub(super) look: usize,
    /// Text goes here and not out as content, where a grammar wants it.
    pub(super) capture: Option<String>,
    /// How many bytes were let go.
    let_go: usize,
    sink: Sink,
    events: Vec<ParseEvent>,
}

/// What looking for the end of an object found.
pub(super) enum Object {
    /// More text is needed.
    Open,
    /// It ends here, counted from `at`.
    Ends(usize),
    /// It is none, for this reason.
    Broken(String),
}

impl Scanner {
    pub(super) fn new(offered: Offered) -> Self {
        Self {
            offered,
            text: String::new(),
            at: 0,
            look: 0,
            capture: None,
            let_go: 0,
            sink: Sink::new(),
            events: Vec::new(),
        }
    }

    /// Whether all white space before a call is the format's.
    pub(super) fn calls_own_space(&mut self, own: bool) {
        self.sink.calls_own_space = own;
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The events since the last time; lets settled text go.
    pub(super) fn take_events(&mut self) -> Vec<ParseEvent> {
        if self.at > self.text.len() / 2 {
            self.text.drain(..self.at);
            self.look -= self.at;
            self.let_go += self.at;
            self.at = 0;
        }
        std::mem::take(&mut self.events)
    }

    pub(super) fn finish(mut self) -> Vec<ParseEvent> {
        self.sink.finish(&mut self.events);
        self.events
    }

    /// What is not settled.
    pub(super) fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// What was not looked at.
    pub(super) fn tail(&self) -> &str {
        &self.text[self.look..]
    }

    /// A place in `text`, counted from the beginning of the answer.
    pub(super) fn absolute(&self, place: usize) -> usize {
        self.let_go + place
    }

    /// Settles this many bytes without a word.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.skip_to(self.at + bytes);
    }

    /// Settles everything up to here without a word.
    pub(super) fn skip_to(&mut self, end: usize) {
        self.at = end;
        self.look = self.look.max(end);
    }

    /// Looks past white space.
    pub(super) fn look_past_space(&mut self) {
        self.look += leading_space(self.tail());
    }

    pub(super) fn event(&mut self, event: ParseEvent) {
        self.events.push(event);
    }

    /// Settles everything up to here as text.
    pub(super) fn content_to(&mut self, end: usize) {
        let text = &self.text[self.at..end];
        match &mut self.capture {
            Some(capture) => capture.push_str(text),
            None => self.sink.content(text, &mut self.events),
        }
        self.skip_to(end);
    }

    /// A new stretch of text begins, set apart by a control token.
    pub(super) fn new_segment(&mut self) {
        self.sink.new_segment(&mut self.events);
    }

    /// A call stands at `at`; `owns_newline` where the format writes a newline before it.
    pub(super) fn call_begins(&mut self, owns_newline: bool) {
        self.sink.call(owns_newline, &mut self.events);
    }

    /// Says what a call was read as; `raw_text` is what the model wrote.
    pub(super) fn call(&mut self, call: Result<ToolCall, String>, raw_text: &str) {
        self.events.push(match call {
            Ok(call) => ParseEvent::ToolCall(call),
            Err(error) => ParseEvent::Malformed(MalformedToolCall { raw_text: raw_text.to_owned(), error }),
        });
    }

    /// Settles everything up to here as text up to the next of these marks, as far as it is certain. Where a mark is found,
    /// it stands at `at` and `look` is behind it.
    pub(super) fn text_until(&mut self, marks: &[&'static str], last: bool) -> Option<&'static str> {
        match self.find_mark(marks, last) {
            Mark::Found(place, mark) => {
                self.content_to(place);
                self.look = place + mark.len();
                Some(mark)
            }
            Mark::None(certain) => {
                self.content_to(certain);
                None
            }
        }
    }

    /// Looks for the next of these marks; `look` moves to it, or to where one may begin.
    pub(super) fn find_mark(&mut self, marks: &[&'static str], last: bool) -> Mark {
        let begins = |byte: &u8| marks.iter().any(|mark| mark.as_bytes()[0] == *byte);
        while let Some(found) = self.text.as_bytes()[self.look..].iter().position(begins) {
            self.look += found;
            let tail = &self.text[self.look..];
            if let Some(mark) = starts_with_mark(tail, marks) {
                return Mark::Found(self.look, mark);
            }
            if !last && begins_mark(tail, marks) {
                return Mark::None(self.look);
            }
            self.look += tail.chars().next().map_or(1, char::len_utf8);
        }
        self.look = self.text.len();
        Mark::None(self.look)
    }

    /// Behind a stop token at `at`: whether nothing but stop tokens and white space follows so far. Where something does,
    /// they all were text.
    pub(super) fn only_stops_follow(&mut self, stops: &[&'static str], last: bool) -> bool {
        loop {
            self.look_past_space();
            let tail = self.tail();
            if tail.is_empty() {
                if last {
                    self.at = self.look;
                }
                return true;
            }
            if let Some(stop) = starts_with_mark(tail, stops) {
                self.look += stop.len();
            } else if !last && begins_mark(tail, stops) {
                return true;
            } else {
                self.content_to(self.look);
                return false;
            }
        }
    }

    /// Looks for the end of what begins `object` bytes behind `at`; behind it, if there is one.
    pub(super) fn object<S: Scan>(&mut self, object: usize, scan: &mut S, last: bool) -> Object {
        let from = self.at + object + scan.scanned();
        match scan.push(&self.text.as_bytes()[from..]) {
            ScanState::Open if !last => Object::Open,
            ScanState::Open => Object::Broken("the text ends inside the call".to_owned()),
            ScanState::Broken(at) => {
                Object::Broken(format!("not {} from byte {at} of the {} on", S::WRITTEN_IN, S::WHAT))
            }
            ScanState::Complete(length) => {
                self.look = self.at + object + length;
                Object::Ends(object + length)
            }
        }
    }
}

/// What looking for a mark found.
pub(super) enum Mark {
    /// This mark, at this place.
    Found(usize, &'static str),
    /// None; up to this place it is certain.
    None(usize),
}

/// Whether text ends in the middle of one of these marks: it begins one, and more text may complete it.
pub(super) fn begins_mark(text: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| mark.len() > text.len() && mark.starts_with(text))
}

/// The mark that a text starts with.
pub(super) fn starts_with_mark<'a>(text: &str, marks: &[&'a str]) -> Option<&'a str> {
    marks.iter().copied().find(|mark| text.starts_with(mark))
}

/// How many bytes of white space a text starts with.
pub(super) fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// A text without the stop tokens and white space at its end.
pub(super) fn without_stops<'a>(mut text: &'a str, stops: &[&str]) -> &'a str {
    loop {
        let trimmed = text.trim_end();
        match stops.iter().find_map(|stop| trimmed.strip_suffix(stop)) {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}
