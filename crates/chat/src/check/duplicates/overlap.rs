//! The conversations of the evaluation data that are like one of the training data.
//!
//! In: the fingerprints of both. Out: an [`Overlap`] for each conversation of the evaluation data that has a like one.
//! What is like another within one of the two is [`super::find_duplicates`]'s question.

use serde::Serialize;

use super::keys::Keys;
use super::sketch::{BANDS, equal_bins_at};
use super::{DuplicatesError, Fingerprint, Likeness, Threshold};

/// A conversation of the evaluation data that has a like one in the training data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overlap {
    /// Which conversation of the evaluation data, counted from 0.
    pub eval: usize,
    /// The first one of the training data that is the same; otherwise the one found most alike.
    pub train: usize,
    /// How like each other they are.
    #[serde(flatten)]
    pub likeness: Likeness,
}

/// Finds the conversations of `eval` that are the same as one of `train` or, from the threshold on, alike; in the order
/// of `eval`. Without a threshold only the same ones are looked for.
pub fn find_overlaps(
    train: &[Fingerprint],
    eval: &[Fingerprint],
    threshold: Option<Threshold>,
) -> Result<Vec<Overlap>, DuplicatesError> {
    let mut keys = Keys::new(train)?;
    let mut is_first = vec![false; train.len()];
    for same in keys.by_content() {
        is_first[same[0].index() as usize] = true;
    }
    let mut likest: Vec<Option<u32>> = eval.iter().map(|eval| keys.first_same(eval.exact)).collect();
    if let Some(threshold) = threshold {
        let enough = equal_bins_at(threshold.similarity());
        for band in 0..BANDS {
            keys.sort_by_band(band, |index| is_first[index as usize]);
            for (eval, likest) in eval.iter().zip(&mut likest) {
                if eval.sketch.is_empty()
                    || likest.is_some_and(|known| train[known as usize].exact == eval.exact)
                {
                    continue;
                }
                let equal_bins = |index: u32| train[index as usize].sketch.equal_bins(&eval.sketch);
                for neighbour in keys.neighbours_of(eval, band).filter(|index| equal_bins(*index) >= enough) {
                    // The most alike; of several, the first.
                    let rank = |index: u32| (equal_bins(index), std::cmp::Reverse(index));
                    if likest.is_none_or(|known| rank(neighbour) > rank(known)) {
                        *likest = Some(neighbour);
                    }
                }
            }
        }
    }
    let overlap = |(eval, (fingerprint, train_index)): (usize, (&Fingerprint, Option<u32>))| {
        let train_index = train_index? as usize;
        let likeness = fingerprint.likeness(train.get(train_index)?)?;
        Some(Overlap { eval, train: train_index, likeness })
    };
    Ok(eval.iter().zip(likest).enumerate().filter_map(overlap).collect())
}
