//! A stream of bytes split into records: the same ones, at the same places, however the bytes come; and each read.
//!
//! Input: a byte for the framing, one for how the bytes come; then the bytes.
#![no_main]

use std::io::{BufRead, Read, Result};

use toolsmith_fuzz::fuzz_target;
use toolsmith_prepare::{Framing, Input, RawRecord, Records, record};

/// Bytes that come a few at a time.
struct Slowly {
    bytes: Vec<u8>,
    at: usize,
    state: u32,
}

impl Read for Slowly {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Slowly {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        let rest = &self.bytes[self.at..];
        Ok(&rest[..rest.len().min((self.state >> 24) as usize % 16 + 1)])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }
}

fn records(framing: Framing, bytes: impl BufRead + Send + 'static) -> Vec<RawRecord> {
    let input = Input { bytes: Box::new(bytes), framing };
    Records::new(input, 64).map(|record| record.expect("memory does not fail")).collect()
}

fuzz_target!(|input: &[u8]| {
    let [framing, seed, bytes @ ..] = input else { return };
    let framing = [Framing::Array, Framing::Lines, Framing::Stream][usize::from(framing % 3)];
    // Whoever opens a file tells an array by its bracket.
    if framing == Framing::Array && !bytes.trim_ascii_start().starts_with(b"[") {
        return;
    }
    let whole = records(framing, std::io::Cursor::new(bytes.to_vec()));
    let slowly = Slowly { bytes: bytes.to_vec(), at: 0, state: u32::from(*seed) << 24 };
    assert_eq!(format!("{whole:?}"), format!("{:?}", records(framing, slowly)));
    for record in whole {
        if let Ok(bytes) = record.bytes {
            let _either = record::read(&bytes, record.place, None);
        }
    }
});
