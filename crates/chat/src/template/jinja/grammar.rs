//! Which way of writing calls a template teaches, told by what its source holds.
//!
//! In: the source. Out: a row of the table below, the first whose strings are all there.

use super::context::Shape;
use crate::template::parse::{ArgTags, BareJson, FunctionXml, Grammar, NameLine, React, ToolCallTags};
use crate::template::{glm4_tools, llama31, mistral};

/// A way of writing calls and how to tell it.
pub(super) struct Row {
    holds: &'static [&'static str],
    pub(super) grammar: fn() -> Grammar,
    /// Whether calls stand between marks, so that no text can be taken for one.
    pub(super) marks_calls: bool,
}

const TAGS: Row = Row {
    holds: &["<tool_call>"],
    grammar: || Grammar::ToolCallTags(ToolCallTags::default()),
    marks_calls: true,
};
const NAME_LINE: Row = Row {
    holds: &["metadata"],
    grammar: || Grammar::NameLine(NameLine::objects(glm4_tools::BUILT_IN)),
    marks_calls: false,
};
const LLAMA: fn() -> Grammar = || Grammar::BareJson(BareJson::new(llama31::PYTHON_TAG, &llama31::STOPS));

/// Those that hold `<tool_call>` as well go before it.
const TABLE: [Row; 7] = [
    Row {
        holds: &["<function=", "<parameter="],
        grammar: || Grammar::FunctionXml(FunctionXml::default()),
        marks_calls: true,
    },
    Row { holds: &["<arg_key>"], grammar: || Grammar::ArgTags(ArgTags::default()), marks_calls: true },
    TAGS,
    Row {
        holds: &[mistral::CALLS],
        grammar: || Grammar::BareJson(BareJson::new(mistral::CALLS, &mistral::STOPS)),
        marks_calls: true,
    },
    Row { holds: &[llama31::PYTHON_TAG], grammar: LLAMA, marks_calls: false },
    Row { holds: &["<|start_header_id|>", "\"parameters\""], grammar: LLAMA, marks_calls: false },
    Row {
        holds: &["Action:", "Action Input:"],
        grammar: || Grammar::React(React::default()),
        marks_calls: true,
    },
];

/// The row of a template. Where it says nothing of calls, marked ones are read all the same: no prose looks like them.
pub(super) fn choose(source: &str, shape: Shape) -> &'static Row {
    if matches!(shape, Shape::Metadata | Shape::MetadataAndTools) {
        return &NAME_LINE;
    }
    TABLE.iter().find(|row| row.holds.iter().all(|part| source.contains(part))).unwrap_or(&TAGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ToolCall;
    use crate::template::parse::{Offered, StreamParser};

    #[test]
    fn each_way_of_writing_calls_is_told_by_its_marks() {
        let json = |key: &str| format!("{{\"name\": \"f\", \"{key}\": {{\"a\": \"x\"}}}}");
        let cases = [
            (
                "<tool_call> <function= <parameter=",
                "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n</function>\n</tool_call>"
                    .to_owned(),
            ),
            (
                "<tool_call> <arg_key>",
                "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>".to_owned(),
            ),
            ("<tool_call> \"parameters\"", format!("<tool_call>\n{}\n</tool_call>", json("arguments"))),
            ("[TOOL_CALLS]", format!("[TOOL_CALLS][{}]", json("arguments"))),
            ("<|start_header_id|> \"parameters\"", json("parameters")),
            ("<|python_tag|>", format!("<|python_tag|>{}", json("parameters"))),
            ("Action: Action Input:", "Action: f\nAction Input: {\"a\": \"x\"}".to_owned()),
        ];
        for (source, text) in cases {
            let grammar = (choose(source, Shape::OpenAi).grammar)();
            let turn = StreamParser::new(grammar, false, Offered::new(None)).read_whole(&text);
            assert_eq!(turn.tool_calls, [ToolCall::new("f", serde_json::json!({"a": "x"}))], "{source}");
        }
    }
}
