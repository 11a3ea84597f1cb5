//! `prepare`, `render`, `parse` and `preview` on good input: what they print is the contract.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use serde_json::json;
use toolsmith_prepare::read_prepared;

#[test]
fn render_prints_text_ids_and_labels_and_keeps_in_step() {
    let place = Place::with_model();
    place.write("data.jsonl", &format!("{}oops\n{}\n", jsonl(&[conversation("Oslo")]), conversation("Rome")));
    let ran = place.run(&["render", "data.jsonl", "--model", "model"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines = ran.lines();
    assert_eq!(lines.len(), 3);
    let text = lines[0]["text"].as_str().expect("text");
    assert!(text.starts_with("<|im_start|>system\nHelp."), "{text}");
    assert!(text.ends_with("It is sunny in Oslo.<|im_end|>\n"), "{text}");
    let ids = lines[0]["input_ids"].as_array().expect("ids");
    let labels = lines[0]["labels"].as_array().expect("labels");
    assert_eq!(ids.len(), labels.len());
    // Every trained position's label is its id, and the two answers' stop tokens are trained.
    let trained: Vec<_> = labels.iter().zip(ids).filter(|(label, _)| **label != json!(-100)).collect();
    assert!(trained.iter().all(|(label, id)| label == id));
    assert_eq!(trained.iter().filter(|(label, _)| **label == json!(258)).count(), 2);
    assert_eq!((&lines[0]["index"], &lines[0]["sample"]), (&json!(0), &json!(0)));
    assert_eq!(lines[1]["index"], 1);
    assert!(
        lines[1]["error"]
            .as_str()
            .expect("error")
            .starts_with("data.jsonl:2: record 1: broken JSON at line 2")
    );
    assert!(lines[1].get("text").is_none());
    assert_eq!(lines[2]["index"], 2);
}

#[test]
fn render_without_a_model_gives_the_text_alone() {
    let place = Place::empty();
    place.write("data.json", &json!([conversation("Oslo")]).to_string());
    let ran = place.run(&["render", "data.json", "--template", "glm4", "--add-generation-prompt"]);
    let line = &ran.lines()[0];
    assert!(line["text"].as_str().expect("text").ends_with("<|assistant|>"));
    assert!(line.get("input_ids").is_none());
    let training = place.run(&["render", "data.json", "--template", "glm4", "--for-training"]);
    assert!(training.lines()[0]["text"].as_str().expect("text").ends_with("It is sunny in Oslo.<|user|>"));
}

#[test]
fn prepare_writes_the_same_rows_that_render_prints() {
    let place = Place::with_model();
    place.write("a.jsonl", &jsonl(&[conversation("Oslo"), conversation("Rome")]));
    let array = json!([conversation("Bern"), {"text": "Plain."}]);
    place.write("b.json", &serde_json::to_string_pretty(&array).expect("JSON"));
    let words = ["prepare", "a.jsonl", "b.json", "--model", "model", "-o", "out.parquet", "--json"];
    let summary = place.run(&words).json();
    assert_eq!(
        (&summary["conversations"], &summary["samples"], &summary["refused"]),
        (&json!(4), &json!(4), &json!(0))
    );
    let prepared = read_prepared(&place.path("out.parquet")).expect("reads");
    assert_eq!(prepared.sources, ["a.jsonl", "b.json"]);
    let rendered = place.run(&["render", "a.jsonl", "--model", "model", "--for-training"]).lines();
    for (row, line) in prepared.rows.iter().zip(&rendered) {
        assert_eq!(json!(row.input_ids), line["input_ids"]);
        assert_eq!(json!(row.labels), line["labels"]);
    }
    let text = prepared.rows.get(3).expect("the text");
    assert_eq!(text.input_ids, [80, 108, 97, 105, 110, 46, 258]);
    assert_eq!(json!(text.labels), json!(text.input_ids));
    assert_eq!((text.origin.source, text.origin.index), (1, 1));
    let total: usize = prepared.rows.iter().map(|row| row.input_ids.len()).sum();
    assert_eq!(summary["tokens"], json!(total));

    let one = std::fs::read(place.path("out.parquet")).expect("file");
    place.run(&[&words[..], &["--threads", "3"]].concat()).json();
    assert_eq!(one, std::fs::read(place.path("out.parquet")).expect("file"), "threads change the bytes");
}

#[test]
fn parse_prints_what_the_contract_says() {
    let place = Place::empty();
    place.write("tools.json", &conversation("x")["tools"].to_string());
    let call = "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
    let broken = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\n</tool_call>";
    let input = jsonl(&[json!({"text": call}), json!({"text": broken}), json!({"text": "Hello."})]);
    let ran = place.run_with_input(&["parse", "--template", "qwen2.5", "--tools", "tools.json"], &input);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines = ran.lines();
    assert_eq!(lines[0]["tool_calls"], json!([{"name": "weather", "arguments": {"city": "Oslo"}}]));
    assert_eq!(lines[0]["malformed"], json!([]));
    assert_eq!(lines[0]["reasoning"], json!(null));
    assert!(lines[0]["content"].as_str().expect("content").starts_with("Let me look."));
    assert_eq!(lines[1]["tool_calls"], json!([]));
    assert!(lines[1]["malformed"][0]["raw_text"].as_str().is_some_and(|text| text.contains("weather")));
    assert_eq!(lines[2], json!({"content": "Hello.", "reasoning": null, "tool_calls": [], "malformed": []}));

    let bad = place.run_with_input(&["parse", "--template", "qwen2.5"], "{\"text\": \"a\"}\nnot json\n");
    assert_eq!(bad.code, 1);
    assert!(bad.stderr.starts_with("error: standard input:2: expected a JSON object"), "{}", bad.stderr);
}

#[test]
fn preview_marks_what_is_trained() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo"), conversation("Rome")]));
    let plain = place.run(&["preview", "data.jsonl", "--model", "model", "-n", "1"]);
    assert!(
        plain.stdout.contains("<|im_start|>assistant\n⟦It is sunny in Oslo.<|im_end|>⟧"),
        "{}",
        plain.stdout
    );
    assert!(!plain.stdout.contains("Rome"));
    assert!(!plain.stdout.contains('\u{1b}'));
    let coloured = place.run(&["preview", "data.jsonl", "--model", "model", "-n", "1", "--color", "always"]);
    assert!(coloured.stdout.contains("\u{1b}[32mIt is sunny in Oslo.\u{1b}[0m"), "{}", coloured.stdout);
    let sanity = place.run(&["preview", "data.jsonl", "--model", "model", "-n", "1", "--sanity"]);
    let line =
        |start: &str| sanity.stdout.lines().find(|line| line.starts_with(start)).expect("a line").to_owned();
    assert_eq!(
        line("\"<|im_start|>\"").split_whitespace().collect::<Vec<_>>(),
        ["\"<|im_start|>\"", "257", "->", "-100"]
    );
    assert!(sanity.stdout.lines().any(|line| line.split_whitespace().eq([
        "\"<|im_end|>\"",
        "258",
        "->",
        "258"
    ])));
}
