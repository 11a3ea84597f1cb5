//! `cargo xtask base`: the corpus and the tokenizer of the embedded base model (docs/base-model.md).
//!
//! In: a seed, a count and where to write. Out: JSON lines to train on, or the tokenizer and model
//! configuration of `assets/base`. The training itself is `toolsmith train recipes/...`; it does
//! not know how a model is trained.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use toolsmith_chat::data::{SourceFormat, read_record};
use toolsmith_chat::template::{RenderOptions, Template};
use toolsmith_synth::{CopyWords, base_corpus, copying_corpus, short_records, train_tokenizer};

/// The corpus that the committed weights were trained on.
const SEED: u64 = 1;
const RECORDS: usize = 60_000;

/// How much of the corpus the tokenizer is trained on: every n-th record.
const TOKENIZER_STRIDE: usize = 6;
const VOCAB_SIZE: usize = 3072;

const HELP: &str = "\
cargo xtask base data DIR [--seed N] [--records N]
    write the base model's corpus, to be trained on part after part: DIR/few-words.jsonl,
    many-words.jsonl, short.jsonl, long.jsonl
cargo xtask base tokenizer DIR [--seed N] [--records N]
    train the tokenizer on that corpus; writes DIR/tokenizer.json, tokenizer_config.json,
    config.json and generation_config.json";

/// Runs `cargo xtask base ARGS`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut seed = SEED;
    let mut records = RECORDS;
    let mut positional = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut number = || -> Result<u64> {
            let text = rest.next().with_context(|| format!("{arg} needs a number"))?;
            text.parse().with_context(|| format!("{arg} {text}: expected a whole number"))
        };
        match arg.as_str() {
            "--seed" => seed = number()?,
            "--records" => records = usize::try_from(number()?)?,
            option if option.starts_with("--") => bail!("no option `{option}`\n\n{HELP}"),
            _ => positional.push(arg.as_str()),
        }
    }
    match positional.as_slice() {
        ["data", out] => write_corpus(Path::new(out), seed, records),
        ["tokenizer", dir] => write_tokenizer(&PathBuf::from(dir), seed, records),
        _ => bail!("expected a command and where to write\n\n{HELP}"),
    }
}

fn write_corpus(dir: &Path, seed: u64, records: usize) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let short = short_records(records);
    write_part(dir, "few-words", copying_corpus(seed, CopyWords::Few, records / 4))?;
    write_part(dir, "many-words", copying_corpus(seed, CopyWords::Many, records / 2))?;
    write_part(dir, "short", base_corpus(seed, records).take(short))?;
    write_part(dir, "long", base_corpus(seed, records).skip(short))
}

fn write_part(dir: &Path, name: &str, part: impl Iterator<Item = Json>) -> Result<()> {
    let path = dir.join(name).with_extension("jsonl");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    let mut count = 0;
    for record in part {
        writeln!(out, "{record}")?;
        count += 1;
    }
    out.flush().with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {count} records", path.display());
    Ok(())
}

fn write_tokenizer(dir: &Path, seed: u64, records: usize) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let mut texts = Vec::new();
    for record in base_corpus(seed, records).step_by(TOKENIZER_STRIDE) {
        texts.extend(training_texts(record)?);
    }
    let tokenizer = train_tokenizer(texts.into_iter(), VOCAB_SIZE);
    let id = |name: &str| {
        let added = tokenizer["added_tokens"].as_array();
        let token = added.and_then(|added| added.iter().find(|token| token["content"] == name));
        token.map_or(Json::Null, |token| token["id"].clone())
    };
    let (end_of_text, end_of_turn) = (id("<|endoftext|>"), id("<|im_end|>"));
    let decoder: serde_json::Map<String, Json> = tokenizer["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|token| {
            let mut facts = token.clone();
            let id = facts.as_object_mut().and_then(|facts| facts.shift_remove("id"));
            (id.unwrap_or_default().to_string(), facts)
        })
        .collect();
    let template = fs::read_to_string(dir.join("chat_template.jinja")).unwrap_or_default();
    let mut tokenizer_config = json!({
        "add_bos_token": false,
        "add_prefix_space": false,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": null,
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": false,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": null,
    });
    if !template.is_empty() {
        tokenizer_config["chat_template"] = json!(template);
    }
    let config = json!({
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_turn,
        "hidden_act": "silu",
        "hidden_size": 192,
        "initializer_range": 0.07,
        "intermediate_size": 512,
        "max_position_embeddings": 2048,
        "model_type": "qwen2",
        "num_attention_heads": 6,
        "num_hidden_layers": 4,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": VOCAB_SIZE,
    });
    let generation_config = json!({
        "bos_token_id": end_of_text,
        "do_sample": false,
        "eos_token_id": [end_of_turn, end_of_text],
        "pad_token_id": end_of_text,
    });
    for (name, json) in [
        ("tokenizer.json", &tokenizer),
        ("tokenizer_config.json", &tokenizer_config),
        ("config.json", &config),
        ("generation_config.json", &generation_config),
    ] {
        let path = dir.join(name);
        let text = format!("{}\n", serde_json::to_string_pretty(json)?);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// What a record puts before the model, cut at control tokens.
fn training_texts(mut record: Json) -> Result<Vec<String>> {
    if let Some(text) = record["text"].as_str() {
        return Ok(vec![text.to_string()]);
    }
    let record = record.take();
    let conversation = read_record(record, SourceFormat::OpenAi)?;
    let rendered = Template::Qwen25.render(&conversation, &RenderOptions::PLAIN)?;
    let mut texts = vec![rendered.text().to_string()];
    for name in ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"] {
        texts = texts.iter().flat_map(|text| text.split(name)).map(ToString::to_string).collect();
    }
    Ok(texts)
}
