//! Compatibility modes: what each trains, shown as text. What is between ⟦ and ⟧ is trained; `a→b` is an input token `a`
//! with another label `b`. That ids and labels equal the references' is checked by the test of their goldens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use toolsmith_chat::compat::llama_factory::{Template, ToolFormat, write_calls, write_tools};
use toolsmith_chat::compat::{ArrowSchema, Compat, CompatError, Limits, Mode};
use toolsmith_chat::data::SourceFormat;
use toolsmith_chat::tokens::{ChatTokenizer, Encoded};

/// The small tokenizer of the goldens, with ChatGLM3's tokens too.
fn tokenizer() -> ChatTokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let next = added.iter().map(|token| token["id"].as_u64().unwrap()).max().unwrap() + 1;
    for (index, name) in ["<unk>", "</s>", "sop"].into_iter().enumerate() {
        let mut token = added[0].clone();
        token["id"] = json!(next + index as u64);
        token["content"] = json!(name);
        added.push(token);
    }
    ChatTokenizer::from_json(tokenizer).unwrap()
}

fn mode(compat: Compat) -> Mode {
    Mode::new(compat)
}

fn llama_factory(template: Template) -> Mode {
    let mut mode = Mode::new(Compat::LlamaFactory);
    mode.llama_factory.template = template;
    let eos = if template == Template::Qwen { "<|im_end|>" } else { "<|endoftext|>" };
    mode.llama_factory.eos = tokenizer_once().control_id(eos);
    mode
}

fn show(sample: &Encoded) -> String {
    let tokenizer = tokenizer_once();
    assert_eq!(sample.input_ids.len(), sample.labels.len());
    let mut bytes = Vec::new();
    let mut trained = false;
    let mark = |bytes: &mut Vec<u8>, mark: &str| bytes.extend_from_slice(mark.as_bytes());
    for (id, label) in sample.input_ids.iter().zip(&sample.labels) {
        if trained != (*label >= 0) {
            trained = *label >= 0;
            mark(&mut bytes, if trained { "⟦" } else { "⟧" });
        }
        bytes.extend_from_slice(tokenizer.token_bytes(*id));
        if trained && *label != id.cast_signed() {
            mark(&mut bytes, "→");
            bytes.extend_from_slice(tokenizer.token_bytes(label.cast_unsigned()));
        }
    }
    if trained {
        mark(&mut bytes, "⟧");
    }
    String::from_utf8_lossy(&bytes).replace('\n', "⏎")
}

fn shown(mode: &Mode, record: Value) -> String {
    let samples = mode.encode(record, None, tokenizer_once()).unwrap_or_else(|error| panic!("{error}"));
    samples.iter().map(show).collect::<Vec<_>>().join(" | ")
}

fn refused(mode: &Mode, record: Value) -> String {
    mode.encode(record, None, tokenizer_once()).unwrap_err().to_string()
}

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}})
}

/// A call and its result, as OpenAI's API has them.
fn with_call() -> Value {
    json!({"messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "so", "tool_calls": [
            {"id": "1", "function": {"name": "f", "arguments": {"a": "x"}}}]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "assistant", "content": "done"},
    ]})
}

#[test]
fn modes_have_names() {
    for compat in Compat::ALL {
        assert_eq!(compat.to_string().parse(), Ok(compat));
        assert!(!compat.quirks().is_empty());
    }
    let error = "glm5".parse::<Compat>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown compatibility mode \"glm5\", expected one of: glm4-official, glm4-official-combine, chatglm3-2023, llama-factory"
    );
    assert_eq!("qwen2.5".parse::<Template>(), Ok(Template::Qwen));
    for format in ToolFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
}

#[test]
fn glm4_trains_from_the_role_token_to_the_next() {
    assert_eq!(
        shown(&mode(Compat::Glm4Official), with_call()),
        "[gMASK]<sop><|user|>⏎go<|assistant|>⟦⏎so<|assistant|>f⏎{\"a\": \"x\"}<|observation|>⟧⏎r<|assistant|>⟦⏎done<|user|>⟧"
    );
}

#[test]
fn glm4_ends_with_user_after_a_call_and_loses_empty_messages() {
    let record = json!({"messages": [
        {"role": "user", "content": ""},
        {"role": "assistant", "metadata": "f", "content": "{}"},
        {"role": "observation", "content": null},
    ]});
    let expected = "[gMASK]<sop><|assistant|>⟦f⏎{}<|user|>⟧";
    assert_eq!(shown(&mode(Compat::Glm4Official), record), expected);
}

#[test]
fn glm4_combined_trains_the_last_turn_without_its_first_token() {
    assert_eq!(
        shown(&mode(Compat::Glm4OfficialCombine), with_call()),
        "[gMASK]<sop><|user|>⏎go<|assistant|>⏎so<|assistant|>f⏎{\"a\": \"x\"}<|observation|>⏎r<|assistant|>⏎⟦done<|user|>⟧"
    );
}

#[test]
fn glm4_cuts_blindly() {
    let limits = Limits { max_input_length: Some(3), max_output_length: Some(2), ..Limits::default() };
    let mode = Mode { limits, ..mode(Compat::Glm4Official) };
    let samples = mode.encode(with_call(), None, tokenizer_once()).unwrap();
    assert_eq!(samples[0].input_ids.len(), 6);
}

#[test]
fn glm4_evaluates_each_turn() {
    let tokenizer = tokenizer_once();
    let text = |ids: &[u32]| tokenizer.decode(ids).replace('\n', "⏎");
    let samples = mode(Compat::Glm4Official).encode_eval(with_call(), None, tokenizer).unwrap();
    let pairs: Vec<_> =
        samples.iter().map(|sample| (text(&sample.input_ids), text(&sample.output_ids))).collect();
    let start = "[gMASK]<sop><|user|>⏎go<|assistant|>";
    assert_eq!(
        pairs,
        [
            (start.to_owned(), "⏎so<|user|>".to_owned()),
            (format!("{start}⏎so<|assistant|>"), "f⏎{\"a\": \"x\"}<|user|>".to_owned()),
            (
                format!("{start}⏎so<|assistant|>f⏎{{\"a\": \"x\"}}<|observation|>⏎r<|assistant|>"),
                "⏎done<|user|>".to_owned()
            ),
        ]
    );
    let whole = mode(Compat::Glm4OfficialCombine).encode_eval(with_call(), None, tokenizer).unwrap();
    assert!(text(&whole[0].input_ids).ends_with("<|assistant|>⏎done[gMASK]"));
    assert_eq!(text(&whole[0].output_ids), "<|assistant|>⏎done<|user|>");
    let error = mode(Compat::LlamaFactory).encode_eval(with_call(), None, tokenizer).unwrap_err();
    assert!(matches!(error, CompatError::Setting { .. }));
}

#[test]
fn glm4_prints_the_nulls_that_arrow_fills_in() {
    let mut optional = tool();
    optional["function"]["description"] = json!("d");
    let record = json!({"messages": [
        {"role": "system", "content": "", "tools": [tool(), optional]},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "done"},
    ]});
    let mut schema = ArrowSchema::new();
    schema.add(&record).unwrap();
    let mut mode = Mode { arrow: Some(schema), ..mode(Compat::Glm4Official) };
    assert!(shown(&mode, record.clone()).contains("\"description\": null"));
    assert!(!shown(&mode, record.clone()).contains("None"));
    mode.keep_null_keys = true;
    mode.arrow.as_mut().unwrap().add(&json!({"messages": [{"metadata": "f"}]})).unwrap();
    assert!(shown(&mode, record).contains("<|user|>None⏎go"));
}

#[test]
fn chatglm3_writes_calls_as_python_and_trains_literal_observations() {
    let record = json!({"tools": ["t"], "conversations": [
        {"role": "user", "content": "go"},
        {"role": "tool", "name": "f", "parameters": {"a": "it's", "b": [true, null]}, "observation": {"r": 1}},
        {"role": "observation", "content": "o"},
        {"role": "assistant", "content": "no", "loss": false},
    ]});
    assert_eq!(
        shown(&mode(Compat::ChatGlm3Of2023), record),
        "[gMASK]sop<|system|>⏎Answer the following questions as best as you can. You have access to the following tools:⏎[⏎    \"t\"⏎]<|user|>⏎go<|assistant|>⟦f⏎```python⏎tool_call(a=\"it's\", b=[True, None])⏎```<|observation|>⟧⏎{\"r\": 1}<|observation|>⟦⏎o<|assistant|>⟧⏎no</s>"
    );
    // A call without a result is followed by the result null.
    let mut call = with_call();
    call["messages"].as_array_mut().unwrap().truncate(2);
    assert_eq!(
        shown(&mode(Compat::ChatGlm3Of2023), call),
        "[gMASK]sop<|user|>⏎go<|assistant|>⟦⏎so<|assistant|>f⏎```python⏎tool_call(a='x')⏎```<|observation|>⟧⏎null</s>"
    );
}

#[test]
fn chatglm3_pads_input_output_samples() {
    let limits = Limits { max_source_length: Some(4), max_target_length: Some(6), ..Limits::default() };
    let mode = Mode { limits, ..mode(Compat::ChatGlm3Of2023) };
    let samples = mode.encode(json!({"prompt": "gggg", "response": "d"}), None, tokenizer_once()).unwrap();
    assert_eq!(samples[0].input_ids.len(), 4 + 6 + 1);
    assert_eq!(show(&samples[0]), format!("[gMASK]sopgg⟦d</s>⟧{}", "<unk>".repeat(5)));
}

#[test]
fn llama_factory_labels_the_next_prompt_with_eos() {
    let record = json!({"conversations": [
        {"from": "human", "value": "go"},
        {"from": "function_call", "value": "so<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}</tool_call>"},
        {"from": "observation", "value": "r"},
        {"from": "gpt", "value": "done"},
    ]});
    assert_eq!(
        shown(&llama_factory(Template::Glm4), record.clone()),
        "[gMASK]<sop><|user|>⏎go<|assistant|>⟦sof⏎{\"a\": \"x\"}<|observation|>→<|endoftext|>⟧⏎r<|assistant|>⟦⏎done<|endoftext|>⟧"
    );
    let mut last_only = llama_factory(Template::Glm4);
    last_only.limits.mask_history = true;
    assert_eq!(
        shown(&last_only, record.clone()),
        "⟦[gMASK]→<|endoftext|>⟧<sop><|user|>⏎go<|assistant|>sof⏎{\"a\": \"x\"}<|observation|>⏎r<|assistant|>⟦⏎done<|endoftext|>⟧"
    );
    assert_eq!(
        shown(&llama_factory(Template::Default), record),
        "Human: go<|endoftext|>⏎Assistant:⟦soAction: f⏎Action Input: {\"a\": \"x\"}<|endoftext|>⏎⟧Human: r<|endoftext|>⏎Assistant:⟦done<|endoftext|>⏎⟧"
    );
}

#[test]
fn llama_factory_reads_openai_records_in_its_own_way() {
    let chat =
        json!({"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": "done"}]});
    assert_eq!(
        shown(&llama_factory(Template::ChatMl), chat),
        "<|im_start|>system⏎detailed thinking off<|im_end|>⏎<|im_start|>user⏎go<|im_end|>⏎<|im_start|>assistant⏎⟦done<|im_end|>⏎⟧"
    );
    let mut text = with_call();
    text["messages"][1]["tool_calls"][0]["function"]["arguments"] = json!("{\"a\": \"x\"}");
    assert!(
        shown(&llama_factory(Template::Qwen), text).contains("\"arguments\": \"{\\\"a\\\": \\\"x\\\"}\"")
    );
}

#[test]
fn names_of_control_tokens_in_text_become_them_except_with_chatglm3() {
    let tokenizer = tokenizer_once();
    let record =
        json!({"messages": [{"role": "user", "content": "<|user|>"}, {"role": "assistant", "content": "a"}]});
    let user = tokenizer.control_id("<|user|>").unwrap();
    let count = |mode: &Mode| {
        let samples = mode.encode(record.clone(), None, tokenizer).unwrap();
        samples[0].input_ids.iter().filter(|id| **id == user).count()
    };
    assert_eq!(count(&mode(Compat::Glm4Official)), 3);
    assert_eq!(count(&llama_factory(Template::Glm4)), 2);
    assert_eq!(count(&mode(Compat::ChatGlm3Of2023)), 1);
    assert_eq!(count(&llama_factory(Template::ChatGlm3)), 1);
}

#[test]
fn what_a_reference_stops_at_is_said_in_words() {
    let system = |tools: Value| json!({"messages": [{"role": "system", "content": "", "tools": tools}, {"role": "assistant", "content": "a"}]});
    let user = json!({"messages": [{"role": "user", "content": "go"}]});
    let turns = |turns: &[(&str, &str)]| {
        let turns: Vec<Value> =
            turns.iter().map(|(from, value)| json!({"from": from, "value": value})).collect();
        json!({"conversations": turns})
    };
    let train_prompts = Mode {
        limits: Limits { train_on_prompt: true, ..Limits::default() },
        ..llama_factory(Template::Glm4)
    };
    let two = "[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]";
    let messages = [
        refused(&mode(Compat::Glm4Official), system(json!(["f: does it"]))),
        refused(&mode(Compat::Glm4Official), system(json!([{"name": "f"}]))),
        refused(&mode(Compat::Glm4OfficialCombine), user.clone()),
        refused(&mode(Compat::ChatGlm3Of2023), json!({"conversations": [{"role": "tool", "name": "f"}]})),
        refused(&mode(Compat::ChatGlm3Of2023), json!({"prompt": 3, "response": ""})),
        refused(&llama_factory(Template::Qwen), user),
        refused(&llama_factory(Template::Qwen), turns(&[("gpt", "a"), ("human", "b")])),
        refused(&llama_factory(Template::Glm4), turns(&[("human", "a"), ("function_call", two)])),
        refused(&llama_factory(Template::Qwen), turns(&[("human", "a"), ("function_call", "text")])),
        refused(&llama_factory(Template::Llama3), turns(&[("human", "<|eom_id|>"), ("gpt", "b")])),
        refused(&train_prompts, turns(&[("human", "a"), ("gpt", "b")])),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn every_tool_format_writes_something() {
    let tools = json!([tool()]).to_string();
    let call = json!({"name": "f", "arguments": {"a": "x"}});
    for format in ToolFormat::ALL {
        assert!(write_tools(format, &tools, "1 Jan 2026").unwrap().contains('f'), "{format}");
        assert!(write_calls(format, "value", &call).unwrap().contains('x'), "{format}");
        assert_eq!(write_tools(format, "[]", "").unwrap(), "", "{format}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let texts = prop::sample::select(vec![
        "",
        "a",
        "system",
        "user",
        "assistant",
        "tool",
        "observation",
        "human",
        "gpt",
        "function_call",
        "{}",
        "[]",
        "{\"name\": \"f\", \"arguments\": {}}",
        "<tool_call>",
        "</tool_call>",
        "function",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "messages",
        "conversations",
        "role",
        "from",
        "value",
        "content",
        "tools",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "parameters",
        "properties",
        "type",
        "loss",
        "metadata",
        "prompt",
        "response",
        "items",
        "enum",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_record_panics_and_labels_are_as_many_as_ids(record in any_json(), format in prop::option::of(prop::sample::select(&SourceFormat::ALL[..]))) {
        let tokenizer = tokenizer_once();
        let modes = Compat::ALL.map(mode).into_iter().chain(Template::ALL.map(llama_factory));
        for mode in modes {
            if let Ok(samples) = mode.encode(record.clone(), format, tokenizer) {
                for sample in samples {
                    prop_assert_eq!(sample.input_ids.len(), sample.labels.len());
                }
            }
            let _refused_or_not = mode.encode_eval(record.clone(), format, tokenizer);
        }
    }
}

fn tokenizer_once() -> &'static ChatTokenizer {
    static TOKENIZER: std::sync::OnceLock<ChatTokenizer> = std::sync::OnceLock::new();
    TOKENIZER.get_or_init(tokenizer)
}
