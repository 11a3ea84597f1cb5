//! `check`: each rule finds what `hostile/RULE.jsonl` holds, and is silent about the near miss in `hostile/near/`.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Place, Ran};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// What a rule needs beside the data to find something.
fn words(rule: &str, near: bool) -> &'static [&'static str] {
    match rule {
        "tokenizer" if near => &["--model", "model"],
        "no-template" => &["--model", "bare"],
        "unwritable" | "text-not-shown" => &["--template", "llama3.1"],
        "tool-not-shown" | "vanishing-message" => &["--template", "glm4"],
        "tokenizer" => &["--model", "model", "--template", "glm4"],
        "thoughts-not-shown" | "thoughts-in-text" => &["--template", "qwen2.5"],
        "mixed-thoughts" => &["--template", "qwen3"],
        "compat" => &["--model", "model", "--compat", "llama-factory"],
        "call-not-written" | "stop-untrained" => &["--model", "model", "--template", "jinja"],
        "template-differs" => &["--model", "model", "--template", "qwen2.5"],
        "cut-right" => &["--model", "model", "--max-length", "150", "--truncate", "right"],
        "cut-in-call" => &["--model", "model", "--max-length", "780", "--truncate", "right"],
        "cut-turns" => &["--model", "model", "--max-length", "250"],
        "cut-tools" => &["--model", "model", "--max-length", "250"],
        "cut-result" => &["--model", "model", "--max-length", "1100"],
        "eval-overlap" => &["--model", "model", "--eval-data", "eval.jsonl"],
        _ => &["--model", "model"],
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// The rules, in the order of their table.
fn rules() -> Vec<String> {
    let told = Place::empty().run(&["check", "--explain"]).stdout;
    told.lines().filter_map(|line| line.strip_prefix("## ").map(str::to_owned)).collect()
}

/// The tiny tokenizer with a token of two newlines.
fn joining_newlines() -> Value {
    let mut tokenizer = common::tokenizer();
    tokenizer["model"]["vocab"]["ĊĊ"] = json!(261);
    tokenizer["model"]["merges"] = json!([["Ċ", "Ċ"]]);
    tokenizer
}

fn check(rule: &str, folder: &Path, more: &[&str]) -> Ran {
    let near = folder.ends_with("near");
    let place = Place::with_model();
    let data = fs::read_to_string(folder.join(format!("{rule}.jsonl"))).expect("the rule's file");
    place.write("data.jsonl", &data);
    place.write("eval.jsonl", data.lines().next().unwrap_or_default());
    if rule == "eval-overlap" && near {
        place.write("eval.jsonl", &common::conversation("Bern").to_string());
    }
    if let Ok(config) = fs::read_to_string(folder.join(format!("{rule}.tokenizer_config.json"))) {
        place.write("model/tokenizer_config.json", &config);
    }
    if rule == "straddling-token" {
        place.write("model/tokenizer.json", &joining_newlines().to_string());
    }
    place.write("bare/tokenizer.json", &common::tokenizer().to_string());
    place.run(&[&["check", "data.jsonl"], words(rule, near), more].concat())
}

#[test]
fn every_rule_finds_its_failure() {
    let mut all = String::new();
    let mut silent = Vec::new();
    for rule in rules() {
        let ran = check(&rule, &folder(), &[]);
        let said: String = ran.stdout.lines().filter(|line| !line.starts_with("checked ")).fold(
            String::new(),
            |mut said, line| {
                let _infallible = writeln!(said, "{line}");
                said
            },
        );
        if !said.contains(&format!("[{rule}]")) {
            silent.push(format!("{rule}: {}{said}", ran.stderr));
        }
        let _infallible = writeln!(all, "# {rule}: exit code {}\n{said}", ran.code);
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert_snapshot!(all);
}

#[test]
fn no_rule_fires_at_a_near_miss() {
    let mut fired = Vec::new();
    for rule in rules() {
        let ran = check(&rule, &folder().join("near"), &[]);
        assert!(ran.stdout.contains("checked "), "{rule}: {}", ran.stderr);
        if ran.stdout.contains(&format!("[{rule}]")) {
            fired.push(ran.stdout);
        }
    }
    assert!(fired.is_empty(), "{}", fired.join("\n"));
}

const CALL: &str = r#"{"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}], "messages": [
{"role": "user", "content": "Weather?"},
{"role": "assistant", "content": null, "tool_calls": [
{"id": "a", "function": {"name": "weather", "arguments": "{'city': 'Oslo', 'days': 2}"}},
{"id": "b", "function": {"name": "weather", "arguments": {"city": "Rome", "days": "3"}}},
{"id": "c", "function": {"name": "weather", "arguments": "\"{\\\"city\\\": \\\"Bern\\\"}\""}}]},
{"role": "tool", "tool_call_id": "b", "content": "{'sky': 'sun', 'wind': None}"},
{"role": "tool", "tool_call_id": "a", "content": "rain"},
{"role": "tool", "tool_call_id": "c", "content": "snow"},
{"role": "assistant", "content": "Rain, sun, snow."}]}"#;

/// A place with a record that `--fix` can mend, one it cannot, one that is no JSON, and one twice.
fn broken() -> Place {
    let place = Place::with_model();
    let mut unmended = common::conversation("Oslo");
    unmended["messages"][2]["tool_calls"][0]["function"]["name"] = json!("wetter");
    let good = common::conversation("Rome");
    let lines =
        [CALL.replace('\n', " "), unmended.to_string(), "{".to_owned(), good.to_string(), good.to_string()];
    place.write("data, 1.jsonl", &lines.join("\n"));
    place
}

#[test]
fn what_has_one_meaning_is_mended_and_the_rest_passed_on() {
    let place = broken();
    let ran = place.run(&["check", "data, 1.jsonl", "--model", "model", "--fix", "mended.jsonl", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let mended = &report["mended"];
    assert_eq!(
        mended["by_code"],
        json!({"arguments-encoded-twice": 1, "duplicate": 1, "python-arguments": 1, "python-result": 1,
            "results-out-of-order": 1, "wrong-type": 1})
    );
    assert_eq!((&mended["read"], &mended["written"], &mended["left_out"]), (&json!(5), &json!(3), &json!(1)));
    assert_eq!(mended["left_out_places"][0]["line"], 3);

    let again = place.run(&["check", "mended.jsonl", "--model", "model", "--json"]);
    let report: Value = serde_json::from_str(&again.stdout).expect("JSON");
    let left: Vec<_> = report["rules"].as_array().expect("rules").iter().map(|rule| &rule["code"]).collect();
    assert_eq!(left, ["undefined-tool"]);
    let first: Value =
        serde_json::from_str(place.read("mended.jsonl").lines().next().expect("a line")).expect("JSON");
    let results: Vec<_> = (2..5).map(|at| first["messages"][at]["content"].as_str().expect("text")).collect();
    assert_eq!(results, ["rain", r#"{"sky": "sun", "wind": null}"#, "snow"]);
    assert_eq!(
        first["messages"][1]["tool_calls"][1]["function"]["arguments"],
        r#"{"city": "Rome", "days": 3}"#
    );
}

#[test]
fn programs_read_the_report() {
    let place = broken();
    let run = |format: &str| {
        place.run(&["check", "data, 1.jsonl", "--model", "model", "--output-format", format]).stdout
    };
    assert_snapshot!("github", run("github"));
    let log: Value = serde_json::from_str(&run("sarif")).expect("JSON");
    let run = &log["runs"][0];
    assert_eq!(run["results"].as_array().expect("results").len(), 4);
    let results = run["results"].as_array().expect("results");
    let result = results.iter().find(|result| result["ruleId"] == "undefined-tool").expect("found");
    let rule = result["ruleIndex"].as_u64().expect("an index") as usize;
    assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "data%2C%201.jsonl");
    assert_eq!(place["region"]["startLine"], 2);
}

#[test]
fn rules_can_be_left_out_and_explained() {
    let place = broken();
    let ignored = ["undefined-tool", "broken-json", "python-arguments", "duplicate"];
    let mut words = vec!["check", "data, 1.jsonl", "--model", "model"];
    words.extend(ignored.iter().flat_map(|rule| ["--ignore", rule]));
    let ran = place.run(&words);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("nothing found"), "{}", ran.stdout);

    let prepare = ["prepare", "one.jsonl", "--model", "model", "-o", "out.parquet"];
    let mut record = common::conversation("Oslo");
    record["messages"][2]["tool_calls"][0]["function"]["name"] = json!("wetter");
    place.write("one.jsonl", &record.to_string());
    assert_eq!(place.run(&prepare).code, 3);
    assert_eq!(place.run(&[&prepare[..], &["--ignore", "undefined-tool"]].concat()).code, 0);

    // A rule about token ids is left out, too; what no sample can be made of is refused all the same.
    place.write(
        "one.jsonl",
        r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}"#,
    );
    let short = ["--max-length", "30", "--truncate", "right", "--json"];
    let cut = place.run(&[&prepare[..], &short].concat()).stdout;
    assert!(cut.contains("nothing-trained"), "{cut}");
    let cut = place.run(&[&prepare[..], &short, &["--ignore", "nothing-trained"]].concat());
    assert_eq!(cut.code, 3);

    assert_snapshot!("explained", place.run(&["check", "--explain", "straddling-token"]).stdout);
    let unknown = place.run(&["check", "--explain", "no-such-rule"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("there is no rule \"no-such-rule\""), "{}", unknown.stderr);
}

#[test]
fn the_documentation_lists_every_rule() {
    let told = Place::empty().run(&["check", "--explain"]).stdout;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks.md");
    let page = fs::read_to_string(page).expect("docs/checks.md");
    assert!(page == told, "docs/checks.md is not what `toolsmith check --explain` prints: write it again");
}
