//! The numbers and strings of a GGUF header, never more than the file can hold.
//!
//! In: a stream and the file's size. Out: values, or what is wrong and where. Not known: what they mean.

use std::io::Read;

/// What a value of the metadata is. Arrays are passed over unless they are short lists of whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MetadataValue {
    Whole(i128),
    Float(f64),
    Flag(bool),
    Text(String),
    Wholes(Vec<i128>),
    /// An array that nothing here asks for.
    Skipped,
}

/// Longest name of a key or a tensor.
const LONGEST_NAME: u64 = 65_535;
/// Longest array of whole numbers that is kept: one a layer.
const LONGEST_LIST: u64 = 4096;

/// A stream of known length.
pub(super) struct Reader<R> {
    input: R,
    position: u64,
    size: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R, size: u64) -> Self {
        Self { input, position: 0, size }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn left(&self) -> u64 {
        self.size - self.position
    }

    fn claim(&mut self, bytes: u64) -> Result<(), String> {
        if bytes > self.left() {
            return Err(format!(
                "the header asks for {bytes} bytes at byte {}, but the file ends at {}; download or copy it again",
                self.position, self.size
            ));
        }
        self.position += bytes;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        self.claim(bytes)?;
        let skipped = std::io::copy(&mut self.input.by_ref().take(bytes), &mut std::io::sink());
        match skipped.map_err(|error| error.to_string())? {
            count if count == bytes => Ok(()),
            count => Err(format!("the file ended after {count} of {bytes} bytes that its size promised")),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A number of things that take at least `smallest` bytes each.
    pub(super) fn count(&mut self, what: &str, smallest: u64) -> Result<u64, String> {
        let count = self.u64()?;
        if count > self.left() / smallest {
            return Err(format!(
                "{count} {what} cannot lie in the {} bytes that are left; download or copy the file again",
                self.left()
            ));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String, String> {
        let (at, len) = (self.position, self.count("bytes of text", 1)?);
        self.claim(len)?;
        // The length was checked against the file's size.
        let mut bytes = vec![0; len as usize];
        self.input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|_| format!("the text at byte {at} is not UTF-8"))
    }

    /// The name of a key or a tensor.
    pub(super) fn name(&mut self) -> Result<String, String> {
        let at = self.position;
        let name = self.text()?;
        if name.is_empty() || name.len() as u64 > LONGEST_NAME {
            return Err(format!("a name of {} bytes at byte {at}; expected 1 to {LONGEST_NAME}", name.len()));
        }
        Ok(name)
    }

    /// A value of the metadata, its type first.
    pub(super) fn value(&mut self, key: &str) -> Result<MetadataValue, String> {
        let kind = self.u32()?;
        if kind == 9 { self.array(key) } else { self.scalar(kind, key) }
    }

    fn scalar(&mut self, kind: u32, key: &str) -> Result<MetadataValue, String> {
        Ok(match kind {
            0 => MetadataValue::Whole(u8::from_le_bytes(self.bytes()?).into()),
            1 => MetadataValue::Whole(i8::from_le_bytes(self.bytes()?).into()),
            2 => MetadataValue::Whole(u16::from_le_bytes(self.bytes()?).into()),
            3 => MetadataValue::Whole(i16::from_le_bytes(self.bytes()?).into()),
            4 => MetadataValue::Whole(u32::from_le_bytes(self.bytes()?).into()),
            5 => MetadataValue::Whole(i32::from_le_bytes(self.bytes()?).into()),
            6 => MetadataValue::Float(shortest(f32::from_le_bytes(self.bytes()?))),
            7 => match self.bytes::<1>()? {
                [0] => MetadataValue::Flag(false),
                [1] => MetadataValue::Flag(true),
                [other] => return Err(format!("`{key}` is a truth value of {other}; expected 0 or 1")),
            },
            8 => MetadataValue::Text(self.text()?),
            10 => MetadataValue::Whole(u64::from_le_bytes(self.bytes()?).into()),
            11 => MetadataValue::Whole(i64::from_le_bytes(self.bytes()?).into()),
            12 => MetadataValue::Float(f64::from_le_bytes(self.bytes()?)),
            other => return Err(format!("`{key}` has the value type {other}; GGUF has 0 to 12")),
        })
    }

    fn array(&mut self, key: &str) -> Result<MetadataValue, String> {
        let kind = self.u32()?;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            other => {
                return Err(format!("`{key}` is an array of value type {other}; expected numbers or text"));
            }
        };
        let count = self.count("elements of an array", size)?;
        if kind == 8 {
            for _ in 0..count {
                let len = self.count("bytes of text", 1)?;
                self.skip(len)?;
            }
        } else if count <= LONGEST_LIST && !matches!(kind, 6 | 7 | 12) {
            let mut wholes = Vec::new();
            for _ in 0..count {
                if let MetadataValue::Whole(whole) = self.scalar(kind, key)? {
                    wholes.push(whole);
                }
            }
            return Ok(MetadataValue::Wholes(wholes));
        } else {
            self.skip(count * size)?;
        }
        Ok(MetadataValue::Skipped)
    }
}

/// The f64 that is written with the fewest digits among those that round to `value`: 1e-5, not 9.999999747378752e-6.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
