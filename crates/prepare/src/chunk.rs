//! One chunk of records to rows.
//!
//! In: neighbouring records, what is wanted of them, and the [`Work`] that turns one into samples. Out: the rows of both
//! sides, and what is to be said about the records. It runs in a worker and knows nothing of other chunks.

use toolsmith_chat::check::{Code, Finding};

use crate::pipeline::{Chunk, Work};
use crate::summary::RowCounts;
use crate::{Origin, Place, Rows, Selection};

/// The rows of a chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    /// Those to train on.
    pub train: Rows,
    /// Those that are kept apart to measure with.
    pub validation: Rows,
}

/// What became of a chunk's records.
pub(crate) struct Finished {
    pub(crate) source: usize,
    pub(crate) conversations: usize,
    /// Records that the mixing weight left out.
    pub(crate) left_out: usize,
    pub(crate) sides: Sides,
    pub(crate) counts: RowCounts,
    pub(crate) refused: Vec<(Place, Vec<Finding>)>,
    pub(crate) warned: Vec<(Place, Vec<Finding>)>,
    pub(crate) compared: usize,
    pub(crate) pairs: usize,
}

/// Bytes of a record's text for each of its tokens, at least in most data: what room is made by.
const BYTES_PER_TOKEN: usize = 3;

pub(crate) fn finish(chunk: Chunk, selection: &Selection, work: &Work<'_>) -> Finished {
    let count = chunk.records.len();
    let bytes: usize =
        chunk.records.iter().filter_map(|record| record.bytes.as_ref().ok()).map(Vec::len).sum();
    let train = Rows::with_capacity(count, bytes / BYTES_PER_TOKEN);
    let mut finished = Finished {
        source: chunk.source,
        conversations: count,
        left_out: 0,
        sides: Sides { train, validation: Rows::default() },
        counts: RowCounts::default(),
        refused: Vec::new(),
        warned: Vec::new(),
        compared: 0,
        pairs: 0,
    };
    for record in chunk.records {
        let place = record.place;
        let bytes = match record.bytes {
            Ok(bytes) => bytes,
            Err(message) => {
                finished.refused.push((place, vec![Finding::new(Code::Unreadable, message)]));
                continue;
            }
        };
        let choice = selection.choose(chunk.source, &bytes);
        if choice.times == 0 {
            finished.left_out += 1;
            continue;
        }
        match work(chunk.source, &bytes, place) {
            Ok(accepted) => {
                let origin = Origin::new(chunk.source, place);
                let Sides { train, validation } = &mut finished.sides;
                let rows = if choice.validation { validation } else { train };
                for sample in accepted.samples.iter().cycle().take(accepted.samples.len() * choice.times) {
                    rows.push_weighted(&sample.input_ids, &sample.labels, sample.weights.as_deref(), origin);
                }
                finished.pairs += usize::from(accepted.is_pair) * choice.times;
                finished.compared += usize::from(accepted.compared);
                if !accepted.warnings.is_empty() {
                    finished.warned.push((place, accepted.warnings));
                }
            }
            Err(reasons) => finished.refused.push((place, reasons)),
        }
    }
    finished.counts = RowCounts::of(&finished.sides);
    finished
}
