//! What can be wrong with a record's shape, and how it is said.
//!
//! Each error names the place inside the record; the caller puts file and line before it.

use thiserror::Error;

/// Why a record is no conversation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A value has another JSON type than the format asks for.
    #[error("{place}: found {found}, expected {expected}")]
    WrongType {
        /// Where, as `messages[3].content`.
        place: String,
        /// What stands there.
        found: String,
        /// What the format asks for.
        expected: String,
    },
    /// A key that the format asks for is not there.
    #[error("{place}: missing, expected {expected}")]
    Missing {
        /// Where it should be.
        place: String,
        /// What the format asks for.
        expected: String,
    },
    /// A role that the format does not have.
    #[error(
        "{place}: unknown role {role:?}, expected one of: {expected}. Rename the role, or drop the message"
    )]
    UnknownRole {
        /// Where.
        place: String,
        /// The role found.
        role: String,
        /// The roles of the format.
        expected: String,
    },
    /// A text that should hold JSON does not.
    #[error("{place}: not JSON: {reason}. The text is: {text}")]
    NotJson {
        /// Where.
        place: String,
        /// What the JSON reader says.
        reason: String,
        /// The text, shortened.
        text: String,
    },
    /// A text that should hold JSON holds a Python literal.
    #[error(
        "{place}: a Python literal in a string, expected JSON. Write it with json.dumps, or let check --fix do it. The text is: {text}"
    )]
    PythonLiteral {
        /// Where.
        place: String,
        /// The text, shortened.
        text: String,
    },
    /// A part of a message that is not text.
    #[error(
        "{place}: a content part of type {kind:?}; only parts of type \"text\" can be trained on. Drop the part, or the record"
    )]
    NotText {
        /// Where.
        place: String,
        /// The part's type.
        kind: String,
    },
    /// A record whose shape is that of no known format.
    #[error(
        "the record's shape is not known (its keys: {keys}); expected \"messages\" (openai, glm4, anthropic), \"conversations\" (sharegpt, chatglm3, hermes), \"instruction\" and \"output\" (alpaca), \"prompt\" and \"response\" (input-output), \"chosen\" and \"rejected\" (preference), \"system\" and \"chat\" (glaive-v2) or \"text\" (text). {hint}"
    )]
    Unrecognised {
        /// The keys of the record.
        keys: String,
        /// How to go on.
        hint: &'static str,
    },
    /// A record whose shape is that of several formats.
    #[error(
        "the record's shape (its keys: {keys}) fits several formats: {formats}. Name one of them with --format"
    )]
    Ambiguous {
        /// The keys of the record.
        keys: String,
        /// The formats that it fits.
        formats: String,
    },
    /// A message goes on with text after a call.
    #[error(
        "{place}: text after a tool call; a message says its text first, then its calls. Move the text before the calls, or into a message after their results"
    )]
    TextAfterCall {
        /// Where.
        place: String,
    },
    /// A preference whose answers do not differ.
    #[error("{place}: the same as \"chosen\", so there is nothing to prefer. Drop the record")]
    SameAnswers {
        /// Where.
        place: String,
    },
    /// A preference whose answers begin with something else than the prompt.
    #[error(
        "{place}: the conversation in it does not begin with the record's prompt. Leave the prompt out of the answers, or write it alike in all places"
    )]
    OtherPrompt {
        /// Where.
        place: String,
    },
    /// A data set that `dataset_info.json` does not have.
    #[error("no data set is named {name:?}; there are: {names}")]
    UnknownDataset {
        /// The name given.
        name: String,
        /// The names there are.
        names: String,
    },
    /// Something in `dataset_info.json` that cannot be followed.
    #[error("{place}: not supported: {reason}. {mend}")]
    NotFollowed {
        /// Where.
        place: String,
        /// Why.
        reason: &'static str,
        /// How to mend it.
        mend: &'static str,
    },
    /// A format name that is not known.
    #[error("unknown format {name:?}, expected one of: {expected}")]
    UnknownFormat {
        /// The name given.
        name: String,
        /// The names there are.
        expected: String,
    },
}

impl DataError {
    /// The rule that it breaks.
    pub fn code(&self) -> crate::check::Code {
        match self {
            Self::PythonLiteral { .. } => crate::check::Code::PythonArguments,
            _ => crate::check::Code::Shape,
        }
    }
}
