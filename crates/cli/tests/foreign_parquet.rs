//! Prepared Parquet of other tools: `train` reads it as they do, and says where it cannot.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, ListArray, RecordBatch};
use common::{Place, Ran};
use parquet::arrow::ArrowWriter;

const CONFIG: &str = "model: model\nfrom_scratch: true\nmethod: full\ndata: data.parquet\noutput_dir: run\n\
    learning_rate: 1e-3\nmax_steps: 1\nbatch_size: 2\n";

const IDS: [[i64; 4]; 2] = [[10, 11, 12, 13], [20, 21, 22, 23]];

/// Trains on two rows with these columns.
fn train(columns: &[(&str, [[i64; 4]; 2])]) -> (Place, Ran) {
    let place = Place::with_model();
    let list = |rows: &[[i64; 4]; 2]| -> ArrayRef {
        let rows = rows.iter().map(|row| Some(row.map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
    };
    let columns = columns.iter().map(|(name, rows)| (*name, list(rows)));
    let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
    let file = std::fs::File::create(place.path("data.parquet")).expect("creates");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("writes");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
    place.write("train.yaml", CONFIG);
    let ran = place.run(&["train", "train.yaml"]);
    (place, ran)
}

/// The labels of the first sample, as `train` shows it.
fn first_labels(ran: &Ran) -> Vec<&str> {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let mut lines = ran.stdout.lines().skip_while(|line| !line.starts_with("first sample (data.parquet:1)"));
    assert!(lines.next().is_some(), "{}", ran.stdout);
    lines.take(4).filter_map(|line| line.split_whitespace().last()).collect()
}

#[test]
fn what_trl_and_axolotl_prepare_is_trained_as_they_train_it() {
    let labels = [[-100, -100, 12, 13], [-100, 21, 22, 23]];
    let mask = [[0, 0, 1, 1], [0, 1, 1, 1]];
    for columns in [
        &[("input_ids", IDS), ("labels", labels), ("attention_mask", [[1; 4]; 2])][..],
        &[("input_ids", IDS), ("completion_mask", mask)],
        &[("input_ids", IDS), ("assistant_masks", mask)],
    ] {
        let (_, ran) = train(columns);
        assert_eq!(first_labels(&ran), ["-100", "-100", "12", "13"], "{columns:?}");
        assert!(!ran.stderr.contains("warning"), "{columns:?}: {}", ran.stderr);
    }
}

#[test]
fn ids_alone_are_all_trained_and_that_is_said() {
    let (_, ran) = train(&[("input_ids", IDS)]);
    assert_eq!(first_labels(&ran), ["10", "11", "12", "13"]);
    let said =
        "warning: data.parquet: has no labels, completion_mask or assistant_masks, so every token is trained";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn labels_that_are_not_the_ids_are_told() {
    let (_, ran) = train(&[("input_ids", IDS), ("labels", [[-100, -100, 12, 9], [-100, 21, 22, 9]])]);
    assert_eq!(first_labels(&ran), ["-100", "-100", "12", "9"]);
    let said = "their place: 2, which are trained as they stand (the first: data.parquet:1, labels[3] is 9, \
                input_ids[3] is 13)";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn rows_that_cannot_be_meant_are_refused_by_file_and_row() {
    for (ids, labels, said) in [
        (
            IDS,
            [[-100, 11, 12, 13], [21, 22, 23, -100]],
            "data.parquet: cannot be read as prepared data: row 2: each of the labels is the id behind its place",
        ),
        (
            [IDS[0], [20, 21, 999, 23]],
            [[-100, 11, 12, 13], [-100, -100, -100, 23]],
            "data.parquet:2: holds token id 999, but the model model has 264 tokens (vocab_size)",
        ),
        (
            IDS,
            [[-100, 11, 12, 13], [-100, 21, 22, 999]],
            "data.parquet:2: holds token id 999, but the model model has 264 tokens (vocab_size)",
        ),
    ] {
        let (place, ran) = train(&[("input_ids", ids), ("labels", labels)]);
        assert_eq!(ran.code, 1, "{}", ran.stdout);
        assert!(ran.stderr.contains(&format!("error: {said}")), "{}", ran.stderr);
        assert!(!place.exists("run"));
    }
}

#[test]
fn ids_that_records_leave_out_are_told() {
    let (_, ran) = train(&[("input_ids", IDS), ("prompt", IDS)]);
    let said =
        "warning: data.parquet: input_ids without labels are left out; the records beside them are read";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn rows_that_are_too_long_are_named() {
    let (place, _) = train(&[("input_ids", IDS)]);
    place.write("train.yaml", &format!("{CONFIG}max_length: 3\n"));
    let ran = place.run(&["train", "train.yaml", "output_dir=shorter"]);
    let said =
        "error: data.parquet: 2 samples are longer than max_length 3 (the first: data.parquet:1). Raise it";
    assert!(ran.code == 1 && ran.stderr.contains(said), "{}", ran.stderr);
}

#[test]
fn commands_that_read_records_say_that_these_are_none() {
    let (place, _) = train(&[("input_ids", IDS)]);
    for words in [
        &["check", "data.parquet"][..],
        &["preview", "data.parquet", "--model", "model"],
        &["prepare", "data.parquet", "--model", "model", "-o", "out.parquet"],
    ] {
        let ran = place.run(words);
        assert_eq!(ran.code, 1, "{words:?}: {}", ran.stdout);
        assert!(
            ran.stderr.contains("it holds prepared data (token ids). Train on it as it is"),
            "{}",
            ran.stderr
        );
    }
    assert!(!place.exists("out.parquet"));
}
