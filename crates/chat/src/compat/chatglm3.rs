//! ChatGLM3's `preprocess_utils.py` in its last version of 2023: mode `chatglm3-2023`.
//!
//! In: a `chatglm3` record (`conversations`), or one of `prompt` and `response`. Out: one sample.
//!
//! ```text
//! [gMASK] sop                                                                    metadata and content are encoded apart
//! <|system|>⏎Answer the following questions … tools:⏎{tools, indented by 4}      a block of its own before everything
//! <|user|>⏎{content} <|assistant|>⏎{content}
//! <|assistant|>{name}⏎```python⏎tool_call(k=repr(v), …)⏎``` <|observation|>⏎{result} </s>
//! ```
//!
//! A label is kept where the mask *before* it is set, so the next role token, or `</s>` at the end, is trained with an
//! answer. Multi-turn samples come without the script's padding; input-output samples are `[gMASK] sop {prompt}{response}
//! </s>`, padded with `<unk>` to the full length, as the script's trainer sees them. Text never becomes a control token.

use super::python::describe;
use super::{Compat, CompatError, Limits, control, sample, shifted_labels};
use crate::json::{Json, push_repr, to_python, to_python_indented, to_str};
use crate::tokens::{ChatTokenizer, Encoded, IGNORE_INDEX};

const MODE: Compat = Compat::ChatGlm3Of2023;
const TOOLS: &str =
    "Answer the following questions as best as you can. You have access to the following tools:\n";

/// The script's own defaults, from its `arguments.py`.
const MAX_SEQ_LENGTH: usize = 1024;
const MAX_SOURCE_LENGTH: usize = 1024;
const MAX_TARGET_LENGTH: usize = 128;

pub(super) fn encode(
    limits: &Limits,
    record: &Json,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<Encoded>, CompatError> {
    let eos = control(MODE, "</s>", tokenizer)?;
    let start = [control(MODE, "[gMASK]", tokenizer)?, control(MODE, "sop", tokenizer)?];
    let sample = if record.get("conversations").is_some() {
        multi_turn(limits, record, &Ids { tokenizer, start, eos })
    } else {
        input_output(limits, record, &Ids { tokenizer, start, eos })
    };
    Ok(vec![sample?])
}

struct Ids<'a> {
    tokenizer: &'a ChatTokenizer,
    start: [u32; 2],
    eos: u32,
}

impl Ids<'_> {
    fn text(&self, text: &str) -> Result<Vec<u32>, CompatError> {
        // SentencePiece puts nothing before an empty text.
        Ok(if text.is_empty() { Vec::new() } else { self.tokenizer.encode_text(text)? })
    }
}

fn multi_turn(limits: &Limits, record: &Json, ids: &Ids<'_>) -> Result<Encoded, CompatError> {
    let turns = record.get("conversations").and_then(Json::as_array).ok_or_else(|| {
        stops(
            "conversations",
            format!("found {}", describe(record.get("conversations"))),
            "a list of messages",
        )
    })?;
    let mut writer = Writer { ids, input_ids: ids.start.to_vec(), mask: vec![false; ids.start.len()] };
    if let Some(tools) = record.get("tools") {
        writer.message("system", "", &(TOOLS.to_owned() + &to_python_indented(tools, 4)), false)?;
    }
    for (index, turn) in turns.iter().enumerate() {
        writer.turn(&format!("conversations[{index}]"), turn)?;
    }
    let Writer { mut input_ids, mut mask, .. } = writer;
    input_ids.push(ids.eos);
    mask.push(false);
    let mut labels = shifted_labels(&input_ids, &mask);
    let longest = limits.max_seq_length.unwrap_or(MAX_SEQ_LENGTH);
    input_ids.truncate(longest);
    labels.truncate(longest);
    Ok(sample(input_ids, labels))
}

struct Writer<'a> {
    ids: &'a Ids<'a>,
    input_ids: Vec<u32>,
    mask: Vec<bool>,
}

impl Writer<'_> {
    fn turn(&mut self, place: &str, turn: &Json) -> Result<(), CompatError> {
        let role = turn.get("role").and_then(Json::as_str).unwrap_or_default();
        let trained = !matches!(role, "system" | "user") && loss(place, turn)?;
        match role {
            "tool" => {
                let name = turn
                    .get("name")
                    .ok_or_else(|| stops(&format!("{place}.name"), "missing", "the tool's name"))?;
                let call = call_text(place, turn)?;
                self.message("assistant", &to_str(name), &call, trained)?;
                let observation = match turn.get("observation") {
                    Some(Json::String(text)) => text.clone(),
                    Some(other) => to_python(other),
                    None => "null".to_owned(),
                };
                self.message("observation", "", &observation, false)
            }
            "system" | "user" | "assistant" | "observation" => match turn.get("content") {
                Some(Json::String(content)) => self.message(role, "", content, trained),
                found => {
                    Err(stops(&format!("{place}.content"), format!("found {}", describe(found)), "a text"))
                }
            },
            _ => Err(stops(
                &format!("{place}.role"),
                format!("found {}", describe(turn.get("role"))),
                "system, user, assistant, observation or tool",
            )),
        }
    }

    fn message(
        &mut self,
        role: &str,
        metadata: &str,
        content: &str,
        trained: bool,
    ) -> Result<(), CompatError> {
        let before = self.input_ids.len();
        self.input_ids.push(control(MODE, &format!("<|{role}|>"), self.ids.tokenizer)?);
        self.input_ids.extend(self.ids.text(&format!("{metadata}\n"))?);
        self.input_ids.extend(self.ids.text(content)?);
        self.mask.extend(std::iter::repeat_n(trained, self.input_ids.len() - before));
        Ok(())
    }
}

fn loss(place: &str, turn: &Json) -> Result<bool, CompatError> {
    match turn.get("loss") {
        None => Ok(true),
        Some(Json::Bool(trained)) => Ok(*trained),
        // int(0.5) is 0.
        Some(Json::Number(number)) => {
            Ok(number.as_str().parse::<f64>().is_ok_and(|value| value.trunc() != 0.0))
        }
        Some(Json::String(digits)) if digits.trim().parse::<i64>().is_ok() => {
            Ok(digits.trim().parse::<i64>() != Ok(0))
        }
        other => Err(stops(&format!("{place}.loss"), format!("found {}", describe(other)), "true or false")),
    }
}

/// The call as Python code, as `astunparse` writes it; keys stand there as they are.
fn call_text(place: &str, turn: &Json) -> Result<String, CompatError> {
    let Some(Json::Object(parameters)) = turn.get("parameters") else {
        let found = format!("found {}", describe(turn.get("parameters")));
        return Err(stops(&format!("{place}.parameters"), found, "an object"));
    };
    let mut text = String::from("```python\ntool_call(");
    for (index, (key, value)) in parameters.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(key);
        text.push('=');
        let start = text.len();
        push_repr(&mut text, value);
        // A number too large for a float is written as one that reads back as infinity.
        if value.is_number() && text.ends_with("inf") {
            let literal = text[start..].replace("inf", "1e309");
            text.truncate(start);
            text.push_str(&literal);
        }
    }
    text.push_str(")\n```");
    Ok(text)
}

fn input_output(limits: &Limits, record: &Json, ids: &Ids<'_>) -> Result<Encoded, CompatError> {
    let text = |key: &str| match record.get(key) {
        Some(Json::String(text)) => Ok(text),
        found => Err(stops(key, format!("found {}", describe(found)), "a text")),
    };
    let max_source = limits.max_source_length.unwrap_or(MAX_SOURCE_LENGTH);
    let max_target = limits.max_target_length.unwrap_or(MAX_TARGET_LENGTH);
    let pad = ids.tokenizer.control_id("<unk>").unwrap_or(0);

    let mut prompt = ids.text(text("prompt")?)?;
    cut(&mut prompt, max_source, ids.start.len());
    let mut response = ids.text(text("response")?)?;
    cut(&mut response, max_target, 0);

    let mut labels = vec![IGNORE_INDEX; ids.start.len() + prompt.len()];
    response.push(ids.eos);
    labels.extend(response.iter().map(|id| if *id == pad { IGNORE_INDEX } else { id.cast_signed() }));
    let mut input_ids = ids.start.to_vec();
    input_ids.extend(prompt);
    input_ids.extend(response);
    let length = input_ids.len().max(max_source + max_target + 1);
    input_ids.resize(length, pad);
    labels.resize(length, IGNORE_INDEX);
    Ok(sample(input_ids, labels))
}

/// Cuts a text's ids so that they fit with the special ones, as a transformers tokenizer does: one that would lose all of
/// them stays whole.
fn cut(ids: &mut Vec<u32>, longest: usize, special: usize) {
    let excess = (ids.len() + special).saturating_sub(longest);
    if ids.len() > excess {
        ids.truncate(ids.len() - excess);
    }
}

fn stops(place: &str, problem: impl Into<String>, expected: &str) -> CompatError {
    CompatError::refused(
        place,
        problem,
        format!("the reference stops here, it takes {expected}"),
        "Mend the record, or drop it",
    )
}

/// Whether a record has one of the two shapes that the script reads.
pub(super) fn is_own(record: &Json) -> bool {
    match record.get("conversations") {
        Some(Json::Array(turns)) => turns.iter().all(|turn| turn.get("role").is_some()),
        Some(_) => false,
        None => record.get("prompt").is_some() && record.get("response").is_some(),
    }
}
