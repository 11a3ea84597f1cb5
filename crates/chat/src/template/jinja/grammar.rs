//! Which way of writing calls a template teaches, told by what its source holds.
//!
//! In: the source. Out: a row of the table below, the first whose strings are all there.

use super::context::Shape;
use crate::template::parse::Grammar;

/// A way of writing calls and how to tell it.
pub(super) struct Row {
    holds: &'static [&'static str],
    pub(super) grammar: fn() -> Grammar,
    /// Whether calls stand between marks, so that no text can be taken for one.
    pub(super) marks_calls: bool,
}

const TAGS: Row =
    Row { holds: &["<tool_call>"], grammar: || Grammar::ToolCallTags(Default::default()), marks_calls: true };
const NAME_LINE: Row =
    Row { holds: &["metadata"], grammar: || Grammar::NameLine(Default::default()), marks_calls: false };

/// The row of a template. Where it says nothing of calls, marked ones are read all the same: no prose looks like them.
pub(super) fn choose(source: &str, shape: Shape) -> &'static Row {
    const TABLE: [Row; 1] = [TAGS];
    if matches!(shape, Shape::Metadata | Shape::MetadataAndTools) {
        return &NAME_LINE;
    }
    TABLE.iter().find(|row| row.holds.iter().all(|part| source.contains(part))).unwrap_or(&TAGS)
}
