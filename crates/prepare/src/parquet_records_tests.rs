use std::path::PathBuf;
use std::sync::atomic::Ordering;

use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder, StructBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampSecondArray,
};
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use super::*;
use crate::FileRecords;

fn write(folder: &Path, columns: Vec<(&str, ArrayRef)>, compression: Compression) -> PathBuf {
    let path = folder.join("data.parquet");
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.expect("columns fit");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = File::create(&path).expect("creates");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("writes");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
    path
}

fn read(path: &Path) -> Vec<Value> {
    let records = FileRecords::open(path, 1 << 20, &Arc::default()).expect("opens");
    records
        .map(|record| {
            let bytes = record.expect("reads").bytes.expect("JSON");
            serde_json::from_slice(&bytes).expect("JSON")
        })
        .collect()
}

/// Two rows of `messages`, a list of structs of which each row fills in other keys.
fn messages() -> ArrayRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = Fields::from(vec![text("role"), text("content"), text("name")]);
    let mut list = ListBuilder::new(StructBuilder::from_fields(fields, 4));
    let rows = [
        vec![[Some("user"), Some("Hi \"you\"\n你"), None], [Some("assistant"), None, None]],
        vec![[Some("tool"), Some("1"), Some("f")]],
    ];
    for row in rows {
        for message in row {
            for (index, value) in message.into_iter().enumerate() {
                let field = list.values().field_builder::<StringBuilder>(index).expect("a text");
                field.append_option(value);
            }
            list.values().append(true);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

#[test]
fn rows_are_records_and_filled_in_nulls_are_gone() {
    let folder = tempfile::tempdir().expect("tempdir");
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for value in ["1", "2"] {
        map.keys().append_value("k");
        map.values().append_value(value);
        map.append(true).expect("appends");
    }
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [Compression::SNAPPY, Compression::UNCOMPRESSED, Compression::LZ4_RAW, zstd] {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("messages", messages()),
            ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
            ("score", Arc::new(Float64Array::from(vec![1.5, 1e300]))),
            ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
            ("map", Arc::new(map.finish_cloned())),
            ("when", Arc::new(TimestampSecondArray::from(vec![1, 2]))),
            ("text", Arc::new(StringArray::from(vec![None, Some("t")]))),
        ];
        let path = write(folder.path(), columns, compression);
        let expected = [
            json!({"messages": [{"role": "user", "content": "Hi \"you\"\n你"}, {"role": "assistant"}],
                   "id": i64::MAX, "score": 1.5, "ok": true, "map": {"k": "1"}}),
            json!({"messages": [{"role": "tool", "content": "1", "name": "f"}],
                   "score": 1e300, "ok": false, "map": {"k": "2"}, "text": "t"}),
        ];
        assert_eq!(read(&path), expected, "{compression:?}");
    }
}

#[test]
fn a_row_s_place_is_its_number_and_progress_ends_at_the_file_s_size() {
    let folder = tempfile::tempdir().expect("tempdir");
    let texts: ArrayRef = Arc::new((0..5000).map(|n| Some(format!("text {n}"))).collect::<StringArray>());
    let path = write(folder.path(), vec![("text", texts)], Compression::SNAPPY);
    let counter = Arc::default();
    let records: Vec<_> = FileRecords::open(&path, 14, &counter).expect("opens").collect();
    assert_eq!(records.len(), 5000);
    let bad = records[10].as_ref().expect("reads");
    assert_eq!(bad.place, Place { index: 10, line: 11, column: 1 });
    assert!(bad.bytes.as_ref().expect_err("too long").starts_with("the record is 18 bytes long; at most 14"));
    assert_eq!(counter.load(Ordering::Relaxed), path.metadata().expect("there").len());
}

#[test]
fn damage_is_told_wherever_it_is() {
    let folder = tempfile::tempdir().expect("tempdir");
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b")]));
    let path =
        write(folder.path(), vec![("messages", messages()), ("text", text)], Compression::UNCOMPRESSED);
    let good = std::fs::read(&path).expect("reads");
    for at in 0..good.len() {
        for byte in [0x01, 0x7f, 0xff] {
            let mut damaged = good.clone();
            damaged[at] = byte;
            std::fs::write(&path, damaged).expect("writes");
            let _whether = crate::is_prepared(&path);
            let Ok(records) = FileRecords::open(&path, 1 << 20, &Arc::default()) else { continue };
            let is_broken =
                |record: &io::Result<RawRecord>| record.as_ref().is_ok_and(|record| record.bytes.is_err());
            let broken = records.take(100).filter(is_broken).count();
            assert!(broken <= 1, "byte {at} as {byte}: nothing is read behind the first error");
        }
    }
}

#[test]
fn files_that_hold_no_records_say_so() {
    let folder = tempfile::tempdir().expect("tempdir");
    let open = |path: &Path| match FileRecords::open(path, 1 << 20, &Arc::default()) {
        Ok(_) => panic!("was taken"),
        Err(error) => error.to_string(),
    };
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let prepared =
        write(folder.path(), vec![("input_ids", numbers()), ("labels", numbers())], Compression::SNAPPY);
    assert!(open(&prepared).contains("it holds prepared data"));
    let empty: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    let empty = write(folder.path(), vec![("text", empty)], Compression::SNAPPY);
    assert!(open(&empty).contains("is empty"));
    let junk = folder.path().join("junk.parquet");
    std::fs::write(&junk, b"PAR1 and nothing more").expect("writes");
    assert!(open(&junk).contains("cannot be read as records"));
}
