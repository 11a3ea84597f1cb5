//! A folder for readers that take a path, one for each process. It stays behind, since libFuzzer ends processes at once;
//! it lies in `target`, so that `cargo clean` takes it along.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
    let folder = target.join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
});

/// The folder.
pub fn path() -> &'static Path {
    &FOLDER
}

/// Writes a file into it.
pub fn write(name: &str, bytes: &[u8]) {
    std::fs::write(path().join(name), bytes).expect("a file in a temporary folder");
}
