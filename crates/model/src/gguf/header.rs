//! The header of a GGUF file: metadata and where each tensor lies, all of it checked against the file's size.
//!
//! In: the file's beginning and its size. Out: a [`Header`]. Not known: architectures, names.

use std::collections::BTreeMap;
use std::io::Read;

use toolsmith_kernels::BlockFormat;

use super::reader::{MetadataValue, Reader};

/// How the numbers of a tensor are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberType {
    F32,
    F16,
    Bf16,
    Blocks(BlockFormat),
}

/// ggml's number types that are known but not read here.
const REFUSED: [(u32, &str); 26] = [
    (6, "Q5_0"),
    (7, "Q5_1"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (13, "Q5_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl NumberType {
    fn of(id: u32) -> Result<Self, String> {
        Ok(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Blocks(BlockFormat::Q4_0),
            3 => Self::Blocks(BlockFormat::Q4_1),
            8 => Self::Blocks(BlockFormat::Q8_0),
            12 => Self::Blocks(BlockFormat::Q4K),
            14 => Self::Blocks(BlockFormat::Q6K),
            30 => Self::Bf16,
            other => {
                let name = REFUSED.iter().find(|(id, _)| *id == other).map(|(_, name)| (*name).to_owned());
                return Err(name.unwrap_or_else(|| format!("number {other}")));
            }
        })
    }

    /// Bytes of a row.
    fn row_bytes(self, cols: usize) -> Option<usize> {
        match self {
            Self::F32 => cols.checked_mul(4),
            Self::F16 | Self::Bf16 => cols.checked_mul(2),
            Self::Blocks(format) => format.row_bytes(cols),
        }
    }
}

/// Where a tensor lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorInfo {
    /// Row-major: rows first.
    pub(super) shape: Vec<usize>,
    pub(super) number_type: NumberType,
    /// First byte in the file.
    pub(super) start: u64,
    /// Number of bytes.
    pub(super) bytes: u64,
}

/// Keys and values, by key.
pub(super) type Metadata = BTreeMap<String, MetadataValue>;

pub(super) struct Header {
    pub(super) metadata: Metadata,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

/// Reads and checks the header of a file of `size` bytes.
pub(super) fn read(input: impl Read, size: u64) -> Result<Header, String> {
    let mut reader = Reader::new(input, size);
    let magic = reader.u32()?;
    if magic != u32::from_le_bytes(*b"GGUF") {
        return Err(format!(
            "the file begins with {:?}, not with \"GGUF\"; is it a GGUF file?",
            magic.to_le_bytes()
        ));
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        let order = if version.swap_bytes() <= 3 { " (big-endian)" } else { "" };
        return Err(format!(
            "GGUF version {version}{order}; this program reads versions 2 and 3, little-endian: convert the model again"
        ));
    }
    // A tensor takes at least a name, a dimension, a type and an offset; a key a name, a type and a byte.
    let tensor_count = reader.count("tensors", 8 + 1 + 4 + 4 + 8)?;
    let key_count = reader.count("keys", 8 + 1 + 4 + 1)?;
    let mut metadata = Metadata::new();
    for _ in 0..key_count {
        let key = reader.name()?;
        let value = reader.value(&key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("the key `{key}` is there twice"));
        }
    }
    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let name = reader.name()?;
        let info = tensor_info(&mut reader, &name)?;
        if tensors.insert(name.clone(), info).is_some() {
            return Err(format!("the tensor `{name}` is there twice"));
        }
    }
    let alignment = alignment(&metadata)?;
    place_tensors(&mut tensors, reader.position(), alignment, size)?;
    Ok(Header { metadata, tensors })
}

fn alignment(metadata: &Metadata) -> Result<u64, String> {
    match metadata.get("general.alignment") {
        None => Ok(32),
        Some(MetadataValue::Whole(value)) if (1..=1 << 20).contains(value) && value.count_ones() == 1 => {
            Ok(*value as u64)
        }
        Some(other) => Err(format!("`general.alignment` is {other:?}; expected a power of two up to 2^20")),
    }
}

/// A tensor's entry, its start still counted from the first tensor's.
fn tensor_info(reader: &mut Reader<impl Read>, name: &str) -> Result<TensorInfo, String> {
    let dimensions = reader.u32()?;
    if !(1..=4).contains(&dimensions) {
        return Err(format!("tensor `{name}` has {dimensions} dimensions; expected 1 to 4"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = reader.u64()?;
        // A tensor of nothing is no weight.
        let size = usize::try_from(size).ok().filter(|&size| size > 0);
        shape.push(size.ok_or_else(|| format!("tensor `{name}` has a dimension without sense"))?);
    }
    let number_type = NumberType::of(reader.u32()?).map_err(|found| {
        format!(
            "tensor `{name}` has type {found}, which this program does not read; it reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K: take the model in one of these"
        )
    })?;
    let cols = shape[0];
    let rows = shape[1..].iter().try_fold(1usize, |rows, &size| rows.checked_mul(size));
    let bytes = rows.zip(number_type.row_bytes(cols)).and_then(|(rows, bytes)| rows.checked_mul(bytes));
    let bytes = bytes.ok_or_else(|| {
        format!("tensor `{name}` {shape:?} cannot be kept as {number_type:?}: rows are not whole blocks, or too large")
    })?;
    shape.reverse();
    Ok(TensorInfo { shape, number_type, start: reader.u64()?, bytes: bytes as u64 })
}

/// Moves the tensors' starts to where the data begins, and checks that each has its own place in the file.
fn place_tensors(
    tensors: &mut BTreeMap<String, TensorInfo>,
    header_end: u64,
    alignment: u64,
    size: u64,
) -> Result<(), String> {
    let data = header_end.next_multiple_of(alignment);
    let mut ranges = Vec::with_capacity(tensors.len());
    for (name, info) in tensors {
        if !info.start.is_multiple_of(alignment) {
            return Err(format!(
                "tensor `{name}` begins at offset {}, which is no multiple of the alignment {alignment}",
                info.start
            ));
        }
        let start = data.checked_add(info.start);
        let end = start.and_then(|start| start.checked_add(info.bytes));
        let (Some(start), Some(end)) = (start, end.filter(|&end| end <= size)) else {
            return Err(format!(
                "tensor `{name}` lies at offset {} with {} bytes, but the file ends at {size}; download or copy it again",
                info.start, info.bytes
            ));
        };
        info.start = start;
        ranges.push((start, end, name));
    }
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(format!("the tensors `{}` and `{}` overlap", pair[0].2, pair[1].2)),
        None => Ok(()),
    }
}
