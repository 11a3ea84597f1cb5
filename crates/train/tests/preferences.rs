//! Runs over pairs: what they learn, what they compare with, and that neither runs nor interruptions change it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{contents, decoder, job, lora, options, pairs, run, samples, train};
use tempfile::tempdir;
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Target, TokenBatch, TrainMethod, TrainableModel};
use toolsmith_train::{
    DpoLoss, DpoOptions, Objective, OrpoOptions, RunOptions, Sample, StepMetrics, TrainError, TrainJob,
    Trainer,
};

fn dpo() -> Objective {
    Objective::Dpo(DpoOptions::default())
}

fn ipo() -> Objective {
    Objective::Dpo(DpoOptions { loss_type: DpoLoss::Ipo, ..DpoOptions::default() })
}

fn orpo() -> Objective {
    Objective::Orpo(OrpoOptions::default())
}

fn over(objective: Objective, steps: u64) -> RunOptions {
    RunOptions { objective, ..options(steps) }
}

fn methods() -> [TrainMethod; 2] {
    [TrainMethod::Full, lora(0.0)]
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1e-3)
}

fn assert_same_steps(a: &[StepMetrics], b: &[StepMetrics]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        let rewards = |metrics: &StepMetrics| metrics.rewards.unwrap().margins;
        for (what, a, b) in [
            ("loss", a.loss, b.loss),
            ("gradient norm", a.grad_norm, b.grad_norm),
            ("margin", rewards(a), rewards(b)),
        ] {
            assert!(close(a, b, 1e-3), "{what}: {a} is not {b}");
        }
    }
}

#[test]
fn two_pairs_are_learned() {
    for method in methods() {
        for objective in [dpo(), ipo(), orpo()] {
            let dir = tempdir().unwrap();
            let steps = run(job(dir.path(), method.clone(), pairs(2), over(objective, 60))).steps;
            let (first, last) = (&steps[0], &steps[59]);
            let rewards = last.rewards.unwrap();
            assert!(last.loss < 0.5 * first.loss, "{objective:?}: from {} to {}", first.loss, last.loss);
            assert_eq!(rewards.accuracies, 1.0, "{objective:?}");
            assert!(rewards.margins > 0.0 && close(rewards.margins, rewards.chosen - rewards.rejected, 1e-9));
        }
    }
}

#[test]
fn before_the_first_step_nothing_is_preferred() {
    for method in methods() {
        let dir = tempdir().unwrap();
        let found = run(job(dir.path(), method, pairs(4), over(dpo(), 1))).steps.remove(0);
        let rewards = found.rewards.unwrap();
        assert!(close(found.loss, 2f64.ln(), 1e-5), "{}", found.loss);
        assert!(rewards.chosen.abs() < 1e-5 && rewards.rejected.abs() < 1e-5, "{rewards:?}");
        let answers = pairs(4);
        let answers = answers.iter().flat_map(Sample::answers);
        let (tokens, trained) = answers.fold((0, 0), |(tokens, trained), answer| {
            (tokens + answer.input_ids().len(), trained + answer.trained_tokens())
        });
        assert_eq!((found.tokens, found.trained_tokens), (tokens, trained));
        // The prompt of a pair is computed once, and what all prompts begin with, too.
        assert!(found.computed_tokens < tokens / 2);
    }
}

#[test]
fn what_the_starting_model_says_is_measured_once_and_kept() {
    let dir = tempdir().unwrap();
    let data = pairs(5);
    let mut job = job(dir.path(), lora(0.0), data.clone(), over(dpo(), 3));
    job.eval_samples = pairs(2);
    let recorder = run(job);
    assert_eq!(recorder.measured.last(), Some(&(7, 7)));
    let kept = fs::read(dir.path().join("reference_logprobs.safetensors")).unwrap();
    let kept = safetensors::SafeTensors::deserialize(&kept).unwrap();
    assert_eq!(kept.tensor("eval").unwrap().shape(), [2, 2]);
    let sums = kept.tensor("train").unwrap();
    let sums: Vec<f64> =
        sums.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let mut model = TrainableModel::new(decoder(), TrainMethod::Full, 0).unwrap();
    for (answer, sum) in data.iter().flat_map(Sample::answers).zip(&sums) {
        let ids = answer.input_ids().to_vec();
        let targets = answer.targets().map(|(row, token, _)| Target { row: row as u32, token }).collect();
        let logprobs = model.logprobs(&TokenBatch::packed(&[ids], targets)).unwrap();
        let expected: f64 = logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        assert!(close(*sum, expected, 1e-5), "{sum} is not {expected}");
    }
    // ORPO compares with nothing.
    let dir = tempdir().unwrap();
    assert!(run(support::job(dir.path(), lora(0.0), data, over(orpo(), 1))).measured.is_empty());
    assert!(!dir.path().join("reference_logprobs.safetensors").exists());
}

#[test]
fn a_step_in_several_runs_is_the_step_in_one() {
    for objective in [dpo(), ipo(), orpo()] {
        for method in methods() {
            let (one, several, apart) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
            let whole = run(job(one.path(), method.clone(), pairs(8), over(objective, 5))).steps;
            let small = RunOptions { max_tokens_per_run: 34, ..over(objective, 5) };
            let divided = run(job(several.path(), method.clone(), pairs(8), small)).steps;
            // Divided, the common beginning is computed in each run: proof that there were several.
            assert!(divided[0].computed_tokens > whole[0].computed_tokens);
            assert_same_steps(&whole, &divided);
            let unshared = RunOptions { share_prefixes: false, ..over(objective, 5) };
            let apart = run(job(apart.path(), method, pairs(8), unshared)).steps;
            assert!(apart[0].computed_tokens > 2 * whole[0].computed_tokens);
            assert_same_steps(&whole, &apart);
        }
    }
}

#[test]
fn an_evaluation_measures_pairs_that_are_not_trained() {
    let dir = tempdir().unwrap();
    let mut evaluating =
        job(dir.path(), lora(0.0), pairs(4), RunOptions { eval_steps: Some(2), ..over(dpo(), 5) });
    evaluating.eval_samples = pairs(4);
    let recorder = run(evaluating);
    // All pairs are in every step, so the loss after step 2 is the one that step 3 begins with.
    let (found, expected) = (recorder.eval_losses[0].1, recorder.steps[2].loss);
    assert!(close(found, expected, 1e-4), "{found} is not {expected}");
    let (found, expected) = (recorder.eval_rewards[0].margins, recorder.steps[2].rewards.unwrap().margins);
    assert!(close(found, expected, 1e-3), "{found} is not {expected}");
    let metrics = fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["chosen", "rejected", "accuracies", "margins"] {
        assert!(lines[0][format!("rewards/{name}")].is_number(), "{metrics}");
        assert!(lines[2][format!("eval_rewards/{name}")].is_number(), "{metrics}");
    }
}

fn resumable(dir: &Path, method: &TrainMethod, objective: Objective) -> TrainJob<CpuDevice> {
    let mut job = job(dir, method.clone(), pairs(10), over(objective, 8));
    job.eval_samples = pairs(3);
    job
}

#[test]
fn a_run_that_was_stopped_and_resumed_leaves_the_bytes_of_an_uninterrupted_one() {
    for method in [TrainMethod::Full, lora(0.2)] {
        for objective in [dpo(), orpo()] {
            let (whole, dir) = (tempdir().unwrap(), tempdir().unwrap());
            run(resumable(whole.path(), &method, objective));
            train(Trainer::start(resumable(dir.path(), &method, objective)).unwrap(), Some(4)).unwrap();
            let (_, recorder) =
                train(Trainer::resume(resumable(dir.path(), &method, objective)).unwrap(), None).unwrap();
            assert!(recorder.measured.is_empty(), "the reference was measured twice");
            fs::remove_dir_all(dir.path().join("checkpoint-4")).unwrap();
            assert_eq!(contents(dir.path()), contents(whole.path()));
        }
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_measures_again() {
    let method = lora(0.2);
    let (whole, dir) = (tempdir().unwrap(), tempdir().unwrap());
    run(resumable(whole.path(), &method, dpo()));
    fs::write(dir.path().join("reference_logprobs.safetensors"), "half").unwrap();
    train(Trainer::resume(resumable(dir.path(), &method, dpo())).unwrap(), None).unwrap();
    assert_eq!(contents(dir.path()), contents(whole.path()));
}

#[test]
fn a_reference_that_is_gone_or_of_other_pairs_stops_a_resumed_run() {
    let method = lora(0.0);
    let dir = tempdir().unwrap();
    train(Trainer::start(resumable(dir.path(), &method, dpo())).unwrap(), Some(4)).unwrap();
    let refused = |job: TrainJob<CpuDevice>| {
        let error = Trainer::resume(job).err().unwrap();
        assert!(matches!(error, TrainError::Reference { .. }), "{error}");
        error.to_string()
    };
    let mut other = resumable(dir.path(), &method, dpo());
    other.eval_samples = pairs(2);
    assert!(refused(other).contains("eval_data must stay the same"));
    let file = dir.path().join("reference_logprobs.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    assert!(refused(resumable(dir.path(), &method, dpo())).contains("is damaged"));
    fs::remove_file(&file).unwrap();
    assert!(refused(resumable(dir.path(), &method, dpo())).contains("cannot be read"));
    // Another objective is another run.
    fs::write(&file, bytes).unwrap();
    let error = Trainer::resume(resumable(dir.path(), &method, ipo())).err().unwrap().to_string();
    assert!(error.contains("objective was"), "{error}");
}

#[test]
fn data_of_the_other_kind_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let refused = |data, objective| {
        let error = Trainer::start(job(dir.path(), lora(0.0), data, over(objective, 1))).err().unwrap();
        assert!(matches!(error, TrainError::WrongData { .. }), "{error}");
        error.to_string()
    };
    let text = refused(samples(3), dpo());
    assert!(text.starts_with("train.jsonl:1: is a single answer, but objective: dpo compares two"), "{text}");
    let text = refused(pairs(3), Objective::Sft);
    assert!(
        text.contains("pairs.jsonl:1: is a pair") && text.contains("set objective: dpo or orpo"),
        "{text}"
    );
}

#[test]
fn a_pair_that_fits_in_no_run_is_named_before_the_first_step() {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("run");
    let small = RunOptions { max_tokens_per_run: 28, ..over(dpo(), 1) };
    let text = Trainer::start(job(&dir, lora(0.0), pairs(5), small)).err().unwrap().to_string();
    assert!(text.starts_with("pairs.jsonl:2: it needs 29 tokens, but a run holds at most 28"), "{text}");
    assert!(!dir.exists());
}
