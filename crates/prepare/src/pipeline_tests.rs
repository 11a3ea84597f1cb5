use toolsmith_chat::check::Code;

use super::*;
use crate::{Origin, Rows};

/// Each record is a number; its sample repeats the number, and numbers ending in 7 are refused.
fn work(_: usize, bytes: &[u8], _: Place) -> Result<Accepted, Vec<Finding>> {
    let number: u32 = String::from_utf8_lossy(bytes)
        .trim()
        .parse()
        .map_err(|_| vec![Finding::new(Code::Shape, "no number")])?;
    if number % 10 == 7 {
        return Err(vec![Finding::new(Code::Compat, format!("{number} ends in 7"))]);
    }
    // Uneven work, so that results are ready out of order.
    thread::sleep(std::time::Duration::from_micros(u64::from(number % 13) * 5));
    let input_ids = vec![number; 1 + (number % 3) as usize];
    let labels = vec![-100; input_ids.len()];
    Ok(Accepted { samples: vec![Sample { input_ids, labels, weights: None }], ..Accepted::default() })
}

fn run_with(threads: usize, sources: &[PathBuf]) -> Result<(Rows, Summary), PrepareError> {
    let mut rows = Rows::default();
    let options = PipelineOptions { threads, ..PipelineOptions::default() };
    let selection = Selection::default();
    let pipeline = Pipeline { sources, options: &options, selection: &selection, work: &work };
    let summary = pipeline.run(&Ok, &mut |_| (), &mut |sides, _| {
        rows.append(sides.train);
        Ok(())
    })?;
    Ok((rows, summary.finish(None)))
}

fn numbers(folder: &std::path::Path, name: &str, range: std::ops::Range<u32>) -> PathBuf {
    let path = folder.join(name);
    let lines: String = range.map(|number| format!("{number}\n")).collect();
    std::fs::write(&path, lines).expect("writes");
    path
}

#[test]
fn order_and_counts_do_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("tempdir");
    let sources = [numbers(folder.path(), "a", 0..3000), numbers(folder.path(), "b", 3000..3700)];
    let (rows, summary) = run_with(1, &sources).expect("runs");
    let firsts: Vec<u32> = rows.iter().map(|row| row.input_ids[0]).collect();
    let expected: Vec<u32> = (0..3700).filter(|number| number % 10 != 7).collect();
    assert_eq!(firsts, expected);
    assert_eq!((summary.conversations, summary.refused, summary.samples), (3700, 370, 3330));
    assert_eq!(
        summary.refusals[0].to_string(),
        format!("{}:8: record 7: 7 ends in 7 [compat]", sources[0].display())
    );
    let last = rows.get(rows.len() - 1).expect("a row").origin;
    assert_eq!(last, Origin { source: 1, index: 699, line: 700 });
    for threads in [2, 5] {
        let again = run_with(threads, &sources).expect("runs");
        assert_eq!(again, (rows.clone(), summary.clone()));
    }
}

#[test]
fn a_missing_file_stops_the_run_after_what_was_before_it() {
    let folder = tempfile::tempdir().expect("tempdir");
    let sources = [numbers(folder.path(), "a", 0..10), folder.path().join("none")];
    let error = run_with(2, &sources).expect_err("stops");
    assert!(matches!(error, PrepareError::Read { ref path, .. } if path == &sources[1]), "{error}");
}

#[test]
fn a_file_that_vanishes_while_others_are_read_is_named() {
    let folder = tempfile::tempdir().expect("tempdir");
    // More chunks than wait in the queues, so that the second file is not open yet when it vanishes.
    let sources = [numbers(folder.path(), "a", 0..20_000), numbers(folder.path(), "b", 0..10)];
    let options = PipelineOptions { threads: 1, ..PipelineOptions::default() };
    let selection = Selection::default();
    let pipeline = Pipeline { sources: &sources, options: &options, selection: &selection, work: &work };
    let mut taken = 0;
    let result = pipeline.run(&Ok, &mut |_| (), &mut |sides: Sides, _| {
        taken += sides.train.len();
        // The first chunk removes it; later ones find it gone.
        let _gone = std::fs::remove_file(&sources[1]);
        Ok(())
    });
    let error = result.err().expect("stops");
    assert!(matches!(error, PrepareError::Read { ref path, .. } if path == &sources[1]), "{error}");
    assert_eq!(taken, 18_000, "what was read before is worked on");
}

#[test]
fn an_error_of_the_taker_ends_the_run_without_reading_on() {
    let folder = tempfile::tempdir().expect("tempdir");
    let sources = [numbers(folder.path(), "a", 0..100_000)];
    let mut chunks = 0;
    let options = PipelineOptions { threads: 2, ..PipelineOptions::default() };
    let selection = Selection::default();
    let pipeline = Pipeline { sources: &sources, options: &options, selection: &selection, work: &work };
    let result = pipeline.run(&Ok, &mut |_| (), &mut |_: Sides, _| {
        chunks += 1;
        Err(PrepareError::WorkerLost)
    });
    assert!(result.is_err());
    assert_eq!(chunks, 1);
}
