//! Records of the reference implementations' goldens, read by every format's reader and compared with the conversation
//! they were made from. They need a folder that is no part of the project (see `shared/mod.rs`), and run with
//! `cargo test -p toolsmith-chat --test shared_records -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod shared;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toolsmith_chat::data::convert::{RawFormat, convert};
use toolsmith_chat::data::{
    Conversation, Message, Record, RecordFormat, Role, SourceFormat, read_any, read_record, recognise,
};
use toolsmith_chat::json::equal_by_value;

/// What every format can say of a conversation: no ids, names or thoughts, and one way to write a turn.
fn plain(conversation: &Conversation, format: SourceFormat) -> Value {
    let mut messages: Vec<Message> = Vec::new();
    for message in &conversation.messages {
        let mut message = message.clone();
        (message.tool_call_id, message.name, message.reasoning) = (None, None, None);
        message.tool_calls.iter_mut().for_each(|call| call.id = None);
        if format != SourceFormat::ChatGlm3 || message.role == Role::Tool {
            message.train = None;
        }
        if message.text().is_empty() {
            message.content = None;
        }
        let empty = message.role == Role::System && message.content.is_none();
        match messages.last_mut() {
            _ if empty => {}
            // LLaMA-Factory's records hold one result a turn.
            Some(last)
                if format == SourceFormat::ShareGpt
                    && (last.role, message.role) == (Role::Tool, Role::Tool) =>
            {
                last.content = Some(format!("{}\n{}", last.text(), message.text()));
            }
            Some(last)
                if (last.role, message.role) == (Role::Assistant, Role::Assistant)
                    && message.content.is_none()
                    && !message.tool_calls.is_empty()
                    && (last.tool_calls.is_empty() || format == SourceFormat::Glm4)
                    && last.train == message.train =>
            {
                last.tool_calls.extend(message.tool_calls);
            }
            _ => messages.push(message),
        }
    }
    if format == SourceFormat::ChatGlm3 {
        messages = one_call_a_message(messages);
    }
    let messages: Vec<_> = messages
        .iter()
        .map(|message| {
            let calls: Vec<_> =
                message.tool_calls.iter().map(|call| json!([call.name, call.arguments])).collect();
            json!([message.role.as_str(), message.text(), calls, message.train])
        })
        .collect();
    let tools = conversation
        .tools
        .as_ref()
        .map(|tools| tools.iter().map(|tool| tool.function_object().clone()).collect::<Vec<_>>());
    json!([tools, messages])
}

/// Each call with its result behind it, as `chatglm3` writes them.
fn one_call_a_message(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    let mut messages = messages.into_iter().peekable();
    while let Some(mut message) = messages.next() {
        let calls = std::mem::take(&mut message.tool_calls);
        let train = message.train;
        let mut calls = calls.into_iter();
        message.tool_calls.extend(calls.next());
        let waits = !message.tool_calls.is_empty();
        out.push(message);
        if waits {
            out.extend(messages.next_if(|next| next.role == Role::Tool));
        }
        for call in calls {
            out.push(Message { train, ..Message::calls(vec![call]) });
            out.extend(messages.next_if(|next| next.role == Role::Tool));
        }
    }
    out
}

fn compare(cases: impl Iterator<Item = (String, Value, Value, SourceFormat)>) -> usize {
    let mut counts: BTreeMap<(String, bool), usize> = BTreeMap::new();
    let mut different = 0;
    for (id, conversation, record, format) in cases {
        let expected = plain(&read_record(conversation, SourceFormat::OpenAi).unwrap(), format);
        let read =
            read_record(record.clone(), format).unwrap_or_else(|error| panic!("{id} {format}: {error}"));
        let found = plain(&read, format);
        let recognised = recognise(&record).unwrap_or_else(|error| panic!("{id} {format}: {error}"));
        let same = equal_by_value(&found, &expected);
        // Written by hand in the style of ChatGLM3's own examples, with other parameters than the conversation's.
        let other_tools = id.contains("conv-040") && format == SourceFormat::ChatGlm3;
        if !same && other_tools {
            assert!(equal_by_value(&found[1], &expected[1]), "{id}");
            println!(
                "{id} {format}: the record defines its tool otherwise than the conversation; its messages are equal"
            );
        } else if !same {
            println!("{id} {format}:\n  read     {found}\n  expected {expected}");
            different += 1;
        }
        // A record of `glm4` or `openai` without calls looks like either.
        if recognised != RecordFormat::Conversation(format) {
            let alike = matches!(format, SourceFormat::Glm4 | SourceFormat::OpenAi);
            assert!(alike, "{id}: {format} recognised as {recognised}");
        }
        *counts.entry((format.to_string(), same)).or_default() += 1;
    }
    for ((format, same), count) in counts {
        println!("{format}: {count} {}", if same { "equal" } else { "DIFFERENT" });
    }
    different
}

#[test]
#[ignore = "needs the folder TOOLSMITH_SHARED_DATA"]
fn records_of_every_format_give_the_conversation() {
    let names = [
        ("glm4", SourceFormat::Glm4),
        ("chatglm3", SourceFormat::ChatGlm3),
        ("llama-factory", SourceFormat::ShareGpt),
    ];
    let mut cases = Vec::new();
    for case in shared::lines("golden/conversations.jsonl") {
        for (name, format) in names {
            let record = case["records"][name].clone();
            if !record.is_null() {
                cases.push((case["id"].to_string(), case["conversation"].clone(), record, format));
            }
        }
    }
    assert_eq!(compare(cases.into_iter()), 0);
}

#[test]
#[ignore = "needs the folder TOOLSMITH_SHARED_DATA"]
fn golden_records_give_the_conversation() {
    let mut pairs = 0;
    let mut cases = Vec::new();
    for (file, format) in [
        ("chatglm3_2023", SourceFormat::ChatGlm3),
        ("glm4_official", SourceFormat::Glm4),
        ("llama_factory", SourceFormat::ShareGpt),
    ] {
        for case in shared::lines(&format!("golden/{file}.jsonl")) {
            let record = case["record"].clone();
            if record.get("prompt").is_some() {
                assert!(matches!(read_any(record, None).unwrap(), Record::InputOutput(_)));
                pairs += 1;
                continue;
            }
            let format = match (format, record.get("conversations").is_some()) {
                (SourceFormat::ShareGpt, false) => SourceFormat::OpenAi,
                (format, _) => format,
            };
            cases.push((case["id"].to_string(), case["conversation"].clone(), record, format));
        }
    }
    let different = compare(cases.into_iter());
    println!("input-output: {pairs} read");
    assert_eq!(different, 0);
}

#[test]
#[ignore = "needs the folder TOOLSMITH_SHARED_DATA"]
fn toolalpaca_converts_as_the_reference_does() {
    for case in shared::lines("golden/toolalpaca_convert.jsonl") {
        let raw = case["record"].as_array().unwrap();
        let converted: Vec<_> = raw.iter().map(|raw| convert(raw.clone(), RawFormat::ToolAlpaca)).collect();
        let records: Vec<Value> = converted.iter().flat_map(|one| one.records.clone()).collect();
        assert_eq!(Value::from(records), case["examples"], "{}", case["id"]);
        let dropped: usize = converted.iter().map(|one| one.dropped.len()).sum();
        let counted = format!("err_count: {dropped}\n");
        assert!(case["stdout"].as_str().unwrap().starts_with(&counted), "{counted}{}", case["stdout"]);
    }
}
