//! How long fingerprints take, and the search among many of them.
//!
//! `cargo bench -p toolsmith-chat --bench duplicates`. Without more, fingerprints are made of the goldens' conversations;
//! `TOOLSMITH_BENCH_DATA` names a JSON array or JSONL file of conversations in any format that is recognised.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::path::{Path, PathBuf};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use serde_json::Value;
use toolsmith_chat::check::duplicates::{Fingerprint, Threshold, find_duplicates, find_overlaps};
use toolsmith_chat::data::{self, Conversation, Message};

fn main() {
    divan::main();
}

fn conversations() -> Vec<Conversation> {
    let given = std::env::var_os("TOOLSMITH_BENCH_DATA").map(PathBuf::from);
    let golden = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qwen2.5/cases.jsonl");
    let text = std::fs::read_to_string(given.clone().unwrap_or_else(golden)).expect("the data can be read");
    let records: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|_| {
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    });
    let record = |mut record: Value| if given.is_some() { record } else { record["record"].take() };
    records.into_iter().filter_map(|value| Some(data::read_recognised(record(value)).ok()?.0)).collect()
}

#[divan::bench]
fn fingerprint(bencher: Bencher<'_, '_>) {
    let conversations = conversations();
    bencher.counter(ItemsCount::new(conversations.len())).bench_local(|| {
        conversations.iter().for_each(|conversation| {
            black_box(Fingerprint::of(black_box(conversation)));
        });
    });
}

/// The usual case and two bad ones.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing is like anything else.
    Unlike,
    /// One text with a number of its own in each: nearly all sketches are equal, and no contents are.
    NearlyOne,
    /// All are the same.
    Same,
}

fn fingerprints(kind: Kind, count: usize) -> Vec<Fingerprint> {
    let common: String = (0..60).map(|word| format!("common{word} ")).collect();
    let talk = |index: usize| match kind {
        Kind::Unlike => (0..30).map(|word| format!("{index}w{word} ")).collect(),
        Kind::NearlyOne => format!("{common} {index}"),
        Kind::Same => common.clone(),
    };
    (0..count).map(|index| Fingerprint::of(&Conversation::new(vec![Message::user(talk(index))]))).collect()
}

#[divan::bench(args = [Kind::Unlike, Kind::NearlyOne, Kind::Same], consts = [100_000, 1_000_000], sample_count = 3)]
fn search<const COUNT: usize>(bencher: Bencher<'_, '_>, kind: Kind) {
    let fingerprints = fingerprints(kind, COUNT);
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        find_duplicates(&fingerprints, Some(Threshold::default())).map(|found| found.iter().count())
    });
}

#[divan::bench(args = [Kind::Unlike, Kind::NearlyOne, Kind::Same], sample_count = 3)]
fn overlap(bencher: Bencher<'_, '_>, kind: Kind) {
    let fingerprints = fingerprints(kind, 100_000);
    let (eval, train) = fingerprints.split_at(10_000);
    bencher
        .counter(ItemsCount::new(fingerprints.len()))
        .bench_local(|| find_overlaps(train, eval, Some(Threshold::default())).map(|found| found.len()));
}
