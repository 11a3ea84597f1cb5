//! Reading Parquet that may be damaged.
//!
//! In: a step of reading. Out: its result. The Parquet crate panics on some kinds of damage, and documents it; here they
//! become errors, since a file's damage is no mistake of the program's, and print nothing. It does not know what is read.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use parquet::errors::{ParquetError, Result};

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Takes a step. After an error, what it worked on is not to be used again.
pub(crate) fn read<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !READING.get() {
                others(panic);
            }
        }));
    });
    let damaged = || ParquetError::General("its parts contradict each other".to_owned());
    READING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(step));
    READING.set(false);
    outcome.unwrap_or_else(|_| Err(damaged()))
}
