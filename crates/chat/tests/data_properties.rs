//! Properties of the readers: no JSON makes them fail other than by an error, and what they write they read back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolsmith_chat::data::convert::{RawFormat, convert};
use toolsmith_chat::data::preference::{self, Preference};
use toolsmith_chat::data::{
    Conversation, Message, Record, RecordFormat, Role, SourceFormat, ToolCall, ToolSpec, chatglm3,
    dataset_info, openai, read_any, read_record,
};

/// Keys and texts that the formats look for, so that random records come near to real ones.
const WORDS: [&str; 66] = [
    "messages",
    "conversations",
    "role",
    "content",
    "from",
    "value",
    "tools",
    "system",
    "user",
    "assistant",
    "tool",
    "observation",
    "human",
    "gpt",
    "function_call",
    "name",
    "parameters",
    "arguments",
    "tool_calls",
    "function",
    "id",
    "type",
    "text",
    "tool_use",
    "tool_result",
    "thinking",
    "input",
    "input_schema",
    "tool_use_id",
    "loss",
    "train",
    "weight",
    "metadata",
    "interpreter",
    "instruction",
    "output",
    "history",
    "prompt",
    "response",
    "chosen",
    "rejected",
    "chat",
    "NLDocumentation",
    "Instances",
    "intermediate_steps",
    "Final Thought",
    "summary",
    "file_name",
    "formatting",
    "columns",
    "tags",
    "ranking",
    "sharegpt",
    "openai",
    "role_tag",
    "content_tag",
    "<tools>[{}]</tools>",
    "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
    "<tool_response>\n1\n</tool_response>",
    "<think>",
    "USER: x\n\n\nASSISTANT: <functioncall> {\"name\": \"f\", \"arguments\": '{}'}",
    "{\"name\": \"f\"}",
    "{'a': 1}",
    "SYSTEM: s\n{\"name\": \"f\"}",
    "f\n{}",
    "[]",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![8 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        6 => word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((word(), value), 0..5).prop_map(|entries| entries.into_iter().collect())
}

/// A list of messages that most formats would take, were it not for one odd value in it.
fn nearly_messages() -> impl Strategy<Value = Value> {
    let entry = (object(any_json()), word(), word(), any::<bool>()).prop_map(|(extra, role, text, keep)| {
        let mut entry = Map::new();
        entry.insert("role".into(), json!(role));
        entry.insert("from".into(), json!(role));
        entry.insert("content".into(), json!(text));
        entry.insert("value".into(), json!(text));
        if keep {
            entry.extend(extra);
        }
        Value::Object(entry)
    });
    prop::collection::vec(entry, 0..4).prop_map(Value::from)
}

fn record() -> impl Strategy<Value = Value> {
    (any_json(), nearly_messages(), object(any_json()), any::<u8>()).prop_map(
        |(any, messages, mut rest, kind)| match kind % 4 {
            0 => any,
            1 => {
                rest.insert("messages".into(), messages);
                Value::Object(rest)
            }
            2 => {
                rest.insert("conversations".into(), messages);
                Value::Object(rest)
            }
            _ => json!({"prompt": messages, "chosen": any, "rejected": rest}),
        },
    )
}

fn formats() -> Vec<RecordFormat> {
    RecordFormat::names().into_iter().map(|name| name.parse().unwrap()).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ a-z\\n]{0,8}", word(), Just("深圳".to_owned())]
}

fn call() -> impl Strategy<Value = ToolCall> {
    ("[a-z]{1,5}", object(any_json()), prop::option::of("[a-z0-9]{1,3}"))
        .prop_map(|(name, arguments, id)| ToolCall { id, name, arguments: Value::Object(arguments) })
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    let optional = || prop::option::of(text());
    (role, optional(), optional(), prop::collection::vec(call(), 0..3), optional(), any::<Option<bool>>())
        .prop_map(|(role, content, reasoning, tool_calls, name, train)| Message {
            content,
            reasoning,
            tool_calls,
            name,
            train,
            ..Message::empty(role)
        })
}

fn tools() -> impl Strategy<Value = Option<Vec<ToolSpec>>> {
    let tool = ("[a-z]{1,5}", text())
        .prop_map(|(name, text)| ToolSpec::function(name, text, json!({"type": "object"})));
    prop::option::of(prop::collection::vec(tool, 0..3))
}

/// What `chatglm3` can say: turns of text, each call with its result right behind it.
fn chatglm3_conversation() -> impl Strategy<Value = Conversation> {
    let turn = (text(), prop::collection::vec((call(), text()), 0..3), text(), any::<Option<bool>>())
        .prop_map(|(ask, calls, answer, train)| {
            let mut turn = vec![Message::user(ask)];
            for (call, result) in calls {
                let call = ToolCall { id: None, ..call };
                let name = Some(call.name.clone());
                turn.push(Message { train, ..Message::calls(vec![call]) });
                turn.push(Message { name, ..Message::tool_result(None, result) });
            }
            turn.push(Message::assistant(answer));
            turn
        });
    (tools(), prop::collection::vec(turn, 1..3))
        .prop_map(|(tools, turns)| Conversation { tools, messages: turns.concat() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_a_reader_panic(record in record()) {
        for format in formats() {
            let _either = read_any(record.clone(), Some(&format));
        }
        let _either = read_any(record.clone(), None);
        for format in RawFormat::ALL {
            let _either = convert(record.clone(), format);
        }
    }

    #[test]
    fn no_description_of_a_data_set_makes_a_reader_panic(
        description in object(any_json()),
        columns in object(word().prop_map(Value::from)),
        tags in object(word().prop_map(Value::from)),
        record in record(),
    ) {
        let mut description = description;
        description.insert("file_name".into(), json!("f"));
        for formatting in ["alpaca", "sharegpt", "openai"] {
            description.insert("formatting".into(), json!(formatting));
            description.insert("columns".into(), Value::Object(columns.clone()));
            description.insert("tags".into(), Value::Object(tags.clone()));
            if let Ok(dataset) = dataset_info::parse(&json!({"d": description}).to_string(), "d") {
                let _either = dataset.read(record.clone());
            }
        }
    }

    #[test]
    fn openai_records_read_back(tools in tools(), messages in prop::collection::vec(message(), 0..5)) {
        let conversation = Conversation { tools, messages };
        let record = openai::to_record(&conversation);
        prop_assert_eq!(read_record(record, SourceFormat::OpenAi).unwrap(), conversation);
    }

    #[test]
    fn chatglm3_records_read_back(conversation in chatglm3_conversation()) {
        let record = chatglm3::to_record(&conversation);
        prop_assert_eq!(read_record(record, SourceFormat::ChatGlm3).unwrap(), conversation);
    }

    #[test]
    fn preferences_read_back(ask in text(), chosen in text(), rejected in text(), tools in tools()) {
        prop_assume!(chosen != rejected);
        let preference = Preference {
            tools,
            prompt: vec![Message::user(ask)],
            chosen: vec![Message::assistant(chosen)],
            rejected: vec![Message::assistant(rejected)],
        };
        let record = preference::to_record(&preference);
        prop_assert_eq!(read_any(record, None).unwrap(), Record::Preference(preference));
    }
}
