//! What makes a family: the row that each family's file fills.

use super::parse::Grammar;
use super::{RenderError, RenderOptions, Rendered};
use crate::data::{Conversation, ToolSpec};

/// A family's chat format, described.
pub(super) struct Family {
    /// The name that `--template` takes.
    pub(super) name: &'static str,
    pub(super) render: fn(&Conversation, &RenderOptions) -> Result<Rendered, RenderError>,
    /// How calls are written, for reading them back.
    pub(super) grammar: fn() -> Grammar,
    /// The control tokens that end an answer, the one that training teaches first.
    pub(super) stop_tokens: &'static [&'static str],
    /// Whether calls stand between marks, so that no text can be taken for one.
    pub(super) marks_calls: bool,
    /// Whether answers may begin with `<think>…</think>`.
    pub(super) thinks: bool,
    pub(super) history: History,
    /// Whether a message without text is not written at all.
    pub(super) drops_empty: bool,
    /// Whether the format tells the model of a tool.
    pub(super) shows_tool: fn(&ToolSpec) -> bool,
}

/// Whether what was said is written as it was when it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// A longer conversation begins as the shorter one.
    Kept,
    /// A later question changes how earlier turns are written.
    RewrittenByQuestions,
    /// Each answer changes how what it answers is written.
    RewrittenByAnswers,
}
