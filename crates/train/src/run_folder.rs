//! The folder of a run: what lies where, and nothing half-written under its final name.
//!
//! In: a path. Out: `metrics.jsonl`, `runs`, `checkpoint-N` folders, and `adapter` or `model` with the trained weights.
//! It does not know what is inside a checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TrainError;

const CHECKPOINT: &str = "checkpoint-";
/// Folders being written begin with this.
const UNFINISHED: &str = ".unfinished-";

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A folder for a new run, not yet created; one that holds a run is refused.
    pub(crate) fn new(path: &Path) -> Result<Self, TrainError> {
        refuse_a_run(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder of a run that was begun; what it left unfinished is removed.
    pub(crate) fn reopen(path: &Path) -> Result<Self, TrainError> {
        require_a_run(path)?;
        let folder = Self { path: path.to_owned() };
        for name in folder.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            remove(&path.join(name))?;
        }
        Ok(folder)
    }

    /// Creates the folder where it does not exist.
    pub(crate) fn create(&self) -> Result<(), TrainError> {
        fs::create_dir_all(&self.path).map_err(TrainError::file(&self.path, "create"))
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Where TensorBoard's event files lie.
    pub(crate) fn events(&self) -> PathBuf {
        self.path.join("runs")
    }

    pub(crate) fn failed_step(&self, step: u64) -> PathBuf {
        self.path.join(format!("failed_step_{step}.json"))
    }

    /// What the starting model said of pairs.
    pub(crate) fn reference(&self) -> PathBuf {
        self.path.join("reference_logprobs.safetensors")
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(format!("{CHECKPOINT}{step}"))
    }

    /// Steps done of each checkpoint, in order, with its folder.
    pub(crate) fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let step = |name: &String| name.strip_prefix(CHECKPOINT)?.parse().ok();
        let mut found: Vec<(u64, PathBuf)> =
            self.names()?.iter().filter_map(|name| Some((step(name)?, self.path.join(name)))).collect();
        found.sort();
        Ok(found)
    }

    pub(crate) fn write_checkpoint(
        &self,
        step: u64,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        self.write_folder(&format!("{CHECKPOINT}{step}"), write)
    }

    /// Writes a folder under another name, and gives it its own when it is complete.
    pub(crate) fn write_folder(
        &self,
        name: &str,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let complete = self.path.join(name);
        if unfinished.exists() {
            remove(&unfinished)?;
        }
        fs::create_dir(&unfinished).map_err(TrainError::file(&unfinished, "create"))?;
        if let Err(error) = write(&unfinished) {
            // The first error is the one to tell; what cannot be removed is removed by the next resume.
            let _ = remove(&unfinished);
            return Err(error);
        }
        if complete.exists() {
            remove(&complete)?;
        }
        fs::rename(&unfinished, &complete).map_err(TrainError::file(&complete, "create"))?;
        Ok(complete)
    }

    /// Deletes the oldest checkpoints until `limit` are left; that of step `best` stays whatever its age.
    pub(crate) fn keep_checkpoints(&self, limit: usize, best: Option<u64>) -> Result<(), TrainError> {
        let checkpoints = self.checkpoints()?;
        let surplus = &checkpoints[..checkpoints.len().saturating_sub(limit)];
        let old = surplus.iter().filter(|(step, _)| Some(*step) != best);
        old.map(|(_, path)| path).try_for_each(|path| remove(path))
    }

    fn names(&self) -> Result<Vec<String>, TrainError> {
        names(&self.path)
    }
}

/// Fails if `output_dir` holds a run, which a new one would mix with. [`crate::Trainer::start`] checks it too; asked
/// before data is read, it saves the reading.
///
/// # Errors
/// What was found there; a folder that cannot be read.
pub fn refuse_a_run(output_dir: &Path) -> Result<(), TrainError> {
    match first_trace(output_dir)? {
        Some(found) => Err(TrainError::RunExists { path: output_dir.to_owned(), found }),
        None => Ok(()),
    }
}

/// Fails if `output_dir` holds no run that could be resumed. [`crate::Trainer::resume`] checks it too.
///
/// # Errors
/// Nothing of a run there; a folder that cannot be read.
pub fn require_a_run(output_dir: &Path) -> Result<(), TrainError> {
    match first_trace(output_dir)? {
        Some(_) => Ok(()),
        None => Err(TrainError::NothingToResume { path: output_dir.to_owned() }),
    }
}

/// A name in the folder that only a run leaves.
fn first_trace(folder: &Path) -> Result<Option<String>, TrainError> {
    if !folder.exists() {
        return Ok(None);
    }
    let of_a_run = |name: &String| {
        ["metrics.jsonl", "reference_logprobs.safetensors", "adapter", "model"].contains(&name.as_str())
            || name.starts_with(CHECKPOINT)
    };
    Ok(names(folder)?.into_iter().find(of_a_run))
}

fn names(folder: &Path) -> Result<Vec<String>, TrainError> {
    let entries = fs::read_dir(folder).map_err(TrainError::file(folder, "read"))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(TrainError::file(folder, "read"))?;
        names.extend(entry.file_name().to_str().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Writes a file under another name, and gives it its own when it is complete.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    written.map_err(TrainError::file(path, "write"))
}

fn remove(folder: &Path) -> Result<(), TrainError> {
    fs::remove_dir_all(folder).map_err(TrainError::file(folder, "delete"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_a_run_is_refused_and_one_that_holds_none_cannot_be_reopened() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data.jsonl"), "").unwrap();
        assert!(matches!(RunFolder::reopen(dir.path()), Err(TrainError::NothingToResume { .. })));
        assert!(RunFolder::new(dir.path()).is_ok());
        fs::create_dir(dir.path().join("checkpoint-3")).unwrap();
        assert!(matches!(RunFolder::new(dir.path()), Err(TrainError::RunExists { .. })));
        assert!(RunFolder::reopen(dir.path()).is_ok());
    }

    #[test]
    fn a_folder_gets_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path()).unwrap();
        let failed = folder.write_checkpoint(1, |unfinished| {
            assert!(!dir.path().join("checkpoint-1").exists());
            fs::write(unfinished.join("half"), "").unwrap();
            Err(TrainError::NothingTrained { samples: 0 })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let write = |name: &'static str| {
            move |unfinished: &Path| {
                fs::write(unfinished.join(name), "").map_err(TrainError::file(unfinished, "write"))
            }
        };
        folder.write_checkpoint(2, write("a")).unwrap();
        folder.write_checkpoint(2, write("b")).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("checkpoint-2")).unwrap().count(), 1);
    }

    #[test]
    fn the_newest_checkpoints_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(dir.path()).unwrap();
        for step in [2, 10, 9] {
            folder.write_checkpoint(step, |_| Ok(())).unwrap();
        }
        folder.keep_checkpoints(2, None).unwrap();
        let steps: Vec<u64> = folder.checkpoints().unwrap().iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [9, 10]);
        folder.keep_checkpoints(1, Some(9)).unwrap();
        assert_eq!(folder.checkpoints().unwrap().len(), 2, "the best one stays");
    }
}
