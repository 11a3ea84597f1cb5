//! What makes a family: the row that each family's file fills.

use super::parse::Grammar;
use super::{RenderError, RenderOptions, Rendered};
use crate::data::Conversation;

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
    /// Whether a later user message changes how earlier turns are written.
    pub(super) rewrites_history: bool,
}
