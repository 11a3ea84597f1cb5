//! Tool-calling conversations to text, token ids and a loss mask, and back.
//!
//! In: records of any [source format](data::SourceFormat), or text that a model wrote. Out: a [`data::Conversation`], its
//! [rendering](template::Rendered) in a model family's own chat format, [ids and labels](tokens::Encoded), the
//! [findings](check::Finding) about it, and the calls [read back](template::AssistantTurn) from generated text.
//!
//! It does not know tensors, files, the network or the clock: every function here is a function of its arguments.

pub mod batch;
pub mod check;
pub mod compat;
pub mod data;
pub mod json;
pub mod template;
pub mod tokens;

pub use json::Json;
