//! Configurations: what is right is read, and everything that is wrong is said at once. One hostile input a file in
//! tests/config; what is said about it in tests/snapshots.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use toolsmith_chat::compat::Compat;
use toolsmith_kernels::Precision;
use toolsmith_model::{
    AdapterConfig, LoraConfig, PrefixConfig, PrefixPositions, Quantization, TargetModules, TrainMethod,
    WeightType,
};
use toolsmith_train::config::KEYS;
use toolsmith_train::{
    DpoLoss, DpoOptions, EarlyStopping, Length, MomentType, Objective, OrpoOptions, ScheduleKind,
    TrainConfig, Warmup,
};

const MINIMAL: &str = "model: m\ndata: train.jsonl\noutput_dir: runs/first\n";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn with(yaml: &str, overrides: &[&str]) -> Result<TrainConfig, String> {
    let overrides: Vec<String> = overrides.iter().map(|&word| word.to_owned()).collect();
    TrainConfig::from_yaml("train.yaml", yaml, &overrides).map_err(|issues| issues.to_string())
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let files = yaml_files(&folder("tests/config"));
    assert_eq!(files.len(), 10);
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        insta::assert_snapshot!(name, with(&text, &[]).unwrap_err());
    }
}

#[test]
fn words_of_the_command_line_are_named_when_they_are_wrong() {
    let words = ["learning_rate", "seed=one", "lora.rank=4", "lora.r=0", "batch=4", "data=[a"];
    insta::assert_snapshot!("command_line", with(MINIMAL, &words).unwrap_err());
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let config = with(MINIMAL, &[]).unwrap();
    let lora = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        target_modules: TargetModules::AllLinear,
        ..Default::default()
    };
    assert_eq!(config.method, TrainMethod::Lora(lora));
    assert_eq!(config.data, ["train.jsonl"]);
    assert_eq!(config.run, toolsmith_train::RunOptions::default());
    assert_eq!(with(MINIMAL, &["method=full"]).unwrap().run.schedule.learning_rate, 5e-5);
}

#[test]
fn every_value_arrives() {
    let yaml = "
        model: m
        data: [a.jsonl, b.parquet]
        eval_data: c.jsonl
        output_dir: out
        method: lora
        lora: {r: 16, lora_alpha: 8, lora_dropout: 0.1, target_modules: [q_proj, v_proj]}
        learning_rate: 1e-3
        lr_scheduler_type: linear
        warmup_ratio: 0.1
        warmup_steps: 7
        num_train_epochs: 0.5
        batch_size: 3
        save_dtype: bfloat16
        share_prefixes: false
        save_total_limit: 2
        prefix_group: 4
        optimizer: adamw_8bit
        report_to: none
        early_stopping_threshold: 0.5
        eval_steps:
        ignore: [empty-answer]
        compute_dtype: bfloat16
        quantization: nf4
        recompute: true
    ";
    let config = with(yaml, &[]).unwrap();
    assert_eq!(config.data, ["a.jsonl", "b.parquet"]);
    assert_eq!(config.eval_data, ["c.jsonl"]);
    assert_eq!(config.ignore.iter().map(|code| code.as_str()).collect::<Vec<_>>(), ["empty-answer"]);
    assert_eq!((config.run.compute_dtype, config.run.quantization), (Precision::Bf16, Quantization::Nf4));
    assert!(config.run.recompute);
    let names = TargetModules::Names(vec!["q_proj".into(), "v_proj".into()]);
    let lora =
        LoraConfig { r: 16, lora_alpha: 8.0, lora_dropout: 0.1, target_modules: names, ..Default::default() };
    assert_eq!(config.method, TrainMethod::Lora(lora));
    assert_eq!(config.run.schedule.learning_rate, 1e-3);
    assert_eq!(config.run.schedule.kind, ScheduleKind::Linear);
    // As in transformers, a number of steps wins over a ratio.
    assert_eq!(config.run.schedule.warmup, Warmup::Steps(7));
    assert_eq!(config.run.length, Length::Epochs(0.5));
    assert_eq!(config.run.batch_size, 3);
    assert_eq!(config.save_dtype, WeightType::Bf16);
    assert!(!config.run.share_prefixes);
    assert_eq!((config.run.save_total_limit, config.run.eval_steps), (Some(2), None));
    assert_eq!((config.run.prefix_group, config.run.tensorboard), (4, false));
    assert_eq!(config.run.optimizer.moments, MomentType::EightBit);
    // A threshold alone stops nothing.
    assert_eq!(config.run.early_stopping, None);
}

#[test]
fn the_best_is_chosen_by_evaluations_that_there_are() {
    let words =
        ["eval_data=b.jsonl", "eval_steps=5", "early_stopping_patience=3", "load_best_model_at_end=true"];
    let run = with(MINIMAL, &words).unwrap().run;
    assert_eq!(run.early_stopping, Some(EarlyStopping { patience: 3, threshold: 0.0 }));
    assert!(run.load_best_model_at_end);
    for missing in 0..2 {
        let words: Vec<&str> =
            words.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, &w)| w).collect();
        let message = with(MINIMAL, &words).unwrap_err();
        assert!(message.contains("early_stopping_patience: needs evaluations to choose by"), "{message}");
    }
}

#[test]
fn objectives_have_the_defaults_of_trl_and_their_own_learning_rates() {
    let objective = |words: &[&str]| with(MINIMAL, words).unwrap().run.objective;
    assert_eq!(objective(&[]), Objective::Sft);
    let default = DpoOptions { beta: 0.1, label_smoothing: 0.0, loss_type: DpoLoss::Sigmoid };
    assert_eq!(objective(&["objective=dpo"]), Objective::Dpo(default));
    let ipo = DpoOptions { beta: 0.5, loss_type: DpoLoss::Ipo, ..default };
    assert_eq!(objective(&["objective=dpo", "dpo.beta=0.5", "dpo.loss_type=ipo"]), Objective::Dpo(ipo));
    assert_eq!(objective(&["objective=orpo"]), Objective::Orpo(OrpoOptions { beta: 0.1 }));
    assert_eq!(objective(&["objective=orpo", "orpo.beta=1"]), Objective::Orpo(OrpoOptions { beta: 1.0 }));
    let rate = |words: &[&str]| with(MINIMAL, words).unwrap().run.schedule.learning_rate;
    assert_eq!(rate(&["objective=dpo"]), 5e-6);
    assert_eq!(rate(&["objective=orpo", "method=full"]), 1e-6);
}

#[test]
fn the_command_line_wins_over_the_file_and_later_words_over_earlier_ones() {
    let yaml = format!("{MINIMAL}max_steps: 100\nlora:\n  r: 4\n  lora_dropout: 0.5\n");
    let words = [
        "max_steps=5",
        "max_steps=6",
        "lora.r=2",
        "data=[x, y]",
        "output_dir=elsewhere",
        "learning_rate=1e-5",
    ];
    let config = with(&yaml, &words).unwrap();
    assert_eq!(config.run.length, Length::Steps(6));
    assert_eq!(config.data, ["x", "y"]);
    assert_eq!(config.output_dir, Path::new("elsewhere"));
    assert_eq!(config.run.schedule.learning_rate, 1e-5);
    match config.method {
        TrainMethod::Lora(lora) => assert_eq!((lora.r, lora.lora_dropout), (2, 0.5)),
        other => panic!("the method was changed: {other:?}"),
    }
}

#[test]
fn methods_have_their_own_keys() {
    let method = |words: &[&str]| with(MINIMAL, words).map(|config| config.method);
    let prefix = PrefixConfig {
        num_virtual_tokens: 16,
        encoder_hidden_size: Some(512),
        positions: PrefixPositions::FromZero,
    };
    let words = [
        "method=prefix_tuning",
        "prefix_tuning.num_virtual_tokens=16",
        "prefix_tuning.prefix_projection=true",
        "prefix_tuning.positions=from_zero",
    ];
    assert_eq!(method(&words), Ok(TrainMethod::Prefix(prefix)));
    let frozen = method(&["method=full", "freeze=[model.embed_tokens.*]"]);
    assert_eq!(frozen, Ok(TrainMethod::FullExcept(vec!["model.embed_tokens.*".to_owned()])));
    match method(&["lora.use_dora=true", "lora.use_rslora=true", "lora.modules_to_save=[lm_head]"]) {
        Ok(TrainMethod::Lora(lora)) => {
            assert!(lora.use_dora && lora.use_rslora);
            assert_eq!(lora.modules_to_save, ["lm_head"]);
        }
        other => panic!("{other:?}"),
    }
    let refused = |words: &[&str], part: &str| {
        let message = method(words).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    refused(&["method=full", "prefix_tuning={}"], "means nothing without method: prefix_tuning");
    refused(&["freeze=[x]"], "only method: full");
    refused(&["lora.use_dora=true", "lora.lora_dropout=0.1"], "with use_dora only 0");
    refused(&["method=prefix_tuning", "prefix_tuning.encoder_hidden_size=8"], "without prefix_projection");
    refused(&["method=prefix_tuning", "from_scratch=true"], "nothing to adapt");
    refused(
        &["method=full", "adapter=runs/sft/adapter"],
        "Merge the adapter into them first (toolsmith merge",
    );
}

/// The method that a configuration comes to beside an adapter, for a model with two linear layers a block.
fn beside(found: &AdapterConfig, yaml: &str) -> Result<TrainMethod, String> {
    let mut config = with(&format!("{MINIMAL}adapter: runs/sft/adapter\n{yaml}"), &[])?;
    let layers = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];
    let taken = config.take_shape("train.yaml", found.clone(), &layers);
    taken.map(|()| config.method).map_err(|issues| issues.to_string())
}

#[test]
fn an_adapter_gives_the_shape_and_a_key_may_only_repeat_it() {
    let names = TargetModules::Names(vec!["v_proj".into(), "q_proj".into()]);
    let found = LoraConfig {
        r: 4,
        lora_alpha: 12.0,
        lora_dropout: 0.05,
        target_modules: names,
        use_rslora: true,
        ..Default::default()
    };
    let adapter = AdapterConfig::Lora(found.clone());
    // Dropout is the run's own: the configuration's, by default 0.
    let with_dropout = |lora_dropout| Ok(TrainMethod::Lora(LoraConfig { lora_dropout, ..found.clone() }));
    assert_eq!(beside(&adapter, ""), with_dropout(0.0));
    let repeated = "lora: {r: 4, lora_alpha: 12, target_modules: all-linear, use_rslora: true, use_dora: }\n";
    assert_eq!(beside(&adapter, repeated), with_dropout(0.0));
    assert_eq!(beside(&adapter, "lora: {lora_dropout: 0.1}\n"), with_dropout(0.1));

    let dora = AdapterConfig::Lora(LoraConfig { use_dora: true, ..found.clone() });
    insta::assert_snapshot!(beside(&dora, "lora: {lora_dropout: 0.1}\n").unwrap_err(), @"train.yaml:5: lora.lora_dropout: found 0.1, but the adapter runs/sft/adapter has use_dora, which is trained without dropout here; drop the key");

    let other =
        "lora:\n  r: 16\n  target_modules: [q_proj]\n  use_rslora: false\n  modules_to_save: [lm_head]\n";
    insta::assert_snapshot!(beside(&adapter, other).unwrap_err(), @r"
    train.yaml:6: lora.r: found 16, but the adapter runs/sft/adapter has 4 and keeps it; drop the key
    train.yaml:7: lora.target_modules: found [q_proj], but the adapter runs/sft/adapter has [q_proj, v_proj] and keeps it; drop the key
    train.yaml:8: lora.use_rslora: found false, but the adapter runs/sft/adapter has true and keeps it; drop the key
    train.yaml:9: lora.modules_to_save: found [lm_head], but the adapter runs/sft/adapter has [] and keeps it; drop the key
    ");
    insta::assert_snapshot!(beside(&adapter, "method: prefix_tuning\n").unwrap_err(), @"train.yaml: method: found prefix_tuning, but the adapter runs/sft/adapter is one of lora; set method: lora");
}

#[test]
fn a_prefix_gives_its_shape_without_its_projection() {
    let positions = PrefixPositions::FromZero;
    let found = PrefixConfig { num_virtual_tokens: 16, encoder_hidden_size: Some(64), positions };
    let adapter = AdapterConfig::Prefix(found.clone());
    let further = TrainMethod::Prefix(PrefixConfig { encoder_hidden_size: None, ..found });
    let taken = |keys: &str| beside(&adapter, &format!("method: prefix_tuning\nprefix_tuning: {keys}\n"));
    assert_eq!(taken("{}"), Ok(further.clone()));
    assert_eq!(taken("{positions: from_zero, prefix_projection: false}"), Ok(further));
    insta::assert_snapshot!(taken("{num_virtual_tokens: 8, prefix_projection: true, positions: after_prefix}").unwrap_err(), @r"
    train.yaml:6: prefix_tuning.num_virtual_tokens: found 8, but the adapter runs/sft/adapter has 16 and keeps it; drop the key
    train.yaml:6: prefix_tuning.prefix_projection: found true, but the adapter runs/sft/adapter has false (keys and values alone) and keeps it; drop the key
    train.yaml:6: prefix_tuning.positions: found after_prefix, but the adapter runs/sft/adapter has from_zero and keeps it; drop the key
    ");
    assert!(beside(&adapter, "").unwrap_err().contains("is one of prefix_tuning; set method: prefix_tuning"));
}

#[test]
fn an_error_in_the_file_mended_on_the_command_line_is_none() {
    let yaml = format!("{MINIMAL}max_steps: many\n");
    assert!(with(&yaml, &[]).is_err());
    assert!(with(&yaml, &["max_steps=3"]).is_ok());
}

#[test]
fn limits_of_an_earlier_trainer_are_known_beside_its_name_alone() {
    let config = with(MINIMAL, &["compat=llama-factory", "cutoff_len=96", "template=chatml"]).unwrap();
    assert_eq!(config.compat, Some(Compat::LlamaFactory));
    assert_eq!(config.limits.cutoff_len, Some(96));
    let message = with(MINIMAL, &["cutoff_len=96"]).unwrap_err();
    assert!(message.contains("did you mean max_length?"), "{message}");
    assert!(with(MINIMAL, &["compat=glm4-official", "template=chatml"]).is_err());
}

#[test]
fn every_key_is_known_and_documented() {
    let documentation = include_str!("../../../docs/training.md");
    for key in KEYS {
        assert!(documentation.contains(&format!("| `{key}` |")), "docs/training.md has no row for `{key}`");
        // Some keys exist only beside this one.
        let words = ["compat=llama-factory", &format!("{key}={{}}")];
        let message = with(MINIMAL, &words).err().unwrap_or_default();
        assert!(!message.contains("unknown key"), "{key} is in KEYS, but is not read: {message}");
    }
    let documented = documentation.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(documented, KEYS.len(), "docs/training.md has rows for keys that do not exist");
}

#[test]
fn every_recipe_is_a_configuration() {
    let recipes = yaml_files(&folder("../../recipes"));
    assert!(recipes.len() >= 4);
    for recipe in recipes {
        let text = fs::read_to_string(&recipe).unwrap();
        with(&text, &[]).unwrap_or_else(|issues| panic!("{}:\n{issues}", recipe.display()));
    }
}
