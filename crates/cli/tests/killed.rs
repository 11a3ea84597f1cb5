//! `prepare` that is killed: whenever that happens, no half file has its final name, and the next run ends as if nothing
//! had been.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use common::{Place, conversation, jsonl};

/// Two shards and a validation file.
const WORDS: [&str; 10] = [
    "prepare",
    "data.jsonl",
    "--model",
    "model",
    "--shard-rows",
    "2000",
    "--validation",
    "0.1",
    "-o",
    "out.parquet",
];

/// The files with final names, and what is in them.
fn written(place: &Place) -> Vec<(String, Vec<u8>)> {
    let names = place.names().into_iter().filter(|name| name.starts_with("out"));
    names.map(|name| (name.clone(), fs::read(place.path(&name)).expect("reads"))).collect()
}

#[test]
fn a_killed_run_leaves_no_half_file_and_the_next_one_ends_as_an_undisturbed_one() {
    let records: Vec<_> = (0..3000).map(|n| conversation(&format!("Town {n}"))).collect();
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&records));
    assert_eq!(place.run(&WORDS).code, 0);
    let whole = written(&place);
    assert_eq!(whole.len(), 3, "two shards and one validation file");

    for delay in [0, 5, 20, 50, 90, 140, 200, 280, 400, 600] {
        whole.iter().for_each(|(name, _)| fs::remove_file(place.path(name)).expect("removes"));
        let mut command = place.command();
        command.args(WORDS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("runs");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().expect("is killed, or has ended");
        child.wait().expect("ends");
        for file in written(&place) {
            assert!(whole.contains(&file), "{} is not what it should be, after {delay} ms", file.0);
        }
        assert_eq!(place.run(&[&WORDS[..], &["--force"]].concat()).code, 0);
        assert!(written(&place) == whole, "other files after a run killed at {delay} ms");
        let leftovers: Vec<_> = place.names().into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}
