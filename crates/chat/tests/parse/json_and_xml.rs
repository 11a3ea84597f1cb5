//! Calls as JSON in marks, as bare JSON, as functions in XML and as lines of ReAct.

use serde_json::{Value, json};
use toolsmith_chat::data::{ToolCall, ToolSpec};
use toolsmith_chat::template::{AssistantTurn, Template};

use super::{QWEN, gist, tools};

#[test]
fn qwen_text_around_calls_is_content() {
    let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let none: (Option<&str>, Vec<&str>, usize) = (None, vec!["f"], 0);
    let cases = [
        (call.to_owned(), none.clone()),
        (format!("Let me see.\n{call}"), (Some("Let me see."), vec!["f"], 0)),
        (format!("Let me see.\n\n{call}"), (Some("Let me see.\n"), vec!["f"], 0)),
        (format!("{call}\nDone."), (Some("Done."), vec!["f"], 0)),
        (format!("A\n{call}\nB\n{call}\nC"), (Some("A\nB\nC"), vec!["f", "f"], 0)),
        (format!("A{call}B"), (Some("A\nB"), vec!["f"], 0)),
        (format!("  \n\n{call} \n"), none.clone()),
        (format!("{call}<|im_end|>"), none.clone()),
        (format!("{call}<|im_end|>\n<|endoftext|>"), none.clone()),
        (call.replace("\n</tool_call>", ""), none),
        ("Hi.<|im_end|>".to_owned(), (Some("Hi."), vec![], 0)),
        ("Write <|im_end|> to end.".to_owned(), (Some("Write <|im_end|> to end."), vec![], 0)),
        ("\n".to_owned(), (Some("\n"), vec![], 0)),
        (String::new(), (None, vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&QWEN.parse(&text, None)), expected, "{text:?}");
    }
}

#[test]
fn qwen_marks_in_prose_are_prose() {
    for text in [
        "Wrap calls in <tool_call> and </tool_call>.",
        "<tool_call>\n[\"name\", \"arguments\"]\n</tool_call>",
        "<tool_call>\n\"name arguments\"\n</tool_call>",
        "a < b, <tool_",
        "</tool_call>",
    ] {
        assert_eq!(gist(&QWEN.parse(text, None)), (Some(text), vec![], 0));
    }
}

#[test]
fn qwen_malformed_calls_leave_their_neighbours() {
    let good = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    for bad in [
        "<tool_call>\n{\"name\": broken}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {}} and more\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
        "<tool_call>\n{\"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"parameters\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": [1]}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"\\ud800\"}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\", \"argu",
    ] {
        let turn = QWEN.parse(&format!("{good}\n{bad}\n{good}"), None);
        assert_eq!(gist(&turn), (None, vec!["f", "f"], 1), "{bad}");
        assert_eq!(turn.malformed[0].raw_text, bad);
        assert!(!turn.malformed[0].error.is_empty());
        let turn = QWEN.parse(&format!("{bad}<|im_end|>"), None);
        assert_eq!(gist(&turn), (None, vec![], 1), "{bad}");
    }
}

#[test]
fn qwen_arguments_may_be_json_text() {
    let text = r#"<tool_call>{"name": "f", "arguments": "{\"x\": 1}"}</tool_call>"#;
    assert_eq!(QWEN.parse(text, None).tool_calls, [ToolCall::new("f", json!({"x": 1}))]);
}

#[test]
fn react_calls_are_read_in_any_line() {
    let cases = [
        ("Action: f\nAction Input: {}", (None, vec!["f"], 0)),
        ("Thought: hm\nAction: f\nAction Input: {}", (Some("Thought: hm\n"), vec!["f"], 0)),
        ("Well:Action: f\nAction Input: {}", (Some("Well:"), vec!["f"], 0)),
        (
            "Action: f\nAction Input: {}\nAction: g-h\nAction Input: {}\nDone.",
            (Some("Done."), vec!["f", "g-h"], 0),
        ),
        ("Action: `f` Action Input: ```json\n{}\n```", (None, vec!["f"], 0)),
        ("Action: f\nAction Input: {}\nObservation: <|im_end|>", (None, vec!["f"], 0)),
        ("Action: f\nAction Input: {}\nObservation: 5", (Some("Observation: 5"), vec!["f"], 0)),
        ("Action: f\nAction Input: {'a': 1}\nAction: g\nAction Input: {}", (None, vec!["g"], 1)),
        ("Action: f\nAction Input: 5", (Some("Action: f\nAction Input: 5"), vec![], 0)),
        ("Action: two words\nAction Input: {}", (Some("Action: two words\nAction Input: {}"), vec![], 0)),
        ("Action: f\nAction Input:", (Some("Action: f\nAction Input:"), vec![], 0)),
        ("Observation:", (Some("Observation:"), vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&Template::React.parse(text, None)), expected, "{text:?}");
    }
    let text = "Action: two words\nAction Input: {}";
    assert_eq!(gist(&Template::React.parse(text, Some(&tools(&["two words"])))).1, ["two words"]);
    assert_eq!(gist(&Template::React.parse("Action: g\nAction Input: {}", Some(&tools(&["f"])))).2, 1);
}

#[test]
fn function_xml_values_take_the_types_of_the_schema() {
    let value = |text: &str, schema: Option<Value>| {
        let text = format!(
            "<tool_call>\n<function=f>\n<parameter=a>\n{text}\n</parameter>\n</function>\n</tool_call>"
        );
        let tools = schema.map(|schema| {
            [ToolSpec::function("f", "", json!({"type": "object", "properties": {"a": schema}}))]
        });
        let turn = Template::Qwen3Coder.parse(&text, tools.as_ref().map(|tools| &tools[..]));
        assert_eq!(turn.tool_calls.len(), 1, "{text}");
        turn.tool_calls[0].arguments["a"].clone()
    };
    let string = || Some(json!({"type": "string"}));
    assert_eq!(value("3", None), json!(3));
    assert_eq!(value("3", string()), json!("3"));
    assert_eq!(value("3", Some(json!({"type": "integer"}))), json!(3));
    assert_eq!(value("True", None), json!(true));
    assert_eq!(value("True", string()), json!("True"));
    assert_eq!(value("None", Some(json!({"type": ["string", "null"]}))), Value::Null);
    assert_eq!(value("three", Some(json!({"type": "integer"}))), json!("three"));
    assert_eq!(value("\"quoted\"", None), json!("\"quoted\""));
    assert_eq!(value(" [1, {}] ", None), json!([1, {}]));
    assert_eq!(value(" two\n\n", None), json!(" two\n\n"));
    assert_eq!(value("1", Some(json!({"anyOf": [{"type": "string"}, {"type": "null"}]}))), json!("1"));
    assert_eq!(value("a</parameter>b</tool_call>", None), json!("a</parameter>b</tool_call>"));
}

#[test]
fn function_xml_malformed_calls_leave_their_neighbours() {
    let good = "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>";
    for bad in [
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</function>\n</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=a>\n1",
        "<tool_call>\n<function=f>\nword\n</function>\n</tool_call>",
        "<tool_call>\n<function=>\n</function>\n</tool_call>",
        "<tool_call>\n<function=f\n</function>\n</tool_call>",
    ] {
        let turn = Template::Qwen3Coder.parse(&format!("Well.\n\n{good}\n{bad}\n{good}"), None);
        assert_eq!(gist(&turn), (Some("Well."), vec!["f", "f"], 1), "{bad}");
        assert_eq!(turn.malformed[0].raw_text, bad);
    }
    let text = "Wrap it in <tool_call> and <function=f>.";
    assert_eq!(gist(&Template::Qwen3Coder.parse(text, None)), (Some(text), vec![], 0));
    let unclosed = good.replace("\n</tool_call>", "");
    assert_eq!(
        gist(&Template::Qwen3Coder.parse(&format!("{unclosed}<|im_end|>"), None)),
        (None, vec!["f"], 0)
    );
}

#[test]
fn bare_json_without_a_list_is_the_whole_answer() {
    let (llama, mistral) = (Template::Llama31, Template::Mistral);
    let calls = [
        (llama, "{\"name\": \"f\", \"parameters\": {}}", vec!["f"]),
        (llama, " ```json\n{\"name\": \"f\", \"arguments\": {}}\n``` <|eot_id|>", vec!["f"]),
        (
            llama,
            "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
            vec!["f", "g"],
        ),
        (
            llama,
            "{\"name\": \"f\", \"parameters\": {}}\n{\"name\": \"g\", \"parameters\": {}}<|eom_id|>",
            vec!["f", "g"],
        ),
        (llama, "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}", vec!["f"]),
        (mistral, "[{\"name\": \"f\", \"arguments\": {}, \"id\": \"abcdefghi\"}]</s>", vec!["f"]),
        (
            mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}",
            vec!["f", "g"],
        ),
    ];
    for (template, text, names) in calls {
        assert_eq!(gist(&template.parse(text, None)), (None, names, 0), "{text}");
    }
    let prose = [
        "Look:\n{\"name\": \"f\", \"parameters\": {}}",
        "{\"name\": \"f\", \"parameters\": {}}\nas asked",
        "{\"name\": \"f\", \"description\": \"\", \"parameters\": {}}",
        "{\"name\": \"f\"}",
        "[]",
        "[1, 2]",
        "5",
        "null",
        "```\ncode\n```",
        "{\"name\": \"f\", \"parameters\": {}} {\"a\": 1}",
    ];
    for text in prose {
        assert_eq!(gist(&llama.parse(text, None)), (Some(text), vec![], 0));
        assert_eq!(gist(&mistral.parse(text, None)), (Some(text), vec![], 0));
    }
    let turn =
        mistral.parse("[TOOL_CALLS][{\"name\": \"f\"}, {\"name\": \"g\", \"arguments\": {}}, {\"na", None);
    assert_eq!(gist(&turn), (None, vec!["g"], 2));
    let turn = llama.parse("{\"name\": \"f\", \"parameters\": {\"x\": ", None);
    assert_eq!(gist(&turn), (None, vec![], 1));
}

#[test]
fn bare_json_that_breaks_off_is_the_same_in_portions() {
    let text = "{\"name\": \"f\n\", \"arguments\": {}}";
    for template in [Template::Llama31, Template::Mistral] {
        let mut parser = template.stream_parser(None);
        let mut turn = AssistantTurn::default();
        text.split_inclusive('\n').for_each(|portion| turn.extend(parser.push(portion)));
        turn.extend(parser.finish());
        assert_eq!(turn, template.parse(text, None), "{template}");
        assert_eq!(gist(&turn), (Some(text), vec![], 0), "{template}");
    }
}

#[test]
fn bare_json_with_a_list_may_stand_on_any_line() {
    let tools = tools(&["f"]);
    let cases = [
        ("Look:\n{\"name\": \"f\", \"parameters\": {}}", (Some("Look:"), vec!["f"], 0)),
        ("{\"name\": \"f\", \"parameters\": {}}\nas asked", (Some("as asked"), vec!["f"], 0)),
        ("Look:\n[TOOL_CALLS]", (Some("Look:\n[TOOL_CALLS]"), vec![], 0)),
        ("{\n{\"name\": \"f\", \"parameters\": {}}", (Some("{"), vec!["f"], 0)),
        ("{\"name\": \"g\", \"parameters\": {}}", (Some("{\"name\": \"g\", \"parameters\": {}}"), vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&Template::Llama31.parse(text, Some(&tools))), expected, "{text}");
        assert_eq!(gist(&Template::Mistral.parse(text, Some(&tools))), expected, "{text}");
    }
}

#[test]
fn qwen3_thoughts_are_set_apart() {
    let text =
        "<think>\nHm.\n</think>\n\nYes.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let turn = Template::Qwen3.parse(text, None);
    assert_eq!((turn.reasoning.as_deref(), gist(&turn)), (Some("Hm."), (Some("Yes."), vec!["f"], 0)));
}
