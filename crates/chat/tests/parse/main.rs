//! Reading back what models write: what is a call, what is prose, what is malformed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod glm;
mod json_and_xml;

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
