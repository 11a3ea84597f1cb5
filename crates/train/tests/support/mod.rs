//! What the tests of training share: a tiny random model, samples, and a run to its end.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use safetensors::SafeTensors;
use serde_json::{Value, json};
use toolsmith_chat::batch;
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, DecoderConfig, LoraConfig, TargetModules, TrainMethod, WeightType};
use toolsmith_train::{
    Event, Length, Observer, Outcome, Rewards, RunOptions, Sample, ScheduleKind, ScheduleOptions,
    StepMetrics, TrainError, TrainJob, Trainer, Warmup,
};

pub(crate) const VOCABULARY: u32 = 48;

pub(crate) fn decoder() -> Decoder<CpuDevice> {
    let config = json!({
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "vocab_size": VOCABULARY,
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "hidden_act": "silu", "initializer_range": 0.4,
    });
    Decoder::random(DecoderConfig::from_json(&config).unwrap(), 1, CpuDevice::new())
}

pub(crate) fn lora(lora_dropout: f32) -> TrainMethod {
    let target_modules = TargetModules::AllLinear;
    TrainMethod::Lora(LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout,
        target_modules,
        ..Default::default()
    })
}

/// `count` samples that begin with the same 20 tokens and end in trained ones of their own.
pub(crate) fn samples(count: u32) -> Vec<Sample> {
    (0..count)
        .map(|index| {
            let own = (0..6 + index % 5).map(|i| (index * 7 + i * i) % VOCABULARY);
            let input_ids: Vec<u32> = (0..20).map(|i| i * 5 % VOCABULARY).chain(own).collect();
            let labels =
                (0..).zip(&input_ids).map(|(i, &id)| if i < 22 { -100 } else { id.cast_signed() }).collect();
            Sample::new(format!("train.jsonl:{}", index + 1), input_ids, labels).unwrap()
        })
        .collect()
}

/// `count` pairs whose prompts begin alike, with two answers of different lengths.
pub(crate) fn pairs(count: u32) -> Vec<Sample> {
    (0..count)
        .map(|index| {
            let prompt: Vec<u32> = (0..20)
                .map(|i| i * 5 % VOCABULARY)
                .chain([index % VOCABULARY, (index * 11 + 3) % VOCABULARY])
                .collect();
            let answer = |len: u32, step: u32| {
                let own = (0..len).map(|i| (index * 7 + i * i + step) % VOCABULARY);
                let input_ids: Vec<u32> = prompt.iter().copied().chain(own).collect();
                let label = |(i, &id): (usize, &u32)| if i < prompt.len() { -100 } else { id.cast_signed() };
                let labels = input_ids.iter().enumerate().map(label).collect();
                batch::Sample::new(input_ids, labels).unwrap()
            };
            let (chosen, rejected) = (answer(4 + index % 3, 5), answer(3 + index % 4, 17));
            Sample::pair(format!("pairs.jsonl:{}", index + 1), chosen, rejected).unwrap()
        })
        .collect()
}

pub(crate) fn options(steps: u64) -> RunOptions {
    RunOptions {
        schedule: ScheduleOptions {
            learning_rate: 5e-3,
            kind: ScheduleKind::Constant,
            warmup: Warmup::Steps(0),
        },
        length: Length::Steps(steps),
        batch_size: 4,
        save_steps: 3,
        ..RunOptions::default()
    }
}

pub(crate) fn job(
    output_dir: &Path,
    method: TrainMethod,
    samples: Vec<Sample>,
    options: RunOptions,
) -> TrainJob<CpuDevice> {
    TrainJob {
        decoder: decoder(),
        method,
        adapter: None,
        samples,
        eval_samples: Vec::new(),
        options,
        output_dir: output_dir.to_owned(),
        base_model_name_or_path: "tiny".to_owned(),
        save_dtype: WeightType::F32,
    }
}

/// Follows a run; asks it to stop after a step where one is given.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) steps: Vec<StepMetrics>,
    pub(crate) eval_losses: Vec<(u64, f64)>,
    pub(crate) eval_rewards: Vec<Rewards>,
    /// Pairs measured before the first step, as told.
    pub(crate) measured: Vec<(usize, usize)>,
    pub(crate) saved: Vec<PathBuf>,
    pub(crate) untrained_samples: usize,
    pub(crate) stop_after: Option<u64>,
}

impl Observer for Recorder {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { untrained_samples, .. } => self.untrained_samples = untrained_samples,
            Event::Step(metrics) => self.steps.push(metrics.clone()),
            Event::Evaluated(metrics) => {
                self.eval_losses.push((metrics.step, metrics.eval_loss));
                self.eval_rewards.extend(metrics.rewards);
            }
            Event::MeasuringReference { done, total } => self.measured.push((done, total)),
            Event::CheckpointSaved { path, .. } | Event::WeightsSaved { path } => {
                self.saved.push(path.to_owned())
            }
            _ => {}
        }
    }

    fn complete_folder(&mut self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("tokenizer.json"), "{}")
    }
}

/// Sets the flag when the step is done: an observer and a flag that both live outside of it.
struct Stopping<'a> {
    recorder: &'a mut Recorder,
    flag: &'a AtomicBool,
}

impl Observer for Stopping<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Step(metrics) = &event
            && self.recorder.stop_after == Some(metrics.step)
        {
            self.flag.store(true, Ordering::Relaxed);
        }
        self.recorder.event(event);
    }

    fn complete_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.recorder.complete_folder(folder)
    }
}

pub(crate) fn train(
    mut trainer: Trainer<CpuDevice>,
    stop_after: Option<u64>,
) -> Result<(Outcome, Recorder), TrainError> {
    let flag = AtomicBool::new(false);
    let mut recorder = Recorder { stop_after, ..Recorder::default() };
    let outcome = trainer.train(&mut Stopping { recorder: &mut recorder, flag: &flag }, &flag)?;
    Ok((outcome, recorder))
}

/// Trains a new run to its end.
pub(crate) fn run(job: TrainJob<CpuDevice>) -> Recorder {
    let (outcome, recorder) = train(Trainer::start(job).unwrap(), None).unwrap();
    assert!(matches!(outcome, Outcome::Finished { .. }));
    recorder
}

/// Every file below a folder, by its path; of metrics.jsonl and TensorBoard's file everything but the times.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            files.extend(contents(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
        } else if name.to_string_lossy().contains("tfevents") {
            files.insert(name, format!("{:?}", events(&path)).into_bytes());
        } else if name == Path::new("metrics.jsonl") {
            files.insert(name, without_times(&fs::read_to_string(&path).unwrap()).into_bytes());
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// Step, tag and value of everything in an event file, times left out; read by the formats' definitions.
pub(crate) fn events(path: &Path) -> Vec<(u64, String, f32)> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let len = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let event = fields(&bytes[at + 12..at + 12 + len]);
        let step = event.iter().find(|(number, _)| *number == 2).map_or(0, |(_, value)| varint(value).0);
        for (_, summary) in event.iter().filter(|(number, _)| *number == 5) {
            for (_, value) in fields(summary) {
                let value = fields(value);
                let number = f32::from_le_bytes(value[1].1.try_into().unwrap());
                let tag = String::from_utf8(value[0].1.to_vec()).unwrap();
                if tag != "train/tokens_per_second" {
                    found.push((step, tag, number));
                }
            }
        }
        at += 16 + len;
    }
    found
}

/// The fields of a protocol buffer message: number and bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let (key, used) = varint(message);
        message = &message[used..];
        let (skip, len) = match key & 7 {
            0 => (0, varint(message).1),
            1 => (0, 8),
            2 => {
                let (len, used) = varint(message);
                (used, len as usize)
            }
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, &message[skip..skip + len]));
        message = &message[skip + len..];
    }
    found
}

fn varint(bytes: &[u8]) -> (u64, usize) {
    let used = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let digits = bytes[..used].iter().rev();
    (digits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)), used)
}

fn without_times(metrics: &str) -> String {
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("tokens_per_second");
        format!("{value}\n")
    };
    metrics.lines().map(line).collect()
}

/// The numbers of every tensor of a safetensors file.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers =
        |data: &[u8]| data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    file.tensors().into_iter().map(|(name, tensor)| (name, numbers(tensor.data()))).collect()
}
