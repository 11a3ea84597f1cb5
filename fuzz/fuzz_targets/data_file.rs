//! A data file by its path: plain, gzip, Zstandard or Parquet, of records or of prepared rows.
//!
//! Input: a byte for the kind; then the file itself, or edits of a good Parquet file, three bytes each: a place and a byte.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use toolsmith_fuzz::{folder, fuzz_target};
use toolsmith_prepare::{
    FileRecords, Origin, Place, PreparedWriter, RowGroupEncoder, RowKind, Rows, is_parquet, is_prepared,
    read_prepared, record,
};

const FILE: &str = "data";

/// Records whose messages are a list of structs, with a column of each simple kind beside them.
fn records() -> Vec<u8> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = Fields::from(vec![text("role"), text("content")]);
    let mut list = ListBuilder::new(StructBuilder::from_fields(fields, 4));
    for messages in [&[["user", "Hi"], ["assistant", "Ho"]][..], &[]] {
        for message in messages {
            for (index, value) in message.iter().enumerate() {
                let field: &mut StringBuilder = list.values().field_builder(index).expect("a text");
                field.append_value(value);
            }
            list.values().append(true);
        }
        list.append(true);
    }
    let columns: [(&str, ArrayRef); 5] = [
        ("messages", Arc::new(list.finish())),
        ("text", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("weight", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ("id", Arc::new(Int64Array::from(vec![1, -1]))),
        ("train", Arc::new(BooleanArray::from(vec![true, false]))),
    ];
    let columns = columns.map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length");
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("a batch");
    writer.close().expect("a file");
    file
}

fn prepared() -> Vec<u8> {
    let mut rows = Rows::default();
    let place = Place { index: 0, line: 1, column: 1 };
    rows.push(&[1, 2, 3], &[-100, 2, 3], Origin::new(0, place));
    rows.push(&[4], &[4], Origin::new(0, place));
    let path = folder::path().join(FILE);
    let encoder = RowGroupEncoder::new(vec!["a.jsonl".into()], RowKind::Samples).expect("an encoder");
    let mut writer = PreparedWriter::create(&path, &encoder).expect("a writer");
    writer.write(rows, &encoder).expect("rows");
    writer.finish(&[]).and_then(|file| file.name(&path)).expect("a file");
    std::fs::read(path).expect("a written file")
}

static GOOD: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    // The Parquet crate's own panics are caught where it is called; libFuzzer's hook would end the process before that.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |place| place.file());
        if !["/parquet-", "/arrow-"].iter().any(|part| file.contains(part)) {
            hook(panic);
        }
    }));
    [records(), prepared()]
});

fuzz_target!(|input: &[u8]| {
    let [kind, rest @ ..] = input else { return };
    match GOOD.get(usize::from(*kind % 3)) {
        None => folder::write(FILE, rest),
        Some(good) => {
            let mut file = good.clone();
            for edit in rest.chunks_exact(3) {
                // The end of the file says where everything is.
                let at = file.len() - 1 - usize::from(u16::from_le_bytes([edit[0], edit[1]])) % file.len();
                file[at] = edit[2];
            }
            folder::write(FILE, &file);
        }
    }
    let path = folder::path().join(FILE);
    let _is_parquet = is_parquet(&path);
    if is_prepared(&path) {
        let _either = read_prepared(&path);
    }
    let Ok(records) = FileRecords::open(&path, 1 << 16, &Arc::default()) else { return };
    // A few bytes may say that a million rows hold nothing.
    for record in records.take(1000) {
        let Ok(record) = record else { break };
        if let Ok(bytes) = record.bytes {
            let _either = record::read(&bytes, record.place, None);
        }
    }
});
