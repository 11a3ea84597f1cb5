//! How the files of a sharded data set are called.
//!
//! In: the name of the data set. Out: `data-00000-of-00003.parquet` and its like, as Hugging Face names them, and back.
//! Looks into folders, never into files.

use std::path::{Path, PathBuf};

/// Which part of a data set a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// From 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

/// The name of a shard of the data set that would else be one file of this name.
pub(crate) fn file_name(path: &Path, shard: Shard) -> String {
    let (stem, extension) = parts(path);
    format!("{stem}-{:05}-of-{:05}{extension}", shard.index, shard.count)
}

/// Which shard a file is by its name, and of which data set; `None` for a file that is none.
pub fn shard_of(path: &Path) -> Option<(PathBuf, Shard)> {
    let (stem, extension) = parts(path);
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, index) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        let written = digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| written)
    };
    let shard = Shard { index: number(index)?, count: number(count)? };
    Some((path.with_file_name(format!("{name}{extension}")), shard))
}

/// The shards of a data set that lie beside where it would be as one file, in order.
pub fn shards_of(path: &Path) -> Vec<(PathBuf, Shard)> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut shards: Vec<(PathBuf, Shard)> = entries
        .filter_map(|entry| {
            let file = path.with_file_name(entry.file_name());
            let (of, shard) = shard_of(&file)?;
            (of == path && file.is_file()).then_some((file, shard))
        })
        .collect();
    shards.sort_by_key(|(_, shard)| (shard.count, shard.index));
    shards
}

/// The name up to its extension, and the extension with its dot.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for path in ["data.parquet", "out/a.validation.parquet", "none", "a-00001-of-00002.b.parquet"] {
            let path = Path::new(path);
            let shard = Shard { index: 2, count: 123_456 };
            let file = path.with_file_name(file_name(path, shard));
            assert_eq!(shard_of(&file), Some((path.to_path_buf(), shard)), "{}", file.display());
        }
        assert_eq!(
            file_name(Path::new("x/data.parquet"), Shard { index: 0, count: 3 }),
            "data-00000-of-00003.parquet"
        );
    }

    #[test]
    fn other_names_are_no_shards() {
        for name in [
            "data.parquet",
            "data-0-of-3.parquet",
            "data-00000-of-.parquet",
            "data-0000x-of-00003",
            "00000-of-00003",
        ] {
            assert_eq!(shard_of(Path::new(name)), None, "{name}");
        }
    }
}
