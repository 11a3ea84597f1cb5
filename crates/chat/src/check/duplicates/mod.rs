//! Conversations that are there twice, or nearly, and those that stand in the training and in the evaluation data.
//!
//! In: a [`Fingerprint`] of each conversation, made wherever the conversation passes by, and a [`Threshold`]. Out:
//! [`Duplicates`], which name for a conversation an earlier one like it, or [`Overlap`]s. It keeps no text; it does not
//! know files, threads or the clock.
//!
//! - *The same* is what shows and says the same: see [`Fingerprint`] for what does not count. Of a thousand copies, each
//!   later one names the first; no pair of them is ever looked at.
//! - *Alike* is a question of the share of three-word sequences that two conversations have in common, of all those of
//!   either one (their Jaccard similarity), in what user and assistant say and call. It is estimated from sketches, give
//!   or take 0.05. Conversations of fewer than 20 words are never called alike.
//!
//! The sketches are MinHashes, and the search is locality-sensitive hashing in bands (Broder, SEQUENCES 1997; Leskovec,
//! Rajaraman and Ullman, *Mining of Massive Datasets*, chapter 3): sketches that share a band become neighbours in a
//! sorted list, and each is compared with its eight nearest neighbours on either side, in each of 16 bands. So the time
//! grows with the number of conversations and not with that of their pairs. Sketches that are alike at the default
//! threshold always share a band (15 of 80 bins may differ, which cannot spoil all 16 bands); below it, some pairs share
//! none. Where very many share a band, a pair can be missed, but hardly its group.
//!
//! Memory: a fingerprint is 48 bytes, and a search takes 16 bytes more for each while it runs.

mod exact;
mod keys;
mod overlap;
mod search;
mod sketch;
mod words;

use serde::Serialize;
use thiserror::Error;

pub use overlap::{Overlap, find_overlaps};
pub use search::{Duplicate, Duplicates, find_duplicates};
use sketch::Sketch;
use words::Words;

use crate::data::Conversation;

/// What is kept of a conversation: whether it is the same as another can be told from it, and how alike they are.
///
/// Two conversations are the same when the tools offered, and the role, text, thoughts and calls of every message are.
/// White space around a text, ids of calls, the tool's name beside its result, `train` flags, the order of an object's
/// keys and the spelling of a number do not count. Fingerprints are the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    exact: u64,
    sketch: Sketch,
}

impl Fingerprint {
    /// The fingerprint of a conversation.
    pub fn of(conversation: &Conversation) -> Self {
        Self { exact: exact::hash(conversation), sketch: Sketch::of(&Words::of(conversation)) }
    }

    /// A number that only conversations which are the same share.
    pub fn exact(&self) -> u64 {
        self.exact
    }

    /// How alike two conversations are; `None` where one is too short to tell and they are not the same.
    pub fn likeness(&self, other: &Self) -> Option<Likeness> {
        if self.exact == other.exact {
            return Some(Likeness::Same);
        }
        let comparable = !self.sketch.is_empty() && !other.sketch.is_empty();
        let similarity = || sketch::similarity(self.sketch.equal_bins(&other.sketch));
        comparable.then(|| Likeness::Alike { similarity: similarity() })
    }
}

/// How like another a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "likeness")]
pub enum Likeness {
    /// The same is shown and said.
    Same,
    /// Much of what user and assistant say is the same.
    Alike {
        /// The estimated share of three-word sequences that both have, from 0 to 1.
        similarity: f32,
    },
}

/// From which similarity on two conversations count as alike. The default is 0.8.
///
/// At 0.8, copies with small edits are found and conversations of one template are mostly not. Of 600 real conversations
/// with tools (Glaive), edited by `examples/duplicates.rs`, those with one changed word are found in 99 of 100 cases,
/// with 2% of the words changed in 94, with 5% in 29, with 10% in 1; with another argument (a city, a name) wherever it is
/// said in 62, the longer ones. At 0.7 it is 84 for 5% of the words, and 87 for another argument, which data made from
/// templates on purpose is full of.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Threshold(f32);

impl Threshold {
    /// The least there can be: below it, more would be missed than found.
    pub const LEAST: f32 = 0.5;

    /// A threshold from [`Self::LEAST`] to 1.
    pub fn new(similarity: f32) -> Result<Self, DuplicatesError> {
        if (Self::LEAST..=1.0).contains(&similarity) {
            Ok(Self(similarity))
        } else {
            Err(DuplicatesError::Threshold { found: similarity })
        }
    }

    /// The similarity.
    pub fn similarity(self) -> f32 {
        self.0
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self(0.8)
    }
}

/// Why there is no search.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DuplicatesError {
    /// A threshold that is no similarity the search can find.
    #[error(
        "the similarity {found} is out of range; expected {} to 1, where 1 is the same words",
        Threshold::LEAST
    )]
    Threshold {
        /// What was given.
        found: f32,
    },
    /// More conversations than the search numbers.
    #[error(
        "{found} conversations are too many for one search; expected at most {}. Search the data in parts",
        u32::MAX
    )]
    TooMany {
        /// How many were given.
        found: usize,
    },
}
