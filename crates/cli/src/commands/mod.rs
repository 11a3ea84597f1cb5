//! The commands: one file each, as functions over plain values, so that `demo` walks the same code.

pub(crate) mod chat;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod merge;
pub(crate) mod parse;
pub(crate) mod prepare;
pub(crate) mod preview;
mod preview_dataset;
pub(crate) mod render;
pub(crate) mod render_compat;
pub(crate) mod train;
mod train_data;
