//! Rules about what messages say: texts that are none, that vanish, that look like control tokens or thoughts.

use super::{Code, Findings};
use crate::data::{Conversation, Message, Role};
use crate::json::{self, Json};
use crate::template::Template;
use crate::tokens::ChatTokenizer;

/// What a missing value becomes when a program prints it.
const NONE: [&str; 6] = ["None", "null", "nan", "NaN", "undefined", "[object Object]"];

const THOUGHT: (&str, &str) = ("<think>", "</think>");

pub(super) fn check(
    conversation: &Conversation,
    template: Option<Template>,
    tokenizer: Option<&ChatTokenizer>,
    findings: &mut Findings,
) {
    for (index, message) in conversation.messages.iter().enumerate() {
        none(message, index, findings);
        emptiness(conversation, message, index, findings);
        if message.role == Role::Tool {
            python_result(message, index, findings);
        }
        if message.role == Role::Assistant {
            thoughts(message, index, template, findings);
        }
        if let Some(tokenizer) = tokenizer {
            let thinks = template.is_none_or(Template::thinks) && message.role == Role::Assistant;
            control_texts(message, index, thinks, tokenizer, findings);
        }
    }
}

/// Whether a message's whole text is what a missing value becomes in print; a tool may well return that.
pub(super) fn is_none(message: &Message) -> bool {
    message.role != Role::Tool && NONE.contains(&message.text().trim())
}

fn none(message: &Message, index: usize, findings: &mut Findings) {
    if is_none(message) {
        let text = message.text().trim();
        let found = format!("the whole text of the {} message is {text}", message.role);
        findings.add_at(Code::NoneInText, index, found, "Put the text there, or drop the message");
    }
}

fn emptiness(conversation: &Conversation, message: &Message, index: usize, findings: &mut Findings) {
    let empty = message.text().trim().is_empty() && message.tool_calls.is_empty();
    if !empty || findings.has(Code::VanishingMessage, index) {
        return;
    }
    match message.role {
        Role::Assistant if message.is_trained() => {
            let text = "the answer has no text and no call".to_owned();
            let mend = "Add the answer, set train: false on it, or drop it";
            findings.add_at(Code::EmptyAnswer, index, text, mend);
        }
        // GLM's records carry the tools in such a message.
        Role::System if index == 0 && conversation.tools.is_some() => {}
        Role::System | Role::User => {
            let text = format!("the {} message has no text", message.role);
            findings.add_at(Code::EmptyMessage, index, text, "Add the text, or drop the message");
        }
        Role::Assistant | Role::Tool => {}
    }
}

fn python_result(message: &Message, index: usize, findings: &mut Findings) {
    if is_python(message.text()) {
        let text = "the result is a Python literal, not JSON".to_owned();
        findings.add_at(Code::PythonResult, index, text, "Write it with json.dumps");
        findings.mark(message.text(), 0..16);
    }
}

/// Whether a text is a Python dict or list that is no JSON.
pub(super) fn is_python(text: &str) -> bool {
    let text = text.trim();
    let marks = ["'", "True", "False", "None", "("];
    (text.starts_with(['{', '[']) && marks.iter().any(|mark| text.contains(mark)))
        && json::parse(text).is_err()
        && matches!(json::parse_literal(text), Ok(Json::Object(_) | Json::Array(_)))
}

fn thoughts(message: &Message, index: usize, template: Option<Template>, findings: &mut Findings) {
    let text = message.text();
    let (opened, closed) = (text.matches(THOUGHT.0).count(), text.matches(THOUGHT.1).count());
    let at = text.find(THOUGHT.0).or_else(|| text.find(THOUGHT.1)).unwrap_or(0);
    // A template that thinks may have written the opening mark into the prompt.
    let begun_by_prompt = opened == 0 && closed == 1 && template.is_none_or(Template::thinks);
    if opened != closed && !begun_by_prompt {
        let found = format!("{opened} {} and {closed} {} in the answer", THOUGHT.0, THOUGHT.1);
        findings.add_at(Code::UnclosedThought, index, found, "Close it, or take the mark out");
        findings.mark(text, at..at + THOUGHT.0.len());
    }
    let Some(template) = template.filter(|template| !template.thinks()) else { return };
    if opened > 0 && opened == closed {
        let found = format!("thoughts in the text of the answer; {template} has no place for them");
        findings.add_at(Code::ThoughtsInText, index, found, "Take them out");
        findings.mark(text, at..at + THOUGHT.0.len());
    }
    if message.reasoning.as_ref().is_some_and(|thoughts| !thoughts.trim().is_empty()) {
        let found =
            format!("the thoughts (reasoning_content) are not written: {template} has no place for them");
        findings.add_at(
            Code::ThoughtsNotShown,
            index,
            found,
            "Use a template that thinks, or do without them",
        );
    }
}

fn control_texts(
    message: &Message,
    index: usize,
    thinks: bool,
    tokenizer: &ChatTokenizer,
    findings: &mut Findings,
) {
    let mut look = |place: &dyn Fn() -> String, text: &str| {
        let mut from = 0;
        while let Some(range) = tokenizer.find_control_name(text, from) {
            let name = &text[range.clone()];
            from = range.end;
            if !(thinks && (name == THOUGHT.0 || name == THOUGHT.1)) {
                let found =
                    format!("the text holds {name}, which is a control token's name; here it stays text");
                let mend = "Take it out, unless the model should talk about it";
                findings.add(Code::ControlText, Some(index), place(), found, mend);
                findings.mark(text, range);
                return;
            }
        }
    };
    look(&|| format!("messages[{index}].content"), message.text());
    if let Some(thoughts) = &message.reasoning {
        look(&|| format!("messages[{index}].reasoning_content"), thoughts);
    }
    for (call_index, call) in message.tool_calls.iter().enumerate() {
        each_string(&call.arguments, &mut |text| {
            look(&|| format!("messages[{index}].tool_calls[{call_index}].arguments"), text);
        });
    }
}

fn each_string(value: &Json, look: &mut dyn FnMut(&str)) {
    match value {
        Json::String(text) => look(text),
        Json::Array(items) => items.iter().for_each(|item| each_string(item, look)),
        Json::Object(map) => map.iter().for_each(|(key, item)| {
            look(key);
            each_string(item, look);
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

pub(super) fn vanishing_messages(conversation: &Conversation, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        let vanishes = message.text().is_empty() && message.tool_calls.is_empty();
        let carries_tools = index == 0 && message.role == Role::System && conversation.tools.is_some();
        if vanishes && !carries_tools {
            let text = format!(
                "the {} message has no text, and the template drops such a message, role and all",
                message.role
            );
            findings.add_at(Code::VanishingMessage, index, text, "Give it a text, or drop it yourself");
        }
    }
}

pub(super) fn texts_not_shown(conversation: &Conversation, findings: &mut Findings) {
    for (index, message) in conversation.messages.iter().enumerate() {
        if !message.tool_calls.is_empty() && !message.text().trim().is_empty() {
            let text =
                "the text beside the calls is not written: the template writes the calls alone".to_owned();
            let mend = "Say it in a message of its own, if the template takes one there, or do without it";
            findings.add_at(Code::TextNotShown, index, text, mend);
        }
    }
}
