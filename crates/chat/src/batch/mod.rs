//! The samples of one optimizer step, laid out as flat runs of tokens.
//!
//! In: `(input_ids, labels)` of each sample. Out: [`TokenRun`]s of at most `max_tokens` tokens, each a tree of
//! segments: a prefix that several samples share (a system prompt with its tools) stands in the run once, and the
//! samples branch from its end. A token attends to its own segment up to itself and to all of its ancestor segments;
//! positions go on counting from the parent, so they restart at each branch. There is no padding.
//!
//! Two things that nobody needs are left out, and both leave the gradients exactly as they were: a shared token is
//! there once, and so is nothing that comes after a sample's last supervised prediction.
//!
//! It does not know models, tensors, files, or how a loss weighs its tokens. The same samples in the same order give
//! the same runs.

mod layout;
mod pack;
mod sample;
#[cfg(test)]
mod tests;
mod truncate;

pub use layout::{Branch, LayoutOptions, Segment, Target, TokenRun, lay_out};
pub use sample::{BatchError, IGNORE_INDEX, Sample};
pub use truncate::{Cut, Fit, Truncation, fit};
