//! The SentencePiece model file: a protocol buffer, of which only a few fields matter here.
//!
//! In: bytes. Out: a [`ModelFile`] that borrows from them. Fields that are not known are skipped, as the format wants it;
//! a length that reaches past the end of the file is refused before anything is allocated for it.
//!
//! ```text
//! file         1 piece (repeated)   2 trainer   3 normalizer
//! piece        1 text   2 score (float)   3 type (1 normal 2 unknown 3 control 4 user-defined 5 unused 6 byte)
//! trainer      3 kind (1 unigram 2 BPE 3 word 4 character)   24 space behind the word   35 byte fallback
//! normalizer   2 character map   3 space before the text   4 spaces made one   5 spaces written as U+2581
//! ```

/// What a model file says.
#[derive(Debug)]
pub(super) struct ModelFile<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    pub(super) kind: u64,
    pub(super) byte_fallback: bool,
    pub(super) rules: Rules<'a>,
}

/// One entry of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// How text is changed before it is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The compiled map of characters; empty for none.
    pub(super) map: &'a [u8],
    /// A space is put before the text, so that its first word is written as any other.
    pub(super) dummy_prefix: bool,
    /// That space goes behind the text instead.
    pub(super) space_behind: bool,
    /// Spaces at the ends go, and of several in a row all but one.
    pub(super) remove_extra_spaces: bool,
    /// A space is written as `▁`.
    pub(super) escape_spaces: bool,
}

/// Reads a model file.
pub(super) fn parse(bytes: &[u8]) -> Result<ModelFile<'_>, String> {
    let mut file = ModelFile {
        pieces: Vec::new(),
        kind: 1,
        byte_fallback: false,
        rules: Rules {
            map: &[],
            dummy_prefix: true,
            space_behind: false,
            remove_extra_spaces: true,
            escape_spaces: true,
        },
    };
    let mut fields = Fields { bytes, at: 0, end: bytes.len() };
    while let Some(field) = fields.next()? {
        let Value::Bytes(start, end) = field.value else { continue };
        let mut inner = Fields { bytes, at: start, end };
        match field.number {
            1 => {
                let piece = parse_piece(&mut inner)
                    .map_err(|reason| format!("piece {}: {reason}", file.pieces.len()))?;
                file.pieces.push(piece);
            }
            2 => {
                while let Some(field) = inner.next()? {
                    match (field.number, field.value) {
                        (3, Value::Number(kind)) => file.kind = kind,
                        (24, Value::Number(flag)) => file.rules.space_behind = flag != 0,
                        (35, Value::Number(flag)) => file.byte_fallback = flag != 0,
                        _ => {}
                    }
                }
            }
            3 => {
                while let Some(field) = inner.next()? {
                    match (field.number, field.value) {
                        (2, Value::Bytes(start, end)) => file.rules.map = &bytes[start..end],
                        (3, Value::Number(flag)) => file.rules.dummy_prefix = flag != 0,
                        (4, Value::Number(flag)) => file.rules.remove_extra_spaces = flag != 0,
                        (5, Value::Number(flag)) => file.rules.escape_spaces = flag != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if file.pieces.is_empty() {
        return Err("it has no pieces".to_owned());
    }
    Ok(file)
}

fn parse_piece<'a>(fields: &mut Fields<'a>) -> Result<Piece<'a>, String> {
    let mut piece = Piece { text: "", score: 0.0, kind: PieceKind::Normal };
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(start, end)) => {
                piece.text = std::str::from_utf8(&fields.bytes[start..end])
                    .map_err(|_| format!("its text, at byte {start}, is not UTF-8"))?;
            }
            (2, Value::Float(score)) => piece.score = score,
            (3, Value::Number(kind)) => {
                piece.kind = match kind {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    other => {
                        return Err(format!("{:?} is of the type {other}; known are 1 to 6", piece.text));
                    }
                }
            }
            _ => {}
        }
    }
    if piece.text.is_empty() {
        return Err("it has no text".to_owned());
    }
    if !piece.score.is_finite() {
        return Err(format!("the score of {:?} is {}", piece.text, piece.score));
    }
    Ok(piece)
}

/// The fields of a message, one after another.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

struct Field {
    number: u64,
    value: Value,
}

/// What a field holds; bytes by where they start and end in the file.
enum Value {
    Number(u64),
    Float(f32),
    Bytes(usize, usize),
    /// 64 bits, which nothing here uses.
    Other,
}

impl Fields<'_> {
    fn next(&mut self) -> Result<Option<Field>, String> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Other
            }
            2 => {
                let length = self.varint()?;
                let start = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                Value::Bytes(start, self.at)
            }
            5 => {
                let at = self.take(4)?;
                let mut float = [0; 4];
                float.copy_from_slice(&self.bytes[at..at + 4]);
                Value::Float(f32::from_le_bytes(float))
            }
            other => {
                return Err(format!("at byte {start}: a field of the wire type {other}, which there is not"));
            }
        };
        Ok(Some(Field { number: key >> 3, value }))
    }

    /// Steps over this many bytes; returns where they start.
    fn take(&mut self, length: usize) -> Result<usize, String> {
        let start = self.at;
        if length > self.end - start {
            return Err(format!(
                "it breaks off: at byte {start}, {length} bytes should follow and there are {}",
                self.end - start
            ));
        }
        self.at += length;
        Ok(start)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let at = self.take(1)?;
            let byte = self.bytes[at];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(format!("at byte {start}: a number of more than 64 bits"))
    }
}
