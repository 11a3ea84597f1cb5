//! The embedded base model: its files as bytes in the program, written out as an ordinary model folder.
//!
//! `docs/base-model.md` tells how they were made and how to make them again.

use std::fs;
use std::path::Path;

use anyhow::Context;

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../../assets/base/", $name)))),+]
    };
}

const FILES: &[(&str, &[u8])] = embedded!(
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
);

/// The recipe that the demo trains with.
pub(crate) const RECIPE: &str = include_str!("../../../../recipes/demo.yaml");

/// Writes the base model into `folder`.
pub(crate) fn unpack(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    for (name, bytes) in FILES {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
