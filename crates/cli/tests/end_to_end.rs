//! From data to a trained model that is talked to and scored, on a model of a few thousand weights.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use serde_json::{Value as Json, json};

const CITIES: [&str; 4] = ["Oslo", "Rome", "Bern", "Lima"];

/// A folder with data, and a base model trained from random weights in `base/model`.
fn with_base() -> Place {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&CITIES.map(conversation)));
    place.write(
        "full.yaml",
        "model: model\nfrom_scratch: true\nmethod: full\ndata: data.jsonl\neval_data: [data.jsonl]\noutput_dir: base\n\
         learning_rate: 3e-3\nmax_steps: 6\nbatch_size: 2\nsave_steps: 3\n",
    );
    let ran = place.run(&["train", "full.yaml"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("first sample (data.jsonl:1)"), "{}", ran.stdout);
    place
}

const LORA: &str = "model: base/model\nmethod: lora\nlora: {r: 4, lora_alpha: 8, target_modules: all-linear}\n\
    data: data.parquet\noutput_dir: tuned\nlearning_rate: 1e-2\nmax_steps: 8\nbatch_size: 2\nsave_steps: 4\n";

fn losses(place: &Place, metrics: &str) -> Vec<f64> {
    let lines = place.read(metrics);
    let lines = lines.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    lines.filter_map(|line| line["loss"].as_f64()).collect()
}

#[test]
fn the_whole_way() {
    let place = with_base();
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        assert!(place.path("base/model").join(file).exists(), "{file} is missing");
    }
    let generation: Json =
        serde_json::from_str(&place.read("base/model/generation_config.json")).expect("JSON");
    assert_eq!(generation["eos_token_id"], json!([258, 256]));

    place.run(&["prepare", "data.jsonl", "--model", "base/model", "-o", "data.parquet", "--json"]).json();
    place.write("lora.yaml", LORA);
    let ran = place.run(&["train", "lora.yaml"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    let losses = losses(&place, "tuned/metrics.jsonl");
    assert_eq!(losses.len(), 8);
    assert!(losses[7] < losses[0], "{losses:?}");
    let adapter: Json = serde_json::from_str(&place.read("tuned/adapter/adapter_config.json")).expect("JSON");
    let base = std::fs::canonicalize(place.path("base/model")).expect("exists");
    assert_eq!(adapter["base_model_name_or_path"], json!(base.display().to_string()));
    for file in ["adapter_model.safetensors", "tokenizer.json", "generation_config.json"] {
        assert!(place.path("tuned/adapter").join(file).exists(), "{file} is missing");
    }

    // The adapter names its base, so that --model can be left out.
    for model in
        [&["--model", "base/model", "--adapter", "tuned/adapter"][..], &["--adapter", "tuned/adapter"]]
    {
        let words =
            [&["eval", "data.jsonl", "--json", "--max-new-tokens", "12", "--predictions", "p.jsonl"], model]
                .concat();
        let scores = place.run(&words).json();
        assert_eq!((&scores["turns"], &scores["turns_with_calls"]), (&json!(8), &json!(4)));
        assert!(scores["exact_accuracy"].is_number() && scores["name_accuracy"].is_number());
        assert!(scores["spurious_calls"].is_number());
        assert_eq!(place.read("p.jsonl").lines().count(), 8);
    }
    let table =
        place.run(&["eval", "data.jsonl", "--model", "base/model", "--limit", "1", "--max-new-tokens", "4"]);
    assert!(table.stdout.contains("exact accuracy"), "{}{}", table.stdout, table.stderr);

    let generate = ["generate", "--model", "base/model", "--prompt", "Weather", "--max-new-tokens", "8"];
    let ran = place.run(&generate);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, place.run(&generate).stdout, "greedy generation changes");
    let chat = ["chat", "--model", "base/model", "--adapter", "tuned/adapter", "--max-new-tokens", "8"];
    let ran = place.run_with_input(&chat, "Hi\n/exit\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stdout.is_empty());
}

#[test]
fn a_run_is_not_overwritten_and_a_resumed_one_ends_in_the_same_bytes() {
    let place = with_base();
    place.run(&["prepare", "data.jsonl", "--model", "base/model", "-o", "data.parquet", "--json"]).json();
    place.write("lora.yaml", LORA);
    assert_eq!(place.run(&["train", "lora.yaml"]).code, 0);
    // Both are told before anything is read: here there is neither such a model nor such data.
    for (words, expected) in [
        (&["output_dir=tuned"][..], "error: tuned: already holds a run"),
        (&["output_dir=second", "--resume"], "error: second: holds no run to resume"),
    ] {
        let ran =
            place.run(&[&["train", "lora.yaml", "model=missing", "data=missing.jsonl"], words].concat());
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{}", ran.stdout);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }

    assert_eq!(place.run(&["train", "lora.yaml", "output_dir=second"]).code, 0);
    let adapter = |run: &str| {
        std::fs::read(place.path(run).join("adapter/adapter_model.safetensors")).expect("weights")
    };
    assert_eq!(adapter("tuned"), adapter("second"), "two runs differ");

    // As if it had been killed after step 4.
    std::fs::remove_dir_all(place.path("second/adapter")).expect("removed");
    std::fs::remove_dir_all(place.path("second/checkpoint-8")).expect("removed");
    let resumed = place.run(&["train", "lora.yaml", "output_dir=second", "--resume"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(adapter("tuned"), adapter("second"), "the resumed run differs");
}

#[test]
fn data_that_does_not_fit_the_model_is_refused() {
    let place = with_base();
    place.run(&["prepare", "data.jsonl", "--model", "base/model", "-o", "data.parquet", "--json"]).json();
    let mut other = common::tokenizer();
    other["added_tokens"][0]["content"] = json!("<|other|>");
    place.write("base/model/tokenizer.json", &other.to_string());
    place.write("lora.yaml", LORA);
    let ran = place.run(&["train", "lora.yaml"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.stderr, @r"error: data.parquet: was prepared with another tokenizer than that of base/model. Prepare it again with --model base/model");
    assert!(!place.exists("tuned"));
}

#[test]
fn bad_training_data_stops_before_the_first_step() {
    let place = with_base();
    let mut bad = conversation("Oslo");
    bad["messages"][2]["role"] = json!("user");
    place.write("data.parquet", "");
    std::fs::remove_file(place.path("data.parquet")).expect("removed");
    place.write("bad.jsonl", &jsonl(&[conversation("Rome"), bad]));
    place.write("lora.yaml", LORA);
    let ran = place.run(&["train", "lora.yaml", "data=bad.jsonl"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("drop what is bad with --skip-bad"), "{}", ran.stderr);
    assert!(!place.exists("tuned"));
    let ran = place.run(&["train", "lora.yaml", "data=bad.jsonl", "--skip-bad", "max_steps=1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn adapters_of_every_kind_are_talked_to_and_merged_where_they_can_be() {
    let place = with_base();
    place.run(&["prepare", "data.jsonl", "--model", "base/model", "-o", "data.parquet", "--json"]).json();
    place.write(
        "tune.yaml",
        "model: base/model\ndata: data.parquet\nlearning_rate: 3e-2\nmax_steps: 3\nbatch_size: 4\n",
    );
    let runs: [(&str, &[&str]); 4] = [
        ("dora", &["lora.use_dora=true", "lora.use_rslora=true", "lora.modules_to_save=[lm_head]"]),
        ("packed", &["quantization=int8", "recompute=true", "optimizer=adamw_8bit"]),
        ("prefix", &["method=prefix_tuning", "prefix_tuning.num_virtual_tokens=4"]),
        (
            "from_zero",
            &[
                "method=prefix_tuning",
                "prefix_tuning.num_virtual_tokens=4",
                "prefix_tuning.prefix_projection=true",
                "prefix_tuning.positions=from_zero",
            ],
        ),
    ];
    let say = |model: &[&str]| {
        let ran =
            place.run(&[&["generate", "--prompt", "Weather in", "--max-new-tokens", "8"], model].concat());
        assert_eq!(ran.code, 0, "{model:?}: {}", ran.stderr);
        ran.stdout
    };
    for (run, words) in runs {
        let output = format!("output_dir={run}");
        let ran = place.run(&[&["train", "tune.yaml", &output], words].concat());
        assert_eq!(ran.code, 0, "{run}: {}{}", ran.stdout, ran.stderr);
        let adapter = format!("{run}/adapter");
        let attached = say(&["--adapter", &adapter]);
        let merged = format!("{run}-merged");
        let ran = place.run(&["merge", "--adapter", &adapter, "-o", &merged]);
        if run.starts_with("prefix") || run == "from_zero" {
            assert!(ran.code == 1 && ran.stderr.contains("no weight can hold"), "{}", ran.stderr);
            assert!(!place.path(&merged).exists());
        } else {
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert_eq!(say(&["--model", &merged]), attached, "{run}: the merged model says something else");
            let again = place.run(&["merge", "--adapter", &adapter, "-o", &merged]);
            assert!(again.stderr.contains("exists already"), "{}", again.stderr);
        }
    }
    let ran = place.run(&["train", "tune.yaml", "output_dir=x", "method=full", "quantization=int8"]);
    assert!(ran.code == 2 && ran.stderr.contains("packed weights cannot be trained"), "{}", ran.stderr);
}
