//! What a preparation depends on, as one short text.
//!
//! In: the source files and everything else that decides what comes out. Out: a key; equal keys mean equal output. It
//! guards against work done twice, not against forgery.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3Default;

use crate::PrepareError;
use crate::open::open_file;

/// Raised whenever the same input gives other rows or another file than before.
const FORMAT: u32 = 1;

/// The key of a preparation of these files, of which the other circumstances are these; `progress` hears how many bytes
/// were read.
pub fn content_key(
    sources: &[PathBuf],
    circumstances: &[(&str, String)],
    progress: &mut dyn FnMut(u64),
) -> Result<String, PrepareError> {
    let mut total = 0;
    let mut read = |count: usize| {
        total += count as u64;
        progress(total);
    };
    let mut key = Xxh3Default::new();
    let mut say = |text: &str| {
        key.update(&(text.len() as u64).to_le_bytes());
        key.update(text.as_bytes());
    };
    say(&format!("{} {FORMAT}", env!("CARGO_PKG_VERSION")));
    for (name, value) in circumstances {
        say(name);
        say(value);
    }
    for path in sources {
        let read_error = |source| PrepareError::Read { path: path.clone(), source };
        say(&path.display().to_string());
        say(&format!("{:032x}", hash_of(open_file(path)?, &mut read).map_err(read_error)?));
    }
    Ok(format!("{:032x}", key.digest128()))
}

fn hash_of(mut file: File, read: &mut dyn FnMut(usize)) -> io::Result<u128> {
    let mut hash = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.digest128()),
            Ok(count) => {
                hash.update(&buffer[..count]);
                read(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            path
        };
        let (a, b) = (file("a", "one"), file("b", "two"));
        let key = |sources: &[PathBuf], facts: &[(&str, &str)]| {
            let facts: Vec<_> = facts.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            content_key(sources, &facts, &mut |_| ()).expect("a key")
        };
        let first = key(&[a.clone(), b.clone()], &[("x", "y")]);
        assert_eq!(first, key(&[a.clone(), b.clone()], &[("x", "y")]));
        for other in [
            key(&[b.clone(), a.clone()], &[("x", "y")]),
            key(std::slice::from_ref(&a), &[("x", "y")]),
            key(&[a.clone(), b.clone()], &[("x", "z")]),
            key(&[a.clone(), b.clone()], &[("xy", "")]),
            key(&[a.clone(), b.clone()], &[]),
        ] {
            assert_ne!(first, other);
        }
        file("b", "twp");
        assert_ne!(first, key(&[a.clone(), b], &[("x", "y")]));
        let error =
            content_key(&[a.with_file_name("none")], &[], &mut |_| ()).expect_err("missing").to_string();
        assert!(error.contains("none: cannot be read"), "{error}");
        let error = content_key(&[folder.path().to_path_buf()], &[], &mut |_| ()).expect_err("a folder");
        assert!(error.to_string().contains("is a folder; expected"), "{error}");
    }
}
