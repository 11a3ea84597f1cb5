use super::*;
use crate::{Origin, is_parquet, read_prepared};

fn rows() -> Rows {
    let mut rows = Rows::default();
    rows.push(&[1, 2, 3], &[-100, 2, 3], Origin { source: 0, index: 0, line: 1 });
    rows.push(&[], &[], Origin { source: 0, index: 1, line: 2 });
    rows.push(&[7], &[7], Origin { source: 1, index: 4, line: 9 });
    rows
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn rows_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("data.parquet");
    let sources = vec!["a.jsonl".to_owned(), "b.json".to_owned()];
    let facts = [("template", "qwen2.5".to_owned())];
    let encoder = RowGroupEncoder::new(sources.clone(), crate::RowKind::Samples).expect("an encoder");
    let mut writer = PreparedWriter::create(&path, &encoder).expect("creates");
    writer.write(rows(), &encoder).expect("writes");
    writer.write(Rows::default(), &encoder).expect("writes nothing");
    assert_eq!(writer.rows(), 3);
    writer.finish(&facts).expect("finishes").name(&path).expect("named");
    assert!(is_parquet(&path));
    assert_eq!(entries(folder.path()), ["data.parquet"]);
    let back = read_prepared(&path).expect("reads");
    assert_eq!(back.rows, rows());
    assert_eq!(back.sources, sources);
    assert_eq!(back.facts, [("template".to_owned(), "qwen2.5".to_owned())]);
}

#[test]
fn an_abandoned_file_leaves_nothing() {
    let folder = tempfile::tempdir().expect("tempdir");
    let encoder =
        RowGroupEncoder::new(vec!["a".into(), "b".into()], crate::RowKind::Samples).expect("an encoder");
    let create = || PreparedWriter::create(&folder.path().join("data.parquet"), &encoder).expect("creates");
    let mut writer = create();
    writer.write(rows(), &encoder).expect("writes");
    assert_eq!(entries(folder.path()).len(), 1);
    drop(writer);
    assert!(entries(folder.path()).is_empty());
    let mut writer = create();
    writer.write(rows(), &encoder).expect("writes");
    drop(writer.finish(&[]).expect("finishes"));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn what_must_not_be_replaced_is_not() {
    let folder = tempfile::tempdir().expect("tempdir");
    let encoder = RowGroupEncoder::new(vec![], crate::RowKind::Samples).expect("an encoder");
    let error = PreparedWriter::create(folder.path(), &encoder).err().expect("refused").to_string();
    assert!(
        error.ends_with("exists and is a folder; expected a file name. Choose another output"),
        "{error}"
    );
    #[cfg(unix)]
    {
        let error =
            PreparedWriter::create(Path::new("/dev/null"), &encoder).err().expect("refused").to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}

#[test]
fn junk_under_a_parquet_name_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("junk.parquet");
    std::fs::write(&path, b"PAR1 and then nothing of the kind PAR1").expect("writes");
    let error = read_prepared(&path).expect_err("refused").to_string();
    assert!(error.contains("junk.parquet: cannot be read as prepared data"), "{error}");
}
