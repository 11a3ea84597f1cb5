//! Generated tool-calling data: the demo's conversations and the corpus of the base model.
//!
//! In: seeds and counts. Out: JSON records in OpenAI's `messages`/`tools` shape, or `text`
//! documents; the same seed gives the same bytes on every platform. Everything is put together from
//! word lists written for this project. It does not know chat templates, tokens, models or files.

mod conversation;
mod copying;
mod demo;
mod domains;
mod invented;
mod json_text;
mod kind;
mod pretraining;
mod request;
mod rng;
mod tokenizer;
mod tool;
mod words;

pub use copying::{CopyWords, copying_corpus};
pub use demo::{DemoDataset, DemoSizes, demo_dataset};
pub use pretraining::{base_corpus, short_records};
pub use tokenizer::{PRE_TOKENIZER_PATTERN, train_tokenizer};
