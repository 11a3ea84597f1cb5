//! Text to token ids and back, with the loss mask.
//!
//! In: a tokenizer's file (`tokenizer.json`, tiktoken, SentencePiece), and [`Rendered`](crate::template::Rendered)
//! conversations. Out: [`Encoded`] ids and labels, the ids that the reference gives to the same text, except that text of
//! the conversation never becomes a control token. It does not know folders: the caller reads the file.

mod byte_bpe;
mod decode;
mod encode;
mod error;
mod family;
mod file_kind;
mod json_file;
mod json_tokenizer;
mod nfc;
mod pipeline;
mod regex_split;
mod sentencepiece;
mod short_words;
mod tiktoken;
mod tokenizer;
mod unlearn;
mod verbatim;
pub mod view;
mod vocabulary;
mod weights;
mod word_cache;

pub use decode::DecodeStream;
pub use encode::{Encoded, TokenOrigin};
pub use error::TokenizerError;
pub use tokenizer::ChatTokenizer;
pub use weights::PartWeights;

pub use crate::batch::IGNORE_INDEX;
