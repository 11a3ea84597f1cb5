//! A record that is longer than what is read costs its length in time, not in memory.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use peak_alloc::PeakAlloc;
use toolsmith_prepare::FileRecords;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MEBIBYTE: usize = 1 << 20;
const LONG: usize = 48 * MEBIBYTE;
const LIMIT: usize = MEBIBYTE;

/// Writes a record that is too long between two good ones, piece by piece.
fn write_long(mut file: impl Write, [before, between, after]: [&str; 3]) {
    let piece = vec![b'x'; MEBIBYTE];
    write!(file, "{before}{{\"text\": 1}}{between}\"").expect("writes");
    for _ in 0..LONG / MEBIBYTE {
        file.write_all(&piece).expect("writes");
    }
    write!(file, "\"{between}{{\"text\": 2}}{after}").expect("writes");
}

/// Each record's line and text or error, and the most bytes held at a time beyond what was held before.
fn read(path: &Path) -> (Vec<(usize, String)>, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let records = FileRecords::open(path, LIMIT, &Arc::default()).expect("opens");
    let told = records.map(|record| {
        let record = record.expect("no machine failure");
        let text = record.bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        (record.place.line, text.unwrap_or_else(|error| error))
    });
    (told.collect(), ALLOCATOR.peak_usage() - before)
}

#[test]
fn a_long_record_is_refused_in_little_memory_whatever_surrounds_it() {
    let folder = tempfile::tempdir().expect("tempdir");
    for (name, shape) in [("lines", ["", "\n", "\n"]), ("array", ["[", ",\n", "]"]), ("gz", ["", "\n", "\n"])]
    {
        let path = folder.path().join(name);
        let file = std::fs::File::create(&path).expect("creates");
        match name {
            "gz" => write_long(GzEncoder::new(file, Compression::fast()), shape),
            _ => write_long(file, shape),
        }
        let (told, most) = read(&path);
        let lines: Vec<_> = told.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3], "{name}");
        assert_eq!((told[0].1.as_str(), told[2].1.as_str()), ("{\"text\": 1}", "{\"text\": 2}"), "{name}");
        assert!(told[1].1.starts_with("the record is 5033"), "{name}: {}", told[1].1);
        assert!(told[1].1.contains("at most 1048576 are read"), "{name}: {}", told[1].1);
        assert!(most < 8 * MEBIBYTE, "{name}: {most} bytes for a limit of {LIMIT}");
    }
}
