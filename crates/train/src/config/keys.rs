//! The keys: their names, ranges and defaults, one place for all of them.
//!
//! In: the entries of a configuration. Out: a [`TrainConfig`] and what is wrong; where something is wrong its value is
//! a default that nobody will see. docs/training.md says the same in words, and a test holds the two together.

use std::path::PathBuf;

use toolsmith_chat::batch::Truncation;
use toolsmith_chat::compat::{Compat, Limits, llama_factory};
use toolsmith_chat::data::{RecordFormat, TrainOn};
use toolsmith_chat::template::TemplateName;
use toolsmith_chat::tokens::PartWeights;
use toolsmith_model::{LoraConfig, TargetModules, TrainMethod, WeightType};

use super::TrainConfig;
use super::document::Entry;
use super::group::{Group, Range};
use super::issue::{Issue, Place};
use super::objective_keys;
use crate::{AdamWOptions, Length, Objective, RunOptions, ScheduleKind, ScheduleOptions, Warmup};

pub(super) const POSITIVE: Range = Range { expected: "a number above 0", holds: |x| x > 0.0 };
const NOT_NEGATIVE: Range = Range { expected: "a number, 0 or above", holds: |x| x >= 0.0 };
const FRACTION: Range =
    Range { expected: "a number from 0 up to but not including 1", holds: |x| (0.0..1.0).contains(&x) };

/// What keys of other trainers are called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("per_device_train_batch_size", "set batch_size, the conversations of one optimizer step"),
    ("train_batch_size", "set batch_size, the conversations of one optimizer step"),
    (
        "gradient_accumulation_steps",
        "set batch_size, the conversations of one optimizer step; max_tokens_per_run divides it to fit in memory",
    ),
    ("lr", "did you mean learning_rate?"),
    ("lr_scheduler", "did you mean lr_scheduler_type?"),
    ("model_name_or_path", "did you mean model?"),
    ("dataset", "did you mean data?"),
    ("train_file", "did you mean data?"),
    ("finetuning_type", "did you mean method?"),
    ("cutoff_len", "did you mean max_length?"),
    ("max_seq_length", "did you mean max_length?"),
    ("lora_rank", "set r inside lora"),
    ("lora_alpha", "set it inside lora"),
    ("lora_dropout", "set it inside lora"),
    ("lora_target", "set target_modules inside lora"),
    ("target_modules", "set it inside lora"),
    ("stage", "did you mean objective?"),
    ("pref_loss", "did you mean objective?"),
    ("pref_beta", "set beta inside dpo or orpo"),
    ("beta", "set it inside dpo or orpo"),
    ("label_smoothing", "set it inside dpo"),
    ("loss_type", "set it inside dpo"),
    ("resume_from_checkpoint", "resume on the command line with --resume"),
    ("bf16", "this trains in float32; save_dtype chooses the type of the saved weights"),
    ("fp16", "this trains in float32; save_dtype chooses the type of the saved weights"),
];

/// Every key, those of a group as `group.key`.
pub const KEYS: &[&str] = &[
    "model",
    "from_scratch",
    "data",
    "eval_data",
    "format",
    "template",
    "max_length",
    "truncate",
    "train_on",
    "loss_weights",
    "compat",
    "max_input_length",
    "max_output_length",
    "max_seq_length",
    "max_source_length",
    "max_target_length",
    "cutoff_len",
    "mask_history",
    "train_on_prompt",
    "skip_bad",
    "output_dir",
    "objective",
    "dpo",
    "orpo",
    "method",
    "lora",
    "save_dtype",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "num_train_epochs",
    "max_steps",
    "batch_size",
    "max_tokens_per_run",
    "share_prefixes",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "seed",
    "logging_steps",
    "save_steps",
    "save_total_limit",
    "eval_steps",
    "lora.r",
    "lora.lora_alpha",
    "lora.lora_dropout",
    "lora.target_modules",
    "dpo.beta",
    "dpo.label_smoothing",
    "dpo.loss_type",
    "orpo.beta",
    "loss_weights.name",
    "loss_weights.argument_key",
    "loss_weights.argument_value",
    "loss_weights.prose",
];

#[derive(Clone, Copy)]
enum Method {
    Lora,
    Full,
}

pub(super) fn read(entries: Vec<(Entry, Entry)>, issues: &mut Vec<Issue>) -> TrainConfig {
    let mut top = Group::new("", entries, issues);
    let model = top.required_text("model", "the folder or Hugging Face id of a model");
    let from_scratch = top.flag("from_scratch", false);
    let files = "a path, or a list of paths";
    let data = top.required_texts("data", files);
    let eval_data = top.texts("eval_data", files);
    let format = top.name("format", &RecordFormat::names());
    let compat = top.name("compat", &Compat::ALL.map(Compat::as_str)).and_then(|name| name.parse().ok());
    let limits = if compat.is_some() { read_limits(&mut top) } else { Limits::default() };
    let templates = match compat {
        Some(Compat::LlamaFactory) => {
            llama_factory::Template::ALL.map(llama_factory::Template::as_str).to_vec()
        }
        _ => TemplateName::all(),
    };
    let template = top.name("template", &templates);
    let max_length = top.count("max_length", 2, " of tokens").map(to_usize);
    let truncate =
        top.choice("truncate", Truncation::default(), &Truncation::ALL.map(|way| (way.as_str(), way)));
    let train_on =
        top.choice("train_on", TrainOn::default(), &TrainOn::ALL.map(|choice| (choice.as_str(), choice)));
    let loss_weights = top.inner("loss_weights").map(|group| read_loss_weights(group, top.issues()));
    let skip_bad = top.flag("skip_bad", false);
    let output_dir = PathBuf::from(top.required_text("output_dir", "the folder to write into"));

    let objective = objective_keys::read(&mut top);
    if objective.compares_answers() {
        let with = objective.as_str();
        for (key, is_set) in [("compat", compat.is_some()), ("loss_weights", loss_weights.is_some())] {
            if is_set {
                let message = format_args!("it is of objective: sft and means nothing with {with}; drop it");
                top.refuse(key, &Place::Absent, message);
            }
        }
    }
    let method = top.choice("method", Method::Lora, &[("lora", Method::Lora), ("full", Method::Full)]);
    let lora = top.inner("lora");
    let method = match method {
        Method::Lora => TrainMethod::Lora(read_lora(lora, top.issues())),
        Method::Full => {
            if let Some((place, _)) = lora {
                top.refuse(
                    "lora",
                    &place,
                    "it means nothing with method: full; drop it, or set method: lora",
                );
            }
            TrainMethod::Full
        }
    };
    if from_scratch && matches!(method, TrainMethod::Lora(_)) {
        let message = "random weights have nothing to adapt; set method: full, or from_scratch: false";
        top.refuse("from_scratch", &Place::Absent, message);
    }
    let dtypes = [("float32", WeightType::F32), ("bfloat16", WeightType::Bf16), ("float16", WeightType::F16)];
    let save_dtype = top.choice("save_dtype", WeightType::F32, &dtypes);
    let default_rate = match (objective.compares_answers(), &method) {
        (false, TrainMethod::Lora(_)) => 2e-4,
        (false, TrainMethod::Full) => 5e-5,
        (true, TrainMethod::Lora(_)) => 5e-6,
        (true, TrainMethod::Full) => 1e-6,
    };
    let run = RunOptions { objective, ..read_run(&mut top, default_rate) };
    if max_length.is_some_and(|tokens| tokens > run.max_tokens_per_run) {
        let message = format_args!(
            "longer than max_tokens_per_run ({}), so a sample of that length fits in no run; \
                                    raise max_tokens_per_run, or lower max_length",
            run.max_tokens_per_run
        );
        top.refuse("max_length", &Place::Absent, message);
    }
    let known = top.finish(ELSEWHERE);
    debug_assert!(known.iter().all(|key| KEYS.contains(key)), "a key is missing from KEYS");
    TrainConfig {
        model,
        from_scratch,
        data,
        eval_data,
        format,
        template,
        max_length,
        truncate,
        train_on,
        loss_weights,
        compat,
        limits,
        skip_bad,
        output_dir,
        method,
        save_dtype,
        run,
    }
}

/// Keys that only a compatibility mode has; elsewhere they are unknown.
fn read_limits(top: &mut Group<'_>) -> Limits {
    let mut count = |key| top.count(key, 1, " of tokens").map(to_usize);
    Limits {
        max_input_length: count("max_input_length"),
        max_output_length: count("max_output_length"),
        max_seq_length: count("max_seq_length"),
        max_source_length: count("max_source_length"),
        max_target_length: count("max_target_length"),
        cutoff_len: count("cutoff_len"),
        mask_history: top.flag("mask_history", false),
        train_on_prompt: top.flag("train_on_prompt", false),
    }
}

fn read_lora(group: Option<(Place, Vec<(Entry, Entry)>)>, issues: &mut Vec<Issue>) -> LoraConfig {
    let entries = group.map(|(_, entries)| entries).unwrap_or_default();
    let mut lora = Group::new("lora.", entries, issues);
    let r = lora.count("r", 1, " of dimensions").map_or(8, to_usize);
    let lora_alpha = lora.number("lora_alpha", 2.0 * r as f64, &POSITIVE) as f32;
    let lora_dropout = lora.number("lora_dropout", 0.0, &FRACTION) as f32;
    let names =
        lora.texts("target_modules", "all-linear, or a list of layer names, such as [q_proj, v_proj]");
    let target_modules = match names.as_slice() {
        [] => TargetModules::AllLinear,
        [all] if all == "all-linear" => TargetModules::AllLinear,
        _ => TargetModules::Names(names),
    };
    lora.finish(&[("rank", "did you mean lora.r?"), ("alpha", "did you mean lora.lora_alpha?")]);
    LoraConfig { r, lora_alpha, lora_dropout, target_modules }
}

fn read_loss_weights(group: (Place, Vec<(Entry, Entry)>), issues: &mut Vec<Issue>) -> PartWeights {
    let mut weights = Group::new("loss_weights.", group.1, issues);
    let mut weight = |key: &'static str| weights.number(key, 1.0, &NOT_NEGATIVE) as f32;
    let read = PartWeights {
        name: weight("name"),
        argument_key: weight("argument_key"),
        argument_value: weight("argument_value"),
        prose: weight("prose"),
    };
    weights.finish(&[]);
    read
}

fn read_run(top: &mut Group<'_>, default_rate: f64) -> RunOptions {
    let schedule = ScheduleOptions {
        learning_rate: top.number("learning_rate", default_rate, &POSITIVE),
        kind: top.choice(
            "lr_scheduler_type",
            ScheduleKind::Cosine,
            &[
                ("cosine", ScheduleKind::Cosine),
                ("linear", ScheduleKind::Linear),
                ("constant", ScheduleKind::Constant),
            ],
        ),
        warmup: {
            let ratio = top.number("warmup_ratio", 0.0, &FRACTION);
            top.count("warmup_steps", 0, " of steps").map_or(Warmup::Ratio(ratio), Warmup::Steps)
        },
    };
    let epochs = top.number("num_train_epochs", 3.0, &POSITIVE);
    let length = top.count("max_steps", 1, " of steps").map_or(Length::Epochs(epochs), Length::Steps);
    RunOptions {
        objective: Objective::Sft,
        schedule,
        length,
        batch_size: top.count("batch_size", 1, " of conversations").map_or(16, to_usize),
        max_tokens_per_run: top.count("max_tokens_per_run", 1, " of tokens").map_or(4096, to_usize),
        share_prefixes: top.flag("share_prefixes", true),
        optimizer: AdamWOptions {
            beta1: top.number("adam_beta1", 0.9, &FRACTION) as f32,
            beta2: top.number("adam_beta2", 0.999, &FRACTION) as f32,
            epsilon: top.number("adam_epsilon", 1e-8, &POSITIVE) as f32,
            weight_decay: top.number("weight_decay", 0.0, &NOT_NEGATIVE) as f32,
        },
        max_grad_norm: top.number("max_grad_norm", 1.0, &NOT_NEGATIVE),
        seed: top.count("seed", 0, "").unwrap_or(42),
        logging_steps: top.count("logging_steps", 1, " of steps").unwrap_or(1),
        save_steps: top.count("save_steps", 1, " of steps").unwrap_or(500),
        save_total_limit: top.count("save_total_limit", 1, " of checkpoints").map(to_usize),
        eval_steps: top.count("eval_steps", 1, " of steps"),
    }
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
