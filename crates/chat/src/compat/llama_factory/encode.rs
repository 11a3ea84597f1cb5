//! Turns to ids and labels.
//!
//! In: an aligned example. Out: one sample, cut to `cutoff_len`.

use super::template::{Layout, Slot};
use super::tools::write_tools;
use super::turns::{Example, Role, Turn, align};
use super::{Options, calls};
use crate::compat::python::{describe, is_true};
use crate::compat::{Compat, CompatError, Limits, control, sample};
use crate::json::Json;
use crate::tokens::{ChatTokenizer, Encoded, IGNORE_INDEX};

const MODE: Compat = Compat::LlamaFactory;

/// LLaMA-Factory's own default.
const CUTOFF_LEN: usize = 2048;

pub(in crate::compat) fn encode(
    limits: &Limits,
    options: &Options,
    record: &Json,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<Encoded>, CompatError> {
    let writer = Writer { layout: options.template.layout(), options, tokenizer };
    writer.check(limits)?;
    let example = align(record)?;
    let pairs = writer.pairs(&example)?;
    Ok(vec![writer.put_together(pairs, limits)?])
}

struct Writer<'a> {
    layout: &'static Layout,
    options: &'a Options,
    tokenizer: &'a ChatTokenizer,
}

type Pair = (Vec<u32>, Vec<u32>);

impl Writer<'_> {
    fn check(&self, limits: &Limits) -> Result<(), CompatError> {
        let setting = |problem: String| CompatError::Setting {
            compat: MODE,
            problem: format!("{problem}, and LLaMA-Factory stops"),
            mend: "Leave --train-on-prompt out".to_owned(),
        };
        if limits.train_on_prompt && self.layout.efficient_eos {
            return Err(setting(format!(
                "template {} does not support train_on_prompt",
                self.options.template
            )));
        }
        if limits.train_on_prompt && limits.mask_history {
            return Err(setting("mask_history is incompatible with train_on_prompt".to_owned()));
        }
        Ok(())
    }

    fn pairs(&self, example: &Example) -> Result<Vec<Pair>, CompatError> {
        let mut ids = Vec::with_capacity(example.turns.len());
        for (index, turn) in example.turns.iter().enumerate() {
            let mut turn_ids = Vec::new();
            if index == 0 {
                self.opening(example, &mut turn_ids)?;
            }
            self.turn(index, turn, &mut turn_ids)?;
            ids.push(turn_ids);
        }
        let mut ids = ids.into_iter();
        let mut pairs = Vec::with_capacity(ids.len() / 2);
        while let (Some(prompt), Some(response)) = (ids.next(), ids.next()) {
            pairs.push((prompt, response));
        }
        Ok(pairs)
    }

    fn opening(&self, example: &Example, ids: &mut Vec<u32>) -> Result<(), CompatError> {
        self.slots(self.layout.prefix, "", None, ids)?;
        let system = match &example.system {
            system if !is_true(system) => self.layout.default_system,
            Json::String(system) => system,
            other => return Err(no_text("system", other)),
        };
        let has_tools = is_true(&example.tools);
        if system.is_empty() && !has_tools {
            return Ok(());
        }
        let tools = if has_tools { self.tools(&example.tools)? } else { String::new() };
        self.slots(self.layout.system, &format!("{system}{tools}"), None, ids)
    }

    fn tools(&self, tools: &Json) -> Result<String, CompatError> {
        let Json::String(text) = tools else { return Err(no_text("tools", tools)) };
        let format = self.options.tool_format.unwrap_or(self.layout.tool_format);
        write_tools(format, text, &self.options.date)
    }

    fn turn(&self, index: usize, turn: &Turn, ids: &mut Vec<u32>) -> Result<(), CompatError> {
        let Json::String(content) = &turn.content else { return Err(no_text(&turn.place, &turn.content)) };
        match turn.role {
            Role::User => self.slots(self.layout.user, content, Some(index / 2), ids),
            Role::Observation => self.slots(self.layout.observation, content, None, ids),
            Role::Assistant => self.slots(self.layout.assistant, content, None, ids),
            Role::Function => {
                let format = self.options.tool_format.unwrap_or(self.layout.tool_format);
                let text = calls::write_turn(format, &turn.place, content)?;
                let slots = match (self.options.tool_format, self.layout.efficient_eos) {
                    (None, _) => self.layout.function,
                    (Some(_), true) => &[Slot::Text("{{content}}")][..],
                    (Some(_), false) => &[Slot::Text("{{content}}"), Slot::Eos][..],
                };
                self.slots(slots, &text, None, ids)
            }
        }
    }

    /// Writes slots. A user's turn also has a number, which replaces the first `{{idx}}`, the user's own included.
    fn slots(
        &self,
        slots: &[Slot],
        content: &str,
        number: Option<usize>,
        ids: &mut Vec<u32>,
    ) -> Result<(), CompatError> {
        for slot in slots {
            match slot {
                Slot::Token(name) => ids.push(control(MODE, name, self.tokenizer)?),
                Slot::Bos => ids.extend(self.options.bos),
                Slot::Eos => ids.push(self.eos()?),
                Slot::Text(text) => {
                    let mut text = text.replacen("{{content}}", content, 1);
                    if let Some(number) = number {
                        text = text.replacen("{{idx}}", &number.to_string(), 1);
                    }
                    ids.extend(self.text(&text)?);
                }
            }
        }
        Ok(())
    }

    fn text(&self, text: &str) -> Result<Vec<u32>, CompatError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if !self.layout.control_in_text {
            return Ok(self.tokenizer.encode_text(text)?);
        }
        for word in self.layout.stop_words {
            if text.contains(word) && self.tokenizer.control_id(word).is_none() {
                return Err(CompatError::NoControlToken { compat: MODE, token: (*word).to_owned() });
            }
        }
        Ok(self.tokenizer.encode_with_control(text)?)
    }

    fn eos(&self) -> Result<u32, CompatError> {
        self.options.eos.ok_or_else(|| CompatError::NoControlToken {
            compat: MODE,
            token: "eos_token (of tokenizer_config.json)".to_owned(),
        })
    }

    fn put_together(&self, mut pairs: Vec<Pair>, limits: &Limits) -> Result<Encoded, CompatError> {
        let cutoff_len = limits.cutoff_len.unwrap_or(CUTOFF_LEN);
        let eos = if self.layout.efficient_eos { Some(self.eos()?) } else { None };
        let mut total = usize::from(eos.is_some());
        if limits.mask_history {
            pairs.reverse();
        }
        let mut parts: Vec<(Vec<u32>, Vec<i32>)> = Vec::with_capacity(pairs.len());
        for (turn, (mut prompt, mut response)) in pairs.into_iter().enumerate() {
            if total >= cutoff_len {
                break;
            }
            let (prompt_len, response_len) = fit(prompt.len(), response.len(), cutoff_len - total);
            prompt.truncate(prompt_len);
            response.truncate(response_len);
            total += prompt_len + response_len;
            let as_is = |ids: &[u32]| ids.iter().map(|id| id.cast_signed()).collect::<Vec<i32>>();
            let mut labels =
                if limits.train_on_prompt { as_is(&prompt) } else { vec![IGNORE_INDEX; prompt_len] };
            if let (Some(eos), Some(first)) = (eos, labels.first_mut())
                && turn > 0
            {
                *first = eos.cast_signed();
            }
            if limits.mask_history && turn > 0 {
                labels.resize(prompt_len + response_len, IGNORE_INDEX);
            } else {
                labels.extend(as_is(&response));
            }
            prompt.extend(response);
            parts.push((prompt, labels));
        }
        if limits.mask_history {
            parts.reverse();
        }
        let (ids, labels): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (mut ids, mut labels) = (ids.concat(), labels.concat());
        if let Some(eos) = eos {
            ids.push(eos);
            labels.push(eos.cast_signed());
        }
        Ok(sample(ids, labels))
    }
}

/// How much of a prompt and its response is kept: what is short stays, else both are cut in proportion.
fn fit(prompt: usize, response: usize, room: usize) -> (usize, usize) {
    let most = if response * 2 < room {
        room
    } else if prompt * 2 < room {
        room - prompt
    } else {
        // Floats, as in the reference: an exact fraction would round otherwise at times.
        (room as f64 * (response as f64 / (prompt + response) as f64)) as usize
    };
    let response = most.min(response);
    (room.saturating_sub(response).min(prompt), response)
}

fn no_text(place: &str, found: &Json) -> CompatError {
    CompatError::refused(
        place,
        format!("found {}, expected a text", describe(Some(found))),
        "LLaMA-Factory stops here (RuntimeError or TypeError)",
        "Write it as a text; tools are JSON text",
    )
}

#[cfg(test)]
mod tests {
    use super::fit;

    // Expected: processor_utils.infer_seqlen of LLaMA-Factory 0.9.5.
    #[test]
    fn lengths_fit_as_the_reference_fits_them() {
        for ((prompt, response, room), expected) in [
            ((10, 10, 100), (10, 10)),
            ((200, 10, 100), (90, 10)),
            ((10, 200, 100), (10, 90)),
            ((200, 200, 100), (50, 50)),
            ((100, 50, 95), (64, 31)),
            ((1, 1000, 1), (1, 0)),
            ((0, 0, 0), (0, 0)),
        ] {
            assert_eq!(fit(prompt, response, room), expected, "{prompt} {response} {room}");
        }
    }
}
