//! Rules about the order of messages: who speaks when, and which result answers which call.

use std::collections::HashSet;

use super::{Code, Findings};
use crate::data::{Conversation, Message, Role};
use crate::json;

pub(super) fn check(conversation: &Conversation, findings: &mut Findings) {
    let messages = &conversation.messages;
    misplaced(messages, findings);
    systems(messages, findings);
    turns(messages, findings);
    results(messages, findings);
}

/// Roles mixed up around a call: its result in a system or user message, and then the answer in a user message.
fn misplaced(messages: &[Message], findings: &mut Findings) {
    for (index, message) in messages.iter().enumerate().skip(1) {
        let before = &messages[index - 1];
        let after_call = before.role == Role::Assistant && !before.tool_calls.is_empty();
        let holds_data = message.role == Role::System || is_data(message.text());
        if after_call && matches!(message.role, Role::System | Role::User) && holds_data {
            let text =
                format!("what follows the call is a {} message, where its result belongs", message.role);
            let mend = "Give it the role \"tool\" (in GLM's formats \"observation\")";
            findings.add_at(Code::ResultInOtherRole, index, text, mend);
            findings.mark(message.text(), 0..24);
            continue;
        }
        let after_result = before.role == Role::Tool || findings.has(Code::ResultInOtherRole, index - 1);
        let goes_on = messages.get(index + 1).is_some_and(|next| next.role != Role::User);
        if after_result && message.role == Role::User && !goes_on {
            let text = "a user message where the assistant should answer from the result".to_owned();
            findings.add_at(Code::AnswerInUserTurn, index, text, "Give it the role \"assistant\"");
            findings.mark(message.text(), 0..24);
        }
    }
}

/// Whether a text is a JSON or Python object or list, as tools return.
fn is_data(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '[']) && (json::parse(text).is_ok() || json::parse_literal(text).is_ok())
}

fn systems(messages: &[Message], findings: &mut Findings) {
    let mut seen = false;
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::System || findings.has(Code::ResultInOtherRole, index) {
            continue;
        }
        if seen {
            let text = "a second system message".to_owned();
            findings.add_at(Code::SecondSystem, index, text, "Join it to the first, or drop it");
        } else if index > 0 {
            let text = "a system message after other messages; expected it first".to_owned();
            findings.add_at(Code::SystemNotFirst, index, text, "Move it to the front, or drop it");
        }
        seen = true;
    }
}

fn turns(messages: &[Message], findings: &mut Findings) {
    let mut before: Option<(usize, &Message)> = None;
    for (index, message) in messages.iter().enumerate() {
        let problem = match (message.role, before) {
            (Role::User, Some((at, earlier))) if earlier.role == Role::User => {
                Some((format!("a user message right after that of messages[{at}]"), "Join the two"))
            }
            (Role::Assistant, Some((at, earlier))) if earlier.role == Role::Assistant => {
                let text = format!("an assistant message right after that of messages[{at}]");
                Some((text, "Join the two, or add what was said in between"))
            }
            (Role::Assistant, None) => Some((
                "an assistant message that answers nothing".to_owned(),
                "Add the user's message, or drop it",
            )),
            _ => None,
        };
        let told = index > 0 && findings.has(Code::AnswerInUserTurn, index - 1)
            || findings.has(Code::ResultInOtherRole, index)
            || findings.has(Code::AnswerInUserTurn, index);
        if let Some((text, mend)) = problem.filter(|_| !told) {
            findings.add_at(Code::RolesOutOfTurn, index, text, mend);
        }
        if message.role != Role::System || findings.has(Code::ResultInOtherRole, index) {
            before = Some((index, message));
        }
    }
}

/// A call that still waits for its result.
struct Waiting<'a> {
    message: usize,
    call: usize,
    id: Option<&'a str>,
}

fn results(messages: &[Message], findings: &mut Findings) {
    let mut waiting: Vec<Waiting<'_>> = Vec::new();
    let mut answered: HashSet<&str> = HashSet::new();
    let mut ids: HashSet<&str> = HashSet::new();
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::Tool => result(message, index, &mut waiting, &mut answered, &ids, findings),
            Role::Assistant => {
                unanswered(&mut waiting, findings);
                for (call_index, call) in message.tool_calls.iter().enumerate() {
                    let id = call.id.as_deref();
                    if let Some(id) = id
                        && !ids.insert(id)
                    {
                        let place = format!("messages[{index}].tool_calls[{call_index}].id");
                        let text = format!("the id {id:?} belongs to an earlier call too");
                        let mend = "Give each call an id of its own";
                        findings.add(Code::RepeatedCallId, Some(index), place, text, mend);
                        answered.remove(id);
                    }
                    waiting.push(Waiting { message: index, call: call_index, id });
                }
            }
            _ if findings.has(Code::ResultInOtherRole, index) => waiting.clear(),
            Role::System | Role::User => {
                unanswered(&mut waiting, findings);
                if !message.tool_calls.is_empty() {
                    let text = format!("the {} message makes calls; only the assistant can", message.role);
                    findings.add_at(
                        Code::CallByOther,
                        index,
                        text,
                        "Drop tool_calls, or set the role to assistant",
                    );
                }
            }
        }
    }
    // A conversation may end in calls: that is a sample which teaches to make them.
}

fn result<'a>(
    message: &'a Message,
    index: usize,
    waiting: &mut Vec<Waiting<'a>>,
    answered: &mut HashSet<&'a str>,
    ids: &HashSet<&'a str>,
    findings: &mut Findings,
) {
    // Without ids, results answer the calls in their order.
    let found = match message.tool_call_id.as_deref() {
        Some(id) => waiting
            .iter()
            .position(|call| call.id == Some(id))
            .or_else(|| waiting.iter().position(|call| call.id.is_none())),
        None if waiting.is_empty() => None,
        None => Some(0),
    };
    if let Some(at) = found {
        if at > 0 && waiting[at].id.is_some() && waiting[at].message == waiting[0].message {
            let text = "the results stand in another order than their calls".to_owned();
            let mend = "Put them in the order of the calls: most formats write no ids";
            findings.add_at(Code::ResultsOutOfOrder, index, text, mend);
        }
        answered.extend(waiting.remove(at).id);
        return;
    }
    match message.tool_call_id.as_deref() {
        Some(id) if answered.contains(id) => {
            let text = format!("a second tool result for the call {id:?}");
            findings.add_at(Code::SecondResult, index, text, "Keep one of the results");
        }
        Some(id) => {
            let mut known: Vec<_> = ids.iter().copied().collect();
            known.sort_unstable();
            let known = if known.is_empty() {
                "no calls so far".to_owned()
            } else {
                format!(
                    "calls so far: {}",
                    known.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ")
                )
            };
            let text = format!("tool result {id:?} answers no call; {known}");
            let mend = "Set tool_call_id to one of them, or drop the message";
            findings.add_at(Code::OrphanResult, index, text, mend);
        }
        None => {
            let text = "tool result without a call that waits for one".to_owned();
            let mend = "Put it after its call and set tool_call_id, or drop the message";
            findings.add_at(Code::OrphanResult, index, text, mend);
        }
    }
}

fn unanswered(waiting: &mut Vec<Waiting<'_>>, findings: &mut Findings) {
    for call in waiting.drain(..) {
        let place = format!("messages[{}].tool_calls[{}]", call.message, call.call);
        let name = call.id.map(|id| format!(" {id:?}")).unwrap_or_default();
        let text = format!("the conversation goes on, but the call{name} has no result");
        let mend = "Add the tool result after the call, or drop the call";
        findings.add(Code::UnansweredCall, Some(call.message), place, text, mend);
    }
}
