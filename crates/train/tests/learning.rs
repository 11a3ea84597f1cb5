//! What a run learns, from what, and what it computes for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{contents, decoder, job, lora, options, run, samples, tensors};
use toolsmith_chat::batch::{LayoutOptions, lay_out};
use toolsmith_kernels::{Segment, TokenTree};
use toolsmith_model::{LoraConfig, Target, TargetModules, TokenBatch, TrainMethod, TrainableModel};
use toolsmith_train::{AdamWOptions, MomentType, RunOptions, Sample, StepMetrics, TrainError, Trainer};

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

fn assert_same_steps(a: &[StepMetrics], b: &[StepMetrics]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(close(a.loss, b.loss, 1e-5), "step {}: loss {} is not {}", a.step, a.loss, b.loss);
        let (a_norm, b_norm) = (a.grad_norm, b.grad_norm);
        assert!(close(a_norm, b_norm, 1e-4), "step {}: gradient norm {a_norm} is not {b_norm}", a.step);
    }
}

#[test]
fn two_examples_are_learned_by_heart() {
    for method in [TrainMethod::Full, lora(0.0)] {
        let dir = tempfile::tempdir().unwrap();
        let steps = run(job(dir.path(), method.clone(), samples(2), options(200))).steps;
        let (first, last) = (steps[0].loss, steps[199].loss);
        assert!(first > 2.0 && last < 0.1, "{method:?}: from {first} to {last}");
    }
}

#[test]
fn the_first_loss_is_the_mean_over_the_trained_tokens_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = samples(4);
    let found = run(job(dir.path(), lora(0.0), data.clone(), options(1))).steps.remove(0);

    let mut model = TrainableModel::new(decoder(), TrainMethod::Full, 0).unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for sample in &data {
        let tokens = sample.tokens();
        let ids = tokens.input_ids().to_vec();
        let targets: Vec<Target> =
            tokens.targets().map(|(row, token, _)| Target { row: row as u32, token }).collect();
        count += targets.len();
        let logprobs = model.logprobs(&TokenBatch::packed(&[ids], targets)).unwrap();
        sum -= logprobs.iter().map(|&logprob| f64::from(logprob)).sum::<f64>();
    }
    assert!(close(found.loss, sum / count as f64, 1e-5), "{} is not {}", found.loss, sum / count as f64);
    assert_eq!(found.trained_tokens, count);
    assert_eq!(found.tokens, data.iter().map(|sample| sample.tokens().input_ids().len()).sum::<usize>());
}

#[test]
fn weights_decide_what_a_token_counts() {
    let weigh = |weight: fn(usize) -> f32| {
        let dir = tempfile::tempdir().unwrap();
        let weigh = |sample: Sample| {
            let count = sample.tokens().input_ids().len();
            sample.with_weights((0..count).map(weight).collect()).unwrap()
        };
        let data = samples(4).into_iter().map(weigh).collect();
        run(job(dir.path(), lora(0.0), data, options(3))).steps
    };
    let dir = tempfile::tempdir().unwrap();
    let plain = run(job(dir.path(), lora(0.0), samples(4), options(3))).steps;
    let losses = |steps: &[StepMetrics]| steps.iter().map(|step| step.loss).collect::<Vec<_>>();
    let (ones, twos) = (losses(&weigh(|_| 1.0)), losses(&weigh(|_| 2.0)));
    assert_eq!(ones, losses(&plain));
    for (one, two) in ones.iter().zip(&twos) {
        assert!(close(*one, *two, 1e-6), "a weight that all share changes nothing: {one} {two}");
    }
    // A token that weighs nothing is as good as untrained.
    let dir = tempfile::tempdir().unwrap();
    let even_only = samples(4).into_iter().map(|sample| {
        let tokens = sample.tokens();
        let labels = tokens.labels().iter().enumerate();
        let labels = labels.map(|(at, &label)| if at % 2 == 0 { label } else { -100 }).collect();
        Sample::new(sample.name(), tokens.input_ids().to_vec(), labels).unwrap()
    });
    let untrained = losses(&run(job(dir.path(), lora(0.0), even_only.collect(), options(3))).steps);
    let weightless = losses(&weigh(|at| if at % 2 == 0 { 1.0 } else { 0.0 }));
    for (one, other) in untrained.iter().zip(&weightless) {
        assert!(close(*one, *other, 1e-5), "{one} {other}");
    }
    assert_ne!(untrained, ones);
}

#[test]
fn what_follows_the_last_trained_token_changes_nothing() {
    let (plain, longer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut endless = Vec::new();
    for sample in samples(6) {
        let tokens = sample.tokens();
        let ids = [tokens.input_ids(), &[3, 1, 4, 1, 5]].concat();
        let labels = [tokens.labels(), &[-100; 5]].concat();
        endless.push(Sample::new(sample.name(), ids, labels).unwrap());
    }
    run(job(plain.path(), lora(0.1), samples(6), options(3)));
    run(job(longer.path(), lora(0.1), endless, options(3)));
    assert_eq!(contents(&plain.path().join("adapter")), contents(&longer.path().join("adapter")));
}

#[test]
fn a_step_in_several_runs_is_the_step_in_one() {
    for method in [TrainMethod::Full, lora(0.0)] {
        let (whole, divided) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let small = RunOptions { max_tokens_per_run: 30, ..options(5) };
        let whole = run(job(whole.path(), method.clone(), samples(8), options(5))).steps;
        let divided = run(job(divided.path(), method, samples(8), small)).steps;
        // Divided, the common beginning is computed in each run: proof that there were several.
        assert!(divided[0].computed_tokens > whole[0].computed_tokens);
        assert_same_steps(&whole, &divided);
    }
}

#[test]
fn shared_prefixes_change_no_gradient() {
    for method in [TrainMethod::Full, lora(0.0)] {
        let (shared, apart) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let not_shared = RunOptions { share_prefixes: false, ..options(5) };
        let shared = run(job(shared.path(), method.clone(), samples(8), options(5))).steps;
        let apart = run(job(apart.path(), method, samples(8), not_shared)).steps;
        assert!(shared[0].computed_tokens * 2 < apart[0].computed_tokens);
        assert_same_steps(&shared, &apart);
    }
}

#[test]
fn a_shared_prefix_gives_each_tensor_the_gradient_of_the_samples_apart() {
    let data = samples(6);
    let tokens: Vec<_> = data.iter().map(Sample::tokens).collect();
    let gradients = |share_prefixes| {
        let layout = LayoutOptions { share_prefixes, ..LayoutOptions::new(1000) };
        let runs = lay_out(&tokens, &layout).unwrap();
        let target_modules = TargetModules::AllLinear;
        let config =
            LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.0, target_modules, ..Default::default() };
        let mut model = TrainableModel::new(decoder(), TrainMethod::Lora(config), 3).unwrap();
        for run in runs {
            let segments =
                run.segments.iter().map(|s| Segment { start: s.start, len: s.len, parent: s.parent });
            let targets: Vec<Target> =
                run.targets.iter().map(|t| Target { row: t.row, token: t.token }).collect();
            let weights = vec![0.1; targets.len()];
            let tree = TokenTree::new(segments.collect()).unwrap();
            let batch =
                TokenBatch { input_ids: run.input_ids, position_ids: run.position_ids, tree, targets };
            model.forward_backward(&batch, toolsmith_model::TokenWeights::Fixed(&weights)).unwrap();
        }
        let device = model.device().clone();
        let read = |parameter: toolsmith_model::Parameter<'_, toolsmith_kernels::CpuDevice>| {
            let mut values = vec![0.0; parameter.shape.iter().product()];
            toolsmith_kernels::Device::read(&device, parameter.grad, 0, &mut values);
            (parameter.name.into_owned(), values)
        };
        model.parameters_mut().into_iter().map(read).collect::<Vec<_>>()
    };
    let mut trained = 0;
    for ((name, shared), (_, apart)) in gradients(true).into_iter().zip(gradients(false)) {
        let largest = apart.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (shared, apart) in shared.iter().zip(&apart) {
            assert!((shared - apart).abs() <= 1e-5 * largest.max(1e-3), "{name}: {shared} is not {apart}");
        }
        trained += usize::from(largest > 0.0);
    }
    // A new adapter's A has no gradient yet, because its B is zero.
    assert_eq!(trained, 2 * 7);
}

#[test]
fn weight_decay_takes_from_matrices_alone() {
    let (plain, decayed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let optimizer = AdamWOptions { weight_decay: 0.1, ..AdamWOptions::default() };
    run(job(plain.path(), TrainMethod::Full, samples(4), options(1)));
    run(job(decayed.path(), TrainMethod::Full, samples(4), RunOptions { optimizer, ..options(1) }));
    let plain = tensors(&plain.path().join("model/model.safetensors"));
    for (name, values) in tensors(&decayed.path().join("model/model.safetensors")) {
        let is_matrix = !name.contains("norm") && !name.ends_with("bias");
        assert_eq!(plain[&name] != values, is_matrix, "{name}");
    }
}

#[test]
fn evaluation_is_the_loss_of_its_samples_and_trains_nothing() {
    let (with, without) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut evaluating =
        job(with.path(), lora(0.0), samples(4), RunOptions { eval_steps: Some(2), ..options(5) });
    evaluating.eval_samples = samples(4);
    let recorder = run(evaluating);
    let steps: Vec<u64> = recorder.eval_losses.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [2, 4, 5]);
    // All samples are in every step, so the loss after step 2 is the one that step 3 begins with.
    assert!(close(recorder.eval_losses[0].1, recorder.steps[2].loss, 1e-5));
    run(job(without.path(), lora(0.0), samples(4), options(5)));
    assert_eq!(contents(&with.path().join("adapter")), contents(&without.path().join("adapter")));
}

#[test]
fn samples_without_a_trained_token_are_counted_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = samples(4);
    data.push(Sample::new("empty", vec![1, 2, 3], vec![-100; 3]).unwrap());
    assert_eq!(run(job(dir.path(), lora(0.0), data, options(1))).untrained_samples, 1);

    let dir = tempfile::tempdir().unwrap();
    let nothing = vec![Sample::new("empty", vec![1, 2, 3], vec![-100; 3]).unwrap()];
    let error = Trainer::start(job(dir.path(), lora(0.0), nothing, options(1))).err().unwrap();
    assert!(matches!(error, TrainError::NothingTrained { samples: 1 }));
}

#[test]
fn a_loss_that_is_no_number_names_the_samples() {
    let dir = tempfile::tempdir().unwrap();
    let mut wild = options(10);
    wild.schedule.learning_rate = 1e30;
    let trainer = Trainer::start(job(dir.path(), TrainMethod::Full, samples(2), wild)).unwrap();
    let error = support::train(trainer, None).err().unwrap();
    assert!(matches!(error, TrainError::NotFinite { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("train.jsonl:1") && text.contains("learning rate (1e30)"), "{text}");
}

#[test]
fn a_sample_that_fits_in_no_run_is_named_before_the_first_step() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("run");
    let small = RunOptions { max_tokens_per_run: 28, ..options(1) };
    let text = Trainer::start(job(&dir, lora(0.0), samples(5), small)).err().unwrap().to_string();
    assert_eq!(
        text,
        "train.jsonl:5: it needs 29 tokens, but a run holds at most 28; raise max_tokens_per_run, or drop or \
         shorten the sample"
    );
    assert!(!dir.exists());
}

#[test]
fn moments_in_8_bits_learn_as_those_in_32() {
    let losses = |moments| {
        let dir = tempfile::tempdir().unwrap();
        let optimizer = AdamWOptions { moments, ..AdamWOptions::default() };
        let config = serde_json::json!({
            "model_type": "qwen2", "vocab_size": 48, "hidden_size": 96, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 512, "rope_theta": 10000.0, "tie_word_embeddings": true,
            "hidden_act": "silu", "initializer_range": 0.1,
        });
        let config = toolsmith_model::DecoderConfig::from_json(&config).unwrap();
        let decoder = toolsmith_model::Decoder::random(config, 1, toolsmith_kernels::CpuDevice::new());
        let mut options = RunOptions { optimizer, ..options(60) };
        options.schedule.learning_rate = 1e-3;
        let job = job(dir.path(), TrainMethod::Full, samples(8), options);
        let steps = run(toolsmith_train::TrainJob { decoder, ..job }).steps;
        steps.iter().map(|step| step.loss).collect::<Vec<_>>()
    };
    let (float32, eight) = (losses(MomentType::Float32), losses(MomentType::EightBit));
    assert!(float32[59] < 0.1 * float32[0], "{float32:?}");
    assert_ne!(float32, eight);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    for (step, (a, b)) in float32.chunks(10).zip(eight.chunks(10)).enumerate() {
        let (a, b) = (mean(a), mean(b));
        assert!((a - b).abs() <= 0.05 * float32[0].min(2.0 * a), "steps {step}0: {a} {b}");
    }
}
