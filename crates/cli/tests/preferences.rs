//! Pairs of answers, from records to a model that was trained to prefer.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, jsonl};
use serde_json::{Value as Json, json};
use toolsmith_prepare::{IGNORE_INDEX, is_prepared, read_prepared};

const CITIES: [&str; 4] = ["Oslo", "Rome", "Bern", "Lima"];

/// A question about the weather: the right call, and an answer that was made up.
fn pair(city: &str) -> Json {
    let call = json!({"function": {"name": "weather", "arguments": {"city": city}}});
    json!({
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}],
        "messages": [{"role": "user", "content": format!("Weather in {city}?")}],
        "chosen": [{"role": "assistant", "content": null, "tool_calls": [call]}],
        "rejected": [{"role": "assistant", "content": "Sunny."}],
    })
}

fn with_pairs() -> Place {
    let place = Place::with_model();
    place.write("pairs.jsonl", &jsonl(&CITIES.map(pair)));
    place
}

#[test]
fn each_side_of_a_pair_is_what_fine_tuning_on_it_would_take() {
    let place = with_pairs();
    let summary =
        place.run(&["prepare", "pairs.jsonl", "--model", "model", "-o", "p.parquet", "--json"]).json();
    assert_eq!((&summary["pairs"], &summary["samples"]), (&json!(4), &json!(8)));
    assert!(is_prepared(&place.path("p.parquet")));
    let prepared = read_prepared(&place.path("p.parquet")).expect("reads");
    assert!(prepared.pairs);
    for side in ["chosen", "rejected"] {
        let conversations: Vec<Json> = CITIES
            .iter()
            .map(|city| {
                let mut record = pair(city);
                let answer = record[side].clone();
                let messages = record["messages"].as_array_mut().expect("messages");
                messages.extend(answer.as_array().expect("an answer").iter().cloned());
                json!({"tools": record["tools"], "messages": record["messages"]})
            })
            .collect();
        place.write("one.jsonl", &jsonl(&conversations));
        place.run(&["prepare", "one.jsonl", "--model", "model", "-o", "one.parquet", "--json"]).json();
        let single = read_prepared(&place.path("one.parquet")).expect("reads");
        assert!(!single.pairs);
        for ((chosen, rejected), expected) in prepared.rows.pairs().zip(single.rows.iter()) {
            let found = if side == "chosen" { chosen } else { rejected };
            assert_eq!((found.input_ids, found.labels), (expected.input_ids, expected.labels));
            assert_eq!(found.origin.line, expected.origin.line);
        }
    }
    let (chosen, rejected) = prepared.rows.pairs().next().expect("a pair");
    let prompt = chosen.labels.iter().take_while(|label| **label == IGNORE_INDEX).count();
    assert_eq!(chosen.input_ids[..prompt], rejected.input_ids[..prompt]);
}

#[test]
fn shards_and_validation_keep_pairs_whole() {
    let place = with_pairs();
    let words =
        ["prepare", "pairs.jsonl", "--model", "model", "-o", "p.parquet", "--shard-rows", "3", "--json"];
    assert_eq!(
        place.run(&words).json()["files"],
        json!(["p-00000-of-00002.parquet", "p-00001-of-00002.parquet"])
    );
    let lines = |file: &str| {
        let prepared = read_prepared(&place.path(file)).expect("reads");
        prepared.rows.pairs().map(|(one, other)| (one.origin.line, other.origin.line)).collect::<Vec<_>>()
    };
    assert_eq!(lines("p-00000-of-00002.parquet"), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(lines("p-00001-of-00002.parquet"), [(4, 4)]);
}

#[test]
fn what_cannot_be_compared_is_refused_and_counted() {
    let place = with_pairs();
    let same = json!({"prompt": "Hi", "chosen": "Yes", "rejected": "Yes"});
    let other_prompt = json!({
        "prompt": "Hi",
        "chosen": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "Yes"}],
        "rejected": [{"role": "user", "content": "Ho"}, {"role": "assistant", "content": "No"}],
    });
    let single = common::conversation("Oslo");
    let trained_late = json!({
        "prompt": "Hi",
        "chosen": [{"role": "assistant", "content": "Yes", "train": false}, {"role": "assistant", "content": "Yes"}],
        "rejected": "No",
    });
    // A rejected call may be as wrong as it likes.
    let mut wrong = pair("Bonn");
    wrong["rejected"] = json!([{"role": "assistant", "content": null,
        "tool_calls": [{"function": {"name": "wether", "arguments": {"town": 3}}}]}]);
    let records = [pair("Oslo"), same, other_prompt, single, trained_late, wrong];
    place.write("bad.jsonl", &jsonl(&records));
    let words = ["prepare", "bad.jsonl", "--model", "model", "-o", "p.parquet", "--json"];
    let ran = place.run(&words);
    assert_eq!(ran.code, 3);
    let ran = place.run(&[&words[..], &["--skip-bad"]].concat());
    let summary = ran.json();
    assert_eq!((&summary["pairs"], &summary["refused"]), (&json!(2), &json!(4)), "{summary}");
    let said: Vec<(i64, &str)> = summary["refusals"]
        .as_array()
        .expect("refusals")
        .iter()
        .map(|refusal| (refusal["line"].as_i64().expect("a line"), refusal["code"].as_str().expect("a code")))
        .collect();
    assert_eq!(said[..3], [(2, "shape"), (3, "shape"), (4, "preference")], "{summary}");
    assert_eq!(said[3].0, 5);
    // Pairs among single answers are no better.
    place.write("mixed.jsonl", &jsonl(&[common::conversation("Oslo"), pair("Rome")]));
    let ran = place.run(&["prepare", "mixed.jsonl", "--model", "model", "-o", "m.parquet"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("Prepare such records apart"), "{}", ran.stdout);
}

#[test]
fn what_does_not_fit_loses_the_same_parts_of_its_prompt_on_both_sides() {
    let place = Place::with_model();
    let mut long = pair("Oslo");
    let turn = |text: &str| {
        [json!({"role": "user", "content": text.repeat(50)}), json!({"role": "assistant", "content": "ok"})]
    };
    let mut messages: Vec<Json> = ["a", "b"].iter().flat_map(|text| turn(text)).collect();
    messages.extend(long["messages"].as_array().expect("messages").iter().cloned());
    long["messages"] = json!(messages);
    place.write("long.jsonl", &jsonl(&[long]));
    let prepare = |limit: &str| {
        let words =
            ["prepare", "long.jsonl", "--model", "model", "-o", "p.parquet", "--json", "--max-length", limit];
        place.run(&words)
    };
    let whole = prepare("10000").json();
    let limit = whole["longest"].as_u64().expect("a length") - 1;
    let cut = prepare(&limit.to_string()).json();
    assert_eq!(cut["warnings_by_code"]["cut-turns"], json!(1), "{cut}");
    let rows = read_prepared(&place.path("p.parquet")).expect("reads").rows;
    let (chosen, rejected) = rows.pairs().next().expect("a pair");
    let prompt = chosen.labels.iter().take_while(|label| **label == IGNORE_INDEX).count();
    assert_eq!(chosen.input_ids[..prompt], rejected.input_ids[..prompt]);
    let ran = prepare("100");
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("too-long"), "{}", ran.stdout);
}

#[test]
fn preview_and_check_look_at_both_sides() {
    let place = with_pairs();
    let shown = place.run(&["preview", "pairs.jsonl", "--model", "model", "-n", "2"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.contains("chosen: ") && shown.stdout.contains("⟦Sunny.<|im_end|>"),
        "{}",
        shown.stdout
    );
    let checked = place.run(&["check", "pairs.jsonl", "--model", "model"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
}

const BASE: &str = "model: model\nfrom_scratch: true\nmethod: full\ndata: single.jsonl\noutput_dir: base\nlearning_rate: 3e-3\n\
    max_steps: 4\nbatch_size: 2\n";
const DPO: &str = "model: base/model\nobjective: dpo\ndata: pairs.jsonl\neval_data: pairs.jsonl\noutput_dir: tuned\n\
    learning_rate: 1e-2\nmax_steps: 12\nbatch_size: 4\nsave_steps: 6\n";

#[test]
fn a_model_learns_to_prefer() {
    let place = with_pairs();
    place.write("single.jsonl", &jsonl(&CITIES.map(common::conversation)));
    place.write("base.yaml", BASE);
    let ran = place.run(&["train", "base.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    place.write("dpo.yaml", DPO);
    let ran = place.run(&["train", "dpo.yaml"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("first chosen (pairs.jsonl:1)"), "{}", ran.stdout);
    assert!(ran.stderr.contains("measured the starting model on 8 pairs"), "{}", ran.stderr);
    let lines: Vec<Json> = place
        .read("tuned/metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (first, last) = (&lines[0], &lines[11]);
    assert!((first["loss"].as_f64().expect("a loss") - 2f64.ln()).abs() < 1e-4, "{first}");
    assert_eq!(last["rewards/accuracies"], json!(1.0), "{last}");
    assert_eq!(lines[12]["eval_rewards/accuracies"], json!(1.0), "{}", lines[12]);
    assert!(place.exists("tuned/adapter/adapter_model.safetensors"));

    // Prepared pairs give the same bytes, and so does a run that was killed after step 6.
    place.run(&["prepare", "pairs.jsonl", "--model", "base/model", "-o", "pairs.parquet", "--json"]).json();
    let words = ["train", "dpo.yaml", "data=pairs.parquet", "eval_data=pairs.parquet", "output_dir=second"];
    assert_eq!(place.run(&words).code, 0);
    let adapter = |run: &str| {
        std::fs::read(place.path(run).join("adapter/adapter_model.safetensors")).expect("weights")
    };
    assert_eq!(adapter("tuned"), adapter("second"));
    std::fs::remove_dir_all(place.path("second/adapter")).expect("removed");
    std::fs::remove_dir_all(place.path("second/checkpoint-12")).expect("removed");
    assert_eq!(place.run(&[&words[..], &["--resume"]].concat()).code, 0);
    assert_eq!(adapter("tuned"), adapter("second"));

    // Either kind of data where the other is trained.
    let ran = place.run(&["train", "dpo.yaml", "data=single.jsonl", "output_dir=third"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("no two answers to compare"), "{}", ran.stdout);
    let ran = place.run(&["train", "dpo.yaml", "objective=sft", "output_dir=third"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("objective: dpo or orpo"), "{}", ran.stdout);
    let ran = place.run(&[
        "train",
        "dpo.yaml",
        "objective=sft",
        "data=pairs.parquet",
        "eval_data=",
        "output_dir=third",
    ]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is a pair of a chosen and a rejected answer"), "{}", ran.stderr);
    let ran = place.run(&["train", "dpo.yaml", "objective=orpo", "output_dir=fourth", "max_steps=2"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
