//! Scores of the tool calls that a model makes.
//!
//! In: what the assistant should have called (a reference turn's calls), what a model generated
//! ([`AssistantTurn`](toolsmith_chat::template::AssistantTurn)) and the tools that were offered. Out: a [`TurnScore`] for
//! each turn, which add up to [`Scores`]. Pure functions; it does not know models, files or how text was generated.
//!
//! Read the generated text with `Template::parse(text, None)` where calls are marked (Qwen2.5): then a call of a tool
//! that is not offered counts as a call with a wrong name, not as malformed.

mod schema;
mod score;
mod scores;

pub use schema::{Validity, validate};
pub use score::{TurnScore, score_turn};
pub use scores::{Scorer, Scores};
