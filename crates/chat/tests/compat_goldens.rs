//! Every golden of the reference trainers against our compatibility modes.
//!
//! The goldens and the tokenizers they were made with are no part of the project (see `shared/mod.rs`). Run
//! `cargo test -p toolsmith-chat --test compat_goldens -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod shared;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use toolsmith_chat::compat::llama_factory::{ToolFormat, write_calls, write_tools};
use toolsmith_chat::compat::{ArrowSchema, Compat, Limits, Mode, to_chatglm3, to_glm4, to_sharegpt};
use toolsmith_chat::data::{self, SourceFormat};
use toolsmith_chat::tokens::ChatTokenizer;

/// Goldens that are equal, and those where the reference and we both give no sample, by file and template.
const EQUAL_AND_REFUSED: [(&str, usize, usize); 9] = [
    ("chatglm3_2023.jsonl chatglm3", 75, 0),
    ("glm4_official.jsonl glm4-9b-chat", 218, 15),
    ("llama_factory.jsonl chatglm3", 53, 7),
    ("llama_factory.jsonl chatml", 67, 3),
    ("llama_factory.jsonl default", 67, 3),
    ("llama_factory.jsonl glm4", 85, 13),
    ("llama_factory.jsonl llama3", 101, 5),
    ("llama_factory.jsonl qwen", 101, 5),
    ("transformers_5_6.jsonl glm4-9b-chat", 22, 25),
];

struct Tokenizers(HashMap<&'static str, (ChatTokenizer, Option<u32>, Option<u32>)>);

impl Tokenizers {
    fn new() -> Self {
        let names = ["glm4", "chatglm3", "qwen2_5", "llama3_1"];
        Self(names.into_iter().map(|name| (name, Self::load(name))).collect())
    }

    fn load(name: &str) -> (ChatTokenizer, Option<u32>, Option<u32>) {
        let tokenizer = shared::tokenizer(name);
        let config = shared::json(&format!("tokenizers/{name}/tokenizer_config.json"));
        let id = |key: &str| config[key].as_str().and_then(|name| tokenizer.control_id(name));
        let (bos, eos) = (id("bos_token"), id("eos_token"));
        (tokenizer, bos, eos)
    }
}

/// Mode and tokenizer of a golden case.
fn mode_of(case: &Value) -> (Mode, &'static str) {
    let options = &case["options"];
    let count = |key: &str| options[key].as_u64().map(|count| count as usize);
    let flag = |key: &str| options[key].as_bool().unwrap_or(false);
    let limits = Limits {
        max_input_length: count("max_input_length"),
        max_output_length: count("max_output_length"),
        max_seq_length: count("max_seq_length"),
        max_source_length: count("max_source_length"),
        max_target_length: count("max_target_length"),
        cutoff_len: count("cutoff_len"),
        mask_history: flag("mask_history"),
        train_on_prompt: flag("train_on_prompt"),
    };
    let (compat, tokenizer) = match case["reference"].as_str().unwrap() {
        "glm4-official" if flag("combine") => (Compat::Glm4OfficialCombine, "glm4"),
        "glm4-official" => (Compat::Glm4Official, "glm4"),
        "chatglm3-2023" => (Compat::ChatGlm3Of2023, "chatglm3"),
        "llama-factory" => (
            Compat::LlamaFactory,
            match case["template"].as_str().unwrap() {
                "glm4" => "glm4",
                "chatglm3" => "chatglm3",
                "llama3" => "llama3_1",
                _ => "qwen2_5",
            },
        ),
        other => panic!("{other}"),
    };
    let mut mode = Mode { limits, ..Mode::new(compat) };
    if compat == Compat::LlamaFactory {
        mode.llama_factory.template = case["template"].as_str().unwrap().parse().unwrap();
    }
    if flag("arrow") {
        let mut schema = ArrowSchema::new();
        schema.add(&case["record"]).unwrap();
        mode.arrow = Some(schema);
    }
    mode.keep_null_keys =
        case["compat"].as_str().is_some_and(|variant| variant.contains("transformers=5.6.0"));
    (mode, tokenizer)
}

#[derive(Default)]
struct Tally {
    equal: usize,
    refused: usize,
    different: Vec<String>,
}

fn compare(case: &Value, tokenizers: &Tokenizers, tally: &mut Tally) {
    let (mut mode, name) = mode_of(case);
    let (tokenizer, bos, eos) = &tokenizers.0[name];
    (mode.llama_factory.bos, mode.llama_factory.eos) = (*bos, *eos);
    let record = case["record"].clone();
    let record = if record.is_null() { case["conversation"].clone() } else { record };
    let id = case["id"].as_str().unwrap();
    let line = if case["compat"].as_str().is_some_and(|variant| variant.starts_with("process_batch_eval")) {
        mode.encode_eval(record, None, tokenizer).map(|samples| {
            let samples: Vec<Value> = samples
                .into_iter()
                .map(|sample| serde_json::json!([sample.input_ids, sample.output_ids]))
                .collect();
            assert_eq!(case["samples"].as_u64().unwrap_or_default() as usize, samples.len(), "{id}");
            samples[case["sample_index"].as_u64().unwrap_or_default() as usize].clone()
        })
    } else {
        mode.encode(record, None, tokenizer).map(|samples| {
            let [sample] = samples.as_slice() else { panic!("{id}: {} samples", samples.len()) };
            serde_json::json!([sample.input_ids, sample.labels])
        })
    };
    let key = if case["output_ids"].is_null() { "labels" } else { "output_ids" };
    match (line, case["error"].as_str()) {
        (Err(error), Some(reference)) => {
            println!("{id}: {reference} | {error}");
            tally.refused += 1;
        }
        (Ok(line), None) if line == serde_json::json!([case["input_ids"], case[key]]) => tally.equal += 1,
        (Ok(line), None) => {
            let at = |part: usize, key: &str| {
                let (ours, theirs) = (line[part].as_array().unwrap(), case[key].as_array().unwrap());
                let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
                format!("{key} {} / {} at {at:?}", ours.len(), theirs.len())
            };
            tally.different.push(format!("{id}: {}, {}", at(0, "input_ids"), at(1, key)));
        }
        (ours, theirs) => tally.different.push(format!("{id}: ours {ours:?}, reference {theirs:?}")),
    }
}

#[test]
#[ignore = "needs the goldens of the reference trainers"]
fn ids_and_labels_equal_the_references() {
    let tokenizers = Tokenizers::new();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for file in
        ["glm4_official.jsonl", "chatglm3_2023.jsonl", "llama_factory.jsonl", "transformers_5_6.jsonl"]
    {
        for case in shared::lines(&format!("golden/{file}")) {
            let reference = case["reference"].as_str().unwrap();
            if matches!(reference, "glm4-official" | "chatglm3-2023" | "llama-factory") {
                let name = format!("{file} {}", case["template"].as_str().unwrap());
                compare(&case, &tokenizers, tallies.entry(name).or_default());
            }
        }
    }
    let counts: Vec<_> =
        tallies.iter().map(|(name, tally)| (name.as_str(), tally.equal, tally.refused)).collect();
    let mut different = 0;
    for (name, tally) in &tallies {
        println!(
            "{name}: {} equal, {} refused by both, {} different",
            tally.equal,
            tally.refused,
            tally.different.len()
        );
        for line in &tally.different {
            println!("    {line}");
        }
        different += tally.different.len();
    }
    assert_eq!(different, 0);
    assert_eq!(counts, EQUAL_AND_REFUSED);
}

#[test]
#[ignore = "needs the goldens of the reference trainers"]
fn formatters_equal_the_references() {
    let (mut equal, mut refused) = (0, 0);
    let mut different = Vec::new();
    for case in shared::lines("golden/lf_formatters.jsonl") {
        let format: ToolFormat = case["format"].as_str().unwrap().parse().unwrap();
        let input = case["input"].as_str().unwrap();
        let text = match case["kind"].as_str().unwrap() {
            "tool_formatter" => write_tools(format, input, "26 Jul 2024"),
            _ => write_calls(format, "value", &serde_json::from_str(input).unwrap()),
        };
        match (text, case["text"].as_str()) {
            (Ok(text), Some(expected)) if text == expected => equal += 1,
            (Err(_), None) => refused += 1,
            (text, expected) => different
                .push(format!("{}: {text:?}\n  reference {expected:?} {}", case["id"], case["error"])),
        }
    }
    println!("{equal} equal, {refused} refused by both");
    assert!(different.is_empty(), "{} different:\n{}", different.len(), different.join("\n"));
    assert_eq!((equal, refused), (195, 13));
}

/// What is read from a record, as a record again.
#[test]
#[ignore = "needs the goldens of the reference trainers"]
fn conversations_become_the_references_records() {
    let (mut equal, mut different) = (0, Vec::new());
    for case in shared::lines("golden/conversations.jsonl") {
        let conversation = data::read_record(case["conversation"].clone(), SourceFormat::OpenAi).unwrap();
        let written = [
            ("glm4", to_glm4(&conversation)),
            ("chatglm3", to_chatglm3(&conversation)),
            ("llama-factory", to_sharegpt(&conversation)),
        ];
        for (name, record) in written {
            let mut expected = case["records"][name].clone();
            // One record says more than its conversation: results that are JSON and no text.
            if expected.is_null() || (name == "chatglm3" && case["id"] == "conv-040") {
                continue;
            }
            // A system text may stand in its column or in the first turn.
            if name == "llama-factory" && expected["conversations"][0]["from"] == "system" {
                let first = expected["conversations"].as_array_mut().unwrap().remove(0);
                expected["system"] = first["value"].clone();
            }
            if record == expected {
                equal += 1;
            } else {
                different.push(format!("{} {name}:\n  {record}\n  {expected}", case["id"]));
            }
        }
    }
    println!("{equal} equal");
    assert!(different.is_empty(), "{} different:\n{}", different.len(), different.join("\n"));
    assert_eq!(equal, 100);
}
