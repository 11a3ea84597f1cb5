//! What each token counts in the loss, by the part of the answer that it begins in.

use super::{ChatTokenizer, Encoded, TokenizerError};
use crate::template::{Part, Rendered};

/// Weights of the parts of an answer; what is no such part (punctuation, stop tokens) weighs 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartWeights {
    /// Names of called tools.
    pub name: f32,
    /// Names of arguments.
    pub argument_key: f32,
    /// Values of arguments.
    pub argument_value: f32,
    /// Text and thoughts.
    pub prose: f32,
}

impl Default for PartWeights {
    fn default() -> Self {
        Self { name: 1.0, argument_key: 1.0, argument_value: 1.0, prose: 1.0 }
    }
}

impl PartWeights {
    fn of(&self, part: Part) -> f32 {
        match part {
            Part::Other => 1.0,
            Part::Prose => self.prose,
            Part::Name => self.name,
            Part::ArgumentKey => self.argument_key,
            Part::ArgumentValue => self.argument_value,
        }
    }
}

impl ChatTokenizer {
    /// The ids and labels of a rendered conversation, and what each position counts in the loss.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_weighted(
        &self,
        rendered: &Rendered,
        weights: &PartWeights,
    ) -> Result<(Encoded, Vec<f32>), TokenizerError> {
        let (encoded, origins) = self.encode_with_origins(rendered)?;
        let pieces = rendered.pieces();
        let weights = origins.iter().map(|origin| weights.of(pieces[origin.piece].part)).collect();
        Ok((encoded, weights))
    }
}
