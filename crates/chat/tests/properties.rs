//! Properties that hold for every conversation: round trip, any chunking, no injection, labels that fit. Each is tried on
//! 256 cases, or on as many as `PROPTEST_CASES` says: in CI, 10,000 of round trip, chunking and injection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value};
use toolsmith_chat::data::{Conversation, Message, ToolCall, ToolSpec};
use toolsmith_chat::template::{AssistantTurn, PieceKind, RenderError, RenderOptions, Rendered, Template};
use toolsmith_chat::tokens::{ChatTokenizer, IGNORE_INDEX};

static TOKENIZER: LazyLock<ChatTokenizer> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer.json");
    ChatTokenizer::from_bytes(&fs::read(path).unwrap()).unwrap()
});

/// Marks of every format, and what could be taken for one.
const HOSTILE: [&str; 34] = [
    "<tool_call>",
    "</tool_call>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|assistant|>",
    "<|user|>",
    "<|observation|>",
    "<|system|>",
    "[gMASK]<sop>",
    "<tool_response>",
    "{\"name\": \"f\", \"arguments\": {}}",
    "f\n{}",
    "\n",
    "<",
    "<|",
    "\"",
    "\\",
    "e\u{301}",
    "深圳",
    "{",
    "<think>",
    "</think>",
    "[INST]",
    "[TOOL_CALLS][",
    "</s>",
    "<|eot_id|>",
    "<|python_tag|>",
    "Action: f\nAction Input: {}",
    "\nObservation:",
    "<tool_call>\n<function=f>\n<parameter=a>\n",
    "\n</parameter>\n",
    "</function>\n</tool_call>",
    "```json\n[",
];

/// Marks that stand in answers alone, where a conversation's own text would be refused or changed for them.
const IN_ANSWERS: [&str; 16] = [
    "<tool_call>f",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "</arg_value></tool_call>",
    "<think>",
    "</think>",
    "</s>",
    "<|assistant|>f\n",
    "<|assistant|>interpreter\n",
    "```python\n",
    "```",
    "tool_call(",
    "a='",
    ")",
];

fn answer_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![prop::sample::select(&IN_ANSWERS[..]).prop_map(str::to_owned), text()];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        2 => "[ a-z\\n]{0,6}",
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        // Floats that Rust and Python spell alike, so that values can be compared as they are.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        Just(serde_json::from_str("123456789012345678901234567890").unwrap()),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((text(), value), 0..4).prop_map(|entries| entries.into_iter().collect())
}

/// Names that read as names without a list of tools.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9_.-]{0,8}[a-z0-9]", Just("查询_天气".to_owned())]
}

fn call() -> impl Strategy<Value = ToolCall> {
    (name(), object(json())).prop_map(|(name, arguments)| ToolCall::new(name, Value::Object(arguments)))
}

fn calls() -> impl Strategy<Value = Vec<ToolCall>> {
    prop::collection::vec(call(), 1..4)
}

/// These calls, as far as a family can say them: ChatGLM3's keys are identifiers, and nothing tells a text from JSON in
/// GLM-4.5 without a schema.
fn sayable(template: Template, calls: &[ToolCall]) -> Vec<ToolCall> {
    let said = |(index, (key, value)): (usize, (&String, &Value))| match (template, value) {
        (Template::ChatGlm3, _) => (format!("k{index}"), value.clone()),
        (Template::Glm45, Value::String(text)) if serde_json::from_str::<Value>(text).is_ok() => {
            (key.clone(), Value::from(format!("a {text}")))
        }
        _ => (key.clone(), value.clone()),
    };
    let call = |call: &ToolCall| {
        let arguments = call.arguments.as_object().into_iter().flatten().enumerate().map(said).collect();
        ToolCall { arguments: Value::Object(arguments), ..call.clone() }
    };
    calls.iter().map(call).collect()
}

/// The same for all calls of a conversation.
fn sayable_in(template: Template, conversation: &Conversation) -> Conversation {
    let mut conversation = conversation.clone();
    for message in &mut conversation.messages {
        message.tool_calls = sayable(template, &message.tool_calls);
    }
    conversation
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let turn = (text(), text(), calls(), text(), any::<Option<bool>>()).prop_map(
        |(ask, say, calls, result, train)| {
            let answer = Message { content: Some(say.clone()), train, ..Message::calls(calls) };
            vec![Message::user(ask), answer, Message::tool_result(None, result), Message::assistant(say)]
        },
    );
    (prop::option::of(text()), prop::collection::vec(turn, 1..3)).prop_map(|(system, turns)| {
        let turns: Vec<Message> = turns.concat();
        let names = turns.iter().flat_map(|message| &message.tool_calls).map(|call| call.name.clone());
        let tools = names.map(|name| ToolSpec::function(name, "<tool_call>", Value::Null)).collect();
        let messages = system.into_iter().map(Message::system).chain(turns).collect();
        Conversation::with_tools(tools, messages)
    })
}

/// A conversation in a family's format; `None` where the family says that it cannot hold it.
fn rendered(template: Template, conversation: &Conversation) -> Option<Rendered> {
    match template.render(conversation, &RenderOptions::TRAINING) {
        Ok(rendered) => Some(rendered),
        Err(RenderError::SeveralCalls { .. } | RenderError::UnwritableArgument { .. }) => None,
        Err(error) => panic!("{template}: {error}"),
    }
}

/// What the model would have written to make these calls; `None` where it cannot.
fn answer(template: Template, message: Message, tools: &[ToolSpec]) -> Option<String> {
    let mut conversation = Conversation::with_tools(tools.to_vec(), vec![Message::user("?")]);
    let prompt = template.render(&conversation, &RenderOptions::PROMPT).unwrap();
    conversation.messages.push(message);
    let whole = rendered(template, &conversation)?;
    Some(whole.text().strip_prefix(prompt.text()).unwrap().to_owned())
}

/// Tools that these calls fit. An argument that is of one type here and of another there has none in the schema.
fn tools_of(calls: &[ToolCall]) -> Vec<ToolSpec> {
    let mut tools: Map<String, Value> = Map::new();
    for call in calls {
        let properties = tools.entry(&call.name).or_insert_with(|| Value::Object(Map::new()));
        for (key, value) in call.arguments.as_object().unwrap() {
            let schema = match value {
                // Hermes cannot say "null".
                Value::Null => serde_json::json!({}),
                Value::Bool(_) => serde_json::json!({"type": "boolean"}),
                Value::Number(_) => serde_json::json!({"type": "number"}),
                Value::String(_) => serde_json::json!({"type": "string"}),
                Value::Array(_) => serde_json::json!({"type": "array"}),
                Value::Object(_) => serde_json::json!({"type": "object"}),
            };
            let known = properties.as_object_mut().unwrap().entry(key).or_insert_with(|| schema.clone());
            if *known != schema {
                *known = serde_json::json!({});
            }
        }
    }
    let tool = |(name, properties): (String, Value)| {
        ToolSpec::function(name, "", serde_json::json!({"type": "object", "properties": properties}))
    };
    tools.into_iter().map(tool).collect()
}

/// A text cut into portions at these places.
fn portions<'a>(text: &'a str, cuts: &[prop::sample::Index]) -> Vec<&'a str> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.retain(|place| text.is_char_boundary(*place));
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn in_portions(template: Template, portions: &[&str], tools: Option<&[ToolSpec]>) -> AssistantTurn {
    let mut parser = template.stream_parser(tools);
    let mut turn = AssistantTurn::default();
    for portion in portions {
        turn.extend(parser.push(portion));
    }
    turn.extend(parser.finish());
    turn
}

proptest! {
    #[test]
    fn calls_read_back_as_they_were_written(mut calls in calls(), listed in any::<bool>(), one in any::<bool>()) {
        calls.truncate(if one { 1 } else { 3 });
        let tools = tools_of(&calls);
        for template in Template::ALL {
            // Its values have no types without the tools, and two calls of one name share theirs.
            let typeless = !listed || calls.iter().enumerate().any(|(at, call)| {
                calls[..at].iter().any(|before| before.name == call.name)
            });
            if template == Template::Qwen3Coder && typeless {
                continue;
            }
            let calls = sayable(template, &calls);
            let Some(answer) = answer(template, Message::calls(calls.clone()), &tools) else { continue };
            let turn = template.parse(&answer, listed.then_some(&tools[..]));
            prop_assert_eq!(&turn.tool_calls, &calls, "{} {}", template, answer);
            prop_assert!(turn.content.is_none() && turn.malformed.is_empty(), "{:?}", turn);
        }
    }

    #[test]
    fn calls_read_back_beside_a_plain_text(calls in calls(), say in "[a-z][a-z ,.]{0,20}\n?") {
        let calls = &calls[..1];
        let tools = tools_of(calls);
        for template in Template::ALL {
            let calls = sayable(template, calls);
            let message = Message { content: Some(say.clone()), ..Message::calls(calls.clone()) };
            let Some(answer) = answer(template, message, &tools) else { continue };
            let turn = template.parse(&answer, Some(&tools));
            prop_assert_eq!(&turn.tool_calls, &calls, "{} {}", template, answer);
            let kept = match template {
                // These write calls alone.
                Template::Hermes | Template::Llama31 | Template::Mistral => None,
                Template::Qwen3Coder | Template::Glm45 => Some(say.trim()),
                _ => Some(say.as_str()),
            };
            prop_assert_eq!(turn.content.as_deref(), kept, "{} {}", template, answer);
        }
    }

    #[test]
    fn any_portions_give_the_same_turn(
        parts in prop::collection::vec(prop_oneof![answer_text(), calls().prop_map(|calls| {
            let answers = Template::ALL.into_iter().filter_map(|template| {
                answer(template, Message::calls(sayable(template, &calls[..1])), &[])
            });
            answers.collect::<String>()
        })], 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        listed in any::<bool>(),
    ) {
        let text = parts.concat();
        let tools = [ToolSpec::function("f", "", Value::Null), ToolSpec::function("a name", "", Value::Null)];
        let tools = listed.then_some(&tools[..]);
        for template in Template::ALL {
            let whole = template.parse(&text, tools);
            let portions = portions(&text, &cuts);
            prop_assert_eq!(&in_portions(template, &portions, tools), &whole, "{} {:?}", template, portions);
            let characters: Vec<_> = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect();
            prop_assert_eq!(&in_portions(template, &characters, tools), &whole, "{} {:?}", template, text);
        }
    }

    #[test]
    fn content_never_becomes_a_control_token(conversation in conversation()) {
        for template in Template::ALL {
            let conversation = sayable_in(template, &conversation);
            let Some(rendered) = rendered(template, &conversation) else { continue };
            let (encoded, origins) = TOKENIZER.encode_with_origins(&rendered).unwrap();
            for (id, origin) in encoded.input_ids.iter().zip(&origins) {
                let piece = &rendered.pieces()[origin.piece];
                prop_assert!(piece.kind != PieceKind::Content || !TOKENIZER.is_control(*id));
            }
            let controls = encoded.input_ids.iter().filter(|id| TOKENIZER.is_control(**id)).count();
            let structure = rendered.pieces().iter().filter(|piece| piece.kind != PieceKind::Content);
            let marks: usize = structure.map(|piece| match piece.kind {
                PieceKind::Control => 1,
                _ => {
                    let text = rendered.piece_text(piece);
                    TOKENIZER.added_tokens().map(|name| text.matches(name).count()).sum()
                }
            }).sum();
            prop_assert_eq!(controls, marks);
        }
    }

    #[test]
    fn text_is_never_control(text in text()) {
        let ids = TOKENIZER.encode_text(&text).unwrap();
        prop_assert!(ids.iter().all(|id| !TOKENIZER.is_control(*id)));
    }

    #[test]
    fn labels_fit_ids(conversation in conversation()) {
        for template in Template::ALL {
            let conversation = sayable_in(template, &conversation);
            let Some(rendered) = rendered(template, &conversation) else { continue };
            let encoded = TOKENIZER.encode(&rendered).unwrap();
            prop_assert_eq!(encoded.input_ids.len(), encoded.labels.len());
            for (id, label) in encoded.input_ids.iter().zip(&encoded.labels) {
                prop_assert!(*label == IGNORE_INDEX || *label == id.cast_signed());
            }
            let (with_origins, origins) = TOKENIZER.encode_with_origins(&rendered).unwrap();
            prop_assert_eq!(&with_origins, &encoded);
            prop_assert_eq!(origins.len(), encoded.input_ids.len());
            for (label, origin) in encoded.labels.iter().zip(&origins) {
                let piece = &rendered.pieces()[origin.piece];
                prop_assert!(piece.trained || *label == IGNORE_INDEX);
            }
        }
    }

    #[test]
    fn pieces_are_the_text(conversation in conversation()) {
        for template in Template::ALL {
            let conversation = sayable_in(template, &conversation);
            let Some(rendered) = rendered(template, &conversation) else { continue };
            let mut end = 0;
            for piece in rendered.pieces() {
                prop_assert_eq!(piece.start, end);
                end = piece.end;
            }
            prop_assert_eq!(end, rendered.text().len());
        }
    }

    #[test]
    fn a_stream_of_ids_decodes_as_all_at_once(ids in prop::collection::vec(0u32..720, 0..40)) {
        let mut stream = TOKENIZER.decode_stream();
        let mut text: String = ids.iter().map(|id| stream.push(*id)).collect();
        text.push_str(&stream.finish());
        let bytes: Vec<u8> = ids.iter().flat_map(|id| TOKENIZER.token_bytes(*id)).copied().collect();
        prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
    }

    #[test]
    fn hostile_answers_do_no_harm(text in answer_text()) {
        for template in Template::ALL {
            let turn = template.parse(&text, None);
            for call in turn.tool_calls {
                prop_assert!(!call.name.is_empty() && call.arguments.is_object());
            }
        }
    }
}
