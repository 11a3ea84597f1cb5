//! What `check` found, written for people and for programs.
//!
//! In: [`Checked`]. Out: text, JSON, SARIF or GitHub annotations. Looks at no data itself.

pub(crate) mod github;
pub(crate) mod json;
pub(crate) mod sarif;
pub(crate) mod text;

use std::path::{Path, PathBuf};

use toolsmith_prepare::{CheckReport, Mended};

/// A finished check.
pub(crate) struct Checked<'a> {
    /// What was found.
    pub(crate) report: &'a CheckReport,
    /// What `--fix` did, and the file it wrote.
    pub(crate) mended: Option<(&'a Mended, &'a Path)>,
    /// The files that were checked.
    pub(crate) sources: &'a [PathBuf],
    /// Whether a model was given, without which some rules cannot run.
    pub(crate) with_model: bool,
    /// How long it took.
    pub(crate) seconds: f64,
}
