//! The formats that came after `openai`, `glm4` and `sharegpt`: each read into the same conversation, and what only one
//! of them has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use toolsmith_chat::data::{self, Conversation, Message, Role, SourceFormat, ToolCall};

fn read(record: &Value) -> (Conversation, SourceFormat) {
    data::read_recognised(record.clone()).unwrap()
}

fn weather() -> Value {
    json!({"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}})
}

fn bare_weather() -> Value {
    weather()["function"].clone()
}

/// The same conversation in each format.
fn in_every_format() -> [(Value, SourceFormat); 4] {
    let chatglm3 = json!({
        "tools": [weather()],
        "conversations": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Oslo?"},
            {"role": "assistant", "content": "Let me see."},
            {"role": "tool", "name": "weather", "parameters": {"city": "Oslo"}, "observation": "rain"},
            {"role": "assistant", "content": "It rains."},
        ],
    });
    let anthropic = json!({
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "weather", "description": "d", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Oslo?"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "It rains."}]},
        ],
    });
    let glaive = json!({
        "system": format!("SYSTEM: Be brief. -\n{:#}\n", bare_weather()),
        "chat": "USER: Oslo?\n\n\nASSISTANT: Let me see. <functioncall> {\"name\": \"weather\", \"arguments\": '{\"city\": \"Oslo\"}'} <|endoftext|>\n\n\nFUNCTION RESPONSE: rain\n\n\nASSISTANT: It rains. <|endoftext|>\n\n\n",
    });
    let hermes = json!({"conversations": [
        {"from": "system", "value": format!(
            "Be brief.\n\nYou are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. \
             Here are the available tools: <tools> {} </tools> Use the following schema: {{\"title\": \"FunctionCall\"}}. For each call \
             return\n<tool_call>\n{{'name': <function-name>, 'arguments': <args-dict>}}\n</tool_call>", json!([weather()]))},
        {"from": "human", "value": "Oslo?"},
        {"from": "gpt", "value": "Let me see.\n<tool_call>\n{'arguments': {'city': 'Oslo'}, 'name': 'weather'}\n</tool_call>"},
        {"from": "tool", "value": "<tool_response>\nrain\n</tool_response>"},
        {"from": "gpt", "value": "It rains."},
    ]});
    [
        (chatglm3, SourceFormat::ChatGlm3),
        (anthropic, SourceFormat::Anthropic),
        (glaive, SourceFormat::GlaiveV2),
        (hermes, SourceFormat::Hermes),
    ]
}

#[test]
fn one_conversation_reads_alike_from_every_format() {
    let call = ToolCall::new("weather", json!({"city": "Oslo"}));
    for (record, format) in in_every_format() {
        let (mut conversation, recognised) = read(&record);
        assert_eq!(recognised, format);
        assert_eq!(conversation.tools()[0].definition(), &weather(), "{format}");
        let roles: Vec<_> = conversation.messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant],
            "{format}"
        );
        let turn = &mut conversation.messages[2];
        turn.tool_calls[0].id = None;
        assert_eq!((turn.text(), &turn.tool_calls[0]), ("Let me see.", &call), "{format}");
        let texts: Vec<_> = conversation.messages.iter().map(Message::text).collect();
        let system = if format == SourceFormat::GlaiveV2 { "Be brief. -" } else { "Be brief." };
        assert_eq!(texts, [system, "Oslo?", "Let me see.", "rain", "It rains."], "{format}");
    }
}

#[test]
fn chatglm3_observations_are_any_json_and_may_be_missing() {
    let record = json!({"conversations": [
        {"role": "user", "content": "?"},
        {"role": "tool", "name": "a", "parameters": {}, "observation": {"t": 1.50, "ok": true}},
        {"role": "tool", "name": "b", "parameters": {}, "observation": null},
        {"role": "tool", "name": "c", "parameters": {}},
    ]});
    let messages = read(&record).0.messages;
    let texts: Vec<_> = messages.iter().map(|message| (message.role, message.text())).collect();
    let a = (Role::Assistant, "");
    assert_eq!(
        texts,
        [(Role::User, "?"), a, (Role::Tool, "{\"t\": 1.5, \"ok\": true}"), a, (Role::Tool, "null"), a]
    );
}

#[test]
fn chatglm3_loss_is_the_call_s() {
    let record = json!({"conversations": [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "Hm.", "loss": false},
        {"role": "tool", "name": "a", "parameters": {}, "observation": "1", "loss": false},
        {"role": "tool", "name": "a", "parameters": {}, "observation": "2", "loss": true},
        {"role": "assistant", "content": "Done."},
    ]});
    let messages = read(&record).0.messages;
    let trained: Vec<_> = messages.iter().map(Message::is_trained).collect();
    assert_eq!(trained, [false, false, false, true, false, true]);
    assert_eq!(
        (messages[1].text(), messages[1].tool_calls.len()),
        ("Hm.", 1),
        "a text and its call are one turn"
    );
}

#[test]
fn chatglm3_tools_are_any_json() {
    let with = |tools: Value| {
        let record = json!({"tools": tools, "conversations": [{"role": "user", "content": "?"}]});
        read(&record).0
    };
    for tools in [
        json!(["catFact: a fact"]),
        json!([{"name": "f"}, "g", 3]),
        json!({"f": {"x": 1}}),
        json!("f does x"),
        json!([]),
    ] {
        assert_eq!(with(tools.clone()).tools_json(), Some(tools));
    }
    assert!(with(json!("f does x")).tools()[0].is_undivided());
    assert_eq!(with(json!(null)).tools, None);
}

#[test]
fn chatglm3_records_are_written_as_they_are_read() {
    let (record, _) = &in_every_format()[0];
    let conversation = read(record).0;
    assert_eq!(&data::chatglm3::to_record(&conversation), record);
}

#[test]
fn alpaca_joins_question_and_input_and_takes_the_history() {
    let record = json!({"system": "S", "history": [["a", "b"]], "instruction": "Sum up", "input": "Text.", "output": "T."});
    let (conversation, format) = read(&record);
    assert_eq!(format, SourceFormat::Alpaca);
    let expected = [
        Message::system("S"),
        Message::user("a"),
        Message::assistant("b"),
        Message::user("Sum up\nText."),
        Message::assistant("T."),
    ];
    assert_eq!(conversation.messages, expected);
    let short = read(&json!({"instruction": "Hi", "input": "", "output": "Ho"})).0;
    assert_eq!(short.messages, [Message::user("Hi"), Message::assistant("Ho")]);
}

#[test]
fn anthropic_results_and_thoughts_find_their_places() {
    let record = json!({"messages": [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Two calls.", "signature": "x"},
            {"type": "tool_use", "id": "1", "name": "a", "input": {}},
            {"type": "tool_use", "id": "2", "name": "b", "input": {"x": 1}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "one"}]},
            {"type": "tool_result", "tool_use_id": "2"},
            {"type": "text", "text": "And now?"}]},
        {"role": "assistant", "content": "Done."},
    ]});
    let (conversation, format) = read(&record);
    assert_eq!(format, SourceFormat::Anthropic);
    let messages = conversation.messages;
    assert_eq!(
        (messages[1].reasoning.as_deref(), messages[1].content.as_deref()),
        (Some("Two calls."), None)
    );
    assert_eq!(messages[1].tool_calls.len(), 2);
    let results = [
        Message::tool_result(Some("1".into()), "one"),
        Message::tool_result(Some("2".into()), ""),
        Message::user("And now?"),
    ];
    assert_eq!(messages[2..5], results);
}

#[test]
fn openai_shape_with_a_system_text_beside_it_keeps_it() {
    let record = json!({"system": "S", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let (conversation, format) = read(&record);
    assert_eq!((format, conversation.messages[0].text()), (SourceFormat::OpenAi, "S"));
}

fn glaive(system: &str, chat: &str) -> Conversation {
    data::read_record(json!({"system": system, "chat": chat}), SourceFormat::GlaiveV2).unwrap()
}

#[test]
fn glaive_calls_are_read_however_they_are_quoted() {
    for (call, expected) in [
        (r#"{"name": "f", "arguments": '{"a": "it's"}'}"#, json!({"a": "it's"})),
        (r#"{"name": "f", "arguments": '{"a": "it\'s"}'}"#, json!({"a": "it's"})),
        (r#"{"name": "f", "arguments": "{\"a\": 1}"}"#, json!({"a": 1})),
        (r#"{"name": "f", "arguments": {"a": [1]}}"#, json!({"a": [1]})),
        (r#"{"name": "f", "arguments": '{}'}"#, json!({})),
        (r#"{'name': 'f', 'arguments': {'a': True}}"#, json!({"a": true})),
        (r#"{"name": "f"}"#, json!({})),
    ] {
        let chat = format!("USER: x\n\n\nASSISTANT: <functioncall> {call} <|endoftext|>");
        let messages = glaive("SYSTEM: s", &chat).messages;
        assert_eq!(messages[2].tool_calls, [ToolCall::new("f", expected)], "{call}");
        assert_eq!(messages[2].content, None);
    }
}

#[test]
fn glaive_announcements_go_and_other_system_texts_stay() {
    let first = |system: &str| glaive(system, "USER: x\n\n\nASSISTANT: y").messages[0].clone();
    let functions = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n{\"name\": \"f\"}\n\n{\"name\": \"g\"}";
    assert_eq!(first(functions), Message::user("x"));
    assert_eq!(glaive(functions, "USER: x").tools().len(), 2);
    assert_eq!(
        first("SYSTEM: You are a helpful assistant, with no access to external functions.\n").role,
        Role::System
    );
    let lines = glaive("", "USER: one\ntwo\n\nASSISTANT: a\nASSISTANTS: not a mark\n").messages;
    assert_eq!(lines[0].text(), "one\ntwo");
    assert_eq!(lines[1].text(), "a\nASSISTANTS: not a mark");
}

fn hermes(from: &str, value: &str) -> Vec<Message> {
    let record = json!({"conversations": [{"from": from, "value": value}]});
    data::read_record(record, SourceFormat::Hermes).unwrap().messages
}

#[test]
fn hermes_thoughts_calls_and_results_are_taken_out_of_the_text() {
    let answer = &hermes(
        "gpt",
        "<think>\nHm.\n</think>\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\": \"b\", \"arguments\": \"{\\\"x\\\": 1}\"}</tool_call>",
    )[0];
    assert_eq!((answer.reasoning.as_deref(), answer.content.as_deref()), (Some("Hm."), None));
    assert_eq!(answer.tool_calls, [ToolCall::new("a", json!({})), ToolCall::new("b", json!({"x": 1}))]);
    let pad = &hermes("gpt", "<scratch_pad>Goal: g</scratch_pad>\nHello.")[0];
    assert_eq!((pad.reasoning.as_deref(), pad.text()), (Some("Goal: g"), "Hello."));
    let results = hermes(
        "tool",
        "<tool_response>\n{\"name\": \"a\", \"content\": {\"t\": 1}}\n</tool_response>\n<tool_response>\n2\n</tool_response>",
    );
    let told: Vec<_> = results.iter().map(|result| (result.name.as_deref(), result.text())).collect();
    assert_eq!(told, [(Some("a"), "{\"name\": \"a\", \"content\": {\"t\": 1}}"), (None, "2")]);
    assert_eq!(hermes("tool", "plain")[0].text(), "plain");
    assert_eq!(hermes("gpt", "No <tools> here, x < y.")[0].text(), "No <tools> here, x < y.");
}

#[test]
fn hermes_tools_come_as_a_list_line_by_line_or_as_python() {
    for tools in [
        "[{\"name\": \"f\"}, {\"name\": \"g\"}]",
        "{\"name\": \"f\"}\n{\"name\": \"g\"}",
        "[{'name': 'f', 'x': None}, {'name': 'g'}]",
        "{'name': 'f'}\n{'name': 'g'}",
    ] {
        let record = json!({"conversations": [
            {"from": "system", "value": format!("# Tools\n\nYou may call\n<tools>\n{tools}\n</tools>")},
            {"from": "human", "value": "x"}]});
        let (conversation, format) = read(&record);
        assert_eq!(format, SourceFormat::Hermes, "{tools}");
        let names: Vec<_> = conversation.tools().iter().filter_map(|tool| tool.name()).collect();
        assert_eq!((names, conversation.messages.len()), (vec!["f", "g"], 1), "{tools}");
    }
}

#[test]
fn glm4_records_may_hold_openai_calls_and_thoughts() {
    let record = json!({"messages": [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
            {"function": {"name": "f", "arguments": "{}"}}]},
        {"role": "observation", "content": "1"},
    ]});
    let (conversation, format) = read(&record);
    assert_eq!(format, SourceFormat::Glm4);
    assert_eq!(conversation.messages[1].tool_calls, [ToolCall::new("f", json!({}))]);
    assert_eq!(conversation.messages[1].reasoning.as_deref(), Some("Hm."));
}

#[test]
fn parts_with_values_are_text_thoughts_and_calls() {
    let part = |kind: &str, value: Value| json!({"type": kind, "value": value});
    let call = "{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}";
    let record = |answer: Value| {
        json!({"tools": json!([weather()]).to_string(), "messages": [
            {"role": "user", "content": [part("text", json!("Os")), part("text", json!("lo?"))]},
            answer,
        ]})
    };
    let parts =
        [part("reasoning", json!("Hm.")), part("tool_call", json!(call)), part("tool_call", json!(call))];
    let (conversation, format) = read(&record(json!({"role": "assistant", "content": parts})));
    assert_eq!(format, SourceFormat::OpenAi);
    let [question, answer] = &conversation.messages[..] else { panic!("{:?}", conversation.messages) };
    assert_eq!(question.content.as_deref(), Some("Oslo?"));
    let calls = [(); 2].map(|()| ToolCall::new("weather", json!({"city": "Oslo"})));
    let expected = Message {
        reasoning: Some("Hm.".to_owned()),
        tool_calls: calls.to_vec(),
        content: None,
        ..answer.clone()
    };
    assert_eq!(*answer, expected);

    let refusal = |answer: Value| data::read_recognised(record(answer)).unwrap_err().to_string();
    let broken = json!({"role": "assistant", "content": [part("tool_call", json!("{\"name\": "))]});
    assert!(refusal(broken).starts_with("messages[1].content[0].value: "));
    let picture = json!({"role": "assistant", "content": [part("image_url", json!("a.png"))]});
    assert!(refusal(picture).contains("content part of type \"image_url\""));
    let twice = json!({"role": "assistant", "content": parts, "reasoning_content": "Hm."});
    assert!(refusal(twice).starts_with("messages[1].reasoning_content: "));
}
