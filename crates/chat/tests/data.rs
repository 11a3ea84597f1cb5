//! The source formats, each read into the same conversation, and what only one of them has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use toolsmith_chat::data::{self, Conversation, Message, Role, SourceFormat, ToolCall};

fn read(record: &Value) -> (Conversation, SourceFormat) {
    data::read_recognised(record.clone()).unwrap()
}

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}})
}

/// The same conversation in each format.
fn in_every_format() -> [(Value, SourceFormat); 3] {
    let openai = json!({
        "tools": [weather()],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Oslo?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}}]},
            {"role": "tool", "content": "rain"},
            {"role": "assistant", "content": "It rains."},
        ],
    });
    let glm4 = json!({
        "messages": [
            {"role": "system", "content": "Be brief.", "tools": [weather()]},
            {"role": "user", "content": "Oslo?"},
            {"role": "assistant", "content": "{'name': 'weather', 'arguments': {'city': 'Oslo'}}"},
            {"role": "observation", "content": "rain"},
            {"role": "assistant", "content": "It rains."},
        ],
    });
    let sharegpt = json!({
        "system": "Be brief.",
        "tools": json!([weather()["function"]]).to_string(),
        "conversations": [
            {"from": "human", "value": "Oslo?"},
            {"from": "function_call", "value": "{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}"},
            {"from": "observation", "value": "rain"},
            {"from": "gpt", "value": "It rains."},
        ],
    });
    [(openai, SourceFormat::OpenAi), (glm4, SourceFormat::Glm4), (sharegpt, SourceFormat::ShareGpt)]
}

#[test]
fn one_conversation_reads_alike_from_every_format() {
    let [(first, _), ..] = in_every_format();
    let expected = read(&first).0;
    assert_eq!(expected.messages[2].tool_calls, [ToolCall::new("weather", json!({"city": "Oslo"}))]);
    for (record, format) in in_every_format() {
        let (conversation, recognised) = read(&record);
        assert_eq!(recognised, format);
        assert_eq!(conversation, expected, "{format}");
    }
}

#[test]
fn openai_records_are_written_as_they_are_read() {
    for (record, _) in in_every_format() {
        let conversation = read(&record).0;
        let written = data::openai::to_record(&conversation);
        assert_eq!(data::read_record(written, SourceFormat::OpenAi).unwrap(), conversation);
    }
}

#[test]
fn absent_null_and_empty_tools_are_told_apart() {
    let tools = |record: Value| read(&record).0.tools.map(|tools| tools.len());
    let messages = json!([{"role": "user", "content": "Hi"}]);
    assert_eq!(tools(json!({"messages": messages})), None);
    assert_eq!(tools(json!({"messages": messages, "tools": null})), None);
    assert_eq!(tools(json!({"messages": messages, "tools": []})), Some(0));
    assert_eq!(tools(json!({"conversations": [], "tools": ""})), None);
    assert_eq!(tools(json!({"messages": [{"role": "system", "content": "", "tools": []}]})), Some(0));
}

fn glm4_answer(content: &str, tools: Value) -> Message {
    let record = json!({"messages": [
        {"role": "system", "content": "", "tools": tools},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": content},
    ]});
    data::read_record(record, SourceFormat::Glm4).unwrap().messages.pop().unwrap()
}

#[test]
fn glm4_calls_in_disguise_are_found() {
    let expected = [ToolCall::new("weather", json!({"city": "Oslo"}))];
    for content in [
        r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#,
        r#"{"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}"#,
        "{'name': 'weather', 'arguments': {'city': 'Oslo'}}",
        "weather\n{\"city\": \"Oslo\"}",
    ] {
        let message = glm4_answer(content, json!([weather()]));
        assert_eq!(message.tool_calls, expected, "{content}");
        assert_eq!(message.content, None, "{content}");
    }
}

#[test]
fn glm4_prose_is_no_call() {
    for content in [
        "The weather:\n{\"city\": \"Oslo\"}",
        "forecast\n{\"city\": \"Oslo\"}",
        "weather\n{\"city\": \"Oslo\"} as JSON",
        r#"{"name": "weather", "arguments": {}, "note": "an example"}"#,
        r#"{"name": "weather"}"#,
        "{'name': open('x'), 'arguments': {}}",
        "weather",
    ] {
        let message = glm4_answer(content, json!([weather()]));
        assert_eq!((message.text(), message.tool_calls.len()), (content, 0));
    }
}

#[test]
fn glm4_thought_and_calls_are_one_turn() {
    let record = json!({"messages": [
        {"role": "system", "content": null, "tools": [weather(), {"type": "python"}]},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "Let me see."},
        {"role": "assistant", "metadata": "weather", "content": "{}"},
        {"role": "assistant", "metadata": "python", "content": "print(1)"},
        {"role": "observation", "content": "rain"},
        {"role": "observation", "content": "1"},
        {"role": "assistant", "content": "Rain."},
    ]});
    let (conversation, format) = read(&record);
    assert_eq!(format, SourceFormat::Glm4);
    let roles: Vec<_> = conversation.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Tool, Role::Assistant]);
    let turn = &conversation.messages[1];
    assert_eq!(turn.content.as_deref(), Some("Let me see."));
    let calls = [ToolCall::new("weather", json!({})), ToolCall::new("python", json!({"code": "print(1)"}))];
    assert_eq!(turn.tool_calls, calls);
}

#[test]
fn sharegpt_holds_several_calls_and_text_beside_them() {
    let turn = |value: &str| {
        let record = json!({"conversations": [{"from": "function_call", "value": value}]});
        read(&record).0.messages.remove(0)
    };
    let calls = [ToolCall::new("a", json!({"x": 1})), ToolCall::new("b", json!({}))];
    let list = r#"[{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {}}]"#;
    assert_eq!(turn(list).tool_calls, calls);
    let beside = turn(&format!("Let me see.<tool_call>{list}</tool_call>"));
    assert_eq!((beside.tool_calls.as_slice(), beside.text()), (&calls[..], "Let me see."));
}

#[test]
fn sharegpt_tools_are_wrapped_as_a_server_shows_them() {
    let [_, _, (record, _)] = in_every_format();
    assert_eq!(read(&record).0.tools()[0].definition(), &weather());
}

#[test]
fn nulls_that_arrow_fills_in_are_dropped_from_schemas() {
    let record = json!({"messages": [], "tools": [{"type": "function", "function": {
        "name": "f", "strict": null, "parameters": {"type": "object", "properties": {
            "a": {"type": "string", "enum": ["x", null], "default": null, "items": null},
            "b": null,
        }},
    }}]});
    let expected = json!({"type": "function", "function": {
        "name": "f", "parameters": {"type": "object", "properties": {
            "a": {"type": "string", "enum": ["x", null], "default": null},
        }},
    }});
    assert_eq!(read(&record).0.tools()[0].definition(), &expected);
}

#[test]
fn loss_train_and_weight_decide_what_is_trained() {
    let trained = |extra: Value| {
        let mut message = json!({"role": "assistant", "content": "Hi"});
        message.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        read(&json!({"messages": [message]})).0.messages[0].is_trained()
    };
    assert!(trained(json!({})) && trained(json!({"loss": true})) && trained(json!({"weight": 1})));
    assert!(trained(json!({"train": null})));
    assert!(!trained(json!({"train": false})) && !trained(json!({"loss": false})));
    assert!(!trained(json!({"weight": 0})));
}
