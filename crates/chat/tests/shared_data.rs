//! Checks against real tokenizers, real data and the goldens of the reference implementations, which lie beside the
//! checkout and are no part of the project (see `shared/mod.rs`). They run with
//! `cargo test -p toolsmith-chat --test shared_data -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod shared;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use toolsmith_chat::check;
use toolsmith_chat::data::{self, SourceFormat};
use toolsmith_chat::json::equal_by_value;
use toolsmith_chat::template::{ModelFacts, RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

/// Seconds this thread has run, so that other work on the machine does not count (0 where the system does not tell).
fn cpu_secs() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Items a second on one core, over enough rounds that the clock's steps do not count.
fn rate<T, R>(items: &[T], all: impl Fn() -> R) -> f64 {
    const ROUNDS: usize = 20;
    let start = cpu_secs();
    for _ in 0..ROUNDS {
        all();
    }
    (items.len() * ROUNDS) as f64 / (cpu_secs() - start)
}

fn tokenizer(name: &str) -> ChatTokenizer {
    let start = cpu_secs();
    let tokenizer = shared::tokenizer(name);
    println!("{name}: loaded in {:.2} s of one core", cpu_secs() - start);
    tokenizer
}

fn goldens(reference: &str, template: Template, tokenizer_name: &str) {
    let tokenizer = tokenizer(tokenizer_name);
    let (mut same_text, mut same_ids, mut apart, mut refused) = (0, 0, 0, 0);
    let cases: Vec<_> = shared::lines("golden/hf_jinja.jsonl")
        .into_iter()
        .filter(|case| case["template"] == reference)
        .collect();
    assert!(!cases.is_empty());
    for case in &cases {
        let id = &case["id"];
        let mut sources = vec![(case["conversation"].clone(), SourceFormat::OpenAi)];
        if template == Template::Glm4 {
            sources.push((case["record"].clone(), SourceFormat::Glm4));
        }
        for (record, format) in sources {
            let options = RenderOptions {
                add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
                enable_thinking: case["compat"] != "enable_thinking=false",
                ..RenderOptions::PLAIN
            };
            let rendered = data::read_record(record.clone(), format)
                .map_err(|error| error.to_string())
                .and_then(|read| template.render(&read, &options).map_err(|error| error.to_string()));
            if !case["error"].is_null() {
                println!("{id}: the reference says {}, we say {:?}", case["error"], rendered.as_ref().err());
                // Null beside calls, which later revisions of the template write as we do.
                let mended =
                    template == Template::Qwen3 && case["error"].as_str().unwrap().contains("'content'");
                assert!(rendered.is_err() || mended, "{id}");
                refused += 1;
                continue;
            }
            let rendered = rendered.unwrap_or_else(|error| panic!("{id} {format}: {error}"));
            assert_eq!(rendered.text(), case["text"].as_str().unwrap(), "{id} {format}");
            same_text += 1;
            let encoded = tokenizer.encode(&rendered).unwrap();
            let ids: Vec<u32> = serde_json::from_value(case["input_ids"].clone()).unwrap();
            // Thoughts in the content are the template's structure, marks included.
            let thinks = matches!(template, Template::Qwen3 | Template::Glm45);
            let thinks_in_content = thinks && encoded.input_ids == ids;
            if shared::holds_control_text(&record, &tokenizer) && !thinks_in_content {
                assert_ne!(encoded.input_ids, ids, "{id}");
                assert_eq!(tokenizer.decode(&encoded.input_ids), rendered.text(), "{id}");
                apart += 1;
            } else {
                assert_eq!(encoded.input_ids, ids, "{id} {format}");
                same_ids += 1;
            }
        }
    }
    println!(
        "{reference}: {} cases; {same_text} texts equal, {same_ids} ids equal, {apart} with control text in content, {refused} refused by both",
        cases.len()
    );
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn qwen25_equals_the_reference() {
    goldens("qwen2.5", Template::Qwen25, "qwen2_5");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn glm4_equals_the_reference() {
    goldens("glm4-9b-chat", Template::Glm4, "glm4");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn glm4_0414_equals_the_reference() {
    goldens("glm4-0414", Template::Glm40414, "glm4");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn qwen3_equals_the_reference() {
    goldens("qwen3", Template::Qwen3, "qwen3");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn glm45_equals_the_reference() {
    goldens("glm4.5", Template::Glm45, "glm4.5");
}

/// The ids of goldens that hold whole conversations without limits, but for the stop token at their end.
fn goldens_of_ids(
    file: &str,
    template: Template,
    tokenizer_name: &str,
    of_interest: impl Fn(&Value) -> bool,
) {
    let tokenizer = tokenizer(tokenizer_name);
    let (mut cases, mut same) = (0, 0);
    for case in shared::lines(file).iter().filter(|case| of_interest(case)) {
        cases += 1;
        let id = &case["id"];
        let read = data::read_record(case["conversation"].clone(), SourceFormat::OpenAi).unwrap();
        let rendered = match template.render(&read, &RenderOptions::PLAIN) {
            Ok(rendered) => rendered,
            Err(error) => {
                println!("{id}: the reference says {}, we say {error}", case["error"]);
                continue;
            }
        };
        let Some(ids) = case["input_ids"].as_array() else {
            println!("{id}: the reference says {}, we write it", case["error"]);
            continue;
        };
        let ids: Vec<u32> = ids.iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect();
        let ours = tokenizer.encode(&rendered).unwrap().input_ids;
        if ours == ids[..ids.len() - 1] {
            assert_eq!(tokenizer.decode(&ours).replace(' ', ""), rendered.text().replace(' ', ""), "{id}");
            same += 1;
        } else {
            println!(
                "{id}{}: differs\n  theirs {:?}\n  ours   {:?}",
                if shared::holds_control_text(&case["conversation"], &tokenizer) {
                    " (control text)"
                } else {
                    ""
                },
                tokenizer.decode(&ids),
                rendered.text()
            );
        }
    }
    println!("{file} {template}: {cases} cases, {same} ids equal");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn chatglm3_equals_the_reference() {
    goldens_of_ids("golden/chatglm3_2023.jsonl", Template::ChatGlm3, "chatglm3", |case| {
        case["id"].as_str().unwrap().ends_with(".multi-turn")
    });
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn glm4_of_llama_factory_equals_the_reference() {
    goldens_of_ids("golden/llama_factory.jsonl", Template::Glm4D, "glm4", |case| {
        case["template"] == "glm4" && case["compat"].is_null()
    });
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn models_are_recognised_by_their_chat_templates() {
    let templates = shared::json("chat_templates.json");
    for (name, template) in [
        ("qwen2.5", Some(Template::Qwen25)),
        ("qwen3", Some(Template::Qwen3)),
        ("qwen3-coder", Some(Template::Qwen3Coder)),
        ("llama3.1", Some(Template::Llama31)),
        ("glm4-9b-chat", Some(Template::Glm4)),
        ("glm4-0414", Some(Template::Glm40414)),
        ("glm4.5", Some(Template::Glm45)),
        ("hermes-3", Some(Template::Hermes)),
        ("mistral-nemo", Some(Template::Mistral)),
    ] {
        let facts = ModelFacts::new(None, Some(&templates[name]), None, Vec::new());
        assert_eq!(Template::recognise(&facts), template, "{name}");
    }
    let config = shared::json("tokenizers/chatglm3/tokenizer_config.json");
    let facts = ModelFacts::new(None, Some(&config), None, Vec::new());
    assert_eq!(Template::recognise(&facts), Some(Template::ChatGlm3));
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn prompts_equal_those_of_other_programs() {
    let tokenizer = tokenizer("chatglm3");
    let cases = shared::json("golden/chatglm3_ids.json");
    for case in cases["cases"].as_array().unwrap() {
        let read = data::read_record(case.clone(), SourceFormat::OpenAi).unwrap();
        let rendered = Template::ChatGlm3.render(&read, &RenderOptions::PROMPT).unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(&rendered).unwrap().input_ids, ids);
    }
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn llama31_equals_the_reference() {
    goldens("llama3.1", Template::Llama31, "llama3_1");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn react_equals_llama_factory() {
    let tokenizer = tokenizer("qwen2_5");
    let (mut same, mut apart, mut refused) = (0, 0, 0);
    for case in shared::lines("golden/llama_factory.jsonl") {
        if case["template"] != "chatml" || !case["compat"].is_null() {
            continue;
        }
        let id = &case["id"];
        let read = data::read_record(case["conversation"].clone(), SourceFormat::OpenAi).unwrap();
        let rendered = Template::React.render(&read, &RenderOptions::PLAIN);
        if !case["error"].is_null() {
            println!("{id}: the reference says {}, we say {:?}", case["error"], rendered.err());
            refused += 1;
            continue;
        }
        let ids: Vec<u32> = serde_json::from_value(case["input_ids"].clone()).unwrap();
        let ours = tokenizer.encode(&rendered.unwrap()).unwrap().input_ids;
        if ours == ids {
            same += 1;
        } else {
            apart += 1;
            let control = shared::holds_control_text(&case["conversation"], &tokenizer);
            println!(
                "{id}: control text in content: {control}\n  ours   {:?}\n  theirs {:?}",
                tokenizer.decode(&ours),
                tokenizer.decode(&ids)
            );
        }
    }
    println!("react: {same} ids equal, {apart} not, {refused} refused by the reference");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn answers_parse_as_an_engineer_expects() {
    let (mut judged, mut same_as_reference) = (0, 0);
    for case in shared::lines("golden/parse.jsonl") {
        let template = match case["format"].as_str().unwrap() {
            "qwen" => Template::Qwen25,
            "glm4" => Template::Glm4,
            "glm4_moe" => Template::Glm45,
            "default" => Template::React,
            "qwen3_5" => Template::Qwen3Coder,
            "llama3" => Template::Llama31,
            "mistral" => Template::Mistral,
            _ => continue,
        };
        let turn = template.parse(case["text"].as_str().unwrap(), None);
        let expected = match &case["sane"] {
            Value::Null => &case["calls"],
            sane => &sane["calls"],
        };
        let arguments_of = |call: &Value| match &call["arguments"] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            arguments => arguments.clone(),
        };
        let same = match expected {
            Value::Null => turn.tool_calls.is_empty(),
            expected => {
                let expected = expected.as_array().unwrap();
                expected.len() == turn.tool_calls.len()
                    && expected.iter().zip(&turn.tool_calls).all(|(expected, call)| {
                        expected["name"] == call.name.as_str()
                            && equal_by_value(&arguments_of(expected), &call.arguments)
                    })
            }
        };
        if case["sane"].is_null() {
            same_as_reference += usize::from(same);
            if !same {
                println!(
                    "{} ({}): where the reference says {expected}, we say {turn:?}",
                    case["id"], case["theme"]
                );
            }
        } else {
            judged += 1;
            assert!(same, "{}: {turn:?}", case["id"]);
            if case["sane"]["content"].as_str() != turn.content.as_deref() {
                println!("{}: content {:?}, judged {}", case["id"], turn.content, case["sane"]["content"]);
            }
        }
    }
    println!("{judged} judged cases equal; {same_as_reference} more equal to the reference");
}

#[test]
#[ignore = "needs the data folder beside the checkout"]
fn real_conversations_are_read_checked_rendered_and_encoded() {
    for (name, template) in [("qwen2_5", Template::Qwen25), ("glm4", Template::Glm4)] {
        let tokenizer = tokenizer(name);
        let config = shared::json(&format!("tokenizers/{name}/tokenizer_config.json"));
        let facts = ModelFacts::new(None, Some(&config), None, Vec::new());
        assert_eq!(Template::recognise(&facts), Some(template));

        let mut texts = Vec::new();
        for file in ["glaive_toolcall_en_demo.json", "glaive_toolcall_zh_demo.json"] {
            let records = shared::json(&format!("datasets/{file}"));
            texts.extend(records.as_array().unwrap().iter().map(Value::to_string));
        }
        assert_eq!(texts.len(), 600);
        let read_all = || -> Vec<_> {
            let read = |text: &String| data::read_recognised(toolsmith_chat::json::parse(text).unwrap());
            texts.iter().map(|text| read(text).unwrap().0).collect()
        };
        let conversations: Vec<_> = read_all();
        let render = |conversation| template.render(conversation, &RenderOptions::TRAINING).unwrap();
        let render_all = || -> Vec<_> { conversations.iter().map(render).collect() };
        let rendered = render_all();
        let encode_all = || -> Vec<_> { rendered.iter().map(|one| tokenizer.encode(one).unwrap()).collect() };
        let encoded = encode_all();
        let rates = [rate(&texts, read_all), rate(&texts, render_all), rate(&texts, encode_all)];

        let mut findings: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, conversation) in conversations.iter().enumerate() {
            for finding in check::check(conversation, Some(template)) {
                *findings.entry(finding.code.as_str()).or_default() += 1;
                println!("record {index}: {finding}");
            }
        }
        let tokens: usize = encoded.iter().map(|encoded| encoded.input_ids.len()).sum();
        let trained: usize = encoded.iter().map(|encoded| encoded.trained_tokens()).sum();
        let straddling: usize = encoded.iter().map(|encoded| encoded.straddling_tokens).sum();
        println!(
            "{name}: 600 conversations, {tokens} tokens, {trained} trained, {straddling} straddling; findings {findings:?}; a second on one core: {:.0} read, {:.0} rendered, {:.0} encoded",
            rates[0], rates[1], rates[2]
        );
    }
}
