//! GLM-4's `finetune/finetune.py` (June 2024 and later), under transformers 5: modes `glm4-official` and
//! `glm4-official-combine`.
//!
//! In: a `glm4` record. Out: ids and labels, or the pairs of its evaluation split. Each message is rendered by the
//! tokenizer's chat template on its own (or, with combine, all at once) and encoded as one string, so the names of control
//! tokens in it become control tokens. A label is kept where the mask *before* it is set: from after the role token of an
//! assistant message to the next role token. `<|user|>` is appended to everything; then comes a blind cut.
//!
//! The script writes ids as numbers; here they are the tokenizer's own ids of the same names, equal for GLM-4's.

use super::python::{describe, is_true};
use super::{Compat, CompatError, EvalSample, Mode, control, sample, shifted_labels};
use crate::json::{Json, JsonMap, to_python_indented, to_str};
use crate::template::glm_turns::{ASSISTANT, SYSTEM, USER};
use crate::template::glm4::PREAMBLE;
use crate::template::glm4_tools::{AFTER_FUNCTION, built_in};
use crate::tokens::{ChatTokenizer, Encoded};

/// The script's own default, from its `configs/*.yaml`.
const DEFAULT_LENGTH: usize = 512;

struct Script<'a> {
    mode: &'a Mode,
    tokenizer: &'a ChatTokenizer,
    /// `[gMASK]<sop>`
    start: [u32; 2],
    user: u32,
    assistant: u32,
}

pub(super) fn encode(
    mode: &Mode,
    record: Json,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<Encoded>, CompatError> {
    let script = Script::new(mode, tokenizer)?;
    let messages = script.messages(record)?;
    let (mut input_ids, mut mask) = match mode.compat {
        Compat::Glm4OfficialCombine => script.combined(messages)?,
        _ => script.message_by_message(messages)?,
    };
    input_ids.push(script.user);
    mask.push(false);
    let mut labels = shifted_labels(&input_ids, &mask);
    let longest = script.max_input_length() + script.max_output_length() + 1;
    input_ids.truncate(longest);
    labels.truncate(longest);
    Ok(vec![sample(input_ids, labels)])
}

pub(super) fn encode_eval(
    mode: &Mode,
    record: Json,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<EvalSample>, CompatError> {
    let script = Script::new(mode, tokenizer)?;
    let messages = script.messages(record)?;
    if mode.compat == Compat::Glm4OfficialCombine {
        let (input_ids, mask) = script.combined(messages)?;
        let answer = mask.iter().take_while(|trained| !**trained).count() - 1;
        return Ok(vec![script.eval_sample(&input_ids, &input_ids[answer..], script.start[0])]);
    }
    let mut samples = Vec::new();
    let mut input_ids = script.start.to_vec();
    for (index, message) in messages.into_iter().enumerate() {
        if input_ids.len() >= script.max_input_length() {
            break;
        }
        let (ids, role) = script.message(index, message)?;
        if role == "assistant" {
            let Some((role_token, answer)) = ids.split_first() else {
                // The script slices an empty list and goes on.
                let mut sample = script.eval_sample(&input_ids, &[], script.user);
                sample.input_ids.pop();
                samples.push(sample);
                continue;
            };
            samples.push(script.eval_sample(&input_ids, answer, *role_token));
        }
        input_ids.extend(ids);
    }
    if samples.is_empty() {
        return Err(CompatError::refused(
            "messages",
            format!("no assistant message begins within the first {} tokens", script.max_input_length()),
            "the reference's process_batch_eval stops (UnboundLocalError: output_prompt)",
            "Raise --max-input-length, or leave the record out of the evaluation split",
        ));
    }
    Ok(samples)
}

impl<'a> Script<'a> {
    fn new(mode: &'a Mode, tokenizer: &'a ChatTokenizer) -> Result<Self, CompatError> {
        let id = |token| control(mode.compat, token, tokenizer);
        Ok(Self {
            mode,
            tokenizer,
            start: [id("[gMASK]")?, id("<sop>")?],
            user: id(USER)?,
            assistant: id(ASSISTANT)?,
        })
    }

    fn max_input_length(&self) -> usize {
        self.mode.limits.max_input_length.unwrap_or(DEFAULT_LENGTH)
    }

    fn max_output_length(&self) -> usize {
        self.mode.limits.max_output_length.unwrap_or(DEFAULT_LENGTH)
    }

    fn eval_sample(&self, prompt: &[u32], answer: &[u32], cue: u32) -> EvalSample {
        let mut input_ids = prompt[..prompt.len().min(self.max_input_length())].to_vec();
        input_ids.push(cue);
        let mut output_ids = answer.to_vec();
        output_ids.push(self.user);
        output_ids.truncate(self.max_output_length());
        EvalSample { input_ids, output_ids }
    }

    fn messages(&self, mut record: Json) -> Result<Vec<JsonMap>, CompatError> {
        if let Some(schema) = &self.mode.arrow {
            record = schema.fill(record);
        }
        let stops = |place: String, found: Option<&Json>, expected: &str| {
            CompatError::refused(
                place,
                format!("found {}, expected {expected}", describe(found)),
                "the reference stops here",
                "See the glm4 format in the documentation",
            )
        };
        let items = match record.get_mut("messages").map(Json::take) {
            Some(Json::Array(items)) if !items.is_empty() => items,
            found => return Err(stops("messages".to_owned(), found.as_ref(), "at least one message")),
        };
        let object = |(index, item)| match item {
            Json::Object(message) => Ok(message),
            other => Err(stops(format!("messages[{index}]"), Some(&other), "an object")),
        };
        items.into_iter().enumerate().map(object).collect()
    }

    fn combined(&self, messages: Vec<JsonMap>) -> Result<(Vec<u32>, Vec<bool>), CompatError> {
        let input_ids = self.apply_template(0, messages)?;
        let Some(last) = input_ids.iter().rposition(|id| *id == self.assistant) else {
            return Err(CompatError::refused(
                "messages",
                "no assistant message with content, so no <|assistant|> to train after",
                "the reference stops (ValueError: 151337 is not in list)",
                "Drop the record",
            ));
        };
        let mask = (0..input_ids.len()).map(|index| index > last).collect();
        Ok((input_ids, mask))
    }

    fn message_by_message(&self, messages: Vec<JsonMap>) -> Result<(Vec<u32>, Vec<bool>), CompatError> {
        let mut input_ids = self.start.to_vec();
        let mut mask = vec![false; input_ids.len()];
        for (index, message) in messages.into_iter().enumerate() {
            let (ids, role) = self.message(index, message)?;
            let trained = !matches!(role.as_str(), "system" | "user" | "observation");
            mask.extend(std::iter::repeat_n(trained, ids.len()));
            input_ids.extend(ids);
        }
        Ok((input_ids, mask))
    }

    /// One message as the template prints it alone, without its beginning; and its role.
    fn message(&self, index: usize, mut message: JsonMap) -> Result<(Vec<u32>, String), CompatError> {
        let role = match message.get("role") {
            Some(role) => to_str(role),
            None => {
                return Err(CompatError::refused(
                    format!("messages[{index}].role"),
                    "missing",
                    "the reference stops (KeyError: 'role')",
                    "Add \"role\": system, user, assistant or observation",
                ));
            }
        };
        if role == "system" {
            if let Some(tools) = message.get_mut("tools") {
                drop_null_properties(index, tools)?;
            }
        } else {
            message.shift_remove("tools");
        }
        let ids = self.apply_template(index, vec![message])?;
        Ok((ids[self.start.len()..].to_vec(), role))
    }

    fn apply_template(&self, first: usize, messages: Vec<JsonMap>) -> Result<Vec<u32>, CompatError> {
        let mut out = String::new();
        for (index, mut message) in messages.into_iter().enumerate() {
            if !self.mode.keep_null_keys {
                message.retain(|_, value| !value.is_null());
            }
            push_message(&mut out, &format!("messages[{}]", first + index), &message)?;
        }
        let mut ids = self.start.to_vec();
        ids.extend(self.tokenizer.encode_with_control(&out)?);
        Ok(ids)
    }
}

/// What the script does to the tools of a system message before it renders them.
fn drop_null_properties(index: usize, tools: &mut Json) -> Result<(), CompatError> {
    let place = format!("messages[{index}].tools");
    let stops = |place: String, problem: String| {
        CompatError::refused(
            place,
            problem,
            "the reference reads tool[\"function\"][\"parameters\"][\"properties\"] and stops (KeyError or TypeError)",
            "Write each tool as {\"type\": \"function\", \"function\": {\"name\": …, \"parameters\": {\"type\": \"object\", \"properties\": {…}}}}, or use --compat glm4-official-combine, which does not look inside",
        )
    };
    let items = match tools {
        Json::Array(items) => items,
        Json::String(text) if text.is_empty() => return Ok(()),
        Json::Object(map) if map.is_empty() => return Ok(()),
        other => return Err(stops(place, format!("found {}, expected a list", describe(Some(other))))),
    };
    for (index, tool) in items.iter_mut().enumerate() {
        let place = format!("{place}[{index}]");
        let mut at = tool;
        let mut path = String::new();
        for key in ["function", "parameters", "properties"] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
            match at {
                Json::Object(map) => match map.get_mut(key) {
                    Some(value) => at = value,
                    None => return Err(stops(place, format!("the tool has no {path:?}"))),
                },
                other => {
                    let problem = format!("found {} where {path:?} should be", describe(Some(other)));
                    return Err(stops(place, problem));
                }
            }
        }
        match at {
            Json::Object(properties) => properties.retain(|_, value| !value.is_null()),
            other => {
                let problem = format!("{path:?} is {}, not an object", describe(Some(other)));
                return Err(stops(place, problem));
            }
        }
    }
    Ok(())
}

/// One round of the chat template's loop.
fn push_message(out: &mut String, place: &str, message: &JsonMap) -> Result<(), CompatError> {
    if let Some(tools) = message.get("tools") {
        out.push_str(SYSTEM);
        out.push('\n');
        out.push_str(PREAMBLE);
        push_tools(out, place, tools)?;
    }
    if message.get("content").is_some_and(is_true) {
        let printed = |key| message.get(key).map(to_str).unwrap_or_default();
        out.push_str("<|");
        out.push_str(&printed("role"));
        out.push_str("|>");
        out.push_str(&printed("metadata"));
        out.push('\n');
        out.push_str(&printed("content"));
    }
    Ok(())
}

fn push_tools(out: &mut String, place: &str, tools: &Json) -> Result<(), CompatError> {
    let tools = match tools {
        Json::Array(tools) => tools,
        // Jinja walks over characters or keys, which are no tools.
        Json::String(_) | Json::Object(_) => return Ok(()),
        other => {
            return Err(CompatError::refused(
                format!("{place}.tools"),
                format!("found {}, expected a list", describe(Some(other))),
                "the chat template stops (TypeError: object is not iterable)",
                "Drop the key, or write a list of tools",
            ));
        }
    };
    for (index, tool) in tools.iter().enumerate() {
        match tool.get("type").and_then(Json::as_str) {
            Some("function") => {
                let Some(function) = tool.get("function") else {
                    return Err(CompatError::refused(
                        format!("{place}.tools[{index}]"),
                        "a tool of type \"function\" without \"function\"",
                        "the chat template stops (UndefinedError)",
                        "Put name, description and parameters under \"function\"",
                    ));
                };
                out.push_str("\n## ");
                out.push_str(&function.get("name").map(to_str).unwrap_or_default());
                out.push_str("\n\n");
                out.push_str(&to_python_indented(function, 4));
                out.push_str(AFTER_FUNCTION);
            }
            kind => {
                if let Some(text) = built_in(kind) {
                    out.push('\n');
                    out.push_str(text);
                }
            }
        }
    }
    Ok(())
}
