//! How a run ends: early, with its best weights, or at a number that is none; and what it leaves to look at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{contents, events, job, lora, options, run, samples, train};
use tempfile::tempdir;
use toolsmith_kernels::CpuDevice;
use toolsmith_model::TrainMethod;
use toolsmith_train::{EarlyStopping, Outcome, RunOptions, Sample, TrainError, TrainJob, Trainer};

/// Evaluation samples whose answers contradict the trained ones: their loss falls at first, then rises.
fn contrary() -> Vec<Sample> {
    let contradict = |sample: Sample| {
        let tokens = sample.tokens();
        let last = tokens.labels().len() - 1;
        let labels = tokens.labels().iter().enumerate();
        let labels = labels.map(|(at, &label)| if at == last { (label + 1) % 48 } else { label }).collect();
        Sample::new(sample.name(), tokens.input_ids().to_vec(), labels).unwrap()
    };
    samples(4).into_iter().map(contradict).collect()
}

fn stopping(patience: u64) -> RunOptions {
    RunOptions {
        eval_steps: Some(2),
        early_stopping: Some(EarlyStopping { patience, threshold: 0.0 }),
        load_best_model_at_end: true,
        save_steps: 5,
        save_total_limit: Some(1),
        ..options(200)
    }
}

fn contrary_job(dir: &Path, method: TrainMethod, options: RunOptions) -> TrainJob<CpuDevice> {
    TrainJob { eval_samples: contrary(), ..job(dir, method, samples(4), options) }
}

fn weights(method: &TrainMethod) -> [&'static str; 2] {
    match method {
        TrainMethod::Full => ["model", "model.safetensors"],
        _ => ["adapter", "adapter_model.safetensors"],
    }
}

#[test]
fn a_run_stops_early_and_leaves_its_best_weights() {
    for method in [TrainMethod::Full, lora(0.2)] {
        let dir = tempdir().unwrap();
        let trainer = Trainer::start(contrary_job(dir.path(), method.clone(), stopping(3))).unwrap();
        let (outcome, recorder) = train(trainer, None).unwrap();
        let lowest = recorder.eval_losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let Outcome::Finished { eval_loss, steps, best_step, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((best_step, eval_loss), (Some(lowest.0), Some(lowest.1)));
        assert_eq!(steps, lowest.0 + 6, "three evaluations later");
        assert!(steps < 200);

        // The best checkpoint outlived newer ones, and its weights are those at the end.
        let [folder, file] = weights(&method);
        let best = dir.path().join(format!("checkpoint-{}", lowest.0)).join(file);
        assert_eq!(fs::read(best).unwrap(), fs::read(dir.path().join(folder).join(file)).unwrap());
        assert!(dir.path().join(format!("checkpoint-{steps}")).exists());
        let checkpoints =
            contents(dir.path()).into_keys().filter(|path| path.ends_with("trainer_state.json"));
        assert_eq!(checkpoints.count(), 2);
    }
}

#[test]
fn a_run_with_early_stopping_resumed_leaves_the_same_bytes() {
    let (whole, dir) = (tempdir().unwrap(), tempdir().unwrap());
    let begin = |dir: &Path| Trainer::start(contrary_job(dir, lora(0.2), stopping(3))).unwrap();
    let (outcome, _) = train(begin(whole.path()), None).unwrap();
    let Outcome::Finished { steps, .. } = outcome else { panic!("{outcome:?}") };
    // Stopped between two evaluations of which the last was no improvement, then again at the end.
    train(begin(dir.path()), Some(steps - 1)).unwrap();
    let resume = || Trainer::resume(contrary_job(dir.path(), lora(0.2), stopping(3))).unwrap();
    let resumed = resume();
    assert_eq!(resumed.done_steps(), steps - 1);
    assert_eq!(train(resumed, None).unwrap().1.steps.len(), 1);
    assert_eq!(contents(dir.path()), contents(whole.path()));
    // A run that has stopped early stays as it is.
    assert!(train(resume(), None).unwrap().1.steps.is_empty());
    assert_eq!(contents(dir.path()), contents(whole.path()));

    let other = Trainer::resume(contrary_job(dir.path(), lora(0.2), stopping(4))).err().unwrap().to_string();
    assert!(other.contains("early_stopping_patience was 3, is 4"), "{other}");
    let mut evaluated = contrary_job(dir.path(), lora(0.2), stopping(3));
    evaluated.eval_samples = samples(3);
    let other = Trainer::resume(evaluated).err().unwrap().to_string();
    assert!(other.contains("eval_data_fingerprint was"), "{other}");
}

#[test]
fn without_evaluations_there_is_no_best() {
    let dir = tempdir().unwrap();
    let error = Trainer::start(job(dir.path(), lora(0.0), samples(4), stopping(3))).err().unwrap();
    assert!(matches!(error, TrainError::NothingEvaluated { samples: 0 }), "{error}");
}

#[test]
fn the_samples_of_a_failed_step_are_kept() {
    let dir = tempdir().unwrap();
    let mut wild = options(10);
    wild.schedule.learning_rate = 1e30;
    let mut data = samples(2);
    let weighed = data.pop().unwrap();
    let ones = vec![1.0; weighed.tokens().input_ids().len()];
    data.push(weighed.with_weights(ones).unwrap());
    let trainer = Trainer::start(job(dir.path(), TrainMethod::Full, data.clone(), wild)).unwrap();
    let error = train(trainer, None).err().unwrap();
    let TrainError::NotFinite { step, saved, .. } = &error else { panic!("{error}") };
    assert_eq!(saved, &dir.path().join(format!("failed_step_{step}.json")));
    assert!(error.to_string().contains(&saved.display().to_string()), "{error}");
    let kept: Value = serde_json::from_str(&fs::read_to_string(saved).unwrap()).unwrap();
    assert_eq!(kept["step"], *step);
    let kept = kept["samples"].as_array().unwrap();
    assert_eq!(kept.len(), 2);
    for sample in &data {
        let found = kept.iter().find(|found| found["name"] == sample.name()).unwrap();
        assert_eq!(found["input_ids"], serde_json::json!(sample.tokens().input_ids()));
        assert_eq!(found["labels"], serde_json::json!(sample.tokens().labels()));
        assert_eq!(found.get("loss_weights").is_some(), sample.tokens().weights().is_some());
    }
}

#[test]
fn tensorboard_gets_the_numbers_of_metrics_jsonl() {
    let dir = tempdir().unwrap();
    let mut evaluating =
        job(dir.path(), lora(0.0), samples(4), RunOptions { eval_steps: Some(2), ..options(3) });
    evaluating.eval_samples = samples(4);
    run(evaluating);
    let mut found = events(&dir.path().join("runs/events.out.tfevents.toolsmith")).into_iter();
    for line in fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let names: &[&str] = match line.get("eval_loss") {
            Some(_) => &["eval_loss"],
            None => &["loss", "learning_rate", "grad_norm", "epoch"],
        };
        for name in names {
            let (step, tag, value) = found.next().unwrap();
            let expected =
                if *name == "eval_loss" { "eval/loss".to_owned() } else { format!("train/{name}") };
            assert_eq!((step, tag), (line["step"].as_u64().unwrap(), expected));
            assert_eq!(value, line[*name].as_f64().unwrap() as f32);
        }
    }
    assert_eq!(found.next(), None);

    let quiet = tempdir().unwrap();
    run(job(quiet.path(), lora(0.0), samples(4), RunOptions { tensorboard: false, ..options(1) }));
    assert!(!quiet.path().join("runs").exists());
}
