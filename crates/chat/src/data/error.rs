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
        "the record's shape is not known (its keys: {keys}); expected \"messages\" (openai, glm4) or \"conversations\" (sharegpt). Name the format with --format"
    )]
    Unrecognised {
        /// The keys of the record.
        keys: String,
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
