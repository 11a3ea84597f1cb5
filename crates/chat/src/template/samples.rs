//! A conversation to the samples it is trained by.
//!
//! In: a conversation and how it is rendered. Out: one sample, or, where history is written in another way than the turn
//! that is answered (Qwen3 and GLM-4.5 drop earlier thoughts), one per trained user turn: the conversation up to the end
//! of that turn, in which only that turn is trained. Turns whose texts agree share a sample.

use super::{RenderError, RenderOptions, Rendered};
use crate::data::{Conversation, Role};

/// Renders a conversation.
type Render<'a> = &'a dyn Fn(&Conversation) -> Result<Rendered, RenderError>;

pub(super) fn samples(
    render: Render<'_>,
    rewrites_history: bool,
    conversation: &Conversation,
    options: &RenderOptions,
) -> Result<Vec<Rendered>, RenderError> {
    if !rewrites_history || options.add_generation_prompt {
        return Ok(vec![render(conversation)?]);
    }
    let mut samples: Vec<Rendered> = Vec::new();
    // From where on messages are trained in the sample being built: earlier turns have samples of their own.
    let mut trained_from = 0;
    for end in turn_ends(conversation) {
        let mut turn =
            Conversation { messages: conversation.messages[..end].to_vec(), ..conversation.clone() };
        let shared = with_trained_from(&mut turn, trained_from, render);
        match (samples.last_mut(), shared) {
            // What was written for the turns before stands in this text as it was: one sample holds them all.
            (Some(before), Ok(shared)) if shared.text().starts_with(before.text()) => *before = shared,
            // An error may be that of an earlier turn, which is not written as it was served.
            (Some(before), _) => {
                trained_from = before_turn(conversation, end);
                let alone = with_trained_from(&mut turn, trained_from, render)?;
                if before.has_trained_piece() {
                    samples.push(alone);
                } else {
                    *before = alone;
                }
            }
            (None, shared) => samples.push(shared?),
        }
    }
    if samples.len() > 1 && samples.last().is_some_and(|sample| !sample.has_trained_piece()) {
        samples.pop();
    }
    Ok(samples)
}

/// Renders with everything before this message untrained.
fn with_trained_from(
    turn: &mut Conversation,
    from: usize,
    render: Render<'_>,
) -> Result<Rendered, RenderError> {
    for message in &mut turn.messages[..from] {
        message.train = Some(false);
    }
    render(turn)
}

/// Where each user turn ends: before the next question, and at the end.
fn turn_ends(conversation: &Conversation) -> Vec<usize> {
    let messages = &conversation.messages;
    let mut answered = false;
    let mut ends = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::User if answered => {
                ends.push(index);
                answered = false;
            }
            Role::Assistant => answered = true,
            _ => {}
        }
    }
    ends.push(messages.len());
    ends
}

/// Where the user turn that ends here begins.
fn before_turn(conversation: &Conversation, end: usize) -> usize {
    turn_ends(conversation).into_iter().rev().find(|other| *other < end).unwrap_or(0)
}
