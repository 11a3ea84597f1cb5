//! The files of one prepared data set: one, or shards.
//!
//! In: row groups, in order. Out: files that get their final names only when all of them are whole and on the disk. A run
//! that is killed leaves no more than temporary files, whose names begin with `.toolsmith-`; the next run that writes to
//! the same folder takes them away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::parquet_file::{TEMPORARY, write_error};
use crate::read_prepared::facts_of;
use crate::row_group::{RowGroup, RowGroupEncoder};
use crate::shards::{Shard, file_name, shards_of};
use crate::{Nameless, PrepareError, PreparedWriter, Rows};

/// Rows that are encoded together where they come in small portions.
const GROUP_ROWS: usize = 512;

/// A data set that is being written.
pub(crate) struct OutputSet<'a> {
    path: PathBuf,
    shard_rows: Option<usize>,
    encoder: &'a RowGroupEncoder,
    /// What every file's metadata says.
    facts: Vec<(&'a str, String)>,
    finished: Vec<Nameless>,
    open: PreparedWriter,
    /// Rows that wait for others to be encoded with.
    waiting: Rows,
}

impl<'a> OutputSet<'a> {
    /// Begins a data set that will be called `path`, in shards of at most so many rows, if any are wanted.
    pub(crate) fn create(
        path: &Path,
        shard_rows: Option<usize>,
        encoder: &'a RowGroupEncoder,
        facts: &[(&'a str, String)],
    ) -> Result<Self, PrepareError> {
        // What is in the way is told before the work.
        replaced(path, shard_rows)?;
        Ok(Self {
            path: path.to_path_buf(),
            shard_rows,
            encoder,
            facts: facts.to_vec(),
            finished: Vec::new(),
            open: PreparedWriter::create(path, encoder)?,
            waiting: Rows::default(),
        })
    }

    /// Appends encoded rows, which stay together.
    pub(crate) fn append(&mut self, group: RowGroup) -> Result<(), PrepareError> {
        let full = self.shard_rows.is_some_and(|most| self.open.rows() + group.rows > most);
        if full && self.open.rows() > 0 {
            let next = PreparedWriter::create(&self.path, self.encoder)?;
            let full = std::mem::replace(&mut self.open, next);
            self.finished.push(full.finish(&self.facts)?);
        }
        self.open.append(group)
    }

    /// Appends rows that are few.
    pub(crate) fn write(&mut self, rows: Rows) -> Result<(), PrepareError> {
        self.waiting.append(rows);
        if self.waiting.len() >= GROUP_ROWS.min(self.shard_rows.unwrap_or(GROUP_ROWS)) {
            self.write_waiting()?;
        }
        Ok(())
    }

    fn write_waiting(&mut self) -> Result<(), PrepareError> {
        let portion = self.encoder.samples_in(self.shard_rows.unwrap_or(usize::MAX));
        for rows in std::mem::take(&mut self.waiting).split(portion) {
            let group = self.encoder.encode(rows).map_err(|error| self.open.error(error))?;
            self.append(group)?;
        }
        Ok(())
    }

    /// Ends the last file, whose metadata says these facts too. All files are whole then, and still without their names.
    pub(crate) fn finish(mut self, facts: &[(&'a str, String)]) -> Result<FinishedSet, PrepareError> {
        self.write_waiting()?;
        let Self { path, shard_rows, mut finished, open, facts: mut all_facts, .. } = self;
        all_facts.extend_from_slice(facts);
        finished.push(open.finish(&all_facts)?);
        Ok(FinishedSet { path, shard_rows, files: finished })
    }
}

/// A data set whose files are whole.
pub(crate) struct FinishedSet {
    path: PathBuf,
    shard_rows: Option<usize>,
    files: Vec<Nameless>,
}

impl FinishedSet {
    /// Gives the files their names, in place of an earlier data set of the same name; adds to `removed` what of that is
    /// gone for good, because no new file has its name.
    pub(crate) fn name(self, removed: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, PrepareError> {
        let count = self.files.len();
        let name = |index| match self.shard_rows {
            Some(_) => self.path.with_file_name(file_name(&self.path, Shard { index, count })),
            None => self.path.clone(),
        };
        let names: Vec<PathBuf> = (0..count).map(name).collect();
        // The old shards go first: a run killed here leaves too few shards, never some old and some new ones.
        for old in replaced(&self.path, self.shard_rows)? {
            fs::remove_file(&old).map_err(|error| write_error(&old, error))?;
            if !names.contains(&old) {
                removed.push(old);
            }
        }
        for (file, name) in self.files.into_iter().zip(&names) {
            file.name(name)?;
        }
        Ok(names)
    }
}

/// The files of an earlier data set of this name that go before a new one gets its names.
fn replaced(path: &Path, shard_rows: Option<usize>) -> Result<Vec<PathBuf>, PrepareError> {
    let mut files: Vec<PathBuf> = shards_of(path).into_iter().map(|(file, _)| file).collect();
    if shard_rows.is_some() && path.exists() {
        files.push(path.to_path_buf());
    }
    match files.iter().find(|file| facts_of(file).is_none_or(|facts| facts.is_empty())) {
        Some(other) => {
            let found = "not what `toolsmith prepare` writes, but would be taken for a part of the data set";
            Err(PrepareError::OutputInUse { path: other.clone(), found })
        }
        None => Ok(files),
    }
}

/// Removes the temporary files of runs that were killed from this file's folder. Those of running ones are locked.
pub fn remove_leftovers(output: &Path) -> Vec<PathBuf> {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_leftover = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(TEMPORARY.0)
            && name.ends_with(TEMPORARY.1)
            && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut leftovers: Vec<PathBuf> =
        entries.filter(is_leftover).filter(|path| fs::remove_file(path).is_ok()).collect();
    leftovers.sort();
    leftovers
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
