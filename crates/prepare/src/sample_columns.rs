//! The columns of prepared samples, as `prepare` and other tools write them, to samples.
//!
//! In: a batch of rows. Out: each row's [`Sample`], or why it is none. Columns are those that TRL and axolotl name:
//! `labels`, where absent `input_ids` themselves; `completion_mask` and `assistant_masks` that take positions out of them.
//! What would be trained otherwise than it was meant (padding, several samples in a row, labels that are shifted already)
//! is refused. Does not know files.

use arrow_array::{ArrayRef, RecordBatch};

use crate::list_column::{flags, floats, integers};
use crate::{IGNORE_INDEX, Sample};

/// Columns that say which positions are trained, beside the labels or in place of them: TRL's.
pub(crate) const MASKS: [&str; 2] = ["completion_mask", "assistant_masks"];

/// The columns of one sample of each row.
pub(crate) struct SampleColumns<'a> {
    batch: &'a RecordBatch,
    prefix: &'a str,
    input_ids: &'a ArrayRef,
}

impl<'a> SampleColumns<'a> {
    /// The columns whose names begin so.
    pub(crate) fn of(batch: &'a RecordBatch, prefix: &'a str) -> Result<Self, String> {
        let name = format!("{prefix}input_ids");
        let input_ids = batch.column_by_name(&name).ok_or_else(|| {
            let schema = batch.schema();
            let columns = schema.fields().iter().map(|field| field.name()).collect::<Vec<_>>();
            format!("no column {name:?} among its columns {columns:?}")
        })?;
        Ok(Self { batch, prefix, input_ids })
    }

    /// One row's sample.
    pub(crate) fn sample(&self, row: usize) -> Result<Sample, String> {
        let prefix = self.prefix;
        let ids = integers(self.input_ids, row).map_err(|found| format!("{prefix}input_ids: {found}"))?;
        let unsigned = |&id: &i32| u32::try_from(id).map_err(|_| id);
        let input_ids = ids.iter().map(unsigned).collect::<Result<Vec<u32>, i32>>();
        let input_ids =
            input_ids.map_err(|id| format!("{prefix}input_ids holds {id}; a token id is never negative"))?;
        self.refuse_padding(row, ids.len())?;
        self.refuse_packs(row, ids.len())?;
        let mut labels = match self.values("labels", row, ids.len(), integers)? {
            Some(labels) => self.checked_labels(labels, &ids)?,
            None => ids,
        };
        for mask in MASKS {
            let trained = self.values(mask, row, labels.len(), flags)?.into_iter().flatten();
            labels.iter_mut().zip(trained).filter(|(_, trained)| !trained).for_each(|(label, _)| {
                *label = IGNORE_INDEX;
            });
        }
        let weights = self.values("loss_weights", row, labels.len(), floats)?;
        Ok(Sample { input_ids, labels, weights })
    }

    /// What stands in a column that not every file has: a value for each id.
    fn values<T>(
        &self,
        name: &str,
        row: usize,
        expected: usize,
        read: fn(&ArrayRef, usize) -> Result<Vec<T>, String>,
    ) -> Result<Option<Vec<T>>, String> {
        let prefix = self.prefix;
        let Some(column) = self.column(name) else { return Ok(None) };
        let values = read(column, row).map_err(|found| format!("{prefix}{name}: {found}"))?;
        match values.len() {
            found if found == expected => Ok(Some(values)),
            found => Err(format!("{expected} {prefix}input_ids but {found} {prefix}{name}")),
        }
    }

    fn column(&self, name: &str) -> Option<&'a ArrayRef> {
        self.batch.column_by_name(&format!("{}{name}", self.prefix))
    }

    fn checked_labels(&self, labels: Vec<i32>, ids: &[i32]) -> Result<Vec<i32>, String> {
        let prefix = self.prefix;
        let no_label = |&label: &i32| label < 0 && label != IGNORE_INDEX;
        if let Some(position) = labels.iter().position(no_label) {
            return Err(format!(
                "{prefix}labels[{position}] is {}; expected a token id, or {IGNORE_INDEX} where nothing is trained",
                labels[position]
            ));
        }
        if are_shifted(&labels, ids) {
            return Err(format!(
                "each of the {prefix}labels is the id behind its place, but training shifts them itself. Write a label at \
                 the place of its id, as transformers and TRL expect it"
            ));
        }
        Ok(labels)
    }

    fn refuse_padding(&self, row: usize, length: usize) -> Result<(), String> {
        let attended = self.values("attention_mask", row, length, flags)?.unwrap_or_default();
        match attended.iter().filter(|attended| !**attended).count() {
            0 => Ok(()),
            padded => Err(format!(
                "{}attention_mask is 0 at {padded} of {length} positions. Write the row without its padding",
                self.prefix
            )),
        }
    }

    /// In a row with several samples each would read those before it.
    fn refuse_packs(&self, row: usize, length: usize) -> Result<(), String> {
        let packed = |found| {
            format!("{found}: several samples are packed in this row. Write a row for each, without packing")
        };
        let positions = self.values("position_ids", row, length, integers)?.unwrap_or_default();
        if let Some(before) = positions.windows(2).position(|pair| pair[0].checked_add(1) != Some(pair[1])) {
            let at = before + 1;
            if positions[at] > positions[before] {
                return Err(format!(
                    "position_ids go from {} to {} at position {at}; here positions count up by one. Write the row without \
                     gaps and padding",
                    positions[before], positions[at]
                ));
            }
            return Err(packed(format!("position_ids begin again at position {at}")));
        }
        let lengths = self.column("seq_lengths").map(|column| integers(column, row)).transpose();
        let lengths = lengths.map_err(|found| format!("seq_lengths: {found}"))?;
        match lengths.map_or(0, |lengths| lengths.len()) {
            0 | 1 => Ok(()),
            several => Err(packed(format!("seq_lengths has {several} numbers"))),
        }
    }
}

/// Whether each label is the id behind its place, as trainers that do not shift by themselves want it.
fn are_shifted(labels: &[i32], ids: &[i32]) -> bool {
    let mut misplaced = 0;
    for (&label, pair) in labels.iter().zip(ids.windows(2)).filter(|(label, _)| **label != IGNORE_INDEX) {
        if label != pair[1] {
            return false;
        }
        misplaced += usize::from(label != pair[0]);
    }
    // One alone may be a stop token that another one stands for.
    misplaced > 1
}
