//! TensorBoard event files: the numbers of metrics.jsonl as curves.
//!
//! In: metrics. Out: a file of `tensorflow.Event` messages (tensorflow/core/util/event.proto), each in a TFRecord frame:
//! its length, the length's checksum, the bytes, their checksum (CRC-32C, masked as in tensorflow/core/lib/hash/crc32c.h).
//! A resumed run first drops the records after its checkpoint. It does not know what the numbers mean.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::metrics::{EvalMetrics, StepMetrics};
use crate::objective::Rewards;
use crate::{TrainError, run_folder};

/// TensorBoard reads every file whose name has `tfevents` in it.
const FILE: &str = "events.out.tfevents.toolsmith";

/// The open file.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Opens the file in `folder`, keeping only the records of steps up to `done_steps`.
    pub(crate) fn open(folder: &Path, done_steps: u64) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(TrainError::file(folder, "create"))?;
        let path = folder.join(FILE);
        let mut kept = Vec::new();
        if path.exists() {
            let bytes = fs::read(&path).map_err(TrainError::file(&path, "read"))?;
            kept = records_up_to(&bytes, done_steps);
        }
        if kept.is_empty() {
            kept = frame(&Message::default().double(1, wall_time()).bytes(3, b"brain.Event:2").0);
        }
        run_folder::replace_file(&path, &kept)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(TrainError::file(&path, "write"))?;
        Ok(Self { path, file })
    }

    pub(crate) fn step(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        let StepMetrics { loss, learning_rate, grad_norm, tokens_per_second, epoch, .. } = *metrics;
        let scalars = [
            ("loss", loss),
            ("learning_rate", learning_rate),
            ("grad_norm", grad_norm),
            ("tokens_per_second", tokens_per_second),
            ("epoch", epoch),
        ];
        self.append("train", metrics.step, scalars.into_iter().chain(named(metrics.rewards)))
    }

    pub(crate) fn evaluation(&mut self, metrics: &EvalMetrics) -> Result<(), TrainError> {
        let loss = [("loss", metrics.eval_loss)];
        self.append("eval", metrics.step, loss.into_iter().chain(named(metrics.rewards)))
    }

    /// Appends a record in one write, so that a reader never sees half of one.
    fn append(
        &mut self,
        part: &str,
        step: u64,
        scalars: impl Iterator<Item = (&'static str, f64)>,
    ) -> Result<(), TrainError> {
        let summary = scalars.fold(Message::default(), |summary, (name, value)| {
            let tag = format!("{part}/{name}");
            let value = Message::default().bytes(1, tag.as_bytes()).float(2, value as f32);
            summary.bytes(1, &value.0)
        });
        let event = Message::default().double(1, wall_time()).varint(2, step).bytes(5, &summary.0);
        self.file.write_all(&frame(&event.0)).map_err(TrainError::file(&self.path, "write"))
    }
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A protocol buffer message in the making.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, field: u64, value: u64) -> Self {
        self.push_varint(field << 3);
        self.push_varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.push_varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.push_varint(field << 3 | 2);
        self.push_varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.push_varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

fn frame(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    [&length, &checksum(&length)[..], record, &checksum(record)].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let crc = crc32c::crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The leading records that are whole and of a step that counts. The first one, which names the version, is of no step.
fn records_up_to(bytes: &[u8], done_steps: u64) -> Vec<u8> {
    let mut rest = bytes;
    while let Some((record, after)) = unframe(rest) {
        if step_of(record).is_none_or(|step| step > done_steps) {
            break;
        }
        rest = after;
    }
    bytes[..bytes.len() - rest.len()].to_vec()
}

fn unframe(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_checksum, rest) = rest.split_first_chunk::<4>()?;
    let (record, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (record_checksum, rest) = rest.split_first_chunk::<4>()?;
    (checksum(length) == *length_checksum && checksum(record) == *record_checksum).then_some((record, rest))
}

fn named(rewards: Option<Rewards>) -> impl Iterator<Item = (&'static str, f64)> {
    rewards.into_iter().flat_map(|rewards| rewards.named())
}

/// The step of an event as [`EventLog`] writes it: after the time, or nowhere.
fn step_of(event: &[u8]) -> Option<u64> {
    let after_time = event.get(9..)?;
    let Some((&0x10, digits)) = after_time.split_first() else { return Some(0) };
    let mut step = 0;
    for (index, byte) in digits.iter().take(10).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(step);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: u64) -> StepMetrics {
        StepMetrics {
            step,
            epoch: 0.5,
            rewards: None,
            loss: 2.25,
            learning_rate: 1e-3,
            grad_norm: 1.5,
            tokens: 10,
            trained_tokens: 5,
            computed_tokens: 10,
            runs: 1,
            fill: 0.5,
            tokens_per_second: 100.0,
        }
    }

    fn steps(folder: &Path) -> Vec<u64> {
        let bytes = fs::read(folder.join(FILE)).unwrap();
        let (mut rest, mut steps) = (&bytes[..], Vec::new());
        while let Some((record, after)) = unframe(rest) {
            steps.push(step_of(record).unwrap());
            rest = after;
        }
        assert!(rest.is_empty());
        steps
    }

    #[test]
    fn checksums_are_those_of_tensorflow() {
        // The frame of the first record of a file that TensorFlow writes: 24 bytes.
        assert_eq!(checksum(&24_u64.to_le_bytes()), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn a_resumed_file_keeps_whole_records_up_to_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path(), 0).unwrap();
        for step in [1, 2, 300, 301] {
            log.step(&metrics(step)).unwrap();
        }
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let mut log = EventLog::open(dir.path(), 300).unwrap();
        log.evaluation(&EvalMetrics { step: 300, eval_loss: 0.5, rewards: None, eval_trained_tokens: 4 })
            .unwrap();
        assert_eq!(steps(dir.path()), [0, 1, 2, 300, 300]);
        EventLog::open(dir.path(), 1).unwrap();
        assert_eq!(steps(dir.path()), [0, 1]);
    }

    #[test]
    fn a_damaged_file_begins_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "this is no record at all, but long enough to be one").unwrap();
        EventLog::open(dir.path(), 5).unwrap();
        assert_eq!(steps(dir.path()), [0]);
    }
}
