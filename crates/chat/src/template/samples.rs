//! A conversation to the samples it is trained by.
//!
//! In: a conversation and a family. Out: one sample, or, where the family writes history in another way than the turn it
//! is answering (Qwen3 and GLM-4.5 drop earlier thoughts), one per trained user turn: the conversation up to the end
//! of that turn, in which only that turn is trained. Turns whose texts agree share a sample. Mistral and Hermes write what
//! was asked in another way as soon as it is answered; there the end of every answer counts as the end of a turn.

use std::borrow::Cow;

use super::{RenderError, RenderOptions, Rendered};
use crate::data::{Conversation, Message, Role};

/// One sample of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSample<'a> {
    /// What was rendered: the conversation, or what there was of it when this turn was answered.
    pub conversation: Cow<'a, Conversation>,
    /// Its rendering.
    pub rendered: Rendered,
}

type Render<'a> = dyn Fn(&Conversation) -> Result<Rendered, RenderError> + 'a;

pub(super) fn whole<'a>(
    conversation: &'a Conversation,
    render: &Render<'_>,
) -> Result<Vec<TrainingSample<'a>>, RenderError> {
    let rendered = render(conversation)?;
    Ok(vec![TrainingSample { conversation: Cow::Borrowed(conversation), rendered }])
}

/// The samples where a later message may change how earlier ones are written; `by_answer` where an answer does so already.
pub(super) fn by_turns<'a>(
    conversation: &'a Conversation,
    by_answer: bool,
    render: &Render<'_>,
) -> Result<Vec<TrainingSample<'a>>, RenderError> {
    let ends = turn_ends(conversation, by_answer);
    if ends.len() == 1 {
        return whole(conversation, render);
    }
    let mut samples: Vec<TrainingSample<'a>> = Vec::new();
    // From where on messages are trained in the sample being built: earlier turns have samples of their own.
    let mut trained_from = 0;
    let mut turn_start = 0;
    for end in ends {
        let shared = up_to(conversation, end, trained_from, render);
        match (samples.last_mut(), shared) {
            // What was written for the turns before stands in this text as it was: one sample holds them all.
            (Some(before), Ok(shared)) if shared.rendered.text().starts_with(before.rendered.text()) => {
                *before = shared;
            }
            // An error may be that of an earlier turn, which is not written as it was served.
            (Some(before), _) => {
                trained_from = turn_start;
                let alone = up_to(conversation, end, trained_from, render)?;
                if before.rendered.has_trained_piece() {
                    samples.push(alone);
                } else {
                    *before = alone;
                }
            }
            (None, shared) => samples.push(shared?),
        }
        turn_start = end;
    }
    if samples.len() > 1 && samples.last().is_some_and(|sample| !sample.rendered.has_trained_piece()) {
        samples.pop();
    }
    Ok(samples)
}

/// The messages before `end`, of which none before `trained_from` is trained.
fn up_to<'a>(
    conversation: &Conversation,
    end: usize,
    trained_from: usize,
    render: &Render<'_>,
) -> Result<TrainingSample<'a>, RenderError> {
    let mut messages = conversation.messages[..end].to_vec();
    for message in &mut messages[..trained_from] {
        message.train = Some(false);
    }
    let conversation = Conversation { tools: conversation.tools.clone(), messages };
    let rendered = render(&conversation)?;
    Ok(TrainingSample { conversation: Cow::Owned(conversation), rendered })
}

/// Where each turn ends: before the next question, and at the end.
fn turn_ends(conversation: &Conversation, by_answer: bool) -> Vec<usize> {
    let messages = &conversation.messages;
    let mut answered = false;
    let mut ends = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::Assistant if by_answer => ends.push(index + 1),
            Role::User if answered => {
                ends.push(index);
                answered = false;
            }
            Role::Assistant => answered = true,
            _ => {}
        }
    }
    if ends.last() != Some(&messages.len()) {
        ends.push(messages.len());
    }
    ends
}

/// The message that a template has to write as the very last one: the last, or for training the one before the last answer,
/// which stood there so when that answer was asked for.
pub(super) fn asked_last(messages: &[Message], options: &RenderOptions) -> usize {
    let answered = messages.last().is_some_and(|last| last.role == Role::Assistant);
    let before = usize::from(options.for_training && answered) + 1;
    messages.len().saturating_sub(before)
}
