//! Training that goes on from an adapter, from its folder to the next one.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use serde_json::{Value as Json, json};

const CITIES: [&str; 4] = ["Oslo", "Rome", "Bern", "Lima"];
const BASE: &str = "model: model\nfrom_scratch: true\nmethod: full\ndata: data.jsonl\noutput_dir: base\nlearning_rate: 3e-3\n\
    max_steps: 4\nbatch_size: 2\n";
const SFT: &str = "model: base/model\nlora: {r: 4, lora_alpha: 8}\ndata: data.jsonl\noutput_dir: tuned\nlearning_rate: 1e-2\n\
    max_steps: 4\nbatch_size: 4\n";
const DPO: &str = "model: base/model\nadapter: tuned\nobjective: dpo\ndata: pairs.jsonl\noutput_dir: preferring\n\
    learning_rate: 1e-2\nmax_steps: 4\nbatch_size: 4\nsave_steps: 2\n";

fn pair(city: &str) -> Json {
    let mut record = conversation(city);
    let messages = record["messages"].as_array_mut().expect("messages");
    let call = messages.drain(2..).next().expect("a call");
    record["chosen"] = json!([call]);
    record["rejected"] = json!([{"role": "assistant", "content": "Sunny."}]);
    record
}

/// A folder with a base model in `base/model` and a run with an adapter of it in `tuned`.
fn with_adapter() -> Place {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&CITIES.map(conversation)));
    place.write("pairs.jsonl", &jsonl(&CITIES.map(pair)));
    for (file, text) in [("base.yaml", BASE), ("sft.yaml", SFT), ("dpo.yaml", DPO)] {
        place.write(file, text);
    }
    for file in ["base.yaml", "sft.yaml"] {
        let ran = place.run(&["train", file]);
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    }
    place
}

#[test]
fn preferences_are_learned_from_where_fine_tuning_ended() {
    let place = with_adapter();
    let ran = place.run(&["train", "dpo.yaml"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("going on from the adapter tuned/adapter"), "{}", ran.stderr);
    let settings = |run: &str| -> Json {
        serde_json::from_str(&place.read(&format!("{run}/adapter/adapter_config.json"))).expect("JSON")
    };
    assert_eq!(settings("preferring"), settings("tuned"));
    let adapter = |run: &str| {
        std::fs::read(place.path(run).join("adapter/adapter_model.safetensors")).expect("weights")
    };
    let before = adapter("preferring");
    assert_ne!(before, adapter("tuned"));

    // As if it had been killed after step 2.
    std::fs::remove_dir_all(place.path("preferring/adapter")).expect("removed");
    std::fs::remove_dir_all(place.path("preferring/checkpoint-4")).expect("removed");
    let ran = place.run(&["train", "dpo.yaml", "--resume"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(adapter("preferring"), before, "the resumed run differs");
}

#[test]
fn what_does_not_fit_is_told_before_any_data_is_read() {
    let place = with_adapter();
    let mut wider = common::config();
    wider["hidden_size"] = json!(48);
    place.write("model/config.json", &wider.to_string());
    assert_eq!(place.run(&["train", "base.yaml", "output_dir=wide", "max_steps=1"]).code, 0);
    let refused = |words: &[&str], code: i32, parts: &[&str]| {
        let ran = place.run(&[&["train", "dpo.yaml", "data=missing.jsonl"], words].concat());
        assert!(ran.code == code && ran.stdout.is_empty(), "{words:?}: {}{}", ran.stdout, ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{words:?}: {}", ran.stderr);
        }
    };
    let key = "command line, `lora.r=16`: lora.r: found 16, but the adapter tuned/adapter has 4";
    refused(&["lora.r=16", "lora.lora_alpha=8"], 2, &["the configuration has a mistake", key]);
    refused(&["method=full"], 2, &["toolsmith merge"]);
    refused(&["method=prefix_tuning"], 2, &["is one of lora; set method: lora"]);
    refused(&["adapter=base"], 1, &["base: has no adapter_config.json"]);
    let tensor = "`base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` has shape [4, 32], expected [4, 48]";
    let adapter = "error: the adapter tuned/adapter, which was trained on ";
    let unfit = "base/model, cannot be put on the model wide/model";
    let hint = "is adapter_config.json from another model?";
    refused(&["model=wide/model"], 1, &[adapter, unfit, tensor, hint]);
    assert!(!place.exists("preferring"));
}
