//! Records that are no conversations, data sets as LLaMA-Factory describes them, and raw data sets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use toolsmith_chat::check;
use toolsmith_chat::data::convert::{RawFormat, convert};
use toolsmith_chat::data::dataset_info::{self, Dataset};
use toolsmith_chat::data::preference::{self, Preference, Side};
use toolsmith_chat::data::{self, DataError, InputOutput, Message, Record, Role, input_output, read_any};
use toolsmith_chat::template::{RenderOptions, Template};

fn read(record: Value) -> Record {
    read_any(record, None).unwrap()
}

fn preference_of(record: Value) -> Preference {
    match read(record) {
        Record::Preference(preference) => preference,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_s_kind_is_told_by_its_keys() {
    let pair = InputOutput { prompt: "p".into(), response: "r".into() };
    assert_eq!(read(json!({"prompt": "p", "response": "r"})), Record::InputOutput(pair.clone()));
    assert_eq!(read(input_output::to_record(&pair)), Record::InputOutput(pair));
    assert_eq!(read(json!({"text": "t"})), Record::Text("t".into()));
    assert!(matches!(
        read(json!({"messages": [], "prompt": "p", "response": "r", "text": "t"})),
        Record::Conversation(_)
    ));
    for keys in [["prompt", "response", "text"], ["instruction", "output", "text"]] {
        let record: Value = keys.into_iter().map(|key| (key.to_owned(), json!("x"))).collect();
        assert!(matches!(read_any(record, None), Err(DataError::Ambiguous { .. })), "{keys:?}");
    }
}

#[test]
fn preferences_read_alike_however_they_are_written() {
    let user = json!({"role": "user", "content": "Hi"});
    let answer = |text: &str| json!({"role": "assistant", "content": text});
    let expected = preference_of(json!({"prompt": "Hi", "chosen": "Yes", "rejected": "No"}));
    assert_eq!(expected.prompt, [Message::user("Hi")]);
    assert_eq!(
        (&expected.chosen[..], &expected.rejected[..]),
        (&[Message::assistant("Yes")][..], &[Message::assistant("No")][..])
    );
    for record in [
        json!({"prompt": [user], "chosen": [answer("Yes")], "rejected": [answer("No")]}),
        json!({"messages": [user], "chosen": answer("Yes"), "rejected": answer("No")}),
        json!({"conversations": [{"from": "human", "value": "Hi"}],
               "chosen": {"from": "gpt", "value": "Yes"}, "rejected": {"from": "gpt", "value": "No"}}),
        json!({"chosen": [user, answer("Yes")], "rejected": [user, answer("No")]}),
        json!({"prompt": "Hi", "chosen": [user, answer("Yes")], "rejected": [user, answer("No")]}),
        json!({"instruction": "Hi", "input": "", "chosen": "Yes", "rejected": "No"}),
        preference::to_record(&expected),
    ] {
        assert_eq!(preference_of(record.clone()), expected, "{record}");
    }
}

#[test]
fn both_sides_of_a_preference_share_their_prompt_and_train_their_answer_alone() {
    let preference = preference_of(json!({
        "system": "S",
        "tools": [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}],
        "prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        "chosen": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}],
        "rejected": "I cannot.",
    }));
    let options = RenderOptions::TRAINING;
    for template in [Template::Qwen25, Template::Glm4] {
        let sides = Side::BOTH.map(|side| preference.conversation(side));
        for side in &sides {
            assert_eq!(check::check(side, Some(template)), []);
            let trained: Vec<_> = side.messages.iter().filter(|message| message.is_trained()).collect();
            assert_eq!(trained.len(), 1);
        }
        let [chosen, rejected] =
            sides.map(|side| template.render(&side, &options).unwrap().text().to_owned());
        let prompt = preference.prompt.clone();
        let prompt = data::Conversation { tools: preference.tools.clone(), messages: prompt };
        let prompt = template.render(&prompt, &RenderOptions::PROMPT).unwrap();
        assert!(chosen.starts_with(prompt.text()) && rejected.starts_with(prompt.text()));
        assert_ne!(chosen, rejected);
    }
}

#[test]
fn preferences_that_teach_nothing_are_refused() {
    let refused = |record: Value| read_any(record, None).unwrap_err().to_string();
    let same = refused(json!({"prompt": "Hi", "chosen": "Yes", "rejected": "Yes"}));
    assert!(same.starts_with("rejected: the same as"), "{same}");
    let full = |ask: &str, text: &str| json!([{"role": "user", "content": ask}, {"role": "assistant", "content": text}]);
    let other = refused(json!({"prompt": "Hi", "chosen": full("Ho", "1"), "rejected": full("Ho", "2")}));
    assert!(other.starts_with("chosen: the conversation in it"), "{other}");
    let apart = refused(json!({"chosen": full("Hi", "1"), "rejected": full("Ho", "2")}));
    assert!(apart.starts_with("rejected: the conversation in it"), "{apart}");
    assert!(refused(json!({"prompt": "Hi", "chosen": [], "rejected": "No"})).starts_with("chosen: missing"));
}

fn dataset(description: Value) -> Dataset {
    dataset_info::parse(&json!({"d": description}).to_string(), "d").unwrap()
}

fn messages_of(record: Record) -> Vec<Message> {
    match record {
        Record::Conversation(conversation) => conversation.messages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_data_set_names_its_columns_and_speakers() {
    let sharegpt = dataset(json!({
        "file_name": "d.json", "formatting": "sharegpt",
        "columns": {"messages": "turns", "system": "rules", "tools": "functions"},
        "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "asker", "assistant_tag": "bot",
                 "observation_tag": "result", "function_tag": "call", "system_tag": "sys"},
    }));
    assert_eq!((sharegpt.file_name.as_str(), sharegpt.ignored.len()), ("d.json", 0));
    let record = json!({"rules": "S", "functions": "[{\"name\": \"f\"}]", "system": "not read", "turns": [
        {"who": "asker", "what": "?"}, {"who": "call", "what": "{\"name\": \"f\", \"arguments\": {}}"},
        {"who": "result", "what": "1"}, {"who": "bot", "what": "One."}]});
    let messages = messages_of(sharegpt.read(record).unwrap());
    let roles: Vec<_> = messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    assert_eq!(messages[0].text(), "S");
    let wrong = sharegpt.read(json!({"turns": [{"who": "human", "what": "?"}]})).unwrap_err().to_string();
    assert!(
        wrong.starts_with("turns[0].who: unknown role \"human\", expected one of: asker, bot"),
        "{wrong}"
    );

    let alpaca =
        dataset(json!({"file_name": "a.json", "columns": {"prompt": "q", "response": "a", "history": "h"}}));
    let messages = messages_of(
        alpaca.read(json!({"q": "Q", "a": "A", "h": [["x", "y"]], "input": "not read"})).unwrap(),
    );
    assert_eq!(
        messages,
        [Message::user("x"), Message::assistant("y"), Message::user("Q"), Message::assistant("A")]
    );

    let plain = dataset(json!({"file_name": "a.json"}));
    let messages = messages_of(
        plain.read(json!({"instruction": "Q", "input": "I", "output": "A", "system": "S"})).unwrap(),
    );
    assert_eq!(messages, [Message::user("Q\nI"), Message::assistant("A")]);

    let openai = dataset(
        json!({"file_name": "o.json", "formatting": "openai", "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
                 "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system"}}),
    );
    let record = json!({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": null,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": "1"}]});
    assert_eq!(messages_of(openai.read(record).unwrap())[1].tool_calls.len(), 1);
}

#[test]
fn a_data_set_without_answers_is_text_and_a_ranking_is_a_preference() {
    let text = dataset(json!({"file_name": "c4.json", "columns": {"prompt": "text"}}));
    assert_eq!(text.read(json!({"text": "t"})).unwrap(), Record::Text("t".into()));
    let sharegpt = dataset(json!({"file_name": "p.json", "ranking": true, "formatting": "sharegpt",
        "columns": {"messages": "conversations", "chosen": "good", "rejected": "bad"}}));
    let alpaca = dataset(json!({"file_name": "p.json", "ranking": true,
        "columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}}));
    let one = sharegpt
        .read(json!({"conversations": [{"from": "human", "value": "?"}],
        "good": {"from": "gpt", "value": "Yes"}, "bad": {"from": "gpt", "value": "No"}}))
        .unwrap();
    let other = alpaca.read(json!({"q": "?", "good": "Yes", "bad": "No"})).unwrap();
    assert_eq!(one, other);
    assert!(matches!(one, Record::Preference(_)));
}

#[test]
fn what_a_description_says_in_vain_is_told() {
    let odd = dataset(
        json!({"file_name": "d.json", "colunms": {}, "num_samples": 5, "split": "train", "columns": {"promt": "x", "prompt": "q", "response": "a"}}),
    );
    let told = odd.ignored.join("\n");
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(
        told.contains("d.colunms: unknown key, found an empty object")
            && told.contains("d.columns.promt: unknown key"),
        "{told}"
    );
    let refused = |description: Value, name: &str| {
        dataset_info::parse(&json!({"d": description}).to_string(), name).unwrap_err().to_string()
    };
    assert_eq!(refused(json!({}), "e"), "no data set is named \"e\"; there are: d");
    assert_eq!(refused(json!({}), "d"), "d.file_name: missing, expected the name of a file");
    assert!(refused(json!({"hf_hub_url": "a/b"}), "d").ends_with("Download it and set file_name"));
    assert!(
        refused(json!({"file_name": "f", "columns": {"images": "i"}}), "d")
            .starts_with("d.columns.images: not supported")
    );
    assert!(
        refused(json!({"file_name": "f", "formatting": "csv"}), "d")
            .contains("found the string \"csv\", expected \"alpaca\"")
    );
    assert!(refused(json!({"file_name": "f", "ranking": true}), "d").starts_with("d.columns: missing"));
}

fn instance(steps: &Value) -> Value {
    json!({"input": "?", "intermediate_steps": steps, "Final Thought": "Hm.", "output": "A."})
}

#[test]
fn toolalpaca_keeps_what_is_whole_and_says_why_the_rest_is_not() {
    let good = json!([[["f", "{\"x\": 1}", " Think. \nAction: f\nAction Input: {}"], {"any": "json"}]]);
    let cases = [
        (instance(&good), None),
        (instance(&json!([])), None),
        (
            instance(&json!([[["f", "{x}", "Action: f"], "r"]])),
            Some("Instances[2].intermediate_steps[0][0][1]: not JSON"),
        ),
        (
            instance(&json!([[["f", "{}"], "r"]])),
            Some("Instances[3].intermediate_steps[0][0]: found a list of 2"),
        ),
        (
            instance(&json!([[["f", {}, "t"], "r"]])),
            Some("Instances[4].intermediate_steps[0][0][1]: found an empty object, expected JSON text"),
        ),
        (instance(&json!([[["f", "{}", "t"]]])), Some("Instances[5].intermediate_steps[0][1]: missing")),
        (
            json!({"input": "?", "intermediate_steps": [], "output": "A."}),
            Some("Instances[6].Final Thought: missing"),
        ),
        (
            json!({"input": "?", "intermediate_steps": [], "Final Thought": "", "output": null}),
            Some("Instances[7].output: found null"),
        ),
        (json!("x"), Some("Instances[8]: found the string")),
        (
            json!({"intermediate_steps": [], "Final Thought": "", "output": ""}),
            Some("Instances[9].input: missing"),
        ),
        (instance(&json!(null)), Some("Instances[10].intermediate_steps: found null")),
    ];
    let instances: Vec<_> = cases.iter().map(|(instance, _)| instance.clone()).collect();
    let converted = convert(json!({"NLDocumentation": "doc", "Instances": instances}), RawFormat::ToolAlpaca);
    assert_eq!(converted.records.len(), 2);
    assert_eq!(
        converted.records[0],
        json!({"tools": ["doc"], "conversations": [
        {"role": "user", "content": "?"}, {"role": "assistant", "content": "Think."},
        {"role": "tool", "name": "f", "parameters": {"x": 1}, "observation": {"any": "json"}},
        {"role": "assistant", "content": "Hm.\nA."}]})
    );
    let reasons: Vec<_> = converted.dropped.iter().map(DataError::to_string).collect();
    let expected: Vec<_> = cases.iter().filter_map(|(_, reason)| *reason).collect();
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(expected), "{reason} | {expected}");
    }
    let read = read_any(converted.records[0].clone(), None).unwrap();
    assert_eq!(messages_of(read).len(), 4);
}

#[test]
fn advertisegen_becomes_prompt_and_response() {
    let converted = convert(json!({"content": "类型#裤", "summary": "好", "x": 1}), RawFormat::AdvertiseGen);
    assert_eq!(converted.records, [json!({"prompt": "类型#裤", "response": "好"})]);
    let dropped = convert(json!({"content": "c"}), RawFormat::AdvertiseGen).dropped;
    assert_eq!(dropped[0].to_string(), "summary: missing, expected a value");
}
