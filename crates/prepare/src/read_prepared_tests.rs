use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, FixedSizeListArray, Int64Array, LargeListArray, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::Row;

const IDS: [[i64; 4]; 2] = [[10, 11, 12, 13], [20, 21, 22, 23]];
const LABELS: [[i64; 4]; 2] = [[-100, -100, 12, 13], [-100, 21, 22, 23]];

struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A file with these columns and nothing of `prepare`'s.
fn file(columns: Vec<(&str, ArrayRef)>) -> File {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("data.parquet");
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns fit");
    let out = std::fs::File::create(&path).expect("creates");
    let mut writer = ArrowWriter::try_new(out, batch.schema(), None).expect("writes");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
    File { path, _folder: folder }
}

fn list_of<T>(rows: &[impl AsRef<[i64]>]) -> ArrayRef
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    Arc::new(ListArray::from_iter_primitive::<T, _, _>(rows.iter().map(narrow::<T>)))
}

fn narrow<T>(row: &impl AsRef<[i64]>) -> Option<Vec<Option<T::Native>>>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    Some(row.as_ref().iter().map(|&value| T::Native::try_from(value).ok()).collect())
}

fn ids() -> ArrayRef {
    list_of::<Int32Type>(&IDS)
}

fn labels() -> ArrayRef {
    list_of::<Int64Type>(&LABELS)
}

fn assert_reads(what: &str, columns: Vec<(&str, ArrayRef)>, labels: &[[i64; 4]]) -> Prepared {
    let file = file(columns);
    assert!(is_prepared(&file.path), "{what}");
    let prepared = read_prepared(&file.path).expect(what);
    let wide = |row: &Row<'_>| {
        let ids: Vec<i64> = row.input_ids.iter().map(|&id| id.into()).collect();
        (ids, row.labels.iter().map(|&label| label.into()).collect::<Vec<i64>>())
    };
    let expected: Vec<_> =
        IDS.iter().zip(labels).map(|(ids, labels)| (ids.to_vec(), labels.to_vec())).collect();
    assert_eq!(prepared.rows.iter().map(|row| wide(&row)).collect::<Vec<_>>(), expected, "{what}");
    prepared
}

fn refused(columns: Vec<(&str, ArrayRef)>) -> String {
    let file = file(columns);
    assert!(is_prepared(&file.path));
    let error = read_prepared(&file.path).expect_err("refused").to_string();
    assert!(error.contains("data.parquet: cannot be read as prepared data: row "), "{error}");
    error
}

#[test]
fn lists_and_integers_of_every_kind_are_read() {
    let large: ArrayRef =
        Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>(IDS.iter().map(narrow::<Int32Type>)));
    let fixed = |rows: &[[i64; 4]; 2]| -> ArrayRef {
        let rows = rows.iter().map(narrow::<Int64Type>);
        Arc::new(FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(rows, 4))
    };
    for (what, ids, labels) in [
        ("int64", list_of::<Int64Type>(&IDS), labels()),
        ("large lists", large, labels()),
        ("lists of one length", fixed(&IDS), fixed(&LABELS)),
        ("uint32", list_of::<UInt32Type>(&IDS), list_of::<Int32Type>(&LABELS)),
        ("uint64", list_of::<UInt64Type>(&IDS), list_of::<Int16Type>(&LABELS)),
        ("int8", list_of::<Int8Type>(&IDS), list_of::<Int8Type>(&LABELS)),
    ] {
        let prepared = assert_reads(what, vec![("input_ids", ids), ("labels", labels)], &LABELS);
        assert!(!prepared.unlabelled && !prepared.pairs);
    }
}

#[test]
fn rows_without_an_origin_are_named_by_their_file_and_place() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["web", "web"]));
    let prepared =
        read_prepared(&file(vec![("input_ids", ids()), ("labels", labels()), ("source", text)]).path);
    let prepared = prepared.expect("reads");
    let last = prepared.rows.get(1).expect("a row").origin;
    assert_eq!(last, Origin { source: 0, index: 1, line: 2 });
    assert!(prepared.sources[0].ends_with("data.parquet"), "{:?}", prepared.sources);
}

#[test]
fn what_trl_says_with_masks_is_kept_to() {
    let mask = || list_of::<Int8Type>(&[[0, 0, 1, 1], [0, 1, 1, 1]]);
    let prepared = assert_reads("a mask", vec![("input_ids", ids()), ("completion_mask", mask())], &LABELS);
    assert!(!prepared.unlabelled);
    let item = Arc::new(Field::new("item", DataType::Boolean, true));
    let flags = BooleanArray::from(vec![false, false, true, true, false, true, true, true]);
    let offsets = OffsetBuffer::from_lengths([4, 4]);
    let flags: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(flags), None));
    assert_reads("booleans", vec![("input_ids", ids()), ("assistant_masks", flags)], &LABELS);
    let last_only = list_of::<Int8Type>(&[[0, 0, 0, 1], [0, 0, 0, 1]]);
    assert_reads(
        "labels and a mask",
        vec![("input_ids", ids()), ("labels", labels()), ("assistant_masks", last_only)],
        &[[-100, -100, -100, 13], [-100, -100, -100, 23]],
    );
    assert!(assert_reads("ids alone", vec![("input_ids", ids())], &IDS).unlabelled);
}

#[test]
fn what_axolotl_writes_beside_the_labels_is_no_hindrance() {
    let columns = vec![
        ("input_ids", ids()),
        ("labels", labels()),
        ("attention_mask", list_of::<Int8Type>(&[[1; 4]; 2])),
        ("position_ids", list_of::<Int64Type>(&[[0, 1, 2, 3]; 2])),
        ("length", Arc::new(Int64Array::from(vec![4, 4])) as ArrayRef),
    ];
    assert_reads("axolotl", columns, &LABELS);
}

#[test]
fn records_with_ids_left_over_are_still_records() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    assert!(!is_prepared(&file(vec![("text", Arc::clone(&text)), ("input_ids", ids())]).path));
    let answers = vec![("chosen", Arc::clone(&text)), ("rejected", Arc::clone(&text)), ("input_ids", ids())];
    assert!(!is_prepared(&file(answers).path));
    assert!(is_prepared(&file(vec![("text", text), ("input_ids", ids()), ("labels", labels())]).path));
}

#[test]
fn what_would_be_trained_otherwise_than_meant_is_refused_by_its_row() {
    let with = |name: &'static str, column: ArrayRef| {
        let mut columns = vec![("input_ids", ids()), ("labels", labels())];
        columns.retain(|(other, _)| *other != name);
        columns.push((name, column));
        refused(columns)
    };
    let second = |row: Option<Vec<Option<i32>>>| -> ArrayRef {
        let first = Some(vec![Some(-100), Some(11), Some(12), Some(13)]);
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([first, row]))
    };
    let of = |row: [i64; 4]| list_of::<Int64Type>(&[IDS[0], row]);
    for (said, found) in [
        ("row 2: labels: null; expected a list", with("labels", second(None))),
        (
            "row 2: labels: null at position 2 of the list",
            with("labels", second(Some(vec![Some(-100), Some(21), None, Some(23)]))),
        ),
        ("row 2: 4 input_ids but 2 labels", with("labels", second(Some(vec![Some(22), Some(23)])))),
        ("row 2: labels[0] is -1; expected a token id, or -100", with("labels", of([-1, -1, 22, 23]))),
        ("row 2: each of the labels is the id behind its place", with("labels", of([21, 22, 23, -100]))),
        ("row 2: each of the labels is the id behind its place", with("labels", of([-100, 22, 23, 2]))),
        ("row 2: input_ids holds -1", with("input_ids", of([20, 21, 22, -1]))),
        (
            "row 2: input_ids: 4294967296 does not fit into 32 bits",
            with("input_ids", of([20, 21, 22, 1 << 32])),
        ),
        (
            "row 1: labels: a list of Float32",
            with("labels", {
                let row = || Some(vec![Some(1.0)]);
                Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([row(), row()]))
            }),
        ),
        ("row 1: labels: a column of Int64", with("labels", Arc::new(Int64Array::from(vec![1, 2])))),
        (
            "row 2: attention_mask is 0 at 1 of 4 positions",
            with("attention_mask", list_of::<Int8Type>(&[[1; 4], [1, 1, 1, 0]])),
        ),
        (
            "row 2: position_ids begin again at position 2",
            with("position_ids", list_of::<Int64Type>(&[[0, 1, 2, 3], [0, 1, 0, 1]])),
        ),
        (
            "row 2: position_ids go from 1 to 5 at position 2",
            with("position_ids", list_of::<Int64Type>(&[[0, 1, 2, 3], [0, 1, 5, 6]])),
        ),
        ("row 2: seq_lengths has 2 numbers", with("seq_lengths", list_of::<Int64Type>(&[&[4][..], &[2, 2]]))),
        (
            "row 1: completion_mask: holds 2; expected 0 or 1",
            with("completion_mask", list_of::<Int8Type>(&[[2; 4]; 2])),
        ),
        (
            "row 2: 4 input_ids but 1 completion_mask",
            with("completion_mask", list_of::<Int8Type>(&[&[1; 4][..], &[1]])),
        ),
    ] {
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[test]
fn a_mask_of_another_name_is_not_passed_over() {
    let mask = || list_of::<Int8Type>(&[[0, 0, 1, 1]; 2]);
    let read = |columns| read_prepared(&file(columns).path).map(|prepared| prepared.unlabelled);
    let said = read(vec![("input_ids", ids()), ("loss_mask", mask())]).expect_err("unknown").to_string();
    assert!(said.contains("column \"loss_mask\" is a mask that is not known"), "{said}");
    let known = vec![("input_ids", ids()), ("completion_mask", mask()), ("loss_mask", mask())];
    assert!(!read(known).expect("another column says it"));
    assert!(read(vec![("input_ids", ids()), ("special_tokens_mask", mask())]).expect("says nothing"));
}

#[test]
fn labels_that_stand_for_others_are_read_and_can_be_found() {
    let odd = [[-100, -100, 12, 13], [-100, 21, 22, 7]];
    let columns = vec![("input_ids", ids()), ("labels", list_of::<Int64Type>(&odd))];
    let prepared = assert_reads("another stop token", columns, &odd);
    let found: Vec<Vec<usize>> = prepared.rows.iter().map(|row| row.relabelled().collect()).collect();
    assert_eq!(found, [vec![], vec![3]]);
    // One token that is trained in the place before it is no shift.
    let one = [[-100, -100, -100, 13], [-100, -100, 23, -100]];
    assert_reads("one label", vec![("input_ids", ids()), ("labels", list_of::<Int64Type>(&one))], &one);
}

#[test]
fn damage_is_an_error_wherever_it_is() {
    let file = file(vec![("input_ids", ids()), ("labels", labels())]);
    let good = std::fs::read(&file.path).expect("reads");
    for at in 0..good.len() {
        for byte in [0x7f, 0xff] {
            let mut damaged = good.clone();
            damaged[at] = byte;
            std::fs::write(&file.path, damaged).expect("writes");
            let _either = read_prepared(&file.path);
        }
    }
    std::fs::write(&file.path, &good[..good.len() / 2]).expect("writes");
    let error = read_prepared(&file.path).expect_err("cut").to_string();
    assert!(error.contains("data.parquet: cannot be read as prepared data"), "{error}");
}
