//! Which files the user's words mean: the files themselves, folders and patterns of them, or data sets that a
//! `dataset_info.json` describes.
//!
//! In: words and the format options. Out: files, each with its format. What a description says in vain is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use toolsmith_chat::data::dataset_info;
use toolsmith_prepare::{RecordFormat, Shard, shard_of};

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

/// The files that these words mean: themselves, what a folder holds, or what a pattern such as `out/train-*.parquet` fits.
pub(crate) fn expand(words: &[String]) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for word in words {
        let path = Path::new(word);
        let files = if path.is_dir() {
            within(path)?
        } else if word.contains(['*', '?', '[']) && !path.exists() {
            fitting(word)?
        } else {
            all.push(word.clone());
            continue;
        };
        check_sets(word, &files)?;
        all.extend(files.iter().map(|file| file.display().to_string()));
    }
    Ok(all)
}

/// The files that a pattern fits, by name.
fn fitting(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern).with_context(|| format!("{pattern}: is no pattern of file names"))?;
    let mut files = paths.collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    if files.is_empty() {
        bail!("{pattern}: fits no file. Name one, or a folder, or a pattern such as out/train-*.parquet");
    }
    Ok(files)
}

/// That each sharded data set is whole, and that nothing that was kept apart to measure with comes along.
fn check_sets(word: &str, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut sets: BTreeMap<PathBuf, Vec<Option<Shard>>> = BTreeMap::new();
    for file in files {
        let (set, shard) = match shard_of(file) {
            Some((set, shard)) => (set, Some(shard)),
            None => (file.clone(), None),
        };
        sets.entry(set).or_default().push(shard);
    }
    for (set, shards) in &sets {
        let count = shards.len();
        let whole = (0..count).map(|index| Some(Shard { index, count }));
        if shards.as_slice() != [None] && !whole.eq(shards.iter().copied()) {
            let expected = shards.iter().flatten().map(|shard| shard.count).max().unwrap_or(count);
            bail!(
                "{word}: holds {count} files of {}, which are not its {expected} shards. Prepare it again, or name the files to take",
                set.display()
            );
        }
        let apart = set.with_extension(match set.extension() {
            Some(extension) => format!("validation.{}", extension.to_string_lossy()),
            None => "validation".to_owned(),
        });
        if sets.contains_key(&apart) {
            bail!(
                "{word}: holds {} and {}, which was kept apart to measure with. Name one of them, such as {}-*",
                set.display(),
                apart.display(),
                set.with_extension("").display()
            );
        }
    }
    Ok(())
}

/// The files in a folder by name, hidden ones left out, or the file itself.
fn within(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = path.read_dir().with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("{}: holds no files; expected the data set's", path.display());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("tempdir");
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").expect("writes"));
        folder
    }

    fn expanded(folder: &tempfile::TempDir, word: &str) -> Result<Vec<String>, String> {
        let word = folder.path().join(word).display().to_string();
        let names =
            |path: &String| Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
        let files = expand(&[word]).map_err(|error| error.to_string())?;
        Ok(files.iter().map(names).collect())
    }

    #[test]
    fn folders_and_patterns_mean_their_files_and_other_words_themselves() {
        let shards = ["t-00000-of-00002.parquet", "t-00001-of-00002.parquet"];
        let folder = folder_of(&[shards[1], shards[0], ".toolsmith-x.parquet.part"]);
        assert_eq!(expanded(&folder, "").expect("a folder"), shards);
        assert_eq!(expanded(&folder, "t-*.parquet").expect("a pattern"), shards);
        assert_eq!(expanded(&folder, shards[1]).expect("a file"), [shards[1]]);
        assert_eq!(expanded(&folder, "none.parquet").expect("a name"), ["none.parquet"]);
        assert!(expanded(&folder, "u-*").expect_err("nothing").contains("fits no file"));
        let odd = folder_of(&["a[1].jsonl"]);
        assert_eq!(expanded(&odd, "a[1].jsonl").expect("a file"), ["a[1].jsonl"]);
    }

    #[test]
    fn shards_that_are_not_all_there_or_of_two_runs_are_refused() {
        let missing = folder_of(&["t-00000-of-00002.parquet"]);
        let error = expanded(&missing, "").expect_err("missing");
        assert!(error.contains("holds 1 files of") && error.contains("not its 2 shards"), "{error}");
        let mixed = folder_of(&["t.parquet", "t-00000-of-00001.parquet"]);
        assert!(expanded(&mixed, "*").is_err());
    }

    #[test]
    fn what_was_kept_apart_does_not_come_along() {
        let folder = folder_of(&["t-00000-of-00001.parquet", "t.validation-00000-of-00001.parquet"]);
        let error = expanded(&folder, "*.parquet").expect_err("both");
        assert!(error.contains("kept apart"), "{error}");
        assert_eq!(expanded(&folder, "t-*.parquet").expect("one").len(), 1);
        assert_eq!(expanded(&folder, "t.validation*").expect("one").len(), 1);
    }
}
