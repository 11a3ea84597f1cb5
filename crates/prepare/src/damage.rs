//! Reading Parquet that may be damaged.
//!
//! In: a step of reading. Out: its result. The Parquet crate panics on some kinds of damage, and documents it; here they
//! become errors, since a file's damage is no mistake of the program's. It does not know what is read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::{ParquetError, Result};

/// Takes a step. After an error, what it worked on is not to be used again.
pub(crate) fn read<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    let damaged = || ParquetError::General("its parts contradict each other".to_owned());
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(damaged()))
}
