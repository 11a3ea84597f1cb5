//! Files that are broken in every way files are: each is told by file and line (and column), what stands around the
//! damage is read all the same, and nothing half-written is left.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use std::io::Write as _;

use common::{Place, Ran};

const BROKEN_RECORDS: i32 = 3;
const FAILED: i32 = 1;

fn place_with(data: &[u8]) -> Place {
    let place = Place::with_model();
    std::fs::write(place.path("data"), data).expect("file");
    place
}

fn check(place: &Place) -> Ran {
    place.run(&["check", "data", "--model", "model", "--similar", "off", "--places", "1000"])
}

fn prepare(place: &Place, more: &[&str]) -> Ran {
    let ran = place.run(&[&["prepare", "data", "--model", "model", "-o", "out.parquet"], more].concat());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

fn assert_nothing_written(place: &Place, name: &str) {
    assert_eq!(place.names(), ["data", "model"], "{name}: something was left behind");
}

/// Bad records are told by `check` and `prepare`, which writes nothing, unless they are to be left out.
fn assert_told(name: &str, data: &[u8], said: &[&str], good: u64) {
    let place = place_with(data);
    let checked = check(&place);
    assert_eq!(checked.code, BROKEN_RECORDS, "{name}: {}{}", checked.stdout, checked.stderr);
    let prepared = prepare(&place, &[]);
    assert_eq!(prepared.code, BROKEN_RECORDS, "{name}: {}", prepared.stderr);
    assert_nothing_written(&place, name);
    for said in said {
        assert!(checked.stdout.contains(said), "{name}: check: {}", checked.stdout);
        assert!(prepared.stdout.contains(said), "{name}: prepare: {}", prepared.stdout);
    }
    let summary = prepare(&place, &["--skip-bad", "--json"]).json();
    assert_eq!(summary["samples"], good, "{name}: {summary}");
    assert_eq!(summary["refused"], said.len(), "{name}: {summary}");
    assert!(place.exists("out.parquet"), "{name}");
}

/// A file that holds no records at all is told in one line.
fn assert_refused(name: &str, place: &Place, said: &str) {
    for ran in [check(place), prepare(place, &[]), prepare(place, &["--skip-bad"])] {
        assert_eq!(ran.code, FAILED, "{name}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.starts_with("error: data: "), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{name}: {}", ran.stderr);
    }
    assert!(!place.exists("out.parquet"), "{name}");
}

#[test]
fn broken_records_are_told_with_their_place_and_cost_no_neighbour() {
    let deep = format!("{{\"text\": \"a\"}}\n{{\"text\": {}{}}}\n", "[".repeat(1000), "]".repeat(1000));
    let cases: [(&str, &[u8], &[&str], u64); 14] = [
        (
            "binary junk on a line",
            b"{\"text\": \"a\"}\n\x81\x00\x93{\xf0\x0e\x99\n{\"text\": \"b\"}\n",
            &["data:2: record 1: broken JSON at line 2, column 1: "],
            2,
        ),
        (
            "a zero byte",
            b"{\"text\": \"a\0\"}\n{\"text\": \"b\"}\n",
            &["data:1: record 0: broken JSON at line 1, column 12: control character"],
            1,
        ),
        (
            "another encoding than UTF-8",
            b"{\"text\": \"a\"}\n{\"text\": \"caf\xe9\"}\n{\"text\": \"b\"}\n",
            &[
                "data:2: record 1: broken JSON at line 2, column 14: invalid unicode code point. Save the file as UTF-8",
            ],
            2,
        ),
        (
            "a thousand levels",
            deep.as_bytes(),
            &["data:2: record 1: broken JSON at line 2, column 136: recursion limit exceeded. At most 127"],
            1,
        ),
        (
            "numbers that are none",
            b"{\"text\": NaN}\n{\"text\": \"a\"}\n{\"text\": \"b\", \"x\": -Infinity}\n",
            &[
                "data:1: record 0: broken JSON at line 1, column 10: expected value. JSON has no NaN and no Infinity",
                "data:3: record 2: broken JSON at line 3, column 21: invalid number. JSON has no NaN and no Infinity",
            ],
            1,
        ),
        (
            "a byte-order mark where files were joined",
            b"\xef\xbb\xbf{\"text\": \"a\"}\n\xef\xbb\xbf{\"text\": \"b\"}\n",
            &[
                "data:2: record 1: broken JSON at line 2, column 1: expected value. A byte-order mark stands there",
            ],
            1,
        ),
        (
            "CRLF",
            b"{\"text\": \"a\"}\r\n\r\n{\"text\": \r\n{\"text\": \"b\"}\r\n",
            &[
                "data:3: record 1: broken JSON at line 3, column 8: EOF while parsing a value. The record is cut off",
            ],
            2,
        ),
        (
            "two records on a line",
            b"{\"text\": \"a\"}{\"text\": \"b\"}\n{\"text\": \"c\"}\n",
            &[
                "data:1: record 0: broken JSON at line 1, column 14: trailing characters. A second record begins there",
            ],
            1,
        ),
        (
            "an array that is cut in a record",
            b"[\n{\"text\": \"a\"},\n{\"text\": \"b\"},\n{\"tex",
            &[
                "data:4: record 2: broken JSON at line 4, column 5: EOF while parsing a string. The record is cut off",
                "data:4: record 3: the file ends inside its array: no closing ]",
            ],
            2,
        ),
        (
            "an array that is cut between records",
            b"[{\"text\": \"a\"},\n{\"text\": \"b\"}",
            &["data:2: record 2: the file ends inside its array: no closing ]"],
            2,
        ),
        (
            "an array without a comma",
            b"[{\"text\": \"a\"}\n{\"text\": \"b\"}]",
            &["data:2: record 1: no comma between the record that begins here and the one before it"],
            2,
        ),
        (
            "two arrays",
            b"[{\"text\": \"a\"}]\n[{\"text\": \"b\"}]",
            &["data:2: record 1: text after the array's closing ]. Everything from here on is not read"],
            1,
        ),
        (
            "a document over many lines that is cut",
            b"{\n \"text\": \"a\"\n}\n{\n \"text\": \"b",
            &["data:4: record 1: broken JSON at line 5, column 11: EOF while parsing a string"],
            1,
        ),
        (
            "a header line, as of a table",
            b"text\n{\"text\": \"a\"}\n",
            &["data:1: record 0: broken JSON at line 1, column 2: expected ident"],
            1,
        ),
    ];
    for (name, data, said, good) in cases {
        assert_told(name, data, said, good);
    }
}

#[test]
fn what_is_odd_and_harmless_is_read() {
    for (name, data) in [
        ("a byte-order mark", &b"\xef\xbb\xbf{\"text\": \"a\"}\n{\"text\": \"b\"}"[..]),
        ("CRLF and blank lines", b"\r\n{\"text\": \"a\"}\r\n\r\n{\"text\": \"b\"}\r\n"),
        ("documents end to end over lines", b"{\n\"text\": \"a\"}{\n\"text\": \"b\"}"),
        ("a repeated key", b"{\"text\": \"a\"}\n{\"text\": \"c\", \"text\": \"b\"}\n"),
    ] {
        let place = place_with(data);
        assert_eq!(check(&place).code, 0, "{name}");
        let summary = prepare(&place, &["--json"]).json();
        assert_eq!((&summary["samples"], &summary["refused"]), (&2.into(), &0.into()), "{name}");
    }
}

fn many_lines() -> Vec<u8> {
    (0..9000).flat_map(|n| format!("{{\"text\": \"number {}\"}}\n", n * 7919).into_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Zstandard in blocks small enough that half a file holds some.
fn zstandard(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("in memory");
    for piece in bytes.chunks(16 << 10) {
        encoder.write_all(piece).expect("in memory");
        encoder.flush().expect("in memory");
    }
    encoder.finish().expect("in memory")
}

#[test]
fn what_stands_before_the_end_of_cut_compressed_data_is_read() {
    for (name, mut packed) in [("gzip", gzip(&many_lines())), ("zstandard", zstandard(&many_lines()))] {
        packed.truncate(packed.len() / 2);
        let place = place_with(&packed);
        let summary = prepare(&place, &["--skip-bad", "--json"]).json();
        let read = summary["samples"].as_u64().expect("a number");
        assert!((1000..8000).contains(&read), "{name}: {read}");
        let said = format!("data:{}: record {read}: the compressed data ends or breaks here", read + 1);
        assert_told(name, &packed, &[&said], read);
    }
}

#[test]
fn a_line_that_is_longer_than_what_is_read_costs_only_itself() {
    let mut data = b"{\"text\": \"a\"}\n{\"text\": \"".to_vec();
    data.resize(data.len() + (66 << 20), b'x');
    data.extend(b"\"}\n{\"text\": \"b\"}\n");
    assert_told(
        "a long line",
        &data,
        &["data:2: record 1: the record is 69206029 bytes long; at most 67108864 are read. Split it"],
        2,
    );
}

#[test]
fn files_without_records_are_told_in_one_line() {
    let prepared = place_with(b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
    prepare(&prepared, &["--json"]).json();
    let parquet = std::fs::read(prepared.path("out.parquet")).expect("file");
    let cases: [(&str, &[u8], &str); 11] = [
        ("empty", b"", "is empty; expected at least one record"),
        ("blank", b"\n  \r\n", "is empty; expected at least one record"),
        ("a gzipped nothing", &gzip(b""), "is empty; expected at least one record"),
        (
            "binary junk",
            b"\x7f\x45\x4c\x46\x02\x01\x00\x00",
            "holds binary data; expected a JSON array or JSON lines",
        ),
        ("gzip without data", &gzip(&many_lines())[..20], "compressed data that is damaged or cut off"),
        (
            "zstandard without data",
            &zstandard(&many_lines())[..20],
            "compressed data that is damaged or cut off",
        ),
        ("twice compressed", &gzip(&gzip(b"{}")), "data that is compressed twice"),
        ("UTF-16", b"\xff\xfe{\x00}\x00", "holds UTF-16 text"),
        ("Arrow", b"\xff\xff\xff\xff\x70\x00\x00\x00", "Dataset.to_parquet writes Parquet"),
        ("cut Parquet", &parquet[..parquet.len() / 2], "cannot be read as records: "),
        ("Parquet of nothing", b"PAR1", "cannot be read as records: "),
    ];
    for (name, data, said) in cases {
        assert_refused(name, &place_with(data), said);
    }
    let place = Place::with_model();
    assert_refused("missing", &place, "cannot be read: No such file or directory");
    std::fs::create_dir(place.path("data")).expect("folder");
    assert_refused(
        "a folder",
        &place,
        "is a folder; expected a JSON, JSONL or Parquet file. Name the files in it",
    );
    assert_nothing_written(&place, "a folder");
}

#[test]
fn what_can_be_read_is_reported_beside_a_file_that_cannot() {
    let place = place_with(b"{\"messages\": []}\n");
    std::fs::write(place.path("junk"), b"\x7fELF\0\0\0\0").expect("file");
    let check = |files: &[&str]| place.run(&[&["check"], files, &["--model", "model"]].concat());
    for files in [["data", "junk"], ["junk", "data"]] {
        let ran = check(&files);
        assert_eq!(ran.code, FAILED, "{}", ran.stdout);
        assert!(ran.stdout.contains("no-messages"), "{}", ran.stdout);
        assert!(ran.stderr.contains("error: junk: "), "{}", ran.stderr);
    }
    let missing = check(&["data", "nowhere"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (FAILED, ""), "{}", missing.stderr);
}
