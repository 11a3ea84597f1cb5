//! Numbers in memory that begin on a cache line: a vector register's worth then never lies across two lines.

use std::ops::{Deref, DerefMut};

/// Numbers of a cache line.
const LINE: usize = 16;

/// A fixed number of f32, the first at a multiple of 64 bytes.
#[derive(Debug)]
pub(super) struct Values {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Values {
    /// Zeros, which the operating system hands out page by page as they are touched.
    pub(super) fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + LINE - 1];
        // A machine on which the place cannot be told keeps what the allocator gave.
        let start = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { memory, start, len }
    }
}

impl From<&[f32]> for Values {
    fn from(values: &[f32]) -> Self {
        let mut copy = Self::zeros(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl Clone for Values {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_copies_begin_on_a_cache_line() {
        for len in [0, 1, 15, 16, 1000, 100_000] {
            let values = Values::from(&vec![1.5; len][..]);
            let copy = values.clone();
            let on_line = |values: &Values| values.as_ptr().addr().is_multiple_of(64);
            assert!(on_line(&values) && on_line(&copy), "{len}");
            assert!(copy == values && *copy == vec![1.5; len]);
        }
    }
}
