//! A model's own Jinja template: compiled, run on conversations, its answers read back, all in bounded time and memory.
//!
//! Input: a byte for the conversation, then the template.
#![no_main]

use std::sync::LazyLock;

use serde_json::json;
use toolsmith_chat::data::{Conversation, Message, ToolCall, ToolSpec};
use toolsmith_chat::template::{LocalTime, ModelFacts, ModelTemplate, RenderOptions};
use toolsmith_fuzz::{TOKENIZER, fuzz_target, portions};

static CONVERSATIONS: LazyLock<[Conversation; 3]> = LazyLock::new(|| {
    let call = ToolCall::new("f", json!({"a": [1, 2.5, null], "b": "x<|user|>"})).with_id("c1");
    let tool =
        ToolSpec::function("f", "d", json!({"type": "object", "properties": {"a": {"type": "array"}}}));
    let called = vec![
        Message::system("s"),
        Message::user("q \u{10fffe}"),
        Message { reasoning: Some("r".into()), content: Some("so".into()), ..Message::calls(vec![call]) },
        Message::tool_result(Some("c1".into()), "1"),
        Message::assistant("a</think>b"),
        Message::user("q"),
        Message::assistant(" a "),
    ];
    [
        Conversation::new(vec![Message::user("q"), Message::assistant("a")]),
        Conversation::with_tools(vec![tool], called),
        Conversation::new(vec![Message::empty(toolsmith_chat::data::Role::Assistant)]),
    ]
});

const ANSWER: &str =
    "<think>\nr</think>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>[TOOL_CALLS][]";

fuzz_target!(|input: &[u8]| {
    let [conversation, source @ ..] = input else { return };
    let conversation = &CONVERSATIONS[usize::from(*conversation) % CONVERSATIONS.len()];
    let source = String::from_utf8_lossy(source);
    let added = TOKENIZER.added_tokens().map(str::to_owned).collect();
    let config = json!({"eos_token": "<|endoftext|>", "bos_token": {"content": "[gMASK]"}});
    let facts = ModelFacts::new(None, Some(&config), Some(&source), added);
    let now = Some(LocalTime::from_unix_secs(1_700_000_000));
    let template = match ModelTemplate::new(&facts, now, None) {
        Ok(template) => template,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for options in [RenderOptions::PLAIN, RenderOptions::PROMPT, RenderOptions::TRAINING] {
        let text = template.text(conversation, &options);
        let Ok(rendered) = template.render(conversation, &options) else { continue };
        let mut text = text.expect("what renders in pieces renders whole");
        if options.for_training {
            text = rendered.text()[..text.len().min(rendered.text().len())].to_owned();
        }
        assert!(rendered.text().starts_with(&text));
        let _encoded = TOKENIZER.encode(&rendered);
    }
    let _samples = template.samples(conversation, &RenderOptions::TRAINING);
    let whole = template.parse(ANSWER, None);
    let mut parser = template.stream_parser(None);
    let mut turn = toolsmith_chat::template::AssistantTurn::default();
    for portion in portions(ANSWER, 7) {
        turn.extend(parser.push(portion));
    }
    turn.extend(parser.finish());
    assert_eq!(turn, whole);
});
