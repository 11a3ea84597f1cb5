//! Patterns that the tokenizers crate's reader leaves without an engine.
//!
//! In: the JSON of a `tokenizer.json`. Out: that JSON without its leading unusual patterns, and a [`RegexSplit`] that cuts
//! text as they say. Version 1.0.0-rc.3 reads every `Split` as one of the well-known patterns it has native code for; one
//! that is none of them fails at the first text, although the crate's regex engine is compiled in.

use serde_json::Value as Json;
use tokenizers::SplitDelimiterBehavior;
use tokenizers::pipeline::{PreTokenizer, PreTokenizerScratch, Span};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

/// Cuts text before the rest of the tokenizer sees it.
pub(super) struct RegexSplit {
    splits: Vec<Split>,
}

impl RegexSplit {
    /// Takes the leading patterns that need an engine out of `tokenizer`; `None` where there are none.
    ///
    /// # Errors
    /// A pattern that is no regex, or one that stands where it cannot be taken out.
    pub(super) fn take_from(tokenizer: &mut Json) -> Result<Option<Self>, String> {
        let mut splits = Vec::new();
        let slot = &mut tokenizer["pre_tokenizer"];
        match slot.get_mut("pretokenizers").and_then(Json::as_array_mut) {
            Some(members) => {
                while let Some(split) = members.first().map(unusual).transpose()?.flatten() {
                    splits.push(split);
                    members.remove(0);
                }
                for member in members {
                    if let Some(split) = unusual(member)? {
                        let (SplitPattern::Regex(pattern) | SplitPattern::String(pattern)) = &split.pattern;
                        return Err(format!(
                            "its pre-tokenizer splits by {pattern:?} after other steps, which is not supported"
                        ));
                    }
                }
            }
            None => {
                if let Some(split) = unusual(slot)? {
                    splits.push(split);
                    *slot = Json::Null;
                }
            }
        }
        if splits.is_empty() {
            return Ok(None);
        }
        // The text is normalized before it is cut, and each part once more by the pipeline.
        let normalizer = tokenizer["normalizer"]["type"].as_str();
        if let Some(kind) =
            normalizer.filter(|kind| !["NFC", "NFD", "NFKC", "NFKD", "Lowercase"].contains(kind))
        {
            return Err(format!(
                "its unusual split pattern together with the normalizer {kind} is not supported"
            ));
        }
        Ok(Some(Self { splits }))
    }

    /// Calls `part` with each part of `text`, in order.
    pub(super) fn each<E: From<String>>(
        &self,
        text: &str,
        mut part: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut scratch = PreTokenizerScratch::default();
        let mut spans = vec![(0, text.len())];
        for split in &self.splits {
            let mut next = Vec::with_capacity(text.len() / 3 + 1);
            let mut found: Vec<Span> = Vec::new();
            for (start, end) in spans {
                found.clear();
                split
                    .pre_tokenize(&text[start..end], &mut scratch, &mut found)
                    .map_err(|error| error.to_string())?;
                next.extend(
                    found.iter().map(|span| (start + span.start as usize, start + span.end as usize)),
                );
            }
            spans = next;
        }
        spans.into_iter().try_for_each(|(start, end)| part(&text[start..end]))
    }
}

/// The step as a `Split` with an engine, where it is a pattern that has no native code.
fn unusual(step: &Json) -> Result<Option<Split>, String> {
    if step["type"] != "Split" {
        return Ok(None);
    }
    let Some(pattern) = step["pattern"]["Regex"].as_str() else { return Ok(None) };
    let behavior = match step["behavior"].as_str() {
        Some("Removed") => SplitDelimiterBehavior::Removed,
        Some("MergedWithPrevious") => SplitDelimiterBehavior::MergedWithPrevious,
        Some("MergedWithNext") => SplitDelimiterBehavior::MergedWithNext,
        Some("Contiguous") => SplitDelimiterBehavior::Contiguous,
        _ => SplitDelimiterBehavior::Isolated,
    };
    let invert = step["invert"].as_bool().unwrap_or(false);
    let made = |split: tokenizers::Result<Split>| {
        split.map_err(|error| format!("its pre-tokenizer's pattern {pattern:?} is no regex: {error}"))
    };
    let regex = || SplitPattern::Regex(pattern.to_owned());
    let native = made(Split::native(regex(), behavior, invert).and_then(Split::canonicalized_for_pipeline))?;
    let works = native.pre_tokenize("a b", &mut PreTokenizerScratch::default(), &mut Vec::new()).is_ok();
    if works { Ok(None) } else { made(Split::new(regex(), behavior, invert)).map(Some) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn split(pattern: &str) -> Json {
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
    }

    fn parts(tokenizer: &mut Json, text: &str) -> Vec<String> {
        let mut parts = Vec::new();
        let split = RegexSplit::take_from(tokenizer).unwrap().unwrap();
        let taken: Result<(), String> = split.each(text, |part| {
            parts.push(part.to_owned());
            Ok(())
        });
        taken.unwrap();
        parts
    }

    #[test]
    fn an_unusual_pattern_is_taken_out_and_cuts() {
        let byte_level = json!({"type": "ByteLevel"});
        let mut tokenizer = json!({"pre_tokenizer": {"type": "Sequence",
            "pretokenizers": [split(r"\p{L}+|\p{N}|[^\p{L}\p{N}]+"), byte_level]}});
        assert_eq!(parts(&mut tokenizer, "{\"a_b\": 12}"), ["{\"", "a", "_", "b", "\": ", "1", "2", "}"]);
        assert_eq!(tokenizer["pre_tokenizer"]["pretokenizers"], json!([byte_level]));
    }

    #[test]
    fn a_known_pattern_stays() {
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        let mut tokenizer = json!({"pre_tokenizer": split(gpt2)});
        assert!(RegexSplit::take_from(&mut tokenizer).unwrap().is_none());
        assert_eq!(tokenizer["pre_tokenizer"], split(gpt2));
    }

    #[test]
    fn what_cannot_be_done_is_said_at_once() {
        let mut no_regex = json!({"pre_tokenizer": split("(")});
        assert!(RegexSplit::take_from(&mut no_regex).err().unwrap().contains("is no regex"));
        let mut late = json!({"pre_tokenizer": {"pretokenizers": [{"type": "Digits"}, split("x+")]}});
        assert!(RegexSplit::take_from(&mut late).err().unwrap().contains("after other steps"));
    }
}
