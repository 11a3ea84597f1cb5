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
    /// The bytes are none of the files that tokenizers come in.
    #[error(
        "no tokenizer file: {found}. Expected a tokenizer.json, a tiktoken file (lines of base64 and a rank) or a SentencePiece model. {mend}"
    )]
    UnknownKind {
        /// What the bytes are instead.
        found: String,
        /// What to do about it.
        mend: &'static str,
    },
    /// A tiktoken file that cannot be read.
    #[error("the tiktoken file cannot be used: line {line}: {reason}. Fetch the file again")]
    Tiktoken {
        /// Where, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A tiktoken file of a model that is not known here: such a file does not say how text is cut into words.
    #[error(
        "the tiktoken file has {ranks} ranks and tokenizer_config.json says tokenizer_class {class}: of which model it is cannot be told, and so not how text is cut into words. Known are GLM-4 (151329 ranks, ChatGLM4Tokenizer), Qwen (151643, QWenTokenizer) and Llama 3 (128000). Give the model's tokenizer.json instead"
    )]
    UnknownTiktoken {
        /// How many pieces the file has.
        ranks: usize,
        /// `tokenizer_class`, or "nothing".
        class: String,
    },
    /// A SentencePiece model that cannot be read.
    #[error("the SentencePiece model cannot be used: {reason}. Fetch the file again")]
    SentencePiece {
        /// Where and what.
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
