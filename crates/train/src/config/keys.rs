//! The keys: their names, ranges and defaults, one place for all of them.
//!
//! In: the entries of a configuration. Out: a [`TrainConfig`] and what is wrong; where something is wrong its value is
//! a default that nobody will see. docs/training.md says the same in words, and a test holds the two together.

use std::path::PathBuf;

use toolsmith_chat::batch::Truncation;
use toolsmith_chat::check::Code;
use toolsmith_chat::compat::{Compat, Limits, llama_factory};
use toolsmith_chat::data::{RecordFormat, TrainOn};
use toolsmith_chat::template::TemplateName;
use toolsmith_chat::tokens::PartWeights;
use toolsmith_kernels::Precision;
use toolsmith_model::{Quantization, TrainMethod, WeightType};

use super::TrainConfig;
use super::document::Entry;
use super::group::{Group, Range};
use super::issue::{Issue, Place};
use super::method;
use super::objective_keys;
use crate::{
    AdamWOptions, EarlyStopping, Length, MomentType, Objective, RunOptions, ScheduleKind, ScheduleOptions,
    Warmup,
};

pub(super) const POSITIVE: Range = Range { expected: "a number above 0", holds: |x| x > 0.0 };
const NOT_NEGATIVE: Range = Range { expected: "a number, 0 or above", holds: |x| x >= 0.0 };
pub(super) const FRACTION: Range =
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
    ("optim", "did you mean optimizer?"),
    ("lr_scheduler", "did you mean lr_scheduler_type?"),
    ("model_name_or_path", "did you mean model?"),
    ("dataset", "did you mean data?"),
    ("train_file", "did you mean data?"),
    ("finetuning_type", "did you mean method?"),
    ("adapter_name_or_path", "did you mean adapter?"),
    ("cutoff_len", "did you mean max_length?"),
    ("max_seq_length", "did you mean max_length?"),
    ("lora_rank", "set r inside lora"),
    ("lora_alpha", "set it inside lora"),
    ("lora_dropout", "set it inside lora"),
    ("lora_target", "set target_modules inside lora"),
    ("target_modules", "set it inside lora"),
    ("use_rslora", "set it inside lora"),
    ("use_dora", "set it inside lora"),
    ("modules_to_save", "set it inside lora"),
    ("additional_target", "set modules_to_save inside lora"),
    ("pre_seq_len", "set num_virtual_tokens inside prefix_tuning, with method: prefix_tuning"),
    ("num_virtual_tokens", "set it inside prefix_tuning"),
    ("gradient_checkpointing", "did you mean recompute?"),
    ("freeze_trainable_layers", "name what is not trained with freeze, such as [model.layers.0.*]"),
    ("metric_for_best_model", "the lowest eval_loss is the best; drop it"),
    ("greater_is_better", "the lowest eval_loss is the best; drop it"),
    ("logging_dir", "event files for TensorBoard go to runs inside output_dir; drop it"),
    ("stage", "did you mean objective?"),
    ("pref_loss", "did you mean objective?"),
    ("pref_beta", "set beta inside dpo or orpo"),
    ("beta", "set it inside dpo or orpo"),
    ("label_smoothing", "set it inside dpo"),
    ("loss_type", "set it inside dpo"),
    ("resume_from_checkpoint", "resume on the command line with --resume"),
    ("bf16", "set compute_dtype: bfloat16"),
    ("fp16", "this computes in float32 or, with compute_dtype: bfloat16, in bfloat16"),
    ("load_in_8bit", "set quantization: int8"),
    ("load_in_4bit", "set quantization: nf4"),
    ("quantization_bit", "set quantization: int8 or nf4"),
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
    "ignore",
    "output_dir",
    "objective",
    "dpo",
    "orpo",
    "method",
    "adapter",
    "freeze",
    "lora",
    "prefix_tuning",
    "save_dtype",
    "quantization",
    "compute_dtype",
    "recompute",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "num_train_epochs",
    "max_steps",
    "batch_size",
    "max_tokens_per_run",
    "share_prefixes",
    "prefix_group",
    "optimizer",
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
    "early_stopping_patience",
    "early_stopping_threshold",
    "load_best_model_at_end",
    "report_to",
    "lora.r",
    "lora.lora_alpha",
    "lora.lora_dropout",
    "lora.target_modules",
    "lora.use_rslora",
    "lora.use_dora",
    "lora.modules_to_save",
    "prefix_tuning.num_virtual_tokens",
    "prefix_tuning.prefix_projection",
    "prefix_tuning.encoder_hidden_size",
    "prefix_tuning.positions",
    "dpo.beta",
    "dpo.label_smoothing",
    "dpo.loss_type",
    "orpo.beta",
    "loss_weights.name",
    "loss_weights.argument_key",
    "loss_weights.argument_value",
    "loss_weights.prose",
];

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
    let ignore = read_ignored(&mut top);
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
    let (method, adapter) = method::read(&mut top, from_scratch);
    let dtypes = [("float32", WeightType::F32), ("bfloat16", WeightType::Bf16), ("float16", WeightType::F16)];
    let save_dtype = top.choice("save_dtype", WeightType::F32, &dtypes);
    let default_rate = match (objective.compares_answers(), &method) {
        (false, TrainMethod::Full | TrainMethod::FullExcept(_)) => 5e-5,
        (false, TrainMethod::Lora(_)) => 2e-4,
        (false, TrainMethod::Prefix(_)) => 5e-3,
        (true, TrainMethod::Full | TrainMethod::FullExcept(_)) => 1e-6,
        (true, TrainMethod::Lora(_)) => 5e-6,
        (true, TrainMethod::Prefix(_)) => 1e-4,
    };
    let run = RunOptions { objective, ..read_run(&mut top, default_rate) };
    if run.quantization != Quantization::None && method.is_whole() {
        let message =
            "packed weights cannot be trained; set method: lora or prefix_tuning, or quantization: none";
        top.refuse("quantization", &Place::Absent, message);
    }
    if run.seeks_best() && (run.eval_steps.is_none() || eval_data.is_empty()) {
        let key =
            if run.early_stopping.is_some() { "early_stopping_patience" } else { "load_best_model_at_end" };
        let message = "needs evaluations to choose by; set eval_data and eval_steps";
        top.refuse(key, &Place::Absent, message);
    }
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
        ignore,
        output_dir,
        method,
        adapter,
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

fn read_ignored(top: &mut Group<'_>) -> Vec<Code> {
    let mut codes = Vec::new();
    for name in top.texts("ignore", "names of rules, such as [tool-never-used]") {
        match name.parse() {
            Ok(code) => codes.push(code),
            Err(error) => top.refuse("ignore", &Place::Absent, error),
        }
    }
    codes
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
        recompute: top.flag("recompute", false),
        quantization: top.choice(
            "quantization",
            Quantization::None,
            &[("none", Quantization::None), ("int8", Quantization::Int8), ("nf4", Quantization::Nf4)],
        ),
        compute_dtype: top.choice(
            "compute_dtype",
            Precision::F32,
            &[("float32", Precision::F32), ("bfloat16", Precision::Bf16)],
        ),
        prefix_group: top.count("prefix_group", 1, " of conversations").map_or(8, to_usize),
        optimizer: AdamWOptions {
            beta1: top.number("adam_beta1", 0.9, &FRACTION) as f32,
            beta2: top.number("adam_beta2", 0.999, &FRACTION) as f32,
            epsilon: top.number("adam_epsilon", 1e-8, &POSITIVE) as f32,
            weight_decay: top.number("weight_decay", 0.0, &NOT_NEGATIVE) as f32,
            moments: top.choice(
                "optimizer",
                MomentType::Float32,
                &[("adamw", MomentType::Float32), ("adamw_8bit", MomentType::EightBit)],
            ),
        },
        max_grad_norm: top.number("max_grad_norm", 1.0, &NOT_NEGATIVE),
        seed: top.count("seed", 0, "").unwrap_or(42),
        logging_steps: top.count("logging_steps", 1, " of steps").unwrap_or(1),
        save_steps: top.count("save_steps", 1, " of steps").unwrap_or(500),
        save_total_limit: top.count("save_total_limit", 1, " of checkpoints").map(to_usize),
        eval_steps: top.count("eval_steps", 1, " of steps"),
        early_stopping: read_early_stopping(top),
        load_best_model_at_end: top.flag("load_best_model_at_end", false),
        tensorboard: read_report_to(top),
    }
}

fn read_early_stopping(top: &mut Group<'_>) -> Option<EarlyStopping> {
    let threshold = top.number("early_stopping_threshold", 0.0, &NOT_NEGATIVE);
    let patience = top.count("early_stopping_patience", 1, " of evaluations")?;
    Some(EarlyStopping { patience, threshold })
}

/// Whether the run reports to TensorBoard, the only one there is.
fn read_report_to(top: &mut Group<'_>) -> bool {
    top.choice("report_to", true, &[("tensorboard", true), ("none", false)])
}

pub(super) fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
