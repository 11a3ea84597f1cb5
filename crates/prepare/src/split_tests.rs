use std::io::{Cursor, Write};

use super::*;
use crate::open::from_reader;

/// Reads `bytes` as a file; each record as `line:column text-or-error`.
fn records(bytes: &[u8]) -> Vec<String> {
    records_within(bytes, 1 << 20)
}

fn records_within(bytes: &[u8], limit: usize) -> Vec<String> {
    let input = from_reader(Cursor::new(bytes.to_vec())).expect("opens");
    Records::new(input, limit)
        .map(|record| {
            let record = record.expect("no machine failure");
            let text = match record.bytes {
                Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
                Err(error) => format!("! {error}"),
            };
            format!("{}:{} #{} {text}", record.place.line, record.place.column, record.place.index)
        })
        .collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn lines_keep_their_numbers_over_blank_lines_crlf_and_bom() {
    let text = b"\xef\xbb\xbf{\"a\":1}\r\n\r\n  {\"b\":2}\n{\"c\":3}";
    assert_eq!(records(text), ["1:1 #0 {\"a\":1}", "3:3 #1 {\"b\":2}", "4:1 #2 {\"c\":3}"]);
}

#[test]
fn array_elements_are_split_without_being_fooled_by_strings() {
    let text = br#"[ {"a": "],[{\"", "b": [1, [2]]},
 "x, y" , 3, {"c": {}}
]
"#;
    assert_eq!(
        records(text),
        [r#"1:3 #0 {"a": "],[{\"", "b": [1, [2]]}"#, r#"2:2 #1 "x, y""#, "2:11 #2 3", "2:14 #3 {\"c\": {}}"]
    );
}

#[test]
fn every_framing_reads_the_same_through_gzip() {
    for text in [&b"[{\"a\":1},{\"b\":[2]}]"[..], b"{\"a\":1}\n{\"b\":[2]}\n", b"{\n\"a\":1}{\n\"b\":[2]}"] {
        assert_eq!(records(text), records(&gzip(text)));
        assert_eq!(records(text), records(&zstd::encode_all(text, 3).expect("in memory")));
        assert_eq!(records(text).len(), 2);
    }
}

#[test]
fn results_do_not_depend_on_how_bytes_arrive() {
    struct Trickle(Cursor<Vec<u8>>);
    impl std::io::Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            std::io::Read::read(&mut self.0, &mut buffer[..one])
        }
    }
    let text = b"[{\"a\":\"\\\"],\"}\n , {\"b\":[\n2]} ]".to_vec();
    let whole = records(&text);
    let mut slow = Vec::new();
    let input = Input {
        bytes: Box::new(std::io::BufReader::with_capacity(1, Trickle(Cursor::new(text)))),
        framing: Framing::Array,
    };
    for record in Records::new(input, 1 << 20) {
        let record = record.expect("reads");
        slow.push(record.place.line);
        assert!(record.bytes.is_ok());
    }
    assert_eq!(whole, ["1:2 #0 {\"a\":\"\\\"],\"}", "2:4 #1 {\"b\":[\n2]}"]);
    assert_eq!(slow, [1, 2]);
}

#[test]
fn a_truncated_array_is_reported_after_its_whole_records() {
    assert_eq!(
        records(b"[{\"a\":1},\n{\"b\":2},"),
        [
            "1:2 #0 {\"a\":1}",
            "2:1 #1 {\"b\":2}",
            "2:9 #2 ! the file ends inside its array: no closing ]. Is the file complete?"
        ]
    );
}

#[test]
fn a_broken_element_does_not_take_its_neighbours_with_it() {
    let unterminated = b"[{\"a\": \"oops},\n{\"b\":2},\n{\"c\":3}]";
    let found = records(unterminated);
    assert_eq!(found.last().map(String::as_str), Some("3:1 #1 {\"c\":3}"), "{found:?}");
    let unclosed = b"[{\"a\": 1,\n{\"b\":2},\n{\"c\":3}]";
    assert_eq!(records(unclosed), ["1:2 #0 {\"a\": 1,", "2:1 #1 {\"b\":2}", "3:1 #2 {\"c\":3}"]);
    let mismatched = b"[{\"a\": [1, 2},\n{\"b\":2}]";
    assert_eq!(records(mismatched), ["1:2 #0 {\"a\": [1, 2}", "2:1 #1 {\"b\":2}"]);
}

#[test]
fn a_missing_comma_is_told_and_costs_no_record() {
    let said = "! no comma between the record that begins here and the one before it. Put one there";
    assert_eq!(
        records(b"[{\"a\":1}\n{\"b\": {}} {\"c\":3}, 4]"),
        [
            "1:2 #0 {\"a\":1}".to_owned(),
            format!("2:1 #1 {said}"),
            "2:1 #2 {\"b\": {}}".to_owned(),
            format!("2:11 #3 {said}"),
            "2:11 #4 {\"c\":3}".to_owned(),
            "2:20 #5 4".to_owned()
        ]
    );
}

#[test]
fn junk_inside_a_file_costs_only_its_record() {
    let text = b"{\"a\":1}\n\x81\x00\x93{\xf0\x0e\n{\"b\":\"\0\"}\n{\"c\":3}\n";
    let found = records(text);
    assert_eq!(found.len(), 4);
    assert!(found[1].starts_with("2:1 #1 "), "{found:?}");
    assert_eq!(found[3], "4:1 #3 {\"c\":3}");
}

#[test]
fn stray_commas_and_trailing_text_are_named() {
    assert!(records(b"[{},,{}]")[1].contains("a comma without a record"));
    assert_eq!(records(b"[{},{},]")[1..], ["1:5 #1 {}", "1:7 #2 ! a comma after the last record. Remove it"]);
    assert!(records(b"[{}] {}")[1].contains("text after the array"));
}

#[test]
fn an_oversized_record_is_skipped_with_its_place() {
    let mut text = b"{\"a\":1}\n".to_vec();
    text.extend(std::iter::repeat_n(b'x', 5000));
    text.extend(b"\n{\"b\":2}\n");
    let found = records_within(&text, 1000);
    assert!(found[1].starts_with("2:1 #1 ! the record is 5001 bytes long"), "{found:?}");
    assert_eq!(found[2], "3:1 #2 {\"b\":2}");
}

#[test]
fn truncated_gzip_is_reported_where_it_breaks() {
    let text: Vec<u8> = (0..2000).flat_map(|n| format!("{{\"n\": {}}}\n", n * 7919).into_bytes()).collect();
    let mut packed = gzip(&text);
    packed.truncate(packed.len() / 2);
    let found = records(&packed);
    assert!(found.len() > 1);
    let last = found.last().expect("not empty");
    assert!(last.contains("the compressed data ends or breaks here"), "{last}");
}

#[test]
fn truncated_and_damaged_zstandard_is_reported_where_it_breaks() {
    let text: Vec<u8> = (0..60_000).flat_map(|n| format!("{{\"n\": {}}}\n", n * 7919).into_bytes()).collect();
    let packed = zstd::encode_all(&text[..], 3).expect("in memory");
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 16].fill(0xff);
    match from_reader(Cursor::new(packed[..100].to_vec())) {
        Err(crate::open::OpenProblem::Content(found)) => assert!(found.contains("cut off"), "{found}"),
        _ => panic!("was taken for records"),
    }
    for bytes in [&packed[..packed.len() / 2], &damaged] {
        let found = records(bytes);
        let last = found.last().expect("not empty");
        assert!(last.contains("the compressed data ends or breaks here"), "{last}");
    }
}

#[test]
fn foreign_content_is_named() {
    for (bytes, name) in [
        (&b"PAR1abcd"[..], "a Parquet file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\xff\xfe{\x00", "UTF-16 text"),
        (b"{\x00\"\x00", "UTF-16 text"),
        (b"\xff\xfe\x00\x00{\x00\x00\x00", "UTF-32 text"),
        (&gzip(&gzip(b"{}")), "data that is compressed twice"),
        (b"ab\x00cd", "binary data"),
        (b"\x81\x02\x93{\xf0\x0e\n\x99", "binary data"),
    ] {
        match from_reader(Cursor::new(bytes.to_vec())) {
            Err(crate::open::OpenProblem::Content(found)) => assert_eq!(found, name),
            _ => panic!("{name} was taken for records"),
        }
    }
}

#[test]
fn a_name_that_promises_something_else_is_said() {
    let folder = tempfile::tempdir().expect("tempdir");
    for (name, said) in
        [("a.zst", "that is no Zstandard"), ("a.gz", "that is no gzip"), ("a.jsonl", "binary data;")]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, b"\x81\x02\x93{\xf0\x0e\n\x99").expect("writes");
        let error = crate::open(&path).err().expect("refused").to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn text_in_another_encoding_is_told_record_by_record() {
    let text = b"{\"text\": \"caf\xe9\"}\n{\"text\": \"tea\"}\n";
    assert_eq!(records(text).len(), 2);
}
