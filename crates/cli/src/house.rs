//! The look of the house's pages: the demo's report and the preview.
//!
//! In: nothing. Out: a style sheet to put into a page before its own.

/// Colours for light and dark, cards, and how tokens are told apart.
pub(crate) const STYLE: &str = include_str!("house.css");
