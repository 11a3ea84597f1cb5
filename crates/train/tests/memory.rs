//! What a run is said to need is what it takes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use peak_alloc::PeakAlloc;
use serde_json::json;
use support::{job, lora, options, run};
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, DecoderConfig, PrefixConfig, PrefixPositions, TrainMethod};
use toolsmith_train::{
    AdamWOptions, MemoryEstimate, MomentType, RunOptions, Sample, TrainJob, estimate_memory,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn config() -> DecoderConfig {
    let json = json!({
        "model_type": "qwen2", "vocab_size": 3000, "hidden_size": 320, "intermediate_size": 800,
        "num_hidden_layers": 4, "num_attention_heads": 5, "num_key_value_heads": 1, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 2048, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu",
    });
    DecoderConfig::from_json(&json).unwrap()
}

/// Samples of 150 to 400 tokens that begin alike; a third of each is trained.
fn samples() -> Vec<Sample> {
    let sample = |index: u32| {
        let len = 150 + index * 50;
        let ids: Vec<u32> = (0..len).map(|i| if i < 60 { i } else { (i * (index + 3)) % 3000 }).collect();
        let labels = ids.iter().zip(0..).map(|(&id, i)| if i < len * 2 / 3 { -100 } else { id as i32 });
        let labels = labels.collect();
        Sample::new(format!("train.jsonl:{index}"), ids, labels).unwrap()
    };
    (0..6).map(sample).collect()
}

/// The estimate, and the most bytes that the run had at a time beyond what was there before.
fn estimate_and_peak(method: &TrainMethod, run_options: RunOptions) -> (MemoryEstimate, usize) {
    let samples = samples();
    let measured = |quantization, device| Decoder::zeros(config(), quantization, device);
    let estimate = estimate_memory(&measured, method, &samples, &[], &run_options).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let decoder = Decoder::random(config(), 1, CpuDevice::new());
    run(TrainJob { decoder, ..job(dir.path(), method.clone(), samples, run_options) });
    (estimate, ALLOCATOR.peak_usage() - before)
}

#[test]
fn the_estimate_is_what_a_run_takes() {
    let of = |max_tokens_per_run, moments| RunOptions {
        batch_size: 8,
        max_tokens_per_run,
        optimizer: AdamWOptions { moments, ..AdamWOptions::default() },
        ..options(1)
    };
    let prefix = TrainMethod::Prefix(PrefixConfig {
        num_virtual_tokens: 40,
        encoder_hidden_size: Some(64),
        positions: PrefixPositions::AfterPrefix,
    });
    let cases = [
        (TrainMethod::Full, of(4096, MomentType::Float32)),
        (TrainMethod::Full, of(600, MomentType::EightBit)),
        (lora(0.1), of(4096, MomentType::Float32)),
        (lora(0.0), of(600, MomentType::Float32)),
        (lora(0.0), RunOptions { recompute: true, ..of(4096, MomentType::Float32) }),
        (prefix, of(4096, MomentType::Float32)),
    ];
    // Products keep a working buffer in each thread, whatever the model: after this it is there.
    estimate_and_peak(&TrainMethod::Full, of(600, MomentType::Float32));
    let mut totals = Vec::new();
    for (method, options) in cases {
        let (estimate, peak) = estimate_and_peak(&method, options);
        let ratio = estimate.total() as f64 / peak as f64;
        assert!((0.98..1.02).contains(&ratio), "{method:?}: {ratio} of {peak} bytes: {estimate:?}");
        totals.push(estimate);
    }
    let [full, smaller, lora, _, recomputed, _] = totals[..] else { panic!("six cases") };
    // Of three blocks, two keep their input alone.
    assert!(recomputed.activations < lora.activations * 3 / 4);
    assert_eq!(full.moments, 2 * full.gradients);
    assert!(smaller.moments < full.moments * 26 / 100 && smaller.activations < full.activations / 2);
    assert!(lora.weights > full.weights && lora.gradients < full.gradients / 10);
}
