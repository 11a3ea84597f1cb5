//! A conversation to the samples it is trained by.
//!
//! In: a conversation and a family. Out: one sample, or, where the family writes history in another way than the turn it
//! is answering (Qwen3 and GLM-4.5 drop earlier thoughts), one per trained user turn: the conversation up to the end
//! of that turn, in which only that turn is trained. Turns whose texts agree share a sample.

use std::borrow::Cow;

use super::{RenderError, Rendered};
use crate::data::{Conversation, Role};

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

/// The samples where a later question may change how earlier turns are written.
pub(super) fn by_turns<'a>(
    conversation: &'a Conversation,
    render: &Render<'_>,
) -> Result<Vec<TrainingSample<'a>>, RenderError> {
    let ends = turn_ends(conversation);
    if ends.len() == 1 {
        return whole(conversation, render);
    }
    let mut samples: Vec<TrainingSample<'a>> = Vec::new();
    // From where on messages are trained in the sample being built: earlier turns have samples of their own.
    let mut trained_from = 0;
    let mut turn_start = 0;
    for end in ends {
        let shared = up_to(conversation, end, trained_from, render)?;
        match samples.last_mut() {
            // What was written for the turns before stands in this text as it was: one sample holds them all.
            Some(before) if shared.rendered.text().starts_with(before.rendered.text()) => *before = shared,
            Some(before) => {
                trained_from = turn_start;
                let alone = up_to(conversation, end, trained_from, render)?;
                if before.rendered.has_trained_piece() {
                    samples.push(alone);
                } else {
                    *before = alone;
                }
            }
            None => samples.push(shared),
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
