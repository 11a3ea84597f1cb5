//! Interrupted runs end in the bytes of uninterrupted ones, and folders are never mixed up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;

use support::{contents, job, lora, options, run, samples, train};
use tempfile::{TempDir, tempdir};
use toolsmith_model::{LoraConfig, PrefixConfig, PrefixPositions, TrainMethod};
use toolsmith_train::{AdamWOptions, MomentType, Outcome, RunOptions, TrainError, Trainer};

/// Moments in 8 bits where a tensor is large enough, and one that is.
fn eight_bit_run(dir: &Path, steps: u64) -> toolsmith_train::TrainJob<toolsmith_kernels::CpuDevice> {
    let optimizer = AdamWOptions { moments: MomentType::EightBit, ..AdamWOptions::default() };
    let config = serde_json::json!({
        "model_type": "qwen2", "vocab_size": 48, "hidden_size": 96, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu", "initializer_range": 0.4,
    });
    let config = toolsmith_model::DecoderConfig::from_json(&config).unwrap();
    let decoder = toolsmith_model::Decoder::random(config, 1, toolsmith_kernels::CpuDevice::new());
    let options = RunOptions { optimizer, ..options(steps) };
    toolsmith_train::TrainJob { decoder, ..job(dir, TrainMethod::Full, samples(10), options) }
}

#[test]
fn a_run_with_8_bit_moments_resumed_leaves_the_same_bytes() {
    let (whole, dir) = (tempdir().unwrap(), tempdir().unwrap());
    run(eight_bit_run(whole.path(), 8));
    train(Trainer::start(eight_bit_run(dir.path(), 8)).unwrap(), Some(6)).unwrap();
    let resumed = Trainer::resume(eight_bit_run(dir.path(), 8)).unwrap();
    assert_eq!(resumed.done_steps(), 6);
    train(resumed, None).unwrap();
    assert_eq!(contents(dir.path()), contents(whole.path()));
    // A byte a number and a scale for 256, but only where the tensor is not small.
    let bytes = fs::read(dir.path().join("checkpoint-8/optimizer.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let moments = |name: &str| file.tensor(&format!("exp_avg_sq.{name}")).unwrap();
    let embedding = moments("model.embed_tokens.weight");
    assert_eq!((embedding.dtype(), embedding.shape()), (safetensors::Dtype::U8, &[48, 96][..]));
    assert_eq!(moments("model.embed_tokens.weight.scales").shape(), [48 * 96 / 256]);
    assert_eq!(moments("model.norm.weight").dtype(), safetensors::Dtype::F32);

    let mut float32 = eight_bit_run(dir.path(), 8);
    float32.options.optimizer.moments = MomentType::Float32;
    let differences = Trainer::resume(float32).err().unwrap().to_string();
    assert!(differences.contains("optimizer was \"adamw_8bit\", is not set"), "{differences}");
}

fn methods() -> [TrainMethod; 6] {
    let prefix = |encoder_hidden_size, positions| {
        TrainMethod::Prefix(PrefixConfig { num_virtual_tokens: 3, encoder_hidden_size, positions })
    };
    let dora = LoraConfig {
        r: 2,
        use_dora: true,
        modules_to_save: vec!["lm_head".to_owned()],
        ..Default::default()
    };
    [
        TrainMethod::Full,
        lora(0.2),
        TrainMethod::Lora(dora),
        TrainMethod::FullExcept(vec!["*.mlp.*".to_owned()]),
        prefix(None, PrefixPositions::FromZero),
        prefix(Some(4), PrefixPositions::AfterPrefix),
    ]
}

/// A whole run of 8 steps over 10 samples: epochs of 3 steps, checkpoints after 3, 6 and 8.
fn whole_run(method: &TrainMethod) -> TempDir {
    let dir = tempdir().unwrap();
    run(job(dir.path(), method.clone(), samples(10), options(8)));
    dir
}

#[test]
fn two_runs_with_one_seed_leave_the_same_bytes_and_another_seed_others() {
    for method in methods() {
        let (one, two, other) = (whole_run(&method), whole_run(&method), tempdir().unwrap());
        assert_eq!(contents(one.path()), contents(two.path()));
        run(job(other.path(), method, samples(10), RunOptions { seed: 7, ..options(8) }));
        assert_ne!(contents(one.path()), contents(other.path()));
    }
}

#[test]
fn a_run_that_was_stopped_and_resumed_leaves_the_bytes_of_an_uninterrupted_one() {
    for method in methods() {
        let whole = whole_run(&method);
        let dir = tempdir().unwrap();
        let begun = Trainer::start(job(dir.path(), method.clone(), samples(10), options(8))).unwrap();
        let (outcome, _) = train(begun, Some(4)).unwrap();
        let checkpoint = dir.path().join("checkpoint-4");
        assert_eq!(outcome, Outcome::Stopped { step: 4, checkpoint: checkpoint.clone() });
        assert!(!dir.path().join("adapter").exists() && !dir.path().join("model").exists());

        let resumed = Trainer::resume(job(dir.path(), method.clone(), samples(10), options(8))).unwrap();
        assert_eq!(resumed.done_steps(), 4);
        let (_, recorder) = train(resumed, None).unwrap();
        assert_eq!(recorder.steps.len(), 4);
        fs::remove_dir_all(checkpoint).unwrap();
        assert_eq!(contents(dir.path()), contents(whole.path()));
    }
}

#[test]
fn a_run_that_was_killed_goes_on_from_its_last_checkpoint() {
    for method in methods() {
        let whole = whole_run(&method);
        let dir = tempdir().unwrap();
        // As a kill leaves it: metrics beyond the checkpoint, a line half-written, a checkpoint half-written.
        copy_folder(&whole.path().join("checkpoint-3"), &dir.path().join("checkpoint-3"));
        let mut metrics = fs::read_to_string(whole.path().join("metrics.jsonl")).unwrap();
        metrics.truncate(metrics.len() * 2 / 3);
        fs::write(dir.path().join("metrics.jsonl"), metrics).unwrap();
        copy_folder(&whole.path().join("runs"), &dir.path().join("runs"));
        let events = dir.path().join("runs/events.out.tfevents.toolsmith");
        let bytes = fs::read(&events).unwrap();
        fs::write(events, &bytes[..bytes.len() * 2 / 3]).unwrap();
        copy_folder(&whole.path().join("checkpoint-6"), &dir.path().join(".unfinished-checkpoint-6"));

        let resumed = Trainer::resume(job(dir.path(), method, samples(10), options(8))).unwrap();
        assert_eq!(resumed.done_steps(), 3);
        train(resumed, None).unwrap();
        assert_eq!(contents(dir.path()), contents(whole.path()));
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_begins_again() {
    let method = lora(0.2);
    let whole = whole_run(&method);
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("metrics.jsonl"), "{\"step\":1}\n{\"step\":2").unwrap();
    train(Trainer::resume(job(dir.path(), method, samples(10), options(8))).unwrap(), None).unwrap();
    assert_eq!(contents(dir.path()), contents(whole.path()));
}

#[test]
fn a_finished_run_resumed_stays_as_it_is() {
    let method = lora(0.2);
    let whole = whole_run(&method);
    let before = contents(whole.path());
    let (_, recorder) =
        train(Trainer::resume(job(whole.path(), method, samples(10), options(8))).unwrap(), None).unwrap();
    assert!(recorder.steps.is_empty());
    assert_eq!(contents(whole.path()), before);
}

#[test]
fn an_output_dir_that_holds_a_run_is_refused() {
    let whole = whole_run(&lora(0.0));
    let error = Trainer::start(job(whole.path(), lora(0.0), samples(10), options(8))).err().unwrap();
    assert!(matches!(error, TrainError::RunExists { .. }));
    let text = error.to_string();
    assert!(text.contains("already holds a run (adapter); resume it with --resume"), "{text}");
}

#[test]
fn a_folder_without_a_run_cannot_be_resumed() {
    let dir = tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = Trainer::resume(job(&path, lora(0.0), samples(10), options(8))).err().unwrap();
        assert!(matches!(error, TrainError::NothingToResume { .. }));
    }
}

#[test]
fn a_run_is_resumed_only_as_the_same_run() {
    let whole = whole_run(&lora(0.0));
    let text = |method, data, options| {
        let error = Trainer::resume(job(whole.path(), method, data, options)).err().unwrap();
        assert!(matches!(error, TrainError::RunDiffers { .. }), "{error}");
        error.to_string()
    };
    let mut faster = options(9);
    faster.schedule.learning_rate = 0.5;
    let differences = text(lora(0.0), samples(10), faster);
    assert!(differences.contains("learning_rate was 0.005, is 0.5, max_steps was 8, is 9;"), "{differences}");
    assert!(text(lora(0.1), samples(10), options(8)).contains("method was "));
    assert!(text(lora(0.0), samples(9), options(8)).contains("samples was 10, is 9"));
    let mut reordered = samples(10);
    reordered.swap(0, 1);
    assert!(text(lora(0.0), reordered, options(8)).contains("data_fingerprint was "));

    let free = RunOptions {
        save_steps: 1,
        logging_steps: 2,
        eval_steps: Some(1),
        save_total_limit: Some(1),
        ..options(8)
    };
    assert!(Trainer::resume(job(whole.path(), lora(0.0), samples(10), free)).is_ok());
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let whole = whole_run(&lora(0.0));
    let optimizer = whole.path().join("checkpoint-8/optimizer.safetensors");
    let bytes = fs::read(&optimizer).unwrap();
    fs::write(&optimizer, &bytes[..bytes.len() / 2]).unwrap();
    let resume = || Trainer::resume(job(whole.path(), lora(0.0), samples(10), options(8)));
    let text = resume().err().unwrap().to_string();
    assert!(
        text.contains("checkpoint-8/optimizer.safetensors") && text.contains("delete this checkpoint"),
        "{text}"
    );
    fs::remove_dir_all(whole.path().join("checkpoint-8")).unwrap();
    assert_eq!(resume().unwrap().done_steps(), 6);
}

#[test]
fn only_the_newest_checkpoints_stay() {
    let dir = tempdir().unwrap();
    let recorder =
        run(job(dir.path(), lora(0.0), samples(10), RunOptions { save_total_limit: Some(2), ..options(8) }));
    assert_eq!(recorder.saved.len(), 4);
    let exists = |name: &str| dir.path().join(name).exists();
    assert!(!exists("checkpoint-3") && exists("checkpoint-6") && exists("checkpoint-8") && exists("adapter"));
    // Each folder of weights was completed by the observer before it got its name.
    for name in ["checkpoint-6", "checkpoint-8", "adapter"] {
        assert!(dir.path().join(name).join("tokenizer.json").exists());
    }
}

#[test]
fn fewer_lines_are_logged_where_fewer_are_wanted() {
    let dir = tempdir().unwrap();
    run(job(dir.path(), lora(0.0), samples(10), RunOptions { logging_steps: 3, ..options(8) }));
    let metrics = fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let steps: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [3, 6, 8]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
