//! Why a record gives no sample in a compatibility mode, and how it is said.
//!
//! A reference that crashes on a record, or drops it, is reproduced as an error: what in the record cannot be processed,
//! what the reference does about it, and how to mend it.

use thiserror::Error;

use super::Compat;
use crate::data::DataError;
use crate::tokens::TokenizerError;

/// Why there is no sample.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompatError {
    /// The reference stops or drops the record here.
    #[error("{place}: {problem}; {behaviour}. {mend}")]
    Refused {
        /// Where, as `messages[0].tools[1]`.
        place: String,
        /// What cannot be processed.
        problem: String,
        /// What the reference does.
        behaviour: String,
        /// What the user can do.
        mend: String,
    },
    /// The record could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The tokenizer cannot do what the mode needs.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A control token that the mode writes is missing.
    #[error(
        "--compat {compat} writes the control token {token:?}, which the tokenizer does not have. Use the folder of the model that was trained with it"
    )]
    NoControlToken {
        /// The mode.
        compat: Compat,
        /// The token.
        token: String,
    },
    /// Settings that the reference refuses together.
    #[error("--compat {compat}: {problem}. {mend}")]
    Setting {
        /// The mode.
        compat: Compat,
        /// What does not go together.
        problem: String,
        /// What the user can do.
        mend: String,
    },
    /// A name that is not known.
    #[error("unknown {what} {name:?}, expected one of: {expected}")]
    UnknownName {
        /// What is named, as `compatibility mode`.
        what: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        expected: String,
    },
}

impl CompatError {
    pub(super) fn refused(
        place: impl Into<String>,
        problem: impl Into<String>,
        behaviour: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::Refused {
            place: place.into(),
            problem: problem.into(),
            behaviour: behaviour.into(),
            mend: mend.into(),
        }
    }
}
