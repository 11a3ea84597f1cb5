//! Which files the user's words mean: the files themselves, or data sets that a `dataset_info.json` describes.
//!
//! In: words and the format options. Out: files, each with its format. What a description says in vain is printed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use toolsmith_chat::data::dataset_info;
use toolsmith_prepare::RecordFormat;

use crate::args::FormatArgs;
use crate::terminal;

/// A file to read, and how.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// The shape of its records; recognised where absent.
    pub(crate) format: Option<RecordFormat>,
}

/// The files that these words mean.
pub(crate) fn find(words: &[PathBuf], args: &FormatArgs) -> anyhow::Result<Vec<DataFile>> {
    let Some(info) = &args.dataset_info else {
        let file = |path: &PathBuf| DataFile { path: path.clone(), format: args.format.clone() };
        return Ok(words.iter().map(file).collect());
    };
    let text = std::fs::read_to_string(info).with_context(|| {
        format!("{}: cannot be read; expected LLaMA-Factory's dataset_info.json", info.display())
    })?;
    let folder = info.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for word in words {
        let word = word.to_string_lossy();
        for name in word.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let dataset = dataset_info::parse(&text, name).with_context(|| info.display().to_string())?;
            for note in &dataset.ignored {
                terminal::say(format_args!("warning: {}: {note}", info.display()));
            }
            let path = folder.join(&dataset.file_name);
            let format = Some(RecordFormat::Dataset(Arc::new(dataset)));
            files.extend(within(&path)?.into_iter().map(|path| DataFile { path, format: format.clone() }));
        }
    }
    Ok(files)
}

/// The one file that this word means.
pub(crate) fn find_one(word: &Path, args: &FormatArgs) -> anyhow::Result<DataFile> {
    let mut files = find(std::slice::from_ref(&word.to_path_buf()), args)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        (last, _) => {
            let count = files.len() + usize::from(last.is_some());
            bail!(
                "{}: means {count} files, and this command reads one. Name one data set of one file",
                word.display()
            )
        }
    }
}

/// The files in a folder by name, or the file itself.
fn within(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = path.read_dir().with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("{}: holds no files; expected the data set's", path.display());
    }
    Ok(files)
}
