//! Generation with a key-value cache.

use toolsmith_kernels::Device;

use crate::{Decoder, ModelError};

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// Most tokens to write per prompt.
    pub max_new_tokens: usize,
    /// Ids that end a generation; the stop id is the last of the returned ids.
    pub stop_ids: Vec<u32>,
    /// 0 chooses the likeliest token (greedy); above, logits are divided by it.
    pub temperature: f32,
    /// Keep the likeliest tokens that together reach this probability (1 keeps all).
    pub top_p: f32,
    /// Keep this many likeliest tokens (0 keeps all).
    pub top_k: usize,
    /// Divides the logits of tokens already present (1 leaves them; Keskar et al., 2019).
    pub repetition_penalty: f32,
    /// Draws of prompt `i` depend on this and `i` alone.
    pub seed: u64,
    /// Ids from here on are never chosen: rows of the embedding without a token.
    pub vocab_limit: Option<usize>,
}

impl Default for GenerationOptions {
    /// Greedy, 256 tokens, no stop id.
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            stop_ids: Vec::new(),
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
            vocab_limit: None,
        }
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A stop id was written.
    StopId(u32),
    /// `max_new_tokens` were written.
    Length,
}

/// What was written after one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// New ids, the stop id (if any) last.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// Continues all prompts together; a prefix that prompts share is computed once. `on_token(prompt, id)` hears of each
/// token as it is chosen.
///
/// # Errors
/// An empty prompt, an id outside the vocabulary, or options without sense.
pub fn generate<D: Device>(
    _decoder: &Decoder<D>,
    _prompts: &[Vec<u32>],
    _options: &GenerationOptions,
    _on_token: &mut dyn FnMut(usize, u32),
) -> Result<Vec<Generated>, ModelError> {
    unimplemented!()
}
