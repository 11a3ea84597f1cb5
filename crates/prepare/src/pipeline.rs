//! The parallel pipeline: one thread reads, several work, the caller takes results in input order.
//!
//! In: source files and a function from a chunk of raw records to anything, or from one record to samples. Out: what it
//! makes, handed over chunk by chunk in the order of the input whatever the number of threads; for samples a
//! [`Summary`]. Chunks depend on the input alone and queues are bounded, so memory stays flat however large the input
//! is. Does not know what becomes of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use toolsmith_chat::check::Finding;

use crate::chunk::{Sides, finish};
use crate::summary::SummaryBuilder;
use crate::{FileRecords, Place, PrepareError, RawRecord, Selection, Summary};

/// Bytes after which a chunk is closed.
const CHUNK_BYTES: usize = 1 << 20;

/// How the pipeline runs; the number of threads changes nothing of what comes out.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Worker threads.
    pub threads: usize,
    /// Longest record that is read, in bytes.
    pub max_record_bytes: usize,
    /// Most records that are worked on together; what is written groups its rows by this.
    pub chunk_records: usize,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            max_record_bytes: 64 << 20,
            chunk_records: 512,
        }
    }
}

/// How far preparation is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes read from disk, compressed ones as they are, over all sources.
    pub bytes_read: u64,
    /// Records done.
    pub conversations: usize,
    /// Samples made.
    pub samples: usize,
}

/// One sample on its way into [`Rows`](crate::Rows).
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// The id to train at each position, or -100.
    pub labels: Vec<i32>,
    /// What each position counts in the loss; `None` where all count the same.
    pub weights: Option<Vec<f32>>,
}

/// What a record gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// Its samples, usually one; of a pair, that of the chosen answer and that of the rejected one.
    pub samples: Vec<Sample>,
    /// What is odd about it without being wrong.
    pub warnings: Vec<Finding>,
    /// Whether its rendering was compared with what the model's own template prints.
    pub compared: bool,
    /// Whether it is a pair of two answers to one prompt.
    pub is_pair: bool,
}

/// Makes samples of one record's bytes, or says everything that is wrong with it; told the index of its source.
pub type Work<'a> = dyn Fn(usize, &[u8], Place) -> Result<Accepted, Vec<Finding>> + Sync + 'a;

/// Neighbouring records of one source, worked on together.
#[derive(Debug)]
pub struct Chunk {
    /// Index of the file among the sources.
    pub source: usize,
    /// Its records, in order.
    pub records: Vec<RawRecord>,
}

/// Records on their way to rows.
pub struct Pipeline<'a> {
    /// The files.
    pub sources: &'a [PathBuf],
    /// How it runs.
    pub options: &'a PipelineOptions,
    /// Which records are taken.
    pub selection: &'a Selection,
    /// Makes samples of a record.
    pub work: &'a Work<'a>,
}

impl Pipeline<'_> {
    /// Sends every record through the work and the rows of each chunk through `make`, both in the worker threads, and
    /// hands what was made to `take` in input order.
    ///
    /// `progress` hears about each chunk. Reading stops at the first error of `make` or `take`.
    pub fn run<T: Send>(
        &self,
        make: &(dyn Fn(Sides) -> Result<T, PrepareError> + Sync),
        progress: &mut dyn FnMut(Progress),
        take: &mut dyn FnMut(T, &SummaryBuilder) -> Result<(), PrepareError>,
    ) -> Result<SummaryBuilder, PrepareError> {
        let mut summary = SummaryBuilder::new(self.sources, self.selection);
        let work = |chunk| {
            let mut finished = finish(chunk, self.selection, self.work);
            let made = make(std::mem::take(&mut finished.sides));
            (finished, made)
        };
        map_chunks(self.sources, self.options, &work, &mut |(finished, made), bytes_read| {
            summary.add(finished);
            take(made?, &summary)?;
            let Summary { conversations, samples, .. } = *summary.so_far();
            progress(Progress { bytes_read, conversations, samples });
            Ok(())
        })?;
        Ok(summary)
    }
}

/// Sends every chunk of `sources` through `work`, several at a time, and hands what it makes of them to `take` in input
/// order, with the bytes read so far. Ends at the first error of `take`.
pub fn map_chunks<T: Send>(
    sources: &[PathBuf],
    options: &PipelineOptions,
    work: &(dyn Fn(Chunk) -> T + Sync),
    take: &mut dyn FnMut(T, u64) -> Result<(), PrepareError>,
) -> Result<(), PrepareError> {
    let threads = options.threads.max(1);
    // A wrong name is told before hours of work on the files before it.
    for path in sources {
        path.metadata().map_err(|source| PrepareError::Read { path: path.clone(), source })?;
    }
    let bytes_read = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        // Results wait in the order in which their chunks were read, each in its own slot.
        let (slots, in_order) = sync_channel::<Slot<T>>(threads * 2);
        let (jobs, waiting) = sync_channel::<Job<T>>(threads * 2);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            scope.spawn(move || work_through(&waiting, work));
        }
        drop(waiting);
        let counter = Arc::clone(&bytes_read);
        scope.spawn(move || read_all(sources, options, &counter, &slots, &jobs));
        for slot in in_order {
            let made = slot.recv().map_err(|_| PrepareError::WorkerLost)??;
            take(made, bytes_read.load(Ordering::Relaxed))?;
        }
        Ok(())
    })
}

/// Where the result of a chunk will arrive.
type Slot<T> = Receiver<Result<T, PrepareError>>;

/// A chunk, and where its result goes.
type Job<T> = (Chunk, SyncSender<Result<T, PrepareError>>);

/// Reads every source into chunks. Ends early, without a word, when nobody takes them any more.
fn read_all<T>(
    sources: &[PathBuf],
    options: &PipelineOptions,
    bytes_read: &Arc<AtomicU64>,
    slots: &SyncSender<Slot<T>>,
    jobs: &SyncSender<Job<T>>,
) {
    for (source, path) in sources.iter().enumerate() {
        let outcome = read_source(path, source, options, bytes_read, &mut |chunk| {
            let (done, slot) = sync_channel(1);
            slots.send(slot).is_ok() && jobs.send((chunk, done)).is_ok()
        });
        match outcome {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let (done, slot) = sync_channel(1);
                let _nobody_listens = done.send(Err(error));
                let _nobody_listens = slots.send(slot);
                return;
            }
        }
    }
}

/// False when `send` refused a chunk.
fn read_source(
    path: &Path,
    source: usize,
    options: &PipelineOptions,
    bytes_read: &Arc<AtomicU64>,
    send: &mut dyn FnMut(Chunk) -> bool,
) -> Result<bool, PrepareError> {
    let mut records = Vec::new();
    let mut bytes = 0;
    for record in FileRecords::open(path, options.max_record_bytes, bytes_read)? {
        let record =
            record.map_err(|error| PrepareError::Read { path: path.to_path_buf(), source: error })?;
        bytes += record.bytes.as_ref().map_or(0, Vec::len);
        records.push(record);
        if records.len() >= options.chunk_records || bytes >= CHUNK_BYTES {
            bytes = 0;
            if !send(Chunk { source, records: std::mem::take(&mut records) }) {
                return Ok(false);
            }
        }
    }
    Ok(records.is_empty() || send(Chunk { source, records }))
}

fn work_through<T>(waiting: &Mutex<Receiver<Job<T>>>, work: &(dyn Fn(Chunk) -> T + Sync)) {
    loop {
        let job = match waiting.lock() {
            Ok(waiting) => waiting.recv(),
            Err(_) => return,
        };
        let Ok((chunk, done)) = job else { return };
        let _nobody_listens = done.send(Ok(work(chunk)));
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
