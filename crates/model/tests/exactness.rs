//! What must not change a result: packing, shared prefixes, threads, chunks, caches, merged adapters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use serde_json::json;
use toolsmith_kernels::{AdamWStep, CpuDevice, Device, Segment, TokenTree};
use toolsmith_model::{
    Activations, Decoder, DecoderConfig, GenerationOptions, LoraConfig, PrefixConfig, PrefixPositions,
    StopReason, Target, TargetModules, TokenBatch, TokenWeights, TrainMethod, TrainableModel, generate,
};

const VOCAB: u32 = 97;

fn decoder(family: &str, device: &CpuDevice) -> Decoder<CpuDevice> {
    let json = json!({
        "model_type": family, "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.3,
        "attention_bias": true
    });
    Decoder::random(DecoderConfig::from_json(&json).unwrap(), 1, device.clone())
}

fn full(family: &str) -> TrainableModel<CpuDevice> {
    TrainableModel::new(decoder(family, &CpuDevice::new()), TrainMethod::Full, 0).unwrap()
}

fn lora(lora_dropout: f32) -> TrainMethod {
    TrainMethod::Lora(LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout,
        target_modules: TargetModules::AllLinear,
        ..Default::default()
    })
}

fn ids(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i * i * 31 + i * 17 + seed * 53) % VOCAB).collect()
}

/// Every next token of a sample that starts at row `first`.
fn next_tokens(sample: &[u32], first: usize) -> Vec<Target> {
    (1..sample.len()).map(|i| Target { row: (first + i - 1) as u32, token: sample[i] }).collect()
}

fn gradients(model: &mut TrainableModel<CpuDevice>) -> Vec<Vec<f32>> {
    let parameters = model.parameters_mut();
    parameters.into_iter().map(|parameter| parameter.grad.as_slice().to_vec()).collect()
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (tensor, (found, expected)) in found.iter().zip(expected).enumerate() {
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let (difference, scale) = (norm(&difference), norm(expected));
        assert!(difference <= tolerance * scale.max(1e-3), "tensor {tensor}: {difference} of {scale}");
    }
}

fn weights(count: usize) -> Vec<f32> {
    (0..count).map(|i| 0.5 + (i % 3) as f32).collect()
}

#[test]
fn packed_equals_apart() {
    for family in ["llama", "glm"] {
        let samples = [ids(1, 70), ids(2, 3), ids(3, 130)];
        let mut apart = full(family);
        let (mut logprobs, mut used) = (Vec::new(), 0);
        for sample in &samples {
            let batch = TokenBatch::packed(std::slice::from_ref(sample), next_tokens(sample, 0));
            let count = batch.targets.len();
            let weights = &weights(1000)[used..used + count];
            used += count;
            logprobs.extend(apart.forward_backward(&batch, TokenWeights::Fixed(weights)).unwrap());
        }
        let mut packed = full(family);
        let mut targets = Vec::new();
        let mut first = 0;
        for sample in &samples {
            targets.extend(next_tokens(sample, first));
            first += sample.len();
        }
        let batch = TokenBatch::packed(&samples, targets);
        let found = packed.forward_backward(&batch, TokenWeights::Fixed(&weights(1000)[..used])).unwrap();
        assert_close(&[found], &[logprobs], 1e-5);
        assert_close(&gradients(&mut packed), &gradients(&mut apart), 1e-5);
    }
}

#[test]
fn shared_prefixes_equal_apart() {
    for family in ["qwen2", "glm"] {
        let (prefix, branches) = (ids(1, 90), [ids(2, 5), ids(3, 80)]);
        let mut apart = full(family);
        let mut logprobs = Vec::new();
        for branch in &branches {
            let sample = [prefix.clone(), branch.clone()].concat();
            // The prefix is not supervised; the branch is, from its first token on.
            let targets = next_tokens(&sample, 0).split_off(prefix.len() - 1);
            let batch = TokenBatch::packed(&[sample], targets);
            let weights = weights(batch.targets.len());
            logprobs.extend(apart.forward_backward(&batch, TokenWeights::Fixed(&weights)).unwrap());
        }
        let mut shared = full(family);
        let (first, second) = (prefix.len(), prefix.len() + branches[0].len());
        let segment = |start, len, parent| Segment { start, len, parent };
        let segments = vec![
            segment(0, prefix.len(), None),
            segment(first, branches[0].len(), Some(0)),
            segment(second, branches[1].len(), Some(0)),
        ];
        let mut targets = Vec::new();
        for (branch, start) in branches.iter().zip([first, second]) {
            targets.push(Target { row: prefix.len() as u32 - 1, token: branch[0] });
            targets.extend(next_tokens(branch, start));
        }
        let positions = |branch: &[u32]| (prefix.len()..prefix.len() + branch.len()).map(|p| p as u32);
        let batch = TokenBatch {
            input_ids: [prefix.clone(), branches[0].clone(), branches[1].clone()].concat(),
            position_ids: (0..prefix.len() as u32)
                .chain(positions(&branches[0]))
                .chain(positions(&branches[1]))
                .collect(),
            tree: TokenTree::new(segments).unwrap(),
            targets,
        };
        let weights = [weights(branches[0].len()), weights(branches[1].len())].concat();
        let found = shared.forward_backward(&batch, TokenWeights::Fixed(&weights)).unwrap();
        assert_close(&[found], &[logprobs], 1e-5);
        assert_close(&gradients(&mut shared), &gradients(&mut apart), 1e-5);
    }
}

#[test]
fn recomputed_activations_change_no_bit() {
    let samples = [ids(1, 90), ids(2, 40)];
    let batch = TokenBatch::packed(&samples, next_tokens(&samples.concat(), 0));
    for family in ["qwen3", "glm4"] {
        for method in [TrainMethod::Full, lora(0.3)] {
            let run = |activations| {
                let decoder = decoder(family, &CpuDevice::new());
                let mut model =
                    TrainableModel::with_activations(decoder, method.clone(), 5, activations).unwrap();
                let weights = weights(batch.targets.len());
                let logprobs = model.forward_backward(&batch, TokenWeights::Fixed(&weights)).unwrap();
                (logprobs, gradients(&mut model))
            };
            assert!(run(Activations::Keep) == run(Activations::Recompute), "{family}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |threads| {
        let device = CpuDevice::with_threads(threads).unwrap();
        let mut model = TrainableModel::new(decoder("qwen2", &device), TrainMethod::Full, 0).unwrap();
        let samples = [ids(1, 300), ids(2, 40), ids(3, 160)];
        let batch = TokenBatch::packed(&samples, next_tokens(&samples.concat(), 0));
        let logprobs =
            model.forward_backward(&batch, TokenWeights::Fixed(&weights(batch.targets.len()))).unwrap();
        (logprobs, gradients(&mut model))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn weights_from_logprobs_equal_the_same_weights_given() {
    let sample = ids(4, 60);
    let batch = TokenBatch::packed(std::slice::from_ref(&sample), next_tokens(&sample, 0));
    let objective =
        |logprobs: &[f32]| logprobs.iter().map(|logprob| logprob.exp() - 0.2).collect::<Vec<f32>>();
    let (mut given, mut computed) = (full("llama"), full("llama"));
    let weights = objective(&given.logprobs(&batch).unwrap());
    let first = given.forward_backward(&batch, TokenWeights::Fixed(&weights)).unwrap();
    let second = computed.forward_backward(&batch, TokenWeights::FromLogprobs(&objective)).unwrap();
    assert_eq!(first, second);
    assert_close(&gradients(&mut computed), &gradients(&mut given), 1e-6);
}

#[test]
fn a_smaller_pass_after_a_larger_one_sees_nothing_of_it() {
    let (large, small) = (ids(1, 200), ids(2, 30));
    let batch = |sample: &Vec<u32>| TokenBatch::packed(std::slice::from_ref(sample), next_tokens(sample, 0));
    let (mut used, mut fresh) = (full("glm"), full("glm"));
    used.forward_backward(&batch(&large), TokenWeights::Fixed(&weights(199))).unwrap();
    used.zero_grads();
    let again = used.forward_backward(&batch(&small), TokenWeights::Fixed(&weights(29))).unwrap();
    let first = fresh.forward_backward(&batch(&small), TokenWeights::Fixed(&weights(29))).unwrap();
    assert_eq!(again, first);
    assert_eq!(gradients(&mut used), gradients(&mut fresh));
}

#[test]
fn an_unsupervised_token_changes_no_gradient_before_it() {
    let (mut long, mut short) = (full("qwen2"), full("qwen2"));
    let sample = ids(5, 40);
    let targets = || next_tokens(&sample[..20], 0);
    long.forward_backward(
        &TokenBatch::packed(std::slice::from_ref(&sample), targets()),
        TokenWeights::Fixed(&weights(19)),
    )
    .unwrap();
    short
        .forward_backward(
            &TokenBatch::packed(&[sample[..20].to_vec()], targets()),
            TokenWeights::Fixed(&weights(19)),
        )
        .unwrap();
    assert_close(&gradients(&mut long), &gradients(&mut short), 1e-6);
}

fn update(
    model: &mut TrainableModel<CpuDevice>,
    moments: &mut Vec<[<CpuDevice as Device>::Buffer; 2]>,
    step: u64,
) {
    let device = model.device().clone();
    let parameters = model.parameters_mut();
    if moments.is_empty() {
        moments.extend(parameters.iter().map(|p| [0; 2].map(|_| device.zeros(device.len(p.value)))));
    }
    let step = AdamWStep {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        step,
        grad_scale: 1.0,
    };
    for (parameter, [m, v]) in parameters.into_iter().zip(moments) {
        device.adamw(&step, parameter.value, parameter.grad, m, v);
    }
    model.zero_grads();
}

#[test]
fn two_samples_can_be_learnt_by_heart_fully_and_with_an_adapter() {
    // A frozen head cannot tell all tokens apart equally well, so the adapter keeps a little loss.
    for (method, enough) in [(TrainMethod::Full, 0.01), (lora(0.0), 0.1)] {
        let mut model = TrainableModel::new(decoder("qwen2", &CpuDevice::new()), method, 7).unwrap();
        let samples = [ids(1, 20), ids(2, 12)];
        let targets = [next_tokens(&samples[0], 0), next_tokens(&samples[1], 20)].concat();
        let batch = TokenBatch::packed(&samples, targets);
        let count = batch.targets.len();
        let (mut moments, mut last) = (Vec::new(), 0.0);
        for step in 1..=150 {
            let logprobs = model
                .forward_backward(&batch, TokenWeights::Fixed(&vec![1.0 / count as f32; count]))
                .unwrap();
            last = -logprobs.iter().sum::<f32>() / count as f32;
            update(&mut model, &mut moments, step);
        }
        assert!(last < enough, "loss {last} after 150 steps");
        let options = GenerationOptions { max_new_tokens: 15, ..Default::default() };
        let written =
            generate(model.decoder(), &[samples[0][..5].to_vec()], &options, &mut |_, _| ()).unwrap();
        assert_eq!(written[0].ids, samples[0][5..]);
    }
}

#[test]
fn a_new_adapter_changes_nothing_and_a_merged_one_as_much_as_an_attached_one() {
    let sample = ids(1, 50);
    let batch = TokenBatch::packed(std::slice::from_ref(&sample), next_tokens(&sample, 0));
    let plain = full("glm").logprobs(&batch).unwrap();
    let mut model = TrainableModel::new(decoder("glm", &CpuDevice::new()), lora(0.5), 3).unwrap();
    assert_eq!(model.logprobs(&batch).unwrap(), plain);
    let mut moments = Vec::new();
    for step in 1..=3 {
        model.forward_backward(&batch, TokenWeights::Fixed(&weights(49))).unwrap();
        update(&mut model, &mut moments, step);
    }
    let attached = model.logprobs(&batch).unwrap();
    assert_ne!(attached, plain);
    let mut decoder = model.into_decoder();
    decoder.merge_adapter().unwrap();
    let merged = TrainableModel::new(decoder, TrainMethod::Full, 0).unwrap().logprobs(&batch).unwrap();
    assert_close(&[merged], &[attached], 1e-5);
}

#[test]
fn dropout_masks_follow_the_seed_and_the_counter() {
    let sample = ids(1, 50);
    let batch = TokenBatch::packed(std::slice::from_ref(&sample), next_tokens(&sample, 0));
    let start = |seed| {
        let mut model = TrainableModel::new(decoder("llama", &CpuDevice::new()), lora(0.5), seed).unwrap();
        for parameter in model.parameters_mut() {
            let values = vec![0.05; parameter.value.as_slice().len()];
            CpuDevice::new().write(parameter.value, 0, &values);
        }
        model
    };
    let pass = |model: &mut TrainableModel<CpuDevice>| {
        model.forward_backward(&batch, TokenWeights::Fixed(&weights(49))).unwrap()
    };
    let mut model = start(1);
    let (first, second) = (pass(&mut model), pass(&mut model));
    assert_ne!(first, second);
    assert_eq!(model.dropout_counter(), 2);
    let mut resumed = start(1);
    resumed.set_dropout_counter(1);
    assert_eq!(pass(&mut resumed), second);
    assert_ne!(pass(&mut start(2)), first);
    assert_eq!(
        model.logprobs(&batch).unwrap(),
        start(3).logprobs(&batch).unwrap(),
        "evaluation has no dropout"
    );
}

/// The likeliest next token after all of `ids`, from a full forward pass.
fn likeliest(model: &mut TrainableModel<CpuDevice>, ids: &[u32]) -> u32 {
    let row = ids.len() as u32 - 1;
    let targets = (0..VOCAB).map(|token| Target { row, token }).collect();
    let logprobs = model.logprobs(&TokenBatch::packed(&[ids.to_vec()], targets)).unwrap();
    (0..VOCAB).max_by(|&a, &b| logprobs[a as usize].total_cmp(&logprobs[b as usize])).unwrap()
}

#[test]
fn cached_generation_equals_full_forwards() {
    for family in ["llama", "qwen2", "qwen3", "glm", "glm4"] {
        // Prompts that share prefixes, one the beginning of another, two the same, and one by itself; longer than a
        // prefill pass together.
        let long = ids(1, 700);
        let prompts = vec![
            long.clone(),
            long[..300].to_vec(),
            [long[..300].to_vec(), ids(9, 500)].concat(),
            ids(2, 1),
            long.clone(),
            [ids(2, 1), ids(3, 40)].concat(),
        ];
        let options = GenerationOptions { max_new_tokens: 6, ..Default::default() };
        let device = CpuDevice::new();
        let mut heard = vec![Vec::new(); prompts.len()];
        let written =
            generate(&decoder(family, &device), &prompts, &options, &mut |i, id| heard[i].push(id)).unwrap();
        let mut model = full(family);
        for (prompt, generated) in prompts.iter().zip(&written) {
            let mut all = prompt.clone();
            for &id in &generated.ids {
                assert_eq!(likeliest(&mut model, &all), id, "{family}: after {} tokens", all.len());
                all.push(id);
            }
            assert_eq!(generated.stop_reason, StopReason::Length);
        }
        assert_eq!(heard, written.iter().map(|generated| generated.ids.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn cached_generation_after_a_prefix_equals_full_forwards() {
    for (positions, encoder_hidden_size) in
        [(PrefixPositions::AfterPrefix, None), (PrefixPositions::FromZero, Some(6))]
    {
        let config = PrefixConfig { num_virtual_tokens: 5, encoder_hidden_size, positions };
        let start = || {
            let decoder = decoder("glm", &CpuDevice::new());
            TrainableModel::new(decoder, TrainMethod::Prefix(config.clone()), 3).unwrap()
        };
        let options = GenerationOptions { max_new_tokens: 8, ..Default::default() };
        let prompts = [ids(1, 30), ids(1, 20), ids(4, 3)];
        let mut model = start();
        let written = generate(model.decoder(), &prompts, &options, &mut |_, _| ()).unwrap();
        for (prompt, generated) in prompts.iter().zip(&written) {
            let mut all = prompt.clone();
            for &id in &generated.ids {
                assert_eq!(likeliest(&mut model, &all), id, "after {} tokens", all.len());
                all.push(id);
            }
        }
        let without = decoder("glm", &CpuDevice::new());
        assert_ne!(generate(&without, &prompts, &options, &mut |_, _| ()).unwrap(), written);

        let dir = tempfile::tempdir().unwrap();
        model.save_adapter(dir.path(), "base").unwrap();
        let mut loaded = decoder("glm", &CpuDevice::new());
        loaded.load_adapter(dir.path()).unwrap();
        assert_eq!(generate(&loaded, &prompts, &options, &mut |_, _| ()).unwrap(), written);
        assert!(loaded.merge_adapter().unwrap_err().to_string().contains("no weight can hold"));
    }
}

#[test]
fn long_generations_take_rows_as_they_go_and_stop_ids_end_them() {
    let decoder = decoder("qwen2", &CpuDevice::new());
    let prompts = [ids(1, 10), ids(2, 10), ids(3, 10)];
    let sampled = GenerationOptions { max_new_tokens: 100, temperature: 1.5, seed: 3, ..Default::default() };
    let free = generate(&decoder, &prompts, &sampled, &mut |_, _| ()).unwrap();
    assert!(free.iter().all(|generated| generated.ids.len() == 100));
    let alone = generate(&decoder, &prompts[..1], &sampled, &mut |_, _| ()).unwrap();
    assert_eq!(alone[0].ids, free[0].ids, "neighbours change nothing");
    let other = GenerationOptions { seed: 4, ..sampled.clone() };
    assert_ne!(generate(&decoder, &prompts, &other, &mut |_, _| ()).unwrap(), free);
    // Stop where one of them wrote this id for the first time.
    let stop = free[1].ids[70];
    let stopping = GenerationOptions { stop_ids: vec![stop], ..sampled };
    for (stopped, free) in generate(&decoder, &prompts, &stopping, &mut |_, _| ()).unwrap().iter().zip(&free)
    {
        match free.ids.iter().position(|&id| id == stop) {
            Some(at) => {
                assert_eq!(stopped.ids, free.ids[..=at]);
                assert_eq!(stopped.stop_reason, StopReason::StopId(stop));
            }
            None => assert_eq!(stopped, free),
        }
    }
}

#[test]
fn options_and_prompts_without_sense_are_refused() {
    let decoder = decoder("qwen2", &CpuDevice::new());
    let ask = |prompt: &[u32], options: GenerationOptions| {
        generate(&decoder, &[prompt.to_vec()], &options, &mut |_, _| ()).unwrap_err().to_string()
    };
    let options = GenerationOptions::default;
    assert!(ask(&[], options()).contains("prompt 0 is empty"));
    assert!(ask(&[97], options()).contains("id 97, but the model has 97 tokens"));
    assert!(ask(&[1], GenerationOptions { temperature: -1.0, ..options() }).contains("`temperature` is -1"));
    assert!(ask(&[1], GenerationOptions { top_p: 0.0, ..options() }).contains("`top_p` is 0"));
    assert!(
        ask(&[1], GenerationOptions { repetition_penalty: 0.0, ..options() })
            .contains("`repetition_penalty`")
    );
    let limited =
        GenerationOptions { vocab_limit: Some(5), temperature: 2.0, max_new_tokens: 50, ..options() };
    let written = generate(&decoder, &[vec![90]], &limited, &mut |_, _| ()).unwrap();
    assert!(written[0].ids.iter().all(|&id| id < 5));
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let mut model = full("llama");
    let mut refuse = |batch: TokenBatch, part: &str| {
        let message = model.logprobs(&batch).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    refuse(TokenBatch::packed(&[vec![1, 97]], vec![]), "input_ids[1] is 97");
    refuse(TokenBatch::packed(&[vec![1]], vec![Target { row: 1, token: 0 }]), "targets[0]");
    let short = TokenBatch { position_ids: vec![0], ..TokenBatch::packed(&[vec![1, 2]], vec![]) };
    refuse(short, "2 input_ids, 1 position_ids");
    let far = TokenBatch { position_ids: vec![0, u32::MAX], ..TokenBatch::packed(&[vec![1, 2]], vec![]) };
    refuse(far, "position 4294967295");
    let batch = TokenBatch::packed(&[vec![1, 2]], vec![Target { row: 0, token: 2 }]);
    let message = model.forward_backward(&batch, TokenWeights::Fixed(&[])).unwrap_err().to_string();
    assert!(message.contains("0 token weights for 1 targets"), "{message}");
    assert_eq!(model.logprobs(&TokenBatch::default()).unwrap(), Vec::<f32>::new());
}
