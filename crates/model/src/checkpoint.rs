//! A model on disk, whichever way it is kept: a Hugging Face folder or a GGUF file.
//!
//! In: a path. Out: the configuration, and weights by the names of a Hugging Face folder. Not known: what a model does
//! with them.

use std::path::{Path, PathBuf};

use crate::gguf::{self, GgufFile};
use crate::weight::Loaded;
use crate::weights::{self, WeightFiles};
use crate::{DecoderConfig, ModelError};

/// The weights of a model, open to be read.
pub(crate) enum Checkpoint {
    Folder(WeightFiles),
    Gguf(GgufFile),
}

impl Checkpoint {
    /// Opens a folder, or a GGUF file, or a folder that holds one GGUF file and no safetensors.
    pub(crate) fn open(path: &Path) -> Result<(DecoderConfig, Self), ModelError> {
        if let Some((config, file)) = open_gguf(path)? {
            return Ok((config, Self::Gguf(file)));
        }
        let config = DecoderConfig::of_folder(path)?;
        Ok((config, Self::Folder(WeightFiles::open(path)?)))
    }

    /// A tensor, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Loaded, ModelError> {
        match self {
            Self::Folder(files) => files.tensor(name, shape).map(Loaded::Plain),
            Self::Gguf(file) => file.tensor(name, shape),
        }
    }

    /// Fails if there are weights that a model of the tensors `known` does not have.
    /// `unused_head` is the head's name where the embedding serves instead.
    pub(crate) fn refuse_unknown(&self, known: &[&str], unused_head: Option<&str>) -> Result<(), ModelError> {
        // Tables of angles that older checkpoints carry; they follow from the config.
        let angles =
            |name: &str| name.ends_with("rotary_emb.inv_freq") || name.ends_with("rotary_pos_emb.inv_freq");
        match self {
            Self::Folder(files) => files
                .refuse_unknown(|name| known.contains(&name) || unused_head == Some(name) || angles(name)),
            Self::Gguf(file) => file.refuse_unknown(known),
        }
    }
}

impl DecoderConfig {
    /// What the model at `path` looks like: a folder with config.json, a GGUF file, or a folder with one. Weights are not
    /// read.
    ///
    /// # Errors
    /// Files that are missing or damaged; settings that are not done.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        match open_gguf(path)? {
            Some((config, _)) => Ok(config),
            None => Self::of_folder(path),
        }
    }

    pub(crate) fn of_folder(path: &Path) -> Result<Self, ModelError> {
        let file = path.join("config.json");
        if !file.exists() {
            return Err(ModelError::NoConfig { dir: path.to_owned() });
        }
        Self::from_json(&weights::read_json(&file)?)
    }
}

/// Opens a GGUF file, or a folder that holds one and no safetensors; `None` where `path` means neither.
pub(crate) fn open_gguf(path: &Path) -> Result<Option<(DecoderConfig, GgufFile)>, ModelError> {
    gguf_file(path)?.map(|file| GgufFile::open(&file)).transpose()
}

/// The GGUF file that `path` means, if it means one.
fn gguf_file(path: &Path) -> Result<Option<PathBuf>, ModelError> {
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    let safetensors = ["model.safetensors", "model.safetensors.index.json"];
    if safetensors.iter().any(|name| path.join(name).exists()) {
        return Ok(None);
    }
    // A folder that cannot be listed has no config.json either; the caller says so.
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "gguf")).collect();
    found.sort();
    match found.len() {
        0 | 1 => Ok(found.pop()),
        // The parts of a split file: opening one says what to do.
        _ if found.iter().all(|path| gguf::is_part(path)) => Ok(Some(found.swap_remove(0))),
        count => Err(ModelError::Gguf {
            path: path.to_owned(),
            detail: format!(
                "{count} GGUF files, `{}` among them; give the path of the one to load",
                found[0].file_name().unwrap_or_default().display()
            ),
        }),
    }
}
