//! Runs that go on from a finished adapter: they begin where it ended, take only what fits, and resume to the same bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::{contents, decoder, job, lora, options, pairs, run, samples, train};
use tempfile::{TempDir, tempdir};
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{
    AdapterConfig, Decoder, DecoderConfig, LoraConfig, ModelError, PrefixConfig, PrefixPositions, TrainMethod,
};
use toolsmith_train::{
    DpoOptions, Objective, OrpoOptions, RunOptions, Sample, TrainError, TrainJob, Trainer,
};

/// LoRA, all that may stand beside it, and prefixes in both layouts, one of them computed by a projection.
fn methods(lora_dropout: f32) -> [TrainMethod; 4] {
    let prefix = |encoder_hidden_size, positions| {
        TrainMethod::Prefix(PrefixConfig { num_virtual_tokens: 3, encoder_hidden_size, positions })
    };
    let dora = LoraConfig {
        r: 2,
        use_rslora: true,
        use_dora: true,
        modules_to_save: vec!["lm_head".to_owned()],
        ..Default::default()
    };
    [
        lora(lora_dropout),
        TrainMethod::Lora(dora),
        prefix(None, PrefixPositions::FromZero),
        prefix(Some(4), PrefixPositions::AfterPrefix),
    ]
}

fn objectives() -> [Objective; 3] {
    [Objective::Sft, Objective::Dpo(DpoOptions::default()), Objective::Orpo(OrpoOptions::default())]
}

/// The chosen answer of the first pair, as a sample.
fn chosen() -> Sample {
    let pair = pairs(1).remove(0);
    let answer = pair.answers().next().unwrap();
    Sample::new("chosen", answer.input_ids().to_vec(), answer.labels().to_vec()).unwrap()
}

/// A finished run, its adapter, and the loss of [`chosen`] with it.
fn tuned(method: TrainMethod) -> (TempDir, PathBuf, f64) {
    let dir = tempdir().unwrap();
    let job = TrainJob { eval_samples: vec![chosen()], ..job(dir.path(), method, samples(10), options(6)) };
    let (_, loss) = *run(job).eval_losses.last().unwrap();
    let adapter = dir.path().join("adapter");
    (dir, adapter, loss)
}

/// A run that goes on from an adapter.
fn further(dir: &Path, adapter: &Path, data: Vec<Sample>, options: RunOptions) -> TrainJob<CpuDevice> {
    let method = TrainMethod::of_adapter(AdapterConfig::read(adapter).unwrap());
    TrainJob { adapter: Some(adapter.to_owned()), ..job(dir, method, data, options) }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}

/// What the starting model says of the only pair's chosen answer (nats), as the run keeps it.
fn kept_reference(run: &Path) -> f64 {
    let bytes = fs::read(run.join("reference_logprobs.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    f64::from_le_bytes(file.tensor("train").unwrap().data()[..8].try_into().unwrap())
}

#[test]
fn every_objective_begins_where_the_adapter_ended() {
    for method in methods(0.0) {
        let untuned = tempdir().unwrap();
        let begun = run(job(untuned.path(), method.clone(), vec![chosen()], options(1))).steps[0].loss;
        let (_run, adapter, tuned) = tuned(method.clone());
        assert!(!close(tuned, begun), "{method:?} learned nothing: {tuned}");
        for objective in objectives() {
            let dir = tempdir().unwrap();
            let data = if objective.compares_answers() { pairs(1) } else { vec![chosen()] };
            let options = RunOptions { objective, ..options(1) };
            let first = run(further(dir.path(), &adapter, data, options)).steps.remove(0);
            let found = match objective {
                Objective::Sft => first.loss,
                Objective::Orpo(OrpoOptions { beta }) => -first.rewards.unwrap().chosen / beta,
                Objective::Dpo(_) => {
                    // What is compared with is base and adapter together, so nothing is preferred yet.
                    assert!(close(first.loss, 2f64.ln()), "{}", first.loss);
                    -kept_reference(dir.path()) / chosen().tokens().trained_tokens() as f64
                }
            };
            assert!(close(found, tuned), "{method:?} {objective:?}: {found} is not {tuned}");
        }
    }
}

#[test]
fn a_run_from_an_adapter_resumes_to_the_same_bytes() {
    for method in methods(0.2) {
        let (_run, adapter, _) = tuned(method);
        for objective in objectives() {
            let data = || if objective.compares_answers() { pairs(10) } else { samples(10) };
            let job = |dir: &Path, adapter: &Path| {
                further(dir, adapter, data(), RunOptions { objective, ..options(6) })
            };
            let (whole, dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
            run(job(whole.path(), &adapter));
            train(Trainer::start(job(dir.path(), &adapter)).unwrap(), Some(4)).unwrap();
            // The adapter may have moved.
            for file in fs::read_dir(&adapter).unwrap().map(|entry| entry.unwrap().path()) {
                fs::copy(&file, elsewhere.path().join(file.file_name().unwrap())).unwrap();
            }
            let resumed = Trainer::resume(job(dir.path(), elsewhere.path())).unwrap();
            assert_eq!(resumed.done_steps(), 4);
            train(resumed, None).unwrap();
            fs::remove_dir_all(dir.path().join("checkpoint-4")).unwrap();
            assert_eq!(contents(dir.path()), contents(whole.path()));
        }
    }
}

#[test]
fn a_run_is_resumed_only_from_the_adapter_that_it_began_with() {
    let (_run, adapter, _) = tuned(lora(0.0));
    let dir = tempdir().unwrap();
    run(further(dir.path(), &adapter, samples(10), options(3)));
    let refused = |job: TrainJob<CpuDevice>| {
        let error = Trainer::resume(job).err().unwrap();
        assert!(matches!(error, TrainError::RunDiffers { .. }), "{error}");
        assert!(error.to_string().contains("adapter_fingerprint was "), "{error}");
    };
    refused(further(dir.path(), &dir.path().join("adapter"), samples(10), options(3)));
    refused(TrainJob { adapter: None, ..further(dir.path(), &adapter, samples(10), options(3)) });
    assert!(Trainer::resume(further(dir.path(), &adapter, samples(10), options(3))).is_ok());
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_before_the_first_step() {
    let (_run, adapter, _) = tuned(lora(0.0));
    let parent = tempdir().unwrap();
    let dir = parent.path().join("run");
    let refused = |method: TrainMethod, decoder: Decoder<CpuDevice>| {
        let job = job(&dir, method, samples(4), options(1));
        let error =
            Trainer::start(TrainJob { adapter: Some(adapter.clone()), decoder, ..job }).err().unwrap();
        assert!(!dir.exists());
        error
    };
    let text = |method| refused(method, decoder()).to_string();
    assert!(text(TrainMethod::Full).contains("merge it into the model to train all weights"));
    assert!(text(methods(0.0)[2].clone()).contains("another kind of adapter"));
    let wider = TrainMethod::Lora(LoraConfig { r: 8, lora_alpha: 8.0, ..Default::default() });
    let said = text(wider);
    assert!(said.contains("has r 4, lora_alpha 8") && said.contains("in training r 8"), "{said}");

    let other = json!({
        "model_type": "qwen2", "vocab_size": support::VOCABULARY, "hidden_size": 48, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu",
    });
    let other = Decoder::random(DecoderConfig::from_json(&other).unwrap(), 1, CpuDevice::new());
    let error = refused(lora(0.0), other);
    let TrainError::Model(ModelError::TensorShape { name, found, expected, settings, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(name, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert_eq!((&found[..], &expected[..], *settings), (&[4, 32][..], &[4, 48][..], "adapter_config.json"));
}
