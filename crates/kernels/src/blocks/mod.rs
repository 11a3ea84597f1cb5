//! Weights packed in blocks: a few bits a weight, and a scale for every few weights.
//!
//! In: bytes in one of the formats, or plain numbers to pack. Out: a [`PackedMatrix`], checked, whose elements can be
//! asked for one by one. Not known: files, devices; how to unpack quickly is each device's own work.

mod element;
mod pack;

use thiserror::Error;

pub(crate) use element::{NF4, half, q4k_group};

/// How a row of weights is kept. Every row is whole by itself: no block runs across two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// ggml's `Q8_0`: 32 weights of 8 bit and an f16 scale.
    Q8_0,
    /// ggml's `Q4_0`: 32 weights of 4 bit around 0 and an f16 scale.
    Q4_0,
    /// ggml's `Q4_1`: 32 weights of 4 bit, an f16 scale and an f16 minimum.
    Q4_1,
    /// ggml's `Q4_K`: 256 weights of 4 bit in eight groups, each with a scale and a minimum of 6 bit.
    Q4K,
    /// ggml's `Q6_K`: 256 weights of 6 bit in sixteen groups, each with a scale of 8 bit.
    Q6K,
    /// 8 bit around 0 with one f32 scale a row, as ChatGLM3's own 8-bit layers quantise.
    Int8,
    /// 4-bit NormalFloat of QLoRA (Dettmers et al., 2023): 64 weights and the f32 absolute maximum.
    Nf4,
}

impl BlockFormat {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Q8_0, Self::Q4_0, Self::Q4_1, Self::Q4K, Self::Q6K, Self::Int8, Self::Nf4];

    /// The name that files and messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
        }
    }

    /// Weights and bytes of a block; a row is a whole number of blocks (of `Int8` it is one block of any length).
    const fn block(self) -> (usize, usize) {
        match self {
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q4K => (256, 144),
            Self::Q6K => (256, 210),
            Self::Int8 => (32, 32),
            Self::Nf4 => (64, 36),
        }
    }

    /// Bytes of a row of `cols` weights; `None` where such a row cannot be kept. `Int8` and `Nf4` take rows of any
    /// length and fill up the last block.
    #[must_use]
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        let (weights, bytes) = self.block();
        match self {
            Self::Int8 => cols.div_ceil(weights).checked_mul(bytes)?.checked_add(4),
            Self::Nf4 => cols.div_ceil(weights).checked_mul(bytes),
            _ if cols.is_multiple_of(weights) => (cols / weights).checked_mul(bytes),
            _ => None,
        }
    }
}

/// Why numbers or bytes make no packed matrix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// Rows that are not whole blocks.
    #[error("rows of {cols} weights cannot be kept as {format}: expected a multiple of {block}", format = format.name())]
    RowLength {
        /// The format.
        format: BlockFormat,
        /// Weights of a row.
        cols: usize,
        /// Weights of a block.
        block: usize,
    },
    /// Too few or too many bytes or numbers.
    #[error("{found} {unit} for a {format} matrix [{rows}, {cols}], expected {expected}", format = format.name())]
    Length {
        /// The format.
        format: BlockFormat,
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// What was counted ("bytes", "numbers").
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A format that is read but not written.
    #[error("this program does not pack {format}: choose Q8_0, Q4_0, Q4_1, int8 or nf4", format = format.name())]
    NotPacked {
        /// The format.
        format: BlockFormat,
    },
    /// A weight that is infinite or not a number has no scale.
    #[error(
        "the weight in row {row}, column {col} is {value}, expected a finite number; are the weights damaged?"
    )]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        col: usize,
        /// What it is, as text.
        value: String,
    },
}

/// A matrix of weights in blocks: row-major, `[rows, cols]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedMatrix {
    format: BlockFormat,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    bytes: Vec<u8>,
}

impl PackedMatrix {
    /// A matrix of bytes that are packed already.
    ///
    /// # Errors
    /// Rows that are not whole blocks, or another number of bytes than the shape calls for.
    pub fn new(format: BlockFormat, rows: usize, cols: usize, bytes: Vec<u8>) -> Result<Self, BlockError> {
        let block = format.block().0;
        let too_long = BlockError::RowLength { format, cols, block };
        let row_bytes = format.row_bytes(cols).ok_or_else(|| too_long.clone())?;
        let expected = rows.checked_mul(row_bytes).ok_or(too_long)?;
        if bytes.len() != expected {
            let (unit, found) = ("bytes", bytes.len());
            return Err(BlockError::Length { format, rows, cols, unit, found, expected });
        }
        Ok(Self { format, rows, cols, row_bytes, bytes })
    }

    /// Packs plain numbers, `[rows, cols]`.
    ///
    /// # Errors
    /// A format that is only read, rows that it cannot keep, a weight that is no finite number.
    pub fn pack(format: BlockFormat, rows: usize, cols: usize, values: &[f32]) -> Result<Self, BlockError> {
        pack::pack(format, rows, cols, values)
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> BlockFormat {
        self.format
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The blocks, row after row.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The blocks of a row.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &self.bytes[row * self.row_bytes..][..self.row_bytes]
    }

    /// One weight, by the format's definition.
    ///
    /// # Panics
    /// If there is no such element.
    #[must_use]
    pub fn element(&self, row: usize, col: usize) -> f32 {
        assert!(col < self.cols, "column {col} of {}", self.cols);
        element::element(self.format, self.row(row), col)
    }
}
