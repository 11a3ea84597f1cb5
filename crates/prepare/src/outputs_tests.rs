use super::*;
use crate::{Origin, read_prepared};

fn rows(range: std::ops::Range<u32>) -> Rows {
    let mut rows = Rows::default();
    for number in range {
        rows.push(&[number], &[-100], Origin { source: 0, index: number as usize, line: 1 });
    }
    rows
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Writes the numbers from 0 on in groups of these sizes.
fn write(path: &Path, shard_rows: Option<usize>, sizes: &[u32]) -> Vec<PathBuf> {
    let encoder = RowGroupEncoder::new(vec!["a".to_owned()], crate::RowKind::Samples).expect("an encoder");
    let facts = [("key", "k".to_owned())];
    let mut set = OutputSet::create(path, shard_rows, &encoder, &facts).expect("creates");
    let mut next = 0;
    for size in sizes {
        set.append(encoder.encode(rows(next..next + size)).expect("encodes")).expect("appends");
        next += size;
    }
    let mut removed = Vec::new();
    set.finish(&[("summary", "s".to_owned())]).expect("finishes").name(&mut removed).expect("named");
    removed
}

fn ids(path: &Path) -> Vec<u32> {
    read_prepared(path).expect("reads").rows.iter().map(|row| row.input_ids[0]).collect()
}

#[test]
fn shards_hold_at_most_what_was_asked_and_groups_stay_together() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("d.parquet");
    assert!(write(&path, Some(10), &[4, 4, 4, 10, 1]).is_empty());
    let files: Vec<String> = (0..4).map(|at| format!("d-{at:05}-of-00004.parquet")).collect();
    assert_eq!(names(folder.path()), files);
    let held: Vec<Vec<u32>> = files.iter().map(|name| ids(&folder.path().join(name))).collect();
    assert_eq!(held, [(0..8).collect::<Vec<_>>(), (8..12).collect(), (12..22).collect(), vec![22]]);
    let facts = facts_of(&folder.path().join(&files[3])).expect("facts");
    assert_eq!(facts, [("key".to_owned(), "k".to_owned()), ("summary".to_owned(), "s".to_owned())]);
    assert_eq!(facts_of(&folder.path().join(&files[0])).expect("facts").len(), 1);
}

#[test]
fn an_earlier_set_is_replaced_and_what_is_gone_is_said() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("d.parquet");
    write(&path, Some(1), &[1, 1, 1]);
    let removed = write(&path, Some(2), &[2, 1]);
    assert_eq!(removed.len(), 3);
    assert_eq!(names(folder.path()), ["d-00000-of-00002.parquet", "d-00001-of-00002.parquet"]);
    let removed = write(&path, Some(2), &[1, 2]);
    assert!(removed.is_empty());
    assert_eq!(ids(&folder.path().join("d-00000-of-00002.parquet")), [0]);
    assert_eq!(write(&path, None, &[2]).len(), 2);
    assert_eq!(names(folder.path()), ["d.parquet"]);
    assert_eq!(write(&path, Some(9), &[2]), [path]);
    assert_eq!(names(folder.path()), ["d-00000-of-00001.parquet"]);
}

#[test]
fn a_file_of_another_program_under_the_name_of_a_shard_is_in_the_way() {
    let folder = tempfile::tempdir().expect("tempdir");
    fs::write(folder.path().join("d-00000-of-00009.parquet"), "mine").expect("writes");
    let encoder = RowGroupEncoder::new(vec![], crate::RowKind::Samples).expect("an encoder");
    let error =
        OutputSet::create(&folder.path().join("d.parquet"), Some(1), &encoder, &[]).err().expect("refused");
    assert!(error.to_string().contains("d-00000-of-00009.parquet: exists and is not what"), "{error}");
}

#[test]
fn rows_that_come_in_small_portions_are_all_written() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("d.parquet");
    let encoder = RowGroupEncoder::new(vec!["a".to_owned()], crate::RowKind::Samples).expect("an encoder");
    let mut set = OutputSet::create(&path, None, &encoder, &[]).expect("creates");
    for number in 0..1300 {
        set.write(rows(number..number + 1)).expect("writes");
    }
    set.finish(&[]).expect("finishes").name(&mut Vec::new()).expect("named");
    assert_eq!(ids(&path), (0..1300).collect::<Vec<_>>());
}

#[test]
fn temporary_files_of_killed_runs_go_and_those_of_running_ones_stay() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("d.parquet");
    fs::write(folder.path().join(".toolsmith-abc123.parquet.part"), "half").expect("writes");
    fs::write(folder.path().join("other.part"), "mine").expect("writes");
    let encoder = RowGroupEncoder::new(vec![], crate::RowKind::Samples).expect("an encoder");
    let running = OutputSet::create(&path, None, &encoder, &[]).expect("creates");
    let removed = remove_leftovers(&path);
    assert_eq!(removed, [folder.path().join(".toolsmith-abc123.parquet.part")]);
    assert_eq!(names(folder.path()).len(), 2);
    drop(running);
    assert_eq!(names(folder.path()), ["other.part"]);
}
