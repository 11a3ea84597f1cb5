//! Patterns that the tokenizers crate's reader leaves without an engine.
//!
//! In: a pre-tokenizer as that reader made it. Out: the same, able to cut any text. Version 1.0.0-rc.3 reads every `Split`
//! as one of the well-known patterns it has native code for; one that is none of them fails at the first text, although
//! the crate's regex engine is compiled in.

use tokenizers::pipeline::PipelinePreTokenizer;
use tokenizers::pre_tokenizers::sequence::PipelineSequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

/// The same steps, each `Split` with an engine beside its native code, if it has any.
///
/// # Errors
/// A pattern that is no regex.
pub(super) fn with_engine(step: &PipelinePreTokenizer) -> Result<PipelinePreTokenizer, String> {
    Ok(match step {
        PipelinePreTokenizer::Split(split) => PipelinePreTokenizer::Split(compiled(split)?),
        PipelinePreTokenizer::Sequence(steps) => {
            let steps: Result<_, String> = steps.pre_tokenizers().iter().map(with_engine).collect();
            PipelinePreTokenizer::Sequence(PipelineSequence::new(steps?))
        }
        other => other.clone(),
    })
}

fn compiled(split: &Split) -> Result<Split, String> {
    Split::new(split.pattern.clone(), split.behavior, split.invert).map_err(|error| {
        let (SplitPattern::Regex(pattern) | SplitPattern::String(pattern)) = &split.pattern;
        format!("its pre-tokenizer's pattern {pattern:?} is no regex: {error}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use tokenizers::pipeline::{PreTokenizer, PreTokenizerScratch};

    use super::*;

    fn split(pattern: &str) -> Json {
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
    }

    fn built(pre_tokenizer: &Json) -> Result<PipelinePreTokenizer, String> {
        let tokenizer = json!({"version": "2.0", "pre_tokenizer": pre_tokenizer,
            "model": {"type": "BPE", "byte_level": false, "vocab": {"a": 0}, "merges": []}});
        let read = tokenizers::from_json(&tokenizer.to_string()).unwrap();
        with_engine(read.get_pre_tokenizer())
    }

    fn parts<'a>(pre_tokenizer: &Json, text: &'a str) -> Vec<&'a str> {
        let mut spans = Vec::new();
        let steps = built(pre_tokenizer).unwrap();
        steps.pre_tokenize(text, &mut PreTokenizerScratch::default(), &mut spans).unwrap();
        spans.iter().map(|span| &text[span.range()]).collect()
    }

    #[test]
    fn an_unusual_pattern_cuts_wherever_it_stands() {
        let unusual = split(r"\p{L}+|\p{N}|[^\p{L}\p{N}]+");
        let expected = ["{\"", "a", "_", "b", "\": ", "1", "2", "}"];
        assert_eq!(parts(&unusual, "{\"a_b\": 12}"), expected);
        let later = json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, unusual]});
        assert_eq!(parts(&later, "{\"a_b\": 12}"), expected);
    }

    #[test]
    fn a_known_pattern_keeps_its_native_code() {
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        let PipelinePreTokenizer::Split(split) = built(&split(gpt2)).unwrap() else { panic!("no split") };
        assert!(split.grammar().is_some());
    }

    #[test]
    fn what_is_no_regex_is_said_at_once() {
        assert!(built(&split("(")).err().unwrap().contains("is no regex"));
    }
}
