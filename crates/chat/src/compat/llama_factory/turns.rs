//! Records to turns, as LLaMA-Factory's converters align them.
//!
//! In: a `sharegpt` record (tags human, gpt, observation, function_call, system) or an `openai` one (user, assistant, tool,
//! function, system). Out: prompts and responses in turn, the system text and the tools as JSON text. A record whose turns
//! do not alternate is dropped, which is an error here.

use crate::compat::CompatError;
use crate::compat::python::{describe, is_true, true_value};
use crate::json::{Json, to_python};

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Observation,
    Assistant,
    Function,
}

/// One turn; its text is looked at where it is written.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) content: Json,
    /// Where it stood.
    pub(super) place: String,
}

/// A record in LLaMA-Factory's own form.
#[derive(Debug)]
pub(super) struct Example {
    /// An even number of them: prompt, response, prompt, response …
    pub(super) turns: Vec<Turn>,
    pub(super) system: Json,
    pub(super) tools: Json,
}

pub(super) fn align(record: &Json) -> Result<Example, CompatError> {
    if record.get("messages").is_some() { from_openai(record) } else { from_sharegpt(record) }
}

fn list<'a>(record: &'a Json, key: &str) -> Result<&'a [Json], CompatError> {
    match record.get(key) {
        Some(Json::Array(items)) => Ok(items),
        found => Err(stops(key, format!("found {}, expected a list", describe(found)))),
    }
}

fn from_sharegpt(record: &Json) -> Result<Example, CompatError> {
    let items = list(record, "conversations")?;
    let tag = |index: usize, item: &Json| match item.get("from") {
        Some(from) => Ok(from.as_str().unwrap_or_default().to_owned()),
        None => Err(stops(&format!("conversations[{index}].from"), "missing (KeyError)")),
    };
    let value = |index: usize, item: &Json| {
        item.get("value")
            .cloned()
            .ok_or_else(|| stops(&format!("conversations[{index}].value"), "missing (KeyError)"))
    };
    let column = |key: &str| record.get(key).cloned().unwrap_or_default();
    let mut system = column("system");
    let mut skip = 0;
    if let Some(first) = items.first()
        && tag(0, first)? == "system"
    {
        system = value(0, first)?;
        skip = 1;
    }
    let mut turns = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate().skip(skip) {
        let tag = tag(index, item)?;
        let role = match tag.as_str() {
            "human" => Some(Role::User),
            "observation" => Some(Role::Observation),
            "gpt" => Some(Role::Assistant),
            "function_call" => Some(Role::Function),
            _ => None,
        };
        let place = format!("conversations[{index}]");
        match role.filter(|role| fits(turns.len(), *role)) {
            Some(role) => turns.push(Turn { role, content: value(index, item)?, place }),
            None => {
                let (expected, what) = if turns.len().is_multiple_of(2) {
                    ("human or observation", "a prompt")
                } else {
                    ("gpt or function_call", "a response")
                };
                return Err(dropped(
                    format!("{place}.from"),
                    format!("found {tag:?} where {what} ({expected}) has its turn"),
                ));
            }
        }
    }
    complete(Example { turns, system, tools: column("tools") }, "conversations")
}

fn from_openai(record: &Json) -> Result<Example, CompatError> {
    let items = list(record, "messages")?;
    let key = |index: usize, item: &Json, key: &str| {
        item.get(key)
            .cloned()
            .ok_or_else(|| stops(&format!("messages[{index}].{key}"), format!("missing (KeyError: '{key}')")))
    };
    let mut system = record.get("system").cloned().unwrap_or_else(|| "".into());
    let mut skip = 0;
    if let Some(first) = items.first()
        && key(0, first, "role")? == "system"
    {
        system = key(0, first, "content")?;
        skip = 1;
    }
    let mut turns: Vec<(Option<Role>, Json, String)> = Vec::with_capacity(items.len());
    // Those behind the last answer are never written.
    let mut results: Vec<(Json, String)> = Vec::new();
    for (index, item) in items.iter().enumerate().skip(skip) {
        let place = format!("messages[{index}]");
        let role = key(index, item, "role")?;
        let mut content = key(index, item, "content")?;
        let role = match role.as_str() {
            Some("assistant" | "function") => match true_value(item, "tool_calls") {
                Some(calls) => {
                    content = functions(&place, calls)?.into();
                    Some(Role::Function)
                }
                None if role == "function" => Some(Role::Function),
                None => Some(Role::Assistant),
            },
            Some("tool") => {
                results.push((content, place));
                continue;
            }
            Some("user") => Some(Role::User),
            // In the middle: no role that any turn may have.
            Some("system") => None,
            _ => {
                let found = describe(Some(&role));
                return Err(stops(
                    &format!("{place}.role"),
                    format!("found {found}, expected user, assistant, tool or system"),
                ));
            }
        };
        if !results.is_empty() {
            turns.push(observation(std::mem::take(&mut results))?);
        }
        turns.push((role, content, place));
    }
    let mut aligned = Vec::with_capacity(turns.len());
    for (role, content, place) in turns {
        match role.filter(|role| fits(aligned.len(), *role)) {
            Some(role) => aligned.push(Turn { role, content, place }),
            None => {
                let expected = if aligned.len().is_multiple_of(2) {
                    "a prompt (user or tool)"
                } else {
                    "an answer (assistant)"
                };
                return Err(dropped(format!("{place}.role"), format!("{expected} has its turn here")));
            }
        }
    }
    let tools = match record.get("tools") {
        Some(tools @ (Json::Object(_) | Json::Array(_))) => to_python(tools).into(),
        other => other.cloned().unwrap_or_else(|| "".into()),
    };
    let system = with_thinking_off(system, is_true(&tools))?;
    complete(Example { turns: aligned, system, tools }, "messages")
}

/// Results in a row as one turn.
fn observation(results: Vec<(Json, String)>) -> Result<(Option<Role>, Json, String), CompatError> {
    let place = results.last().map(|(_, place)| place.clone()).unwrap_or_default();
    let mut texts = Vec::with_capacity(results.len());
    for (content, place) in results {
        match content {
            Json::String(text) => texts.push(text),
            other => {
                let found = describe(Some(&other));
                return Err(stops(&format!("{place}.content"), format!("found {found}, expected a text")));
            }
        }
    }
    let joined = texts.join("\n</tool_response>\n<tool_response>\n");
    Ok((Some(Role::Observation), joined.into(), place))
}

/// The calls as the converter writes them: a JSON list of what stands under `function`.
fn functions(place: &str, calls: &Json) -> Result<String, CompatError> {
    let functions = calls.as_array().and_then(|calls| {
        calls.iter().map(|call| call.get("function").cloned()).collect::<Option<Vec<Json>>>()
    });
    match functions {
        Some(functions) => Ok(to_python(&Json::Array(functions))),
        None => Err(stops(
            &format!("{place}.tool_calls"),
            "expected a list of {\"type\": \"function\", \"function\": {…}} (KeyError: 'function')",
        )),
    }
}

/// The converter's own addition to the system text.
fn with_thinking_off(system: Json, has_tools: bool) -> Result<Json, CompatError> {
    const OFF: &str = "detailed thinking off";
    let text = match system {
        system if !is_true(&system) => return Ok(if has_tools { system } else { OFF.into() }),
        Json::String(text) => text,
        other => {
            return Err(stops(
                "messages[0].content",
                format!("found {}, expected a text", describe(Some(&other))),
            ));
        }
    };
    Ok(if has_tools {
        format!("{text}\n").into()
    } else if text.contains("detailed thinking on") || text.contains(OFF) {
        text.into()
    } else {
        format!("{text}\n{OFF}").into()
    })
}

/// Whether a role may have the turn of this number.
fn fits(turn: usize, role: Role) -> bool {
    let is_prompt = matches!(role, Role::User | Role::Observation);
    is_prompt == turn.is_multiple_of(2)
}

fn complete(example: Example, place: &str) -> Result<Example, CompatError> {
    let turns = example.turns.len();
    if turns == 0 || !turns.is_multiple_of(2) {
        return Err(dropped(
            place,
            format!("{turns} turns, expected an even number: each prompt with its response"),
        ));
    }
    Ok(example)
}

fn dropped(place: impl Into<String>, problem: impl Into<String>) -> CompatError {
    CompatError::refused(
        place,
        problem,
        "LLaMA-Factory drops the record with a warning",
        "Make prompts and responses alternate, or drop the record",
    )
}

fn stops(place: &str, problem: impl Into<String>) -> CompatError {
    CompatError::refused(place, problem, "LLaMA-Factory stops here", "Mend the record, or drop it")
}
