//! What a model wrote, read back by every family's grammar: no panic, and the same turn in whatever portions it comes.
//!
//! Input: a byte for the template, one for the tools offered, one for where the text is cut; then the text.
#![no_main]

use std::sync::LazyLock;

use serde_json::json;
use toolsmith_chat::data::ToolSpec;
use toolsmith_chat::template::{AssistantTurn, StreamParser, Template};
use toolsmith_fuzz::{fuzz_target, portions};

static TOOLS: LazyLock<[Vec<ToolSpec>; 3]> = LazyLock::new(|| {
    let types = json!({"type": "object", "properties": {
        "a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": ["number", "null"]},
        "d": {"type": "boolean"}, "e": {"type": "array"}, "f": {"type": "object"},
        "g": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "h": {"enum": ["x", 1]},
    }});
    let tool = |name: &str| ToolSpec::function(name, "", types.clone());
    [
        Vec::new(),
        vec![tool("f"), tool("a name"), tool("查询")],
        vec![
            ToolSpec::new(json!({"type": "interpreter"})),
            ToolSpec::new(json!({"name": "f"})),
            ToolSpec::new(json!("f")),
        ],
    ]
});

fn read_in(portions: &[&str], mut parser: StreamParser) -> AssistantTurn {
    let mut turn = AssistantTurn::default();
    for portion in portions {
        turn.extend(parser.push(portion));
    }
    turn.extend(parser.finish());
    turn
}

fuzz_target!(|input: &[u8]| {
    let [template, tools, seed, text @ ..] = input else { return };
    let template = Template::ALL[usize::from(*template) % Template::ALL.len()];
    let tools = TOOLS.get(usize::from(*tools) % 4).map(Vec::as_slice);
    let text = String::from_utf8_lossy(text);

    let whole = template.parse(&text, tools);
    for call in &whole.tool_calls {
        assert!(!call.name.is_empty() && call.arguments.is_object());
    }
    let cut = portions(&text, *seed);
    assert_eq!(read_in(&cut, template.stream_parser(tools)), whole, "{template} in {cut:?}");
    let characters: Vec<_> = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect();
    assert_eq!(read_in(&characters, template.stream_parser(tools)), whole, "{template} by characters");
    let _scored = template.parse_to_score(&text, tools.unwrap_or_default());
});
