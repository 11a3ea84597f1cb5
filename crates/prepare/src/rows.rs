//! Samples laid end to end, the form in which they travel from the workers to a file or a trainer.
//!
//! In: samples, one by one, with their origin. Out: flat columns and a view of each row. Does not know Parquet.

use crate::Place;

/// Position of a label that is not trained (Hugging Face's convention).
pub const IGNORE_INDEX: i32 = -100;

/// Where a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the file among the sources.
    pub source: usize,
    /// Index of the record in its file, from 0.
    pub index: usize,
    /// Line of the record's first byte, from 1.
    pub line: usize,
}

impl Origin {
    /// The record at `place` of the source with this index.
    pub fn new(source: usize, place: Place) -> Self {
        Self { source, index: place.index, line: place.line }
    }
}

/// Samples in columns: row `i` holds the values from `ends[i - 1]` to `ends[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    input_ids: Vec<u32>,
    labels: Vec<i32>,
    /// As long as `labels` once any row has weights.
    weights: Option<Vec<f32>>,
    ends: Vec<usize>,
    origins: Vec<Origin>,
}

/// One sample of [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Token ids.
    pub input_ids: &'a [u32],
    /// The id to train at each position, or -100.
    pub labels: &'a [i32],
    /// What each position counts in the loss; `None` where all count the same.
    pub weights: Option<&'a [f32]>,
    /// The record it was made from.
    pub origin: Origin,
}

impl Row<'_> {
    /// Positions that are trained.
    pub fn trained_tokens(&self) -> usize {
        self.labels.iter().filter(|&&label| label != IGNORE_INDEX).count()
    }

    /// Positions at which another token is trained than stands there.
    pub fn relabelled(&self) -> impl Iterator<Item = usize> {
        let pairs = self.labels.iter().zip(self.input_ids).enumerate();
        pairs.filter_map(|(at, (&label, &id))| {
            (label != IGNORE_INDEX && label.cast_unsigned() != id).then_some(at)
        })
    }
}

impl Rows {
    /// No rows, with room for so many of so many tokens together.
    pub(crate) fn with_capacity(rows: usize, tokens: usize) -> Self {
        Self {
            input_ids: Vec::with_capacity(tokens),
            labels: Vec::with_capacity(tokens),
            weights: None,
            ends: Vec::with_capacity(rows),
            origins: Vec::with_capacity(rows),
        }
    }

    /// Appends a sample; both slices are equally long.
    pub fn push(&mut self, input_ids: &[u32], labels: &[i32], origin: Origin) {
        self.push_weighted(input_ids, labels, None, origin);
    }

    /// Appends a sample whose positions count by these weights; all slices are equally long.
    pub fn push_weighted(
        &mut self,
        input_ids: &[u32],
        labels: &[i32],
        weights: Option<&[f32]>,
        origin: Origin,
    ) {
        match (&mut self.weights, weights) {
            (None, None) => {}
            (Some(all), None) => all.resize(all.len() + labels.len(), 1.0),
            (all, Some(weights)) => {
                all.get_or_insert_with(|| vec![1.0; self.labels.len()]).extend_from_slice(weights);
            }
        }
        self.input_ids.extend_from_slice(input_ids);
        self.labels.extend_from_slice(labels);
        debug_assert_eq!(self.input_ids.len(), self.labels.len());
        self.ends.push(self.input_ids.len());
        self.origins.push(origin);
    }

    /// Appends all rows of `other`.
    pub fn append(&mut self, other: Rows) {
        let start = self.input_ids.len();
        if self.weights.is_some() || other.weights.is_some() {
            let all = self.weights.get_or_insert_with(|| vec![1.0; start]);
            all.extend(other.weights.unwrap_or_else(|| vec![1.0; other.labels.len()]));
        }
        self.input_ids.extend(other.input_ids);
        self.labels.extend(other.labels);
        self.ends.extend(other.ends.iter().map(|end| start + end));
        self.origins.extend(other.origins);
    }

    /// The same rows in portions of at most so many.
    pub(crate) fn split(self, most: usize) -> Vec<Rows> {
        if self.len() <= most {
            return vec![self];
        }
        let mut portions: Vec<Rows> = Vec::new();
        for row in self.iter() {
            match portions.last_mut() {
                Some(last) if last.len() < most.max(1) => last.push_row(&row),
                _ => {
                    let mut next = Rows::default();
                    next.push_row(&row);
                    portions.push(next);
                }
            }
        }
        portions
    }

    fn push_row(&mut self, row: &Row<'_>) {
        self.push_weighted(row.input_ids, row.labels, row.weights, row.origin);
    }

    /// The samples two by two: the chosen and the rejected answer of each pair.
    pub fn pairs(&self) -> impl Iterator<Item = (Row<'_>, Row<'_>)> {
        (0..self.len()).step_by(2).filter_map(|index| Some((self.get(index)?, self.get(index + 1)?)))
    }

    /// The chosen answers of pairs, and the rejected ones.
    pub(crate) fn apart(&self) -> [Rows; 2] {
        let half = || Rows::with_capacity(self.len().div_ceil(2), self.tokens().div_ceil(2));
        let [mut chosen, mut rejected] = [half(), half()];
        for (one, other) in self.pairs() {
            chosen.push_row(&one);
            rejected.push_row(&other);
        }
        [chosen, rejected]
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Number of tokens in all samples together.
    pub fn tokens(&self) -> usize {
        self.input_ids.len()
    }

    /// The sample at `index`.
    pub fn get(&self, index: usize) -> Option<Row<'_>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(Row {
            input_ids: &self.input_ids[start..end],
            labels: &self.labels[start..end],
            weights: self.weights.as_ref().map(|weights| &weights[start..end]),
            origin: self.origins[index],
        })
    }

    /// All samples in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(crate) fn into_columns(self) -> Columns {
        let Self { input_ids, labels, weights, ends, origins } = self;
        Columns { input_ids, labels, weights, ends, origins }
    }
}

/// What [`Rows`] consists of.
pub(crate) struct Columns {
    pub(crate) input_ids: Vec<u32>,
    pub(crate) labels: Vec<i32>,
    pub(crate) weights: Option<Vec<f32>>,
    pub(crate) ends: Vec<usize>,
    pub(crate) origins: Vec<Origin>,
}
