//! Rows of a key-value cache, and which sequence owns them.
//!
//! In: requests for rows. Out: row numbers; the buffers grow as needed and rows of finished sequences are used again.
//! Not known: what is kept in the rows.

use toolsmith_kernels::{Device, Matrix, View, ViewMut};

use crate::DecoderConfig;

/// Rows that a sequence takes at a time.
const BLOCK: usize = 32;

/// Keys and values of earlier tokens, all decoder blocks.
pub(crate) struct KeyValueCache<D: Device> {
    /// Keys and values of each decoder block: `[capacity, kv_heads * head_dim]`.
    pub(crate) blocks: Vec<(D::Buffer, D::Buffer)>,
    pub(crate) capacity: usize,
    width: usize,
    used: usize,
    /// Starts of blocks whose sequence has ended.
    free: Vec<usize>,
}

impl<D: Device> KeyValueCache<D> {
    pub(crate) fn new(device: &D, config: &DecoderConfig) -> Self {
        let blocks = (0..config.num_hidden_layers).map(|_| (device.zeros(0), device.zeros(0))).collect();
        Self { blocks, capacity: 0, width: config.key_value_size(), used: 0, free: Vec::new() }
    }

    /// The first of `rows` neighbouring rows that nobody uses.
    pub(crate) fn take(&mut self, device: &D, rows: usize) -> usize {
        let start = self.used;
        self.used += rows;
        if self.used > self.capacity {
            let capacity = self.used.max(2 * self.capacity).next_multiple_of(BLOCK);
            for (keys, values) in &mut self.blocks {
                for buffer in [keys, values] {
                    let mut larger = device.zeros(capacity * self.width);
                    let at = Matrix::dense(start, self.width);
                    device.copy(View::new(buffer, at), ViewMut::new(&mut larger, at));
                    *buffer = larger;
                }
            }
            self.capacity = capacity;
        }
        start
    }

    /// The row for a sequence's next token.
    pub(crate) fn next_row(&mut self, device: &D, own: &mut OwnRows) -> usize {
        if own.room == 0 {
            let start = self.free.pop().unwrap_or_else(|| self.take(device, BLOCK));
            own.blocks.push(start);
            own.room = BLOCK;
            own.next = start;
        }
        own.room -= 1;
        own.next += 1;
        own.next - 1
    }

    /// Gives back what a finished sequence had.
    pub(crate) fn release(&mut self, own: &mut OwnRows) {
        self.free.append(&mut own.blocks);
        own.room = 0;
    }
}

/// The rows that one sequence has taken for what it wrote.
#[derive(Debug, Default)]
pub(crate) struct OwnRows {
    blocks: Vec<usize>,
    next: usize,
    room: usize,
}

/// Adds a row to a list of ranges `(start, len)`.
pub(crate) fn push_row(ranges: &mut Vec<(usize, usize)>, row: usize) {
    push_range(ranges, (row, 1));
}

/// Adds a range to a list of ranges, joined to the last where they touch.
pub(crate) fn push_range(ranges: &mut Vec<(usize, usize)>, range: (usize, usize)) {
    match ranges.last_mut() {
        Some(last) if last.0 + last.1 == range.0 => last.1 += range.1,
        _ => ranges.push(range),
    }
}
