//! GLM-4, GLM-4.5 and ChatGLM3.

use serde_json::{Value, json};
use toolsmith_chat::data::{ToolCall, ToolSpec};

use super::{CHATGLM3, GLM, GLM45, gist, tools};

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
fn chatglm3_code_for_the_interpreter_is_raw() {
    let code = "print('''\n```\n''')\n# <|user|> {";
    let text = format!(" interpreter\n ```python\n{code}\n```<|observation|>");
    let expected = [ToolCall::new("interpreter", json!({"code": code}))];
    assert_eq!(CHATGLM3.parse(&text, None).tool_calls, expected);
}
