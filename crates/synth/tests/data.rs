//! What the generated data promises: disjoint splits, valid arguments, values that the request
//! holds, the older convention in the base corpus, and the same bytes for the same seed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop at what must not happen")]

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use toolsmith_synth::{DemoDataset, DemoSizes, base_corpus, demo_dataset};

const SEEDS: [u64; 4] = [0, 1, 42, 987_654_321];

fn dataset(seed: u64) -> DemoDataset {
    demo_dataset(seed, DemoSizes { train: 600, eval: 300 })
}

fn functions(record: &Json) -> impl Iterator<Item = &Json> {
    record["tools"].as_array().into_iter().flatten().map(|tool| &tool["function"])
}

/// Tool names, parameter names (nested ones too) and descriptions of some records.
fn vocabulary<'a>(records: impl IntoIterator<Item = &'a Json>) -> [BTreeSet<String>; 3] {
    let mut sets: [BTreeSet<String>; 3] = Default::default();
    for record in records {
        for function in functions(record) {
            sets[0].insert(text(&function["name"]));
            sets[2].insert(text(&function["description"]));
            add_properties(&function["parameters"], &mut sets);
        }
    }
    sets
}

fn add_properties(schema: &Json, sets: &mut [BTreeSet<String>; 3]) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        sets[1].insert(name.clone());
        if let Some(description) = property["description"].as_str() {
            sets[2].insert(description.to_string());
        }
        add_properties(property, sets);
    }
}

fn text(value: &Json) -> String {
    value.as_str().expect("a string").to_string()
}

/// A call: name and arguments.
type Call = (String, Map<String, Json>);

/// Every call turn: the request it answers and its calls.
fn call_turns(record: &Json) -> Vec<(String, Vec<Call>)> {
    let mut request = String::new();
    let mut turns = Vec::new();
    for message in record["messages"].as_array().expect("messages") {
        if message["role"] == "user" {
            request = text(&message["content"]);
        }
        if let Some(calls) = message["tool_calls"].as_array() {
            let calls = calls
                .iter()
                .map(|call| {
                    let arguments = text(&call["function"]["arguments"]);
                    let arguments = serde_json::from_str(&arguments).expect("arguments are JSON");
                    (text(&call["function"]["name"]), arguments)
                })
                .collect();
            turns.push((request.clone(), calls));
        }
    }
    turns
}

fn fits(schema: &Json, value: &Json) -> bool {
    let listed = schema["enum"].as_array().is_none_or(|options| options.contains(value));
    listed
        && match schema["type"].as_str().expect("a type") {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => {
                value.as_array().is_some_and(|items| items.iter().all(|item| fits(&schema["items"], item)))
            }
            "object" => value.as_object().is_some_and(|fields| {
                fields.iter().all(|(name, field)| fits(&schema["properties"][name], field))
            }),
            other => panic!("a type {other}"),
        }
}

/// Whether the request says this value, whatever the words around it.
fn said(request: &str, name: &str, value: &Json) -> bool {
    request.contains(&name.replace('_', " "))
        && match value {
            Json::Array(items) => items.iter().all(|item| said(request, "", item)),
            Json::Object(fields) => fields.iter().all(|(name, field)| said(request, name, field)),
            Json::Bool(true) => request.contains("on") || request.contains("enabled"),
            Json::Bool(false) => request.contains("off") || request.contains("disabled"),
            Json::String(text) => request.contains(text),
            number => request.contains(&number.to_string()),
        }
}

#[test]
fn the_splits_share_no_tool_parameter_or_description() {
    for seed in SEEDS {
        let data = dataset(seed);
        let (train, eval) = (vocabulary(&data.train), vocabulary(&data.eval));
        for (train, eval) in train.iter().zip(&eval) {
            assert!(train.len() > 60 && eval.len() > 30, "too few: {} and {}", train.len(), eval.len());
            assert_eq!(train.intersection(eval).collect::<Vec<_>>(), Vec::<&String>::new());
        }
    }
}

#[test]
fn the_base_corpus_never_names_what_the_demo_uses() {
    let data = SEEDS.map(dataset);
    let records = data.iter().flat_map(|data| data.train.iter().chain(&data.eval));
    let mut demo = vocabulary(records);
    let corpus: Vec<Json> = base_corpus(5, 3000).collect();
    let mut base = vocabulary(corpus.iter().filter(|record| record["tools"].is_array()));
    for record in &corpus {
        for line in record["text"].as_str().unwrap_or_default().lines() {
            if line.starts_with("{\"type\"") {
                let tool: Json = serde_json::from_str(line).expect("a tool definition");
                let [names, params, descriptions] = vocabulary([&serde_json::json!({"tools": [tool]})]);
                base[0].extend(names);
                base[1].extend(params);
                base[2].extend(descriptions);
            }
        }
    }
    for (demo, base) in demo.iter_mut().zip(&base) {
        demo.retain(|name| base.contains(name));
        assert!(demo.is_empty(), "in both: {demo:?}");
    }
}

#[test]
fn arguments_fit_their_schema_and_were_said() {
    for seed in SEEDS {
        let data = dataset(seed);
        for record in data.train.iter().chain(&data.eval) {
            for (request, calls) in call_turns(record) {
                for (name, arguments) in calls {
                    let function =
                        functions(record).find(|f| f["name"] == name.as_str()).expect("an offered tool");
                    let parameters = &function["parameters"];
                    for required in parameters["required"].as_array().expect("required") {
                        assert!(arguments.contains_key(required.as_str().expect("a name")), "{request}");
                    }
                    for (name, value) in &arguments {
                        assert!(fits(&parameters["properties"][name], value), "{name}: {value}");
                        assert!(said(&request, name, value), "{name}: {value} in {request}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_json_type_and_every_kind_of_turn_occurs() {
    for records in SEEDS.map(dataset).iter().flat_map(|data| [&data.train, &data.eval]) {
        let turns: Vec<_> = records.iter().flat_map(call_turns).collect();
        let values: Vec<&Json> =
            turns.iter().flat_map(|(_, calls)| calls).flat_map(|(_, a)| a.values()).collect();
        let some = |what: &str, test: &dyn Fn(&Json) -> bool| {
            assert!(values.iter().any(|value| test(value)), "no {what}");
        };
        some("string", &|value| value.is_string());
        some("true", &|value| value == &Json::Bool(true));
        some("false", &|value| value == &Json::Bool(false));
        some("negative integer", &|value| value.as_i64().is_some_and(|number| number < 0));
        some("decimal", &|value| value.is_number() && value.to_string().contains('.'));
        some("array", &|value| value.is_array());
        some("object", &|value| value.is_object());
        for count in 1..=3 {
            assert!(turns.iter().any(|(_, calls)| calls.len() == count), "no turn of {count} calls");
        }
        assert!(turns.iter().any(|(_, calls)| calls[0].1.is_empty()), "no call without arguments");
        assert!(records.iter().any(|record| call_turns(record).is_empty()), "no conversation without calls");
        for offered in 1..=4 {
            assert!(records.iter().any(|record| functions(record).count() == offered));
        }
        let results =
            |record: &Json| text(&Json::String(record["messages"].to_string())).contains("\"tool\"");
        assert!(records.iter().any(results), "no tool result");
    }
}

/// A base that follows the older convention is right where one call, all strings, was wanted.
#[test]
fn few_turns_suit_the_older_convention() {
    for seed in SEEDS {
        let eval = dataset(seed).eval;
        let turns: Vec<_> = eval.iter().flat_map(call_turns).collect();
        let suits = |calls: &[Call]| calls.len() == 1 && calls[0].1.values().all(Json::is_string);
        let right = turns.iter().filter(|(_, calls)| suits(calls)).count();
        let percent = right * 100 / turns.len();
        assert!((3..=20).contains(&percent), "{percent}% of call turns suit the older convention");
    }
}

#[test]
fn the_base_corpus_keeps_to_the_older_convention() {
    let mut turns = 0;
    for record in base_corpus(3, 2000).filter(|record| record["messages"].is_array()) {
        for (_, calls) in call_turns(&record) {
            turns += 1;
            assert_eq!(calls.len(), 1);
            assert!(calls[0].1.values().all(Json::is_string));
        }
    }
    assert!(turns > 200);
}

/// FNV-1a over the records' text.
fn hash(records: impl IntoIterator<Item = Json>) -> u64 {
    records
        .into_iter()
        .flat_map(|record| record.to_string().into_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let data = dataset(42);
    assert_eq!(data, dataset(42));
    assert_ne!(data.eval, dataset(43).eval);
    // Change these on purpose only: the committed base model was trained on the corpus.
    assert_eq!(hash(data.train), 17283469138324190282, "the demo's training split changed");
    assert_eq!(hash(base_corpus(1, 500)), 16149443785734386252, "the base corpus changed");
}
