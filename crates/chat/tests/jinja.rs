//! Chat templates of models, run here, print and mask what transformers prints and masks. These checks need real
//! templates, tokenizers and goldens, which lie beside the checkout and are no part of the project:
//! `cargo test -p toolsmith-chat --test jinja -- --ignored --nocapture`. `shared/mod.rs` says where the data's folder may
//! lie; `TRL_TEMPLATES` names the folder `trl/chat_templates` of an unpacked TRL 1.16.0 wheel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use toolsmith_chat::data::{self, Conversation, SourceFormat};
use toolsmith_chat::template::{
    ModelFacts, ModelTemplate, PieceKind, RenderOptions, Rendered, Template, TrainingSample, first_difference,
};
use toolsmith_chat::tokens::ChatTokenizer;

/// Template in the goldens and the tokenizer folder that goes with it.
const TEMPLATES: [(&str, &str); 6] = [
    ("qwen2.5", "qwen2_5"),
    ("qwen3", "qwen3"),
    ("llama3.1", "llama3_1"),
    ("glm4-9b-chat", "glm4"),
    ("glm4-0414", "glm4"),
    ("glm4.5", "glm4.5"),
];

fn tokenizer(folder: &str) -> (ChatTokenizer, Value) {
    (shared::tokenizer(folder), shared::json(&format!("tokenizers/{folder}/tokenizer_config.json")))
}

fn model_template(source: &str, tokenizer: &ChatTokenizer, config: &Value) -> ModelTemplate {
    let added = tokenizer.added_tokens().map(str::to_owned).collect();
    let facts = ModelFacts::new(None, Some(config), Some(source), added);
    ModelTemplate::new(&facts, None, None).unwrap()
}

fn template_source(name: &str) -> String {
    shared::json("chat_templates.json")[name]["chat_template"].as_str().unwrap().to_owned()
}

fn conversation(case: &Value) -> Conversation {
    data::read_record(case["conversation"].clone(), SourceFormat::OpenAi).unwrap()
}

fn options(case: &Value) -> RenderOptions {
    let thinking = !case["id"].as_str().unwrap().ends_with("nothink");
    let prompt = case["add_generation_prompt"].as_bool().unwrap_or(false);
    RenderOptions { add_generation_prompt: prompt, enable_thinking: thinking, ..RenderOptions::PLAIN }
}

/// Renders each of the template's cases, counts what `judge` says of the texts and returns those judged `WRONG`.
fn judge_cases(
    name: &str,
    cases: &[Value],
    render: impl Fn(&Value) -> Result<Rendered, String>,
    judge: impl Fn(&Value, &Rendered) -> &'static str,
) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| case["template"] == name) {
        let id = case["id"].as_str().unwrap();
        let outcome = match (&case["error"], render(case)) {
            (Value::Null, Ok(rendered)) => judge(case, &rendered),
            (Value::Null, Err(error)) => {
                println!("{id}: {error}");
                "WRONG refusal"
            }
            (_, Err(_)) => "refused by both",
            (_, Ok(_)) => "WRONG: refused by the reference alone",
        };
        if outcome.starts_with("WRONG") {
            wrong.push(format!("{id}: {outcome}"));
        }
        *counts.entry(outcome).or_default() += 1;
    }
    println!("{name}: {counts:?}");
    wrong
}

fn ids_of(case: &Value) -> Vec<u32> {
    serde_json::from_value(case["input_ids"].clone()).unwrap()
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn texts_and_ids_equal_those_of_transformers() {
    let cases = shared::lines("golden/hf_jinja.jsonl");
    let mut wrong = Vec::new();
    for (name, folder) in TEMPLATES {
        let (tokenizer, config) = tokenizer(folder);
        let template = model_template(&template_source(name), &tokenizer, &config);
        let render = |case: &Value| {
            template.render(&conversation(case), &options(case)).map_err(|error| error.to_string())
        };
        wrong.extend(judge_cases(name, &cases, render, |case, rendered| {
            let (id, ids) = (&case["id"], ids_of(case));
            let encoded = tokenizer.encode(rendered).unwrap();
            if rendered.text() != case["text"] {
                println!("{id}:\n{:?}\n{}", rendered.text(), case["text"]);
                "WRONG text"
            } else if shared::holds_control_text(&case["conversation"], &tokenizer) {
                println!("{id}: control text in content, ids {}", encoded.input_ids == ids);
                assert_eq!(tokenizer.decode(&encoded.input_ids), rendered.text(), "{id}");
                "same text, control text in content"
            } else if encoded.input_ids == ids {
                "same text and ids"
            } else {
                "WRONG ids"
            }
        }));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "needs the data folder beside the checkout, and TRL_TEMPLATES"]
fn labels_of_generation_blocks_equal_those_of_transformers() {
    let folder = std::env::var("TRL_TEMPLATES").unwrap_or_else(|_| {
        panic!(
            "TRL_TEMPLATES is not set: it names the folder trl/chat_templates of an unpacked TRL 1.16.0 wheel"
        )
    });
    let cases = shared::lines("golden/trl_masks.jsonl");
    let mut wrong = Vec::new();
    for (name, tokenizer_folder) in [
        ("qwen2_5_training", "qwen2_5"),
        ("qwen3_training", "qwen3"),
        ("glm4moe_training", "glm4.5"),
        ("llama3_training", "llama3_1"),
    ] {
        let (tokenizer, config) = tokenizer(tokenizer_folder);
        let source = fs::read_to_string(Path::new(&folder).join(format!("{name}.jinja"))).unwrap();
        let template = model_template(&source, &tokenizer, &config);
        let render = |case: &Value| {
            let mut conversation = conversation(case);
            // TRL knows no flags of single messages.
            conversation.messages.iter_mut().for_each(|message| message.train = None);
            template.render(&conversation, &RenderOptions::PLAIN).map_err(|error| error.to_string())
        };
        wrong.extend(judge_cases(name, &cases, render, |case, rendered| {
            let (id, ids) = (&case["id"], ids_of(case));
            let labels: Vec<i32> = serde_json::from_value(case["labels"].clone()).unwrap();
            let encoded = tokenizer.encode(rendered).unwrap();
            if let Some(difference) = first_difference(rendered.text(), case["text"].as_str().unwrap()) {
                println!("{id}: {difference}");
                "WRONG text"
            } else if shared::holds_control_text(&case["conversation"], &tokenizer) {
                "same text, control text in content"
            } else if encoded.input_ids != ids {
                "WRONG ids"
            } else if encoded.labels == labels {
                "same ids and labels"
            } else {
                let at = labels.iter().zip(&encoded.labels).position(|(a, b)| a != b).unwrap();
                println!(
                    "{id} at {at}: {:?} label {} ours {}; {} straddle",
                    tokenizer.id_to_token(ids[at]),
                    labels[at],
                    encoded.labels[at],
                    encoded.straddling_tokens
                );
                "WRONG labels"
            }
        }));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the model's own template gives is what the native family gives: text, ids and labels, and the samples.
#[test]
#[ignore = "needs the data folder beside the checkout"]
fn native_families_and_their_templates_agree() {
    for (native, name, folder) in
        [(Template::Qwen25, "qwen2.5", "qwen2_5"), (Template::Glm4, "glm4-9b-chat", "glm4")]
    {
        let (tokenizer, config) = tokenizer(folder);
        let template = model_template(&template_source(name), &tokenizer, &config);
        assert_eq!(template.stop_tokens()[0], native.stop_tokens()[0]);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for case in shared::lines("golden/conversations.jsonl") {
            let id = case["id"].as_str().unwrap();
            let conversation = conversation(&case);
            let ours = native.samples(&conversation, &RenderOptions::TRAINING);
            let theirs = template.samples(&conversation, &RenderOptions::TRAINING);
            let outcome = match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => {
                    let encode = |sample: &TrainingSample<'_>| tokenizer.encode(&sample.rendered).unwrap();
                    let ours: Vec<_> = ours.iter().map(encode).collect();
                    let theirs: Vec<_> = theirs.iter().map(encode).collect();
                    let ids = |all: &[toolsmith_chat::tokens::Encoded]| -> Vec<Vec<u32>> {
                        all.iter().map(|one| one.input_ids.clone()).collect()
                    };
                    if ours == theirs {
                        "equal".to_owned()
                    } else if ids(&ours) == ids(&theirs) {
                        println!("{name} {id}: other labels");
                        for (ours, theirs) in ours.iter().zip(&theirs) {
                            for (at, id) in ours.input_ids.iter().enumerate() {
                                if ours.labels[at] != theirs.labels[at] {
                                    println!(
                                        "  {at} {:?} native {} own {}",
                                        tokenizer.id_to_token(*id),
                                        ours.labels[at],
                                        theirs.labels[at]
                                    );
                                }
                            }
                        }
                        "other labels".to_owned()
                    } else {
                        println!("{name} {id}: other ids");
                        "other ids".to_owned()
                    }
                }
                (Err(_), Err(_)) => "refused by both".to_owned(),
                (ours, theirs) => {
                    println!(
                        "{name} {id}: native {:?}, own {:?}",
                        ours.as_ref().err(),
                        theirs.as_ref().err()
                    );
                    "refused by one".to_owned()
                }
            };
            *counts.entry(outcome).or_default() += 1;
        }
        println!("{name}: {counts:?}");
    }
}

/// What was said stays content, whatever it says: no control token comes from it.
#[test]
#[ignore = "needs the data folder beside the checkout"]
fn content_never_becomes_a_control_token() {
    for (name, folder) in TEMPLATES {
        let (tokenizer, config) = tokenizer(folder);
        let template = model_template(&template_source(name), &tokenizer, &config);
        let hostile = tokenizer.added_tokens().map(str::to_owned).collect::<Vec<_>>();
        let (mut done, mut refused) = (0, Vec::new());
        let clean = vec![
            data::Message::system("S"),
            data::Message::user("U"),
            data::Message {
                content: Some(String::new()),
                ..data::Message::calls(vec![
                    data::ToolCall::new("f", serde_json::json!({"a": "A"})).with_id("c"),
                ])
            },
            data::Message::tool_result(Some("c".to_owned()), "R"),
            data::Message::assistant("Z"),
        ];
        let tools = |text: &str| {
            vec![data::ToolSpec::function(
                "f",
                text,
                serde_json::json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            )]
        };
        let controls = |conversation: &Conversation| {
            let rendered =
                template.render(conversation, &RenderOptions::PLAIN).map_err(|error| error.to_string())?;
            assert!(rendered.pieces().iter().any(|piece| piece.kind == PieceKind::Content));
            let ids = tokenizer.encode(&rendered).unwrap().input_ids;
            Ok::<_, String>(ids.into_iter().filter(|id| tokenizer.is_control(*id)).collect::<Vec<_>>())
        };
        let expected = controls(&Conversation::with_tools(tools("D"), clean.clone())).unwrap();
        for token in &hostile {
            for wrap in ["{}", "{} x", "x {}", "{}{}", "\n{}\n"] {
                let text = wrap.replace("{}", token);
                for place in 0..6 {
                    let mut messages = clean.clone();
                    let mut description = "D".to_owned();
                    match place {
                        5 => description = text.clone(),
                        2 => messages[2].tool_calls[0].arguments = serde_json::json!({"a": text.clone()}),
                        _ => messages[place].content = Some(text.clone()),
                    }
                    match controls(&Conversation::with_tools(tools(&description), messages)) {
                        Ok(found) => assert_eq!(found, expected, "{name}: {text:?} in {place}"),
                        Err(error) => refused.push(format!("{text:?} in {place}: {error}")),
                    }
                    done += 1;
                }
            }
        }
        println!("{name}: {done} hostile conversations, {} refused", refused.len());
        refused.iter().take(8).for_each(|refused| println!("  {refused}"));
    }
}
