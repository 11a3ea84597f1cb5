//! Text to token ids and back, with the loss mask.
//!
//! In: a `tokenizer.json`, and [`Rendered`](crate::template::Rendered) conversations. Out: [`Encoded`] ids and labels,
//! the ids that Hugging Face's tokenizer gives to the same text, except that text of the conversation never becomes a
//! control token. It does not know files: the caller reads them.

mod decode;
mod encode;
mod error;
mod regex_split;
mod tokenizer;
mod verbatim;
pub mod view;
mod vocabulary;

pub use decode::DecodeStream;
pub use encode::{Encoded, TokenOrigin};
pub use error::TokenizerError;
pub use tokenizer::ChatTokenizer;

pub use crate::batch::IGNORE_INDEX;
