//! What can be wrong with a tokenizer, or between it and a template.

use thiserror::Error;

/// Why a tokenizer cannot be used, or a conversation not encoded with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file is not JSON.
    #[error("the tokenizer.json is not JSON: {reason}. Fetch the file again")]
    NotJson {
        /// What the JSON reader says.
        reason: String,
    },
    /// The file cannot be read as a tokenizer.
    #[error("the tokenizer.json cannot be used: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// The template writes a control token that the tokenizer does not have.
    #[error(
        "the template writes the control token {token:?}, which the tokenizer does not have among its added tokens: {known}. Use the tokenizer of the model the template belongs to, or another --template"
    )]
    NoControlToken {
        /// The token.
        token: String,
        /// The added tokens there are, shortened.
        known: String,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer cannot encode a text of {bytes} bytes: {reason}")]
    Encode {
        /// How long the text is.
        bytes: usize,
        /// What the tokenizer says.
        reason: String,
    },
    /// The tokens of a text do not add up to it, so that nothing can be said about which are trained.
    #[error(
        "the tokens of a text of {bytes} bytes spell {spelled}, so it is not known which of them are trained; the text begins: {text}. This tokenizer cannot be used for training"
    )]
    NotAligned {
        /// How long the text is.
        bytes: usize,
        /// How many bytes its tokens have.
        spelled: usize,
        /// The beginning of the text.
        text: String,
    },
    /// An id that the tokenizer does not have.
    #[error("id {id} is not in the tokenizer's vocabulary; the largest id is {largest}")]
    UnknownId {
        /// The id.
        id: u32,
        /// The largest there is.
        largest: u32,
    },
}
