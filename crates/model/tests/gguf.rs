//! GGUF files and packed weights: the numbers of Transformers (benches/peers/gguf_golden.py made the files), adapters
//! over packed weights, and files that are damaged or ask for what is not done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use toolsmith_kernels::{CpuDevice, Device, MeasuringDevice, ReferenceDevice};
use toolsmith_model::{
    Decoder, GenerationOptions, LoraConfig, ModelError, PrefixConfig, PrefixPositions, Quantization,
    RopeScaling, Target, TokenBatch, TokenWeights, TrainMethod, TrainableModel, WeightType, generate,
};

const ARCHITECTURES: [&str; 5] = ["llama", "qwen2", "qwen3", "chatglm", "glm4"];

fn golden(architecture: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf").join(architecture)
}

fn file(architecture: &str) -> PathBuf {
    golden(architecture).join("model.gguf")
}

fn expected(architecture: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(architecture).join("expected.json")).unwrap()).unwrap()
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect()
}

fn samples(json: &Value) -> Vec<Vec<u32>> {
    json["samples"].as_array().unwrap().iter().map(ids).collect()
}

/// All samples in one run, every next token a target, in order.
fn batch(samples: &[Vec<u32>]) -> TokenBatch {
    let (mut targets, mut first) = (Vec::new(), 0);
    for sample in samples {
        targets.extend((0..sample.len() - 1).map(|i| Target { row: first + i as u32, token: sample[i + 1] }));
        first += sample.len() as u32;
    }
    TokenBatch::packed(samples, targets)
}

fn lora() -> TrainMethod {
    TrainMethod::Lora(LoraConfig { r: 3, lora_alpha: 6.0, ..LoraConfig::default() })
}

/// A model with a LoRA adapter that changes what it computes.
fn trained<D: Device>(decoder: Decoder<D>) -> TrainableModel<D> {
    trained_by(decoder, lora())
}

fn trained_by<D: Device>(decoder: Decoder<D>, method: TrainMethod) -> TrainableModel<D> {
    let mut model = TrainableModel::new(decoder, method, 1).unwrap();
    let device = model.device().clone();
    for (which, parameter) in model.parameters_mut().into_iter().enumerate() {
        let values: Vec<f32> =
            (0..device.len(parameter.value)).map(|i| ((which * 5 + i) as f32).sin() * 0.2).collect();
        device.write(parameter.value, 0, &values);
    }
    model
}

fn load(path: &Path) -> Decoder<CpuDevice> {
    Decoder::load(path, CpuDevice::new()).unwrap()
}

fn error(result: Result<Decoder<CpuDevice>, ModelError>) -> String {
    match result {
        Ok(_) => panic!("it loaded"),
        Err(error) => error.to_string(),
    }
}

/// The same weights as plain f32, in a folder.
fn unpacked(decoder: &Decoder<CpuDevice>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    decoder.save(dir.path(), WeightType::F32).unwrap();
    dir
}

fn compare<D: Device>(architecture: &str, device: D) {
    let json = expected(architecture);
    let decoder = Decoder::load(&file(architecture), device).unwrap();
    let greedy = ids(&json["greedy"]);
    let options = GenerationOptions { max_new_tokens: greedy.len(), ..Default::default() };
    let found = generate(&decoder, &[samples(&json).remove(0)], &options, &mut |_, _| ()).unwrap();
    assert_eq!(found[0].ids, greedy, "{architecture}");

    // A new adapter changes nothing.
    let mut model = TrainableModel::new(decoder, lora(), 0).unwrap();
    let found = model.logprobs(&batch(&samples(&json))).unwrap();
    let wanted = numbers(&json["logprobs"]);
    assert_eq!(found.len(), wanted.len());
    for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((f64::from(*found) - wanted).abs() < 1e-4, "{architecture}: logprob {i}: {found} {wanted}");
    }
    let logits = numbers(&json["last_logits"]);
    let log_sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
    let sample = samples(&json).remove(0);
    let row = sample.len() as u32 - 1;
    let targets = (0..logits.len() as u32).map(|token| Target { row, token }).collect();
    let found = model.logprobs(&TokenBatch::packed(&[sample], targets)).unwrap();
    for (i, (found, wanted)) in found.iter().zip(&logits).enumerate() {
        let wanted = wanted - log_sum;
        assert!((f64::from(*found) - wanted).abs() < 1e-4, "{architecture}: logit {i}: {found} {wanted}");
    }
}

#[test]
fn logits_and_greedy_answers_equal_transformers() {
    for architecture in ARCHITECTURES {
        compare(architecture, CpuDevice::new());
        compare(architecture, ReferenceDevice::new());
    }
}

#[test]
fn a_folder_with_one_gguf_file_is_that_model() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(file("llama"), dir.path().join("some name.gguf")).unwrap();
    assert_eq!(load(dir.path()).config(), load(&file("llama")).config());
    std::fs::copy(file("llama"), dir.path().join("another.gguf")).unwrap();
    let message = error(Decoder::load(dir.path(), CpuDevice::new()));
    assert!(message.contains("2 GGUF files, `another.gguf` among them"), "{message}");
}

#[test]
fn saving_writes_the_numbers_that_the_blocks_stand_for() {
    for architecture in ARCHITECTURES {
        let decoder = load(&file(architecture));
        let dir = unpacked(&decoder);
        let plain = load(dir.path());
        let batch = batch(&samples(&expected(architecture)));
        let [found, wanted] = [decoder, plain]
            .map(|decoder| TrainableModel::new(decoder, lora(), 0).unwrap().logprobs(&batch).unwrap());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-5, "{architecture}: {found} {wanted}");
        }
    }
}

fn gradients(model: &mut TrainableModel<CpuDevice>, batch: &TokenBatch) -> Vec<Vec<f32>> {
    let weights: Vec<f32> = (0..batch.targets.len()).map(|i| 0.5 + (i % 3) as f32).collect();
    let logprobs = model.forward_backward(batch, TokenWeights::Fixed(&weights)).unwrap();
    let parameters = model.parameters_mut();
    let gradients = parameters.into_iter().map(|parameter| parameter.grad.as_slice().to_vec());
    std::iter::once(logprobs).chain(gradients).collect()
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (tensor, (found, expected)) in found.iter().zip(expected).enumerate() {
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let (difference, scale) = (norm(&difference), norm(expected));
        assert!(scale > 0.0, "{what}: tensor {tensor}: nothing to compare");
        assert!(difference <= 1e-5 * scale, "{what}: tensor {tensor}: {difference} of {scale}");
    }
}

#[test]
fn adapters_train_over_packed_weights_as_over_plain_ones() {
    for architecture in ARCHITECTURES {
        let batch = batch(&samples(&expected(architecture)));
        let plain = unpacked(&load(&file(architecture)));
        let mut over_packed = trained(load(&file(architecture)));
        let mut over_plain = trained(load(plain.path()));
        let found = gradients(&mut over_packed, &batch);
        assert_close(&found, &gradients(&mut over_plain, &batch), architecture);

        // As int8 and NF4, from the plain folder.
        for quantization in [Quantization::Int8, Quantization::Nf4] {
            let quantised = || Decoder::load_quantized(plain.path(), quantization, CpuDevice::new()).unwrap();
            let dir = unpacked(&quantised());
            let found = gradients(&mut trained(quantised()), &batch);
            let wanted = gradients(&mut trained(load(dir.path())), &batch);
            assert_close(&found, &wanted, &format!("{architecture} {quantization:?}"));
            assert_ne!(found[0], gradients(&mut over_plain, &batch)[0], "quantising changed nothing");
        }
    }
}

#[test]
fn other_adapters_train_over_packed_weights_too() {
    let batch = batch(&samples(&expected("qwen2")));
    let plain = unpacked(&load(&file("qwen2")));
    let modules_to_save = vec!["lm_head".to_owned()];
    let dora = LoraConfig { use_dora: true, modules_to_save, ..LoraConfig::default() };
    let prefix = PrefixConfig {
        num_virtual_tokens: 3,
        encoder_hidden_size: None,
        positions: PrefixPositions::AfterPrefix,
    };
    for method in [TrainMethod::Lora(dora), TrainMethod::Prefix(prefix)] {
        let found = gradients(&mut trained_by(load(&file("qwen2")), method.clone()), &batch);
        let wanted = gradients(&mut trained_by(load(plain.path()), method.clone()), &batch);
        assert_close(&found, &wanted, &format!("{method:?}"));
    }
}

#[test]
fn threads_change_nothing() {
    let batch = batch(&samples(&expected("llama")));
    let [one, three] = [1, 3].map(|threads| {
        let decoder = Decoder::load(&file("llama"), CpuDevice::with_threads(threads).unwrap()).unwrap();
        gradients(&mut trained(decoder), &batch)
    });
    assert_eq!(one, three);
}

#[test]
fn merging_unpacks_what_the_adapter_changes() {
    let batch = batch(&samples(&expected("qwen2")));
    let mut model = trained(load(&file("qwen2")));
    let wanted = model.logprobs(&batch).unwrap();
    let mut decoder = model.into_decoder();
    decoder.merge_adapter().unwrap();
    let found = TrainableModel::new(decoder, lora(), 0).unwrap().logprobs(&batch).unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
    }
}

#[test]
fn packed_weights_are_not_trained_and_not_packed_again() {
    let message = TrainableModel::new(load(&file("qwen2")), TrainMethod::Full, 0).err().unwrap().to_string();
    assert!(
        message.contains("`model.embed_tokens.weight`: found Q8_0 blocks, which cannot be trained"),
        "{message}"
    );
    let except = TrainMethod::FullExcept(vec!["model.embed*".to_owned(), "*layers.0.*".to_owned()]);
    let message = TrainableModel::new(load(&file("qwen2")), except, 0).err().unwrap().to_string();
    assert!(message.contains("`model.layers.1.self_attn.q_proj.weight`: found Q4_1"), "{message}");
    // What is packed stays frozen, the rest may be trained.
    let except = TrainMethod::FullExcept(vec!["*embed*".to_owned(), "*proj*".to_owned()]);
    let mut model = TrainableModel::new(load(&file("qwen2")), except, 0).unwrap();
    assert_eq!(model.parameters_mut().len(), 2 * 2 + 1);

    let message = error(Decoder::load_quantized(&file("qwen2"), Quantization::Nf4, CpuDevice::new()));
    assert!(message.contains("self_attn.q_proj.weight`: the file has it as Q4_1 already"), "{message}");
}

/// The file with some bytes replaced where `at` first stands.
fn changed(bytes: &[u8], at: &[u8], offset: usize, by: &[u8]) -> Vec<u8> {
    let position = bytes.windows(at.len()).position(|window| window == at).unwrap() + at.len() + offset;
    let mut bytes = bytes.to_vec();
    bytes[position..position + by.len()].copy_from_slice(by);
    bytes
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let good = std::fs::read(file("llama")).unwrap();
    let refuse = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let message = error(Decoder::load(&path, CpuDevice::new()));
        assert!(message.contains("model.gguf: ") && message.contains(expected), "{message}");
    };
    refuse(b"", "the file ends at 0");
    refuse(b"PK\x03\x04 something else", "not with \"GGUF\"");
    let version = |version: [u8; 4]| [&good[..4], &version, &good[8..]].concat();
    refuse(&version(1u32.to_le_bytes()), "GGUF version 1;");
    refuse(&version(3u32.to_be_bytes()), "big-endian");
    let count = |at: usize| [&good[..at], &u64::MAX.to_le_bytes(), &good[at + 8..]].concat();
    refuse(&count(8), "tensors cannot lie in");
    refuse(&count(16), "keys cannot lie in");
    refuse(&count(24), "bytes of text cannot lie in");
    refuse(&good[..good.len() - 1], "but the file ends at");

    refuse(
        &changed(&good, b"general.architecture", 4 + 8, b"mamba"),
        "\"mamba\"; this program knows llama, qwen2",
    );
    // The type of a tensor stands behind its name, the number of its dimensions and two of these.
    refuse(
        &changed(&good, b"blk.0.attn_q.weight", 4 + 16, &13u32.to_le_bytes()),
        "type Q5_K, which this program",
    );
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4 + 16, &77u32.to_le_bytes()), "type number 77");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4, &63u64.to_le_bytes()), "rows are not whole blocks");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4 + 8, &u64::MAX.to_le_bytes()), "too large");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4 + 8, &0u64.to_le_bytes()), "without sense");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 0, &9u32.to_le_bytes()), "9 dimensions");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4 + 20, &7u64.to_le_bytes()), "multiple of the alignment");
    refuse(&changed(&good, b"blk.0.attn_q.weight", 4 + 20, &0u64.to_le_bytes()), "overlap");
    refuse(
        &changed(&good, b"blk.0.attn_q.weight", 4 + 8, &32u64.to_le_bytes()),
        "has shape [32, 64], expected [64, 64]",
    );
    refuse(&changed(&good, b"blk.0.attn_", 0, b"K"), "is missing");
    refuse(&changed(&good, b"llama.block_count", 4, &1u32.to_le_bytes()), "first `blk.1.attn_k.weight`");
    refuse(
        &changed(&good, b"llama.embedding_length", 0, &6u32.to_le_bytes()),
        "`llama.embedding_length` is Float",
    );
    refuse(
        &changed(&good, b"llama.attention.head_count", 4, &0u32.to_le_bytes()),
        "`llama.attention.head_count` is",
    );
}

/// The file with a key and a value's bytes (its type first) more.
fn with_key(bytes: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    let keys = u64::from_le_bytes(bytes[16..24].try_into().unwrap()) + 1;
    let entry = [&(key.len() as u64).to_le_bytes(), key.as_bytes(), value].concat();
    spliced(bytes, 16, keys, 24, &entry)
}

/// The file with a list of F32 more.
fn with_list(bytes: &[u8], name: &str, values: &[f32]) -> Vec<u8> {
    let tensors = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) + 1;
    let first = bytes.windows(17).position(|window| window == b"token_embd.weight").unwrap() - 8;
    let data = values.iter().flat_map(|value| value.to_le_bytes());
    // Behind the tensors that are there, which begin where the header's last entry ends, rounded up.
    let start = (bytes.len() - data_start(bytes, first)).next_multiple_of(32) as u64;
    let mut entry = [&(name.len() as u64).to_le_bytes(), name.as_bytes(), &1u32.to_le_bytes()].concat();
    entry.extend((values.len() as u64).to_le_bytes());
    entry.extend(0u32.to_le_bytes());
    entry.extend(start.to_le_bytes());
    let mut bytes = spliced(bytes, 8, tensors, first, &entry);
    let first = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap() - 8;
    let end = data_start(&bytes, first) + start as usize;
    bytes.resize(end, 0);
    bytes.extend(data);
    bytes
}

/// Puts a new count at `at` and an entry at `place`; the data behind the header moves on to its alignment.
fn spliced(bytes: &[u8], at: usize, count: u64, place: usize, entry: &[u8]) -> Vec<u8> {
    let first = bytes.windows(17).position(|window| window == b"token_embd.weight").unwrap() - 8;
    let data = data_start(bytes, first);
    let mut header = bytes[..header_end(bytes, first)].to_vec();
    header[at..at + 8].copy_from_slice(&count.to_le_bytes());
    header.splice(place..place, entry.iter().copied());
    header.resize(header.len().next_multiple_of(32), 0);
    [&header, &bytes[data..]].concat()
}

/// Where the entries of the tensors end, the first of them at `at`.
fn header_end(bytes: &[u8], mut at: usize) -> usize {
    let whole = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    for _ in 0..whole(8) {
        at += 8 + whole(at);
        let dimensions = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        at += 4 + 8 * dimensions + 4 + 8;
    }
    at
}

fn data_start(bytes: &[u8], first: usize) -> usize {
    header_end(bytes, first).next_multiple_of(32)
}

#[test]
fn divided_frequencies_are_those_of_llama_3_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let good = std::fs::read(file("llama")).unwrap();
    let config = load(&file("llama")).config().clone();
    // As convert_hf_to_gguf.py computes them for a factor of 32.
    let divisor = |i: usize| {
        let frequency = 1.0 / config.rope_theta.powf(2.0 * i as f64 / config.rotary_dim as f64);
        let wavelength = std::f64::consts::TAU / frequency;
        if wavelength < 8192.0 / 4.0 {
            1.0
        } else if wavelength > 8192.0 {
            32.0
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            1.0 / ((1.0 - smooth) / 32.0 + smooth)
        }
    };
    let mut divisors: Vec<f32> = (0..config.rotary_dim / 2).map(|i| divisor(i) as f32).collect();
    assert!(divisors.contains(&32.0) && divisors.contains(&1.0), "{divisors:?}");
    std::fs::write(&path, with_list(&good, "rope_freqs.weight", &divisors)).unwrap();
    let decoder = load(&path);
    let RopeScaling::Llama3 { factor, original_max_position_embeddings, .. } = decoder.config().rope_scaling
    else {
        panic!("{:?}", decoder.config().rope_scaling)
    };
    assert_eq!((factor, original_max_position_embeddings), (32.0, 8192.0));
    // The saved config.json states it.
    assert_eq!(load(unpacked(&decoder).path()).config().rope_scaling, decoder.config().rope_scaling);

    let refuse = |divisors: &[f32]| {
        std::fs::write(&path, with_list(&good, "rope_freqs.weight", divisors)).unwrap();
        let message = error(Decoder::load(&path, CpuDevice::new()));
        assert!(message.contains("model.gguf: ") && message.contains("it knows Llama 3.1's"), "{message}");
    };
    refuse(&divisors[1..]);
    divisors[1] = 1.5;
    refuse(&divisors);
    divisors[1] = f32::NAN;
    refuse(&divisors);
}

#[test]
fn parts_of_a_split_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = std::fs::read(file("llama")).unwrap();
    let count = |count: u16| [&2u32.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, with_key(&good, "split.count", &count(1))).unwrap();
    assert_eq!(load(&path).config(), load(&file("llama")).config());
    std::fs::write(&path, with_key(&good, "split.count", &count(3))).unwrap();
    let message = error(Decoder::load(&path, CpuDevice::new()));
    assert!(message.contains("model.gguf: ") && message.contains("llama-gguf-split --merge"), "{message}");

    std::fs::remove_file(path).unwrap();
    for part in ["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"] {
        std::fs::write(dir.path().join(part), &good).unwrap();
        let message = error(Decoder::load(dir.path(), CpuDevice::new()));
        assert!(message.contains(part) && message.contains("llama-gguf-split --merge"), "{message}");
    }
}

type Load = fn(&Path, Quantization, MeasuringDevice) -> Result<Decoder<MeasuringDevice>, ModelError>;

fn bytes(path: &Path, quantization: Quantization, load: Load) -> Result<usize, String> {
    let device = MeasuringDevice::new();
    let decoder = load(path, quantization, device.clone()).map_err(|error| error.to_string())?;
    let bytes = device.bytes();
    drop(decoder);
    Ok(bytes)
}

#[test]
fn a_measured_model_is_as_large_as_a_loaded_one() {
    let both = |path: &Path, quantization| {
        let measured = bytes(path, quantization, Decoder::measured);
        assert_eq!(measured, bytes(path, quantization, Decoder::load_quantized), "{}", path.display());
        measured
    };
    for architecture in ARCHITECTURES {
        let path = file(architecture);
        assert!(both(&path, Quantization::None).unwrap() > 0);
        assert!(both(&path, Quantization::Int8).unwrap_err().contains("already"));
        let plain = unpacked(&load(&path));
        let sizes = [Quantization::None, Quantization::Int8, Quantization::Nf4]
            .map(|quantization| both(plain.path(), quantization).unwrap());
        assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    }
    let missing = both(&file("llama").with_file_name("other"), Quantization::None);
    assert!(missing.unwrap_err().contains("has no config.json"));
}

#[test]
fn no_damage_to_the_header_stops_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let good = std::fs::read(file("llama")).unwrap();
    let header = good.windows(4).rposition(|window| window == b"blk.").unwrap() + 64;
    for at in (0..header).step_by(5) {
        let mut bytes = good.clone();
        bytes[at] = if at % 2 == 0 { 0xff } else { bytes[at].wrapping_add(1) };
        std::fs::write(&path, &bytes).unwrap();
        // It may load (a name of a token changed), but it must not panic; what loads can be measured.
        let loads = Decoder::load(&path, CpuDevice::new()).is_ok();
        let measured = Decoder::measured(&path, Quantization::None, MeasuringDevice::new());
        assert_eq!(measured.is_ok(), loads, "byte {at}");
    }
    for cut in (0..header).step_by(37) {
        std::fs::write(&path, &good[..cut]).unwrap();
        assert!(Decoder::load(&path, CpuDevice::new()).is_err(), "cut at {cut}");
    }
}
