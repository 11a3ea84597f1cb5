//! Opening a data file: compression and framing are recognised by content, never by the file's name.
//!
//! In: a path. Out: a buffered stream of plain bytes behind any byte-order mark, and how records are framed in it.
//! Does not know what a record means.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::PrepareError;
use crate::split::is_damaged_data;

const BUFFER_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BINARY: &str = "binary data";
pub(crate) const UTF8_BOM: &[u8] = &[0xef, 0xbb, 0xbf];

/// How records follow one another in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON array holding all records.
    Array,
    /// One JSON value a line (JSONL).
    Lines,
    /// JSON values one after another, each over several lines.
    Stream,
}

/// A data file, decompressed and ready to be split into records.
pub struct Input {
    /// The bytes, without byte-order mark.
    pub bytes: Box<dyn BufRead + Send>,
    /// How records are framed.
    pub framing: Framing,
}

/// Opens `path`, looks through gzip and Zstandard, and recognises the framing from the first bytes.
pub fn open(path: &Path) -> Result<Input, PrepareError> {
    open_counted(path, &Arc::default())
}

/// The same, adding to `bytes_read` what is taken from disk.
pub(crate) fn open_counted(path: &Path, bytes_read: &Arc<AtomicU64>) -> Result<Input, PrepareError> {
    let file = Counted { inner: open_file(path)?, bytes_read: Arc::clone(bytes_read) };
    from_reader(file).map_err(|problem| match problem {
        OpenProblem::Io(source) => PrepareError::Read { path: path.to_path_buf(), source },
        OpenProblem::Content(found) => {
            PrepareError::NotRecords { path: path.to_path_buf(), found: as_named(found, path) }
        }
        OpenProblem::Empty => PrepareError::Empty { path: path.to_path_buf() },
    })
}

/// Opens a file as it is; a folder, which some systems open too, is told as one.
pub(crate) fn open_file(path: &Path) -> Result<File, PrepareError> {
    let read_error = |source: io::Error| PrepareError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(read_error)?;
    if file.metadata().map_err(read_error)?.is_dir() {
        return Err(PrepareError::IsFolder { path: path.to_path_buf() });
    }
    Ok(file)
}

/// What was found, said of a file whose name promises something else.
fn as_named(found: &'static str, path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") if found == BINARY => "binary data that is no Zstandard, whatever its name says",
        Some("gz") if found == BINARY => "binary data that is no gzip, whatever its name says",
        _ => found,
    }
}

struct Counted<R> {
    inner: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Why a stream of bytes holds no records.
#[derive(Debug)]
pub(crate) enum OpenProblem {
    Io(io::Error),
    Content(&'static str),
    Empty,
}

impl From<io::Error> for OpenProblem {
    fn from(error: io::Error) -> Self {
        OpenProblem::Io(error)
    }
}

/// The same for any stream of bytes.
pub(crate) fn from_reader(raw: impl Read + Send + 'static) -> Result<Input, OpenProblem> {
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
    if peek(&mut raw)?.starts_with(GZIP_MAGIC) {
        let decoder = MultiGzDecoder::new(raw);
        return recognise(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))).map_err(damaged);
    }
    if peek(&mut raw)?.starts_with(ZSTD_MAGIC) {
        let decoder = Zstandard(zstd::Decoder::with_buffer(raw)?);
        return recognise(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))).map_err(damaged);
    }
    recognise(Box::new(raw))
}

/// Tells compressed data that breaks at once from a failing disk.
fn damaged(problem: OpenProblem) -> OpenProblem {
    match problem {
        OpenProblem::Io(error) if is_damaged_data(&error) => {
            OpenProblem::Content("compressed data that is damaged or cut off")
        }
        other => other,
    }
}

/// Says of damaged data that it is damaged; the decoder itself calls every failure "other".
struct Zstandard<R: BufRead>(zstd::Decoder<'static, R>);

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Other => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
            _ => error,
        })
    }
}

fn recognise(mut bytes: Box<dyn BufRead + Send>) -> Result<Input, OpenProblem> {
    let head = peek(&mut bytes)?;
    if let Some(found) = foreign_format(head) {
        return Err(OpenProblem::Content(found));
    }
    if head.starts_with(UTF8_BOM) {
        bytes.consume(UTF8_BOM.len());
    }
    let head = peek(&mut bytes)?;
    let Some(start) = head.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        if head.len() < BUFFER_BYTES {
            return Err(OpenProblem::Empty);
        }
        return Ok(Input { bytes, framing: Framing::Lines });
    };
    let framing = match head[start] {
        b'[' => Framing::Array,
        b'{' if first_line(&head[start..]).trim_ascii() == b"{" => Framing::Stream,
        _ => Framing::Lines,
    };
    Ok(Input { bytes, framing })
}

/// The buffer's content without consuming it, interrupted reads tried again.
fn peek(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
    reader.fill_buf()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// Names content that is certainly not JSON text.
fn foreign_format(head: &[u8]) -> Option<&'static str> {
    const ARROW_STREAM: &str =
        "an Arrow IPC stream, as Dataset.save_to_disk writes it (Dataset.to_parquet writes Parquet)";
    const TWICE: &str = "data that is compressed twice";
    const UTF16: &str = "UTF-16 text";
    const MAGICS: [(&[u8], &str); 13] = [
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow IPC file"),
        (&[0xff, 0xff, 0xff, 0xff], ARROW_STREAM),
        (GZIP_MAGIC, TWICE),
        (ZSTD_MAGIC, TWICE),
        (b"PK\x03\x04", "a zip archive"),
        (&[0xfd, b'7', b'z', b'X', b'Z'], "xz-compressed data"),
        (b"BZh", "bzip2-compressed data"),
        (&[0xff, 0xfe, 0, 0], "UTF-32 text"),
        (&[0xff, 0xfe], UTF16),
        (&[0xfe, 0xff], UTF16),
        (b"{\0", UTF16),
        (b"[\0", UTF16),
    ];
    if let Some((_, name)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    // What is wrong in one of the records is told with it.
    if begins_as_json(head) {
        return None;
    }
    let head = &head[..head.len().min(1024)];
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    // Text in another encoding than UTF-8 is told record by record; it has no control characters.
    let is_binary = match str::from_utf8(head) {
        Ok(_) => head.contains(&0),
        // A character that is cut off at the end is none of these.
        Err(error) => head.contains(&0) || error.error_len().is_some() && head.iter().any(is_control),
    };
    is_binary.then_some(BINARY)
}

/// Whether the first two characters are those of an object or of an array of records.
fn begins_as_json(head: &[u8]) -> bool {
    let head = head.strip_prefix(UTF8_BOM).unwrap_or(head);
    let mut characters = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    match characters.next() {
        Some(b'{') => matches!(characters.next(), Some(b'"' | b'}')),
        Some(b'[') => matches!(characters.next(), Some(b'{' | b'"' | b'[' | b']')),
        _ => false,
    }
}
