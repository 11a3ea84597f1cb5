//! `prepare` into shards and two sides, with weights, and not twice.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use serde_json::json;
use toolsmith_prepare::read_prepared;

const PREPARE: [&str; 6] = ["prepare", "data.jsonl", "--model", "model", "-o", "out.parquet"];

fn place_with(count: usize) -> Place {
    let place = Place::with_model();
    let records: Vec<_> = (0..count).map(|number| conversation(&format!("Town {number}"))).collect();
    place.write("data.jsonl", &jsonl(&records));
    place
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&PREPARE, more].concat()
}

fn lines_of(place: &Place, file: &str) -> Vec<usize> {
    read_prepared(&place.path(file)).expect("reads").rows.iter().map(|row| row.origin.line).collect()
}

#[test]
fn shards_hold_all_rows_in_order_and_old_ones_go() {
    let place = place_with(25);
    place.write("out/.keep", "");
    let words =
        ["prepare", "data.jsonl", "--model", "model", "-o", "out/d.parquet", "--shard-rows", "10", "--json"];
    let report = place.run(&words).json();
    let files: Vec<String> = (0..3).map(|at| format!("out/d-{at:05}-of-00003.parquet")).collect();
    assert_eq!(report["files"], json!(files));
    let lines: Vec<usize> = files.iter().flat_map(|file| lines_of(&place, file)).collect();
    assert_eq!(lines, (1..=25).collect::<Vec<_>>());
    // Fewer rows need fewer shards: the third one must go.
    place.write(
        "data.jsonl",
        &place.read("data.jsonl").lines().take(15).map(|line| format!("{line}\n")).collect::<String>(),
    );
    let ran = place.run(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("removed out/d-00002-of-00003.parquet"), "{}", ran.stderr);
    assert!(place.exists("out/d-00001-of-00002.parquet") && !place.exists(&files[0]));
}

#[test]
fn both_sides_together_are_all_records_and_equal_ones_stay_together() {
    let place = place_with(200);
    let all = place.read("data.jsonl");
    place.write("data.jsonl", &format!("{all}{all}"));
    let report = place.run(&with(&["--validation", "0.2", "--json"])).json();
    let (train, apart) = (lines_of(&place, "out.parquet"), lines_of(&place, "out.validation.parquet"));
    assert_eq!(report["validation_samples"], json!(apart.len()));
    assert!((40..120).contains(&apart.len()), "{}", apart.len());
    let mut both = [train.clone(), apart.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, (1..=400).collect::<Vec<_>>());
    let twins = |line: &usize| if *line > 200 { *line - 200 } else { *line + 200 };
    assert!(apart.iter().all(|line| apart.contains(&twins(line))));
    let named = with(&["--validation", "0.2", "--validation-output", "held.parquet"]);
    assert_eq!(place.run(&named).code, 0);
    assert_eq!(lines_of(&place, "held.parquet"), apart);
}

#[test]
fn weights_take_records_more_or_less_often() {
    let place = place_with(100);
    place.write("more.jsonl", &jsonl(&[conversation("Bern"), conversation("Rome")]));
    let words = ["prepare", "data.jsonl", "more.jsonl", "--model", "model", "-o", "out.parquet"];
    let weights = ["--weight", "data.jsonl=0.5", "--weight", "more.jsonl=3", "--json"];
    let report = place.run(&[&words[..], &weights].concat()).json();
    let taken = report["sources"][0]["samples"].as_u64().expect("a number");
    assert!((30..70).contains(&taken), "{taken}");
    assert_eq!(report["left_out"], json!(100 - taken));
    assert_eq!(report["sources"][1]["samples"], 6);
    let rows = read_prepared(&place.path("out.parquet")).expect("reads").rows;
    assert_eq!(rows.len() as u64, taken + 6);
    let ran = place.run(&[&words[..], &["--weight", "dta.jsonl=2"]].concat());
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("names none of the data files; expected one of: data.jsonl, more.jsonl"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_same_is_not_prepared_twice_and_anything_else_is() {
    let place = place_with(30);
    let first = place.run(&with(&["--json"])).json();
    assert_eq!(first["up_to_date"], false);
    let written =
        std::fs::metadata(place.path("out.parquet")).and_then(|file| file.modified()).expect("a time");
    let again = place.run(&with(&["--json", "--threads", "3"])).json();
    assert_eq!(again["up_to_date"], true);
    for name in
        ["conversations", "samples", "tokens", "trained_tokens", "packing", "repeated_prefix_tokens", "files"]
    {
        assert_eq!(again[name], first[name], "{name}");
    }
    let unchanged =
        std::fs::metadata(place.path("out.parquet")).and_then(|file| file.modified()).expect("a time");
    assert_eq!(written, unchanged);
    assert!(place.run(&PREPARE).stdout.contains("up to date: out.parquet\nnothing was done"));
    for more in
        [&["--force"][..], &["--max-length", "900"], &["--validation", "0.5"], &["--template", "qwen3"]]
    {
        assert_eq!(place.run(&with(&[more, &["--json"]].concat())).json()["up_to_date"], false, "{more:?}");
        place.run(&with(&["--force"]));
    }
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    assert_eq!(place.run(&with(&["--json"])).json()["up_to_date"], false);
    std::fs::write(place.path("out.parquet"), "PAR1 broken").expect("writes");
    assert_eq!(place.run(&with(&["--json"])).json()["up_to_date"], false);
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let place = place_with(1500);
    let files =
        ["out-00000-of-00002.parquet", "out-00001-of-00002.parquet", "out.validation-00000-of-00001.parquet"];
    let mut before: Option<Vec<Vec<u8>>> = None;
    for threads in ["1", "2", "3", "4"] {
        let more = ["--shard-rows", "1100", "--validation", "0.1", "--force", "--threads", threads];
        assert_eq!(place.run(&with(&more)).code, 0);
        let bytes: Vec<Vec<u8>> =
            files.iter().map(|file| std::fs::read(place.path(file)).expect("a file")).collect();
        assert!(before.is_none_or(|before| before == bytes), "{threads} threads change the bytes");
        before = Some(bytes);
    }
}

#[test]
fn the_summary_plans_packs_and_counts_shared_prefixes() {
    let place = place_with(10);
    let report = place.run(&with(&["--json", "--max-length", "4000"])).json();
    let (tokens, plan) = (report["tokens"].as_f64().expect("tokens"), &report["packing"]);
    let packs = plan["packs"].as_f64().expect("packs");
    assert_eq!(plan["max_length"], 4000);
    assert!((plan["fill"].as_f64().expect("a share") - tokens / (4000.0 * packs)).abs() < 1e-9);
    // Nine of ten begin with the system text and the tools of the first.
    let shared = report["repeated_prefix_tokens"].as_u64().expect("tokens");
    assert!(shared > 0 && shared.is_multiple_of(9 * 16), "{shared}");
}
