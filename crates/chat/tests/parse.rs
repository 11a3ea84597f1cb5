//! Reading back what models write: what is a call, what is prose, what is malformed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use toolsmith_chat::data::{ToolCall, ToolSpec};
use toolsmith_chat::template::{AssistantTurn, Template};

const QWEN: Template = Template::Qwen25;
const GLM: Template = Template::Glm4;
const GLM45: Template = Template::Glm45;
const CHATGLM3: Template = Template::ChatGlm3;

fn tools(names: &[&str]) -> Vec<ToolSpec> {
    names.iter().map(|name| ToolSpec::function(*name, "", Value::Null)).collect()
}

/// Content, names called, number of malformed calls.
fn gist(turn: &AssistantTurn) -> (Option<&str>, Vec<&str>, usize) {
    let names = turn.tool_calls.iter().map(|call| call.name.as_str()).collect();
    (turn.content.as_deref(), names, turn.malformed.len())
}

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
fn a_call_must_name_an_offered_tool() {
    let text = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    assert_eq!(gist(&QWEN.parse(text, Some(&tools(&["f"])))), (None, vec!["f"], 0));
    let turn = QWEN.parse(text, Some(&tools(&["g", "h"])));
    assert_eq!(gist(&turn), (None, vec![], 1));
    assert_eq!(turn.malformed[0].error, "the tool \"f\" is not offered; offered are: g, h");
    assert_eq!(gist(&QWEN.parse(text, Some(&[]))), (None, vec![], 1));
    assert_eq!(gist(&GLM.parse("f\n{}", Some(&tools(&["g"])))), (Some("f\n{}"), vec![], 0));
}

#[test]
fn glm_without_a_list_takes_only_whole_segments() {
    let calls = [
        "weather\n{\"city\": \"Oslo\"}",
        " weather \n{}",
        "weather\r\n{}\r\n",
        "weather\n{\n  \"city\": \"Oslo\"\n}",
        "weather\n{}<|observation|>",
        "api.v2/get-weather\n{}",
        "查询_天气\n{}",
    ];
    for text in calls {
        let turn = GLM.parse(text, None);
        assert!(turn.tool_calls.len() == 1 && turn.content.is_none(), "{text:?}: {turn:?}");
    }
    let prose = [
        "Here is the JSON:\n{\"a\": 1}",
        "Answer:\n{}",
        "Done.\n{}",
        "好的，\n{}",
        "hello\n5",
        "ok\ntrue",
        "list\n[1, 2]",
        "weather\n{\"city\": \"Oslo\"}\nas asked",
        "weather\n{\"city\": \"Oslo\"",
        "weather\n{'city': 'Oslo'}",
        "```json\n{\"a\": 1}\n```",
        "weather",
        "weather\n",
        "{\n{}}",
    ];
    for text in prose {
        assert_eq!(gist(&GLM.parse(text, None)), (Some(text), vec![], 0));
    }
}

#[test]
fn glm_with_a_list_keeps_what_is_well_formed() {
    let tools = tools(&["weather", "two words"]);
    let cases = [
        ("weather\n{}\nas asked", (Some("as asked"), vec!["weather"], 0)),
        ("weather\n{\"city\": \"Oslo\"", (None, vec![], 1)),
        ("weather\n{'city': 'Oslo'}", (None, vec![], 1)),
        ("weather\nis fine", (Some("weather\nis fine"), vec![], 0)),
        ("two words\n{}", (None, vec!["two words"], 0)),
        ("weather\n{\"a\": }<|assistant|>weather\n{}<|user|>", (None, vec!["weather"], 1)),
        ("\nA thought<|assistant|>weather\n{}<|observation|>", (Some("A thought"), vec!["weather"], 0)),
        ("\nweather\n{}", (Some("weather\n{}"), vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&GLM.parse(text, Some(&tools))), expected, "{text:?}");
    }
}

#[test]
fn glm_segments_are_told_by_what_follows_the_mark() {
    let cases = [
        ("a\n{}<|assistant|>b\n{}<|assistant|>c\n{}", (None, vec!["a", "b", "c"], 0)),
        ("\nfirst<|assistant|>\nsecond<|user|>", (Some("first\nsecond"), vec![], 0)),
        ("\nthe token <|assistant|> is text", (Some("the token <|assistant|> is text"), vec![], 0)),
        ("a\n{\"x\": \"<|assistant|>b\\n{}\"}", (None, vec!["a"], 0)),
        ("\n<|user|> in a text", (Some("<|user|> in a text"), vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&GLM.parse(text, None)), expected, "{text:?}");
    }
}

#[test]
fn a_header_that_comes_in_portions_is_one_where_no_tool_is_offered() {
    for (template, portions) in [
        (GLM, ["A<|assistant|>", "\nB"]),
        (CHATGLM3, ["A<|assistant|>", "\nB"]),
        (GLM, ["A<|assistant|> ", "\nB"]),
    ] {
        let mut parser = template.stream_parser(Some(&[]));
        let mut turn = AssistantTurn::default();
        portions.into_iter().for_each(|portion| turn.extend(parser.push(portion)));
        turn.extend(parser.finish());
        assert_eq!(turn, template.parse(&portions.concat(), Some(&[])), "{template} {portions:?}");
        assert!(!turn.content.unwrap().contains("<|assistant|>"));
    }
}

#[test]
fn glm_built_in_tools_take_raw_text() {
    let code = "print('<|user|>', {1: 2})\n\n# <|assistant|> is text here\n";
    let text = format!("python\n{code}");
    let expected = [ToolCall::new("python", json!({"code": code}))];
    assert_eq!(GLM.parse(&text, None).tool_calls, expected);
    let built_in = [ToolSpec::new(json!({"type": "python"}))];
    assert_eq!(GLM.parse(&text, Some(&built_in)).tool_calls, expected);
    // A function of that name takes JSON.
    assert_eq!(gist(&GLM.parse(&text, Some(&tools(&["python"])))).1, Vec::<&str>::new());
    let turn = GLM.parse("cogview\na red barn<|assistant|>f\n{}<|observation|>", None);
    let calls = [ToolCall::new("cogview", json!({"prompt": "a red barn"})), ToolCall::new("f", json!({}))];
    assert_eq!(turn.tool_calls, calls);
}

#[test]
fn glm45_calls_are_read_with_newlines_and_without() {
    let call = "<tool_call>f\n<arg_key>a b</arg_key>\n<arg_value>x</arg_value>\n<arg_key>n</arg_key>\n<arg_value>[1, {}]</arg_value>\n</tool_call>";
    let expected = [ToolCall::new("f", json!({"a b": "x", "n": [1, {}]}))];
    for text in [
        call.to_owned(),
        call.replace('\n', ""),
        call.replace('\n', "\r\n"),
        format!("\n<think></think>\n{call}"),
    ] {
        let turn = GLM45.parse(&text, None);
        assert_eq!(turn.tool_calls, expected, "{text:?}: {turn:?}");
        assert!(turn.content.is_none() && turn.malformed.is_empty() && turn.reasoning.is_none());
    }
    let json_body = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let cases = [
        (format!("\nLet me see.\n{call}<|observation|>"), (Some("Let me see."), vec!["f"], 0)),
        (format!("{call}\n{call}\nDone."), (Some("Done."), vec!["f", "f"], 0)),
        ("<tool_call>f</tool_call>".to_owned(), (None, vec!["f"], 0)),
        (json_body.to_owned(), (None, vec!["f"], 0)),
        ("\nHello<|user|>".to_owned(), (Some("Hello"), vec![], 0)),
        ("\n".to_owned(), (Some("\n"), vec![], 0)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&GLM45.parse(&text, None)), expected, "{text:?}");
    }
    let turn = GLM45.parse(&format!("\n<think>\nHm.\n</think>\n{call}"), None);
    assert_eq!((turn.reasoning.as_deref(), turn.tool_calls.len()), (Some("Hm."), 1));
}

#[test]
fn glm45_marks_in_prose_are_prose() {
    for text in [
        "Wrap calls in <tool_call> and </tool_call>.",
        "<tool_call>s come before results",
        "Write <arg_key>a</arg_key>.",
        "<tool_call>",
        "<tool_call>\n\n\n\n\nf</tool_call>",
        "a <tool_",
    ] {
        assert_eq!(gist(&GLM45.parse(text, None)), (Some(text), vec![], 0));
    }
}

#[test]
fn glm45_values_may_hold_marks_but_their_own_end() {
    let value = "</arg_value> <tool_call>g\n</tool_call> </arg_key> <|user|>";
    let text = format!("<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>");
    assert_eq!(GLM45.parse(&text, None).tool_calls, [ToolCall::new("f", json!({"a": value}))]);
}

#[test]
fn glm45_malformed_calls_leave_their_neighbours() {
    let good = "<tool_call>f\n</tool_call>";
    for bad in [
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1\n</tool_call>",
        "<tool_call>f\n<arg_key>a</arg_key>\n</tool_call>",
        "<tool_call>f\n<arg_key>a\n</tool_call>",
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>",
        "<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
        "<tool_call>\n{\"name\": f}\n</tool_call>",
    ] {
        let turn = GLM45.parse(&format!("{good}\n{bad}\n{good}"), None);
        assert_eq!(gist(&turn), (None, vec!["f", "f"], 1), "{bad}");
        assert_eq!(turn.malformed[0].raw_text, bad);
        let turn = GLM45.parse(&format!("{bad}<|observation|>"), None);
        assert_eq!(gist(&turn), (None, vec![], 1), "{bad}");
    }
    for cut in ["<tool_call>get_we", "<tool_call>f\n", "<tool_call>f\n<arg_key>a</arg_ke"] {
        let turn = GLM45.parse(&format!("{good}\n{cut}"), None);
        assert_eq!(gist(&turn), (None, vec!["f"], 1), "{cut}");
    }
    let turn = GLM45.parse(good, Some(&tools(&["g"])));
    assert_eq!(turn.malformed[0].error, "the tool \"f\" is not offered; offered are: g");
}

#[test]
fn glm45_values_are_what_the_schema_says() {
    let schema = |schema: Value| vec![ToolSpec::function("f", "", json!({"properties": {"a": schema}}))];
    let text = |value: &str| {
        format!("<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>{value}</arg_value>\n</tool_call>")
    };
    let any = json!({});
    let string = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let either = json!({"type": ["string", "null"]});
    let choice = json!({"anyOf": [{"type": "boolean"}, {"enum": ["auto"]}]});
    for (schema_of_a, value, expected) in [
        (&any, "12", json!(12)),
        (&any, "12:30", json!("12:30")),
        (&any, "007", json!("007")),
        (&any, "\"12\"", json!("\"12\"")),
        (&any, " 12", json!(" 12")),
        (&any, "", json!("")),
        (&string, "12", json!("12")),
        (&string, "{\"b\": 1}", json!("{\"b\": 1}")),
        (&number, "12", json!(12)),
        (&number, "\n12\n", json!(12)),
        (&number, "twelve", json!("twelve")),
        (&either, "null", json!(null)),
        (&either, "12", json!("12")),
        (&choice, "true", json!(true)),
        (&choice, "auto", json!("auto")),
        (&choice, "1", json!("1")),
    ] {
        let turn = GLM45.parse(&text(value), Some(&schema(schema_of_a.clone())));
        assert_eq!(turn.tool_calls[0].arguments, json!({"a": expected}), "{schema_of_a} {value}");
    }
}

#[test]
fn chatglm3_calls_are_python_in_a_block() {
    let call = "f\n```python\ntool_call(a='it\\'s', 城市=[1, None, {'b': True}])\n```";
    let expected = [ToolCall::new("f", json!({"a": "it's", "城市": [1, null, {"b": true}]}))];
    for text in [
        call.to_owned(),
        format!(" {}", call.replace("\n```", "\n ```")),
        call.replace("```python\n", "").replace("\n```", ""),
        call.replace("```python", "```"),
        format!("{call}\n<|observation|>"),
        format!("{call}</s>"),
    ] {
        let turn = CHATGLM3.parse(&text, None);
        assert_eq!(turn.tool_calls, expected, "{text:?}: {turn:?}");
        assert!(turn.content.is_none() && turn.malformed.is_empty(), "{text:?}: {turn:?}");
    }
    let thought = format!("\n A thought.<|assistant|> {call}<|assistant|> {call}");
    let neighbour = format!("f\n```python\ntool_call(a=1+1)\n```<|assistant|>{call}");
    let after_colon = "Look:\n```python\ntool_call()\n```";
    let other_code = "f\n```python\nprint()\n```";
    let cases = [
        (thought.as_str(), (Some("A thought."), vec!["f", "f"], 0)),
        ("f\n```python\ntool_call()\n```\nas asked", (Some("as asked"), vec!["f"], 0)),
        (" \n Hello<|user|>", (Some("Hello"), vec![], 0)),
        ("\n``` is a fence", (Some("``` is a fence"), vec![], 0)),
        (after_colon, (Some(after_colon), vec![], 0)),
        (other_code, (Some(other_code), vec![], 0)),
        ("f\n```python\ntool_call(a=open('b'))\n```", (None, vec![], 1)),
        ("f\n```python\ntool_call(a='b\n```", (None, vec![], 1)),
        (neighbour.as_str(), (None, vec!["f"], 1)),
    ];
    for (text, expected) in cases {
        assert_eq!(gist(&CHATGLM3.parse(text, None)), expected, "{text:?}");
    }
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
fn to_score_any_name_will_do_and_types_are_known() {
    let text = |name: &str| {
        format!("<tool_call>\n<function={name}>\n<parameter=a>\n3\n</parameter>\n</function>\n</tool_call>")
    };
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let tools = [ToolSpec::function("f", "", schema)];
    let calls = |name| Template::Qwen3Coder.parse_to_score(&text(name), &tools).tool_calls;
    assert_eq!(calls("f"), [ToolCall::new("f", json!({"a": "3"}))]);
    assert_eq!(calls("g"), [ToolCall::new("g", json!({"a": 3}))]);
    assert_eq!(gist(&GLM.parse_to_score("g\n{}", &tools)), (Some("g\n{}"), vec![], 0));
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
fn chatglm3_code_for_the_interpreter_is_raw() {
    let code = "print('''\n```\n''')\n# <|user|> {";
    let text = format!(" interpreter\n ```python\n{code}\n```<|observation|>");
    let expected = [ToolCall::new("interpreter", json!({"code": code}))];
    assert_eq!(CHATGLM3.parse(&text, None).tool_calls, expected);
}

#[test]
fn qwen3_thoughts_are_set_apart() {
    let text =
        "<think>\nHm.\n</think>\n\nYes.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let turn = Template::Qwen3.parse(text, None);
    assert_eq!((turn.reasoning.as_deref(), gist(&turn)), (Some("Hm."), (Some("Yes."), vec!["f"], 0)));
}

/// Texts that make a parser which looks for the end of a call again and again look at everything for each mark. They
/// pass through whole and in small portions; how long that takes is for a benchmark to say.
#[test]
fn hostile_repetition_goes_through() {
    let parts = [
        "<tool_call>",
        "<tool_call>{",
        "<tool_call>{</tool_call>",
        "<tool_call>{\"",
        "<tool_call>{\"</tool_call>",
        "<tool_call>{\"a\": \"b\\\"",
        "<tool_call>{\"a\": [",
        "<tool_call>{\"name\": \"f\", \"arguments\": {}}",
        "<|im_end|>",
        "<|assistant|>",
        "<|assistant|>f\n",
        "<|assistant|>f\n{",
        "<|assistant|>f\n{\"",
        "<|assistant|>f\n{} ",
        "<|user|>",
        "<tool_call>f<arg_key>",
        "<tool_call>f<arg_key>a</arg_key>",
        "<tool_call>f<arg_key>a</arg_key><arg_value>",
        "<tool_call>f<arg_key>a</arg_key><arg_value>b</arg_value>",
        "<tool_call>f<arg_key>a</arg_key><arg_value>b</arg_value><arg_key>",
        "<tool_call>f\n",
        "</arg_value>",
        "<|assistant|>f\n```python\ntool_call(",
        "<|assistant|>f\n```python\ntool_call('",
        "<|assistant|>f\n```python\ntool_call()",
        "<|assistant|>interpreter\n```",
        "\n",
        " ",
        "<",
        "f",
        "{",
        "<tool_call><function=f>",
        "<tool_call><function=f><parameter=a>",
        "<tool_call><function=f><parameter=a></parameter>",
        "<tool_call><function=f><parameter=a></parameter></function>",
        "<tool_call><function=f><parameter=a></function></tool_call>",
        "</parameter> ",
        "Action:",
        "Action: f",
        "Action: f\nAction Input:",
        "Action: f\nAction Input: {",
        "Action: f Action Input: {\"a\": \"",
        "Action: f Action Input: {} ",
        "[TOOL_CALLS]",
        "\n[TOOL_CALLS]",
        "[TOOL_CALLS][{",
        "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}",
        "[{\"name\": \"f\", \"arguments\": {\"a",
        "{\"name\": ",
        "\n{\"name\": \"f\", \"parameters\": {}}",
        "\n{\"name\": \"f\", \"parameters\": {",
        "\n{",
        "\n```",
        "<|python_tag|>{",
    ];
    let tools = tools(&["f"]);
    for part in parts {
        let text = part.repeat(100_000 / part.len());
        for template in Template::ALL {
            for tools in [None, Some(&tools[..])] {
                template.parse(&text, tools);
                let mut parser = template.stream_parser(tools);
                let mut turn = AssistantTurn::default();
                for start in (0..text.len()).step_by(61) {
                    turn.extend(parser.push(&text[start..text.len().min(start + 61)]));
                }
                turn.extend(parser.finish());
            }
        }
    }
}

#[test]
fn a_turn_serializes_to_the_contract_of_the_command_line() {
    let text =
        "Hm.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1.50}}\n</tool_call>\n<tool_call>\n{]";
    let turn = serde_json::to_value(QWEN.parse(text, None)).unwrap();
    let expected = json!({
        "content": "Hm.", "reasoning": null,
        "tool_calls": [{"name": "f", "arguments": {"x": serde_json::from_str::<Value>("1.50").unwrap()}}],
        "malformed": [{"raw_text": "<tool_call>\n{]", "error": "not JSON from byte 1 of the object on"}],
    });
    assert_eq!(turn, expected);
}
