//! Splits a stream of bytes into raw records, one at a time, without holding the file.
//!
//! In: bytes and their framing. Out: each record's bytes with its index, line and column, or why it could not be taken.
//! A broken record costs itself, not its neighbours: lines end at line breaks, and inside an array the splitter finds
//! its footing again at the next element where the text allows it. JSON is not parsed here.

use std::io::{self, BufRead};

use crate::open::{Framing, Input};
use crate::value_scanner::{Ended, Scanner};

/// Where a record begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position among the file's records, from 0; records that could not be read count too.
    pub index: usize,
    /// Line of the record's first byte, from 1.
    pub line: usize,
    /// Column of the record's first byte, in bytes from 1.
    pub column: usize,
}

/// One record as it stands in the file.
#[derive(Debug)]
pub struct RawRecord {
    /// Where it begins.
    pub place: Place,
    /// Its bytes, or why there are none.
    pub bytes: Result<Vec<u8>, String>,
}

/// Iterates over the records of one file. An `Err` is a failure of the machine (disk, permissions) and ends the file;
/// damaged data comes as a record whose `bytes` is an error.
pub struct Records {
    bytes: Box<dyn BufRead + Send>,
    framing: Framing,
    max_record_bytes: usize,
    index: usize,
    line: usize,
    column: usize,
    state: State,
    separator: Separator,
}

/// What is still to be said about what separates two elements of an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// Nothing.
    None,
    /// A comma stands there; another element must follow.
    Comma(Place),
    /// None stands there, and another element follows.
    Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Inside,
    Done,
}

impl Records {
    /// Splits `input`; a record longer than `max_record_bytes` is skipped and reported.
    pub fn new(input: Input, max_record_bytes: usize) -> Self {
        Self {
            bytes: input.bytes,
            framing: input.framing,
            max_record_bytes,
            index: 0,
            line: 1,
            column: 1,
            state: State::Start,
            separator: Separator::None,
        }
    }

    fn place(&self) -> Place {
        Place { index: self.index, line: self.line, column: self.column }
    }

    fn finish(&mut self, place: Place, bytes: Result<Vec<u8>, String>) -> RawRecord {
        self.index += 1;
        RawRecord { place, bytes }
    }

    /// Moves over `count` bytes, keeping line and column.
    fn advance(&mut self, count: usize, breaks: LineBreaks) {
        self.bytes.consume(count);
        self.line += breaks.count;
        self.column = match breaks.after_last {
            Some(bytes) => bytes + 1,
            None => self.column + count,
        };
    }

    /// Skips white space; the next byte, or `None` at the end of the file.
    fn skip_blank(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buffer = fill(&mut self.bytes)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let blank = buffer.iter().position(|byte| !byte.is_ascii_whitespace());
            let taken = blank.unwrap_or(buffer.len());
            let next = blank.map(|at| buffer[at]);
            let breaks = LineBreaks::within(&buffer[..taken]);
            self.advance(taken, breaks);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    fn next_line(&mut self) -> io::Result<Option<RawRecord>> {
        if self.skip_blank()?.is_none() {
            return Ok(None);
        }
        let place = self.place();
        let mut record = Vec::new();
        let mut total = 0usize;
        loop {
            let buffer = fill(&mut self.bytes)?;
            if buffer.is_empty() {
                break;
            }
            let newline = memchr::memchr(b'\n', buffer);
            let taken = newline.map_or(buffer.len(), |at| at + 1);
            total += taken;
            if total <= self.max_record_bytes {
                record.extend_from_slice(&buffer[..taken]);
            }
            let breaks = LineBreaks { count: usize::from(newline.is_some()), after_last: newline.map(|_| 0) };
            self.advance(taken, breaks);
            if newline.is_some() {
                break;
            }
        }
        let bytes = self.within_limit(record, total);
        Ok(Some(self.finish(place, bytes)))
    }

    fn within_limit(&self, record: Vec<u8>, total: usize) -> Result<Vec<u8>, String> {
        if total > self.max_record_bytes {
            return Err(format!(
                "the record is {total} bytes long; at most {} are read. Split it, or check for a missing line break",
                self.max_record_bytes
            ));
        }
        Ok(record)
    }

    /// One JSON value: an array's element, or the next of a stream of values.
    fn next_value(&mut self) -> io::Result<Option<RawRecord>> {
        let in_array = self.framing == Framing::Array;
        if in_array && self.state == State::Start {
            self.skip_blank()?;
            self.advance(1, LineBreaks::default());
        }
        self.state = State::Inside;
        match self.skip_blank()? {
            None if in_array => {
                self.state = State::Done;
                let place = self.place();
                let error = "the file ends inside its array: no closing ]. Is the file complete?".to_owned();
                return Ok(Some(self.finish(place, Err(error))));
            }
            None => return Ok(None),
            Some(b']') if in_array => {
                let Separator::Comma(comma) = self.separator else {
                    return self.after_array();
                };
                self.separator = Separator::None;
                let place = Place { index: self.index, ..comma };
                let error = "a comma after the last record. Remove it".to_owned();
                return Ok(Some(self.finish(place, Err(error))));
            }
            Some(b',') if in_array => {
                let place = self.place();
                self.advance(1, LineBreaks::default());
                let error = "a comma without a record before it. Remove it".to_owned();
                return Ok(Some(self.finish(place, Err(error))));
            }
            Some(_) if self.separator == Separator::Missing => {
                self.separator = Separator::None;
                let place = self.place();
                let error =
                    "no comma between the record that begins here and the one before it. Put one there";
                return Ok(Some(self.finish(place, Err(error.to_owned()))));
            }
            Some(_) => {}
        }
        self.separator = Separator::None;
        let place = self.place();
        let (record, total, ended) = self.scan_value(in_array)?;
        match ended {
            Ended::Comma => {
                self.separator = Separator::Comma(self.place());
                self.advance(1, LineBreaks::default());
            }
            Ended::NoComma => self.separator = Separator::Missing,
            Ended::Bracket | Ended::Restart | Ended::File => {}
        }
        let bytes = self.within_limit(record, total);
        Ok(Some(self.finish(place, bytes)))
    }

    /// Behind the array's `]`: only white space may follow.
    fn after_array(&mut self) -> io::Result<Option<RawRecord>> {
        self.advance(1, LineBreaks::default());
        self.state = State::Done;
        if self.skip_blank()?.is_none() {
            return Ok(None);
        }
        let place = self.place();
        let error = "text after the array's closing ]. Everything from here on is not read; \
                     put all records into one array, or write one record a line"
            .to_owned();
        Ok(Some(self.finish(place, Err(error))))
    }

    fn scan_value(&mut self, in_array: bool) -> io::Result<(Vec<u8>, usize, Ended)> {
        let mut scanner = Scanner::new(in_array);
        let mut record = Vec::new();
        let mut total = 0usize;
        loop {
            let buffer = fill(&mut self.bytes)?;
            if buffer.is_empty() {
                return Ok((record, total, Ended::File));
            }
            let (taken, ended) = scanner.scan(buffer);
            total += taken;
            if total <= self.max_record_bytes {
                record.extend_from_slice(&buffer[..taken]);
            }
            let breaks = LineBreaks::within(&buffer[..taken]);
            self.advance(taken, breaks);
            if let Some(ended) = ended {
                return Ok((record, total, ended));
            }
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let place = self.place();
        let result = match self.framing {
            Framing::Lines => self.next_line(),
            Framing::Array | Framing::Stream => self.next_value(),
        };
        match result {
            Ok(Some(record)) => Some(Ok(record)),
            Ok(None) => {
                self.state = State::Done;
                None
            }
            Err(error) => {
                self.state = State::Done;
                if !is_damaged_data(&error) {
                    return Some(Err(error));
                }
                let message = format!(
                    "the compressed data ends or breaks here ({error}); nothing after this place can be read. \
                     Fetch or write the file again"
                );
                Some(Ok(self.finish(place, Err(message))))
            }
        }
    }
}

/// A decompressor's complaint about its input, as opposed to a failing disk.
pub(crate) fn is_damaged_data(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

/// Line breaks within a run of bytes.
#[derive(Clone, Copy, Default)]
struct LineBreaks {
    count: usize,
    /// Bytes behind the last one.
    after_last: Option<usize>,
}

impl LineBreaks {
    fn within(bytes: &[u8]) -> Self {
        Self {
            count: memchr::memchr_iter(b'\n', bytes).count(),
            after_last: memchr::memrchr(b'\n', bytes).map(|at| bytes.len() - at - 1),
        }
    }
}

fn fill(bytes: &mut Box<dyn BufRead + Send>) -> io::Result<&[u8]> {
    loop {
        match bytes.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.fill_buf()
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
