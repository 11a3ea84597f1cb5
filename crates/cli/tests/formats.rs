//! `convert`, `--dataset-info` and the records that are no conversations, through the program.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, jsonl};
use serde_json::json;
use toolsmith_prepare::read_prepared;

#[test]
fn convert_writes_records_and_counts_what_it_drops() {
    let place = Place::empty();
    let instance = |parameters: &str| {
        json!({"input": "问", "intermediate_steps": [[["f", parameters, "Hm.\nAction: f"], 1.0]],
               "Final Thought": "T", "output": "O"})
    };
    let raw = json!([{"NLDocumentation": "doc", "Instances": [instance("{}"), instance("{oops")]}, {"Instances": []}]);
    place.write("raw.json", &raw.to_string());
    let ran = place.run(&["convert", "toolalpaca", "raw.json", "-o", "out.jsonl", "--json"]);
    let counts = ran.json();
    assert_eq!((&counts["read"], &counts["written"], &counts["dropped"]), (&json!(2), &json!(1), &json!(2)));
    assert!(counts["drops"][1]["text"].as_str().expect("text").starts_with("NLDocumentation: missing"));
    let written = std::fs::read_to_string(place.path("out.jsonl")).expect("written");
    let expected = r#"{"tools": ["doc"], "conversations": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "Hm."}, {"role": "tool", "name": "f", "parameters": {}, "observation": 1.0}, {"role": "assistant", "content": "T\nO"}]}"#;
    assert_eq!(written, format!("{expected}\n"));
    let people = place.run(&["convert", "toolalpaca", "raw.json", "-o", "out.jsonl"]);
    assert!(
        people.stdout.contains("raw.json:1: record 0: Instances[1].intermediate_steps[0][0][1]: not JSON"),
        "{}",
        people.stdout
    );

    place.write("other.json", "[{\"a\": 1}]");
    let nothing = place.run(&["convert", "advertisegen", "other.json", "-o", "none.jsonl"]);
    assert_eq!(nothing.code, 3);
    assert!(nothing.stderr.contains("nothing could be converted"), "{}", nothing.stderr);
    assert!(!place.path("none.jsonl").exists());
    place.write("ad.json", &jsonl(&[json!({"content": "c", "summary": "s"})]));
    place.run(&["convert", "advertisegen", "ad.json", "-o", "ad.jsonl", "--json"]).json();
    assert_eq!(
        std::fs::read_to_string(place.path("ad.jsonl")).expect("written"),
        "{\"prompt\": \"c\", \"response\": \"s\"}\n"
    );
}

#[test]
fn a_prompt_is_not_trained_and_its_response_is() {
    let place = Place::with_model();
    place.write("io.jsonl", &jsonl(&[json!({"prompt": "ab", "response": "cd"})]));
    place.run(&["prepare", "io.jsonl", "--model", "model", "-o", "io.parquet", "--json"]).json();
    let rows = read_prepared(&place.path("io.parquet")).expect("reads").rows;
    let row = rows.get(0).expect("a row");
    assert_eq!((row.input_ids, row.labels), (&[97, 98, 99, 100, 258][..], &[-100, -100, 99, 100, 258][..]));
    let line = &place.run(&["render", "io.jsonl", "--model", "model", "--for-training"]).lines()[0];
    assert_eq!((&line["text"], &line["labels"]), (&json!("abcd"), &json!(row.labels)));
}

#[test]
fn preferences_are_rendered_on_both_sides() {
    let place = Place::with_model();
    place.write("p.jsonl", &jsonl(&[json!({"prompt": "Hi", "chosen": "Yes", "rejected": "No"})]));
    let lines = place.run(&["render", "p.jsonl", "--model", "model"]).lines();
    let sides: Vec<_> = lines.iter().map(|line| (&line["sample"], &line["side"])).collect();
    assert_eq!(sides, [(&json!(0), &json!("chosen")), (&json!(1), &json!("rejected"))]);
    assert!(lines[0]["text"].as_str().expect("text").ends_with("assistant\nYes<|im_end|>\n"));
}

#[test]
fn data_sets_are_found_by_name_each_with_its_columns() {
    let place = Place::with_model();
    place.write(
        "info.json",
        &json!({
            "one": {"file_name": "one.json", "columns": {"prompt": "q", "response": "a"}, "odd": 1},
            "two": {"file_name": "two.jsonl", "formatting": "sharegpt", "columns": {"messages": "turns"}},
            "hub": {"hf_hub_url": "a/b"},
        })
        .to_string(),
    );
    place.write("one.json", &json!([{"q": "Hi", "a": "Ho"}]).to_string());
    place.write(
        "two.jsonl",
        &jsonl(&[json!({"turns": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]})]),
    );
    let words = [
        "prepare",
        "--dataset-info",
        "info.json",
        "one,two",
        "--model",
        "model",
        "-o",
        "out.parquet",
        "--json",
    ];
    let ran = place.run(&words);
    assert_eq!(ran.json()["samples"], 2);
    assert!(ran.stderr.contains("info.json: one.odd: unknown key"), "{}", ran.stderr);
    let rows = read_prepared(&place.path("out.parquet")).expect("reads").rows;
    let rows: Vec<_> = rows.iter().map(|row| row.input_ids.to_vec()).collect();
    assert_eq!(rows[0], rows[1]);
    let text = &place.run(&["render", "--dataset-info", "info.json", "two", "--template", "qwen2.5"]).lines()
        [0]["text"];
    assert!(text.as_str().expect("text").contains("Ho<|im_end|>"));
    let none = place.run(&["render", "--dataset-info", "info.json", "three", "--template", "qwen2.5"]);
    assert!(
        none.stderr.contains("no data set is named \"three\"; there are: one, two, hub"),
        "{}",
        none.stderr
    );
    let hub = place.run(&["render", "--dataset-info", "info.json", "hub", "--template", "qwen2.5"]);
    assert!(hub.stderr.contains("Download it and set file_name"), "{}", hub.stderr);
}
