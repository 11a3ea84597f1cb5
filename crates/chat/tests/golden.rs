//! Rendering, ids and labels equal what transformers gives (benches/peers/chat_golden.py made the files, its header
//! names the versions), and reading back gives the calls again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toolsmith_chat::data::{self, Message, Role, SourceFormat, ToolSpec};
use toolsmith_chat::json::equal_by_value;
use toolsmith_chat::template::{RenderOptions, Rendered, Template};
use toolsmith_chat::tokens::ChatTokenizer;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases(template: Template) -> Vec<Value> {
    let path = folder().join(template.as_str().replace(':', "_")).join("cases.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tokenizer() -> ChatTokenizer {
    ChatTokenizer::from_bytes(&fs::read(folder().join("tokenizer.json")).unwrap()).unwrap()
}

/// What a family writes of a text.
fn kept(template: Template, message: &Message) -> &str {
    let text = message.text();
    let calls = !message.tool_calls.is_empty();
    match template {
        Template::Qwen3 => {
            let answer = text.rsplit_once("</think>").map_or(text, |(_, answer)| answer);
            answer.trim_start_matches('\n')
        }
        Template::Hermes | Template::Mistral | Template::Llama31 if calls => "",
        Template::Qwen3Coder if calls => text.trim(),
        Template::Llama31 | Template::Glm45 => text.trim(),
        // Where a text begins, the tokenizer writes a space that is not the text's.
        Template::ChatGlm3 => text.strip_prefix(' ').unwrap_or(text),
        _ => text,
    }
}

fn each_case(check: impl Fn(Template, &str, &Value, data::Conversation)) {
    for template in Template::ALL {
        let cases = cases(template);
        assert!(cases.len() >= 12, "{template}");
        for case in &cases {
            let conversation = data::read_record(case["record"].clone(), SourceFormat::OpenAi).unwrap();
            check(template, case["id"].as_str().unwrap(), case, conversation);
        }
    }
}

#[test]
fn text_and_ids_equal_those_of_transformers() {
    let tokenizer = tokenizer();
    each_case(|template, id, case, conversation| {
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let options = RenderOptions { add_generation_prompt: prompt, ..RenderOptions::PLAIN };
        let rendered = template.render(&conversation, &options).unwrap();
        assert_eq!(rendered.text(), case["text"].as_str().unwrap(), "{template} {id}");
        let encoded = tokenizer.encode(&rendered).unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["input_ids"].clone()).unwrap();
        assert_eq!(encoded.input_ids, ids, "{template} {id}");
        // What one Unicode form was normalized from is lost; elsewhere the ids spell the text.
        if id != "not-composed" {
            assert_eq!(tokenizer.decode(&ids), rendered.text(), "{template} {id}");
        }
    });
}

#[test]
fn labels_begin_where_the_generation_prompt_ends_and_hold_the_stop_token() {
    let tokenizer = tokenizer();
    each_case(|template, id, case, conversation| {
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let options = RenderOptions { add_generation_prompt: prompt, ..RenderOptions::PLAIN };
        let encoded = tokenizer.encode(&template.render(&conversation, &options).unwrap()).unwrap();
        let labels: Vec<i32> = serde_json::from_value(case["labels"].clone()).unwrap();
        assert_eq!(encoded.labels, labels, "{template} {id}");
    });
}

#[test]
fn rendering_for_training_adds_only_the_last_stop_token() {
    each_case(|template, id, _, conversation| {
        // Mistral shows the system text, and Hermes ends results, in another way once they are answered.
        let asked_otherwise = match template {
            Template::Mistral => conversation.messages[0].role == Role::System,
            Template::Hermes => conversation.messages.iter().any(|message| message.role == Role::Tool),
            _ => false,
        };
        if asked_otherwise {
            return;
        }
        let plain = template.render(&conversation, &RenderOptions::PLAIN).unwrap();
        let training = template.render(&conversation, &RenderOptions::TRAINING).unwrap();
        let added = training.text().strip_prefix(plain.text()).unwrap();
        let last = conversation.messages.last().unwrap();
        let expected = match template {
            // Only the GLM families leave the stop token to the next message.
            _ if !template.as_str().contains("glm") => "",
            _ if last.role != Role::Assistant => "",
            _ if !last.tool_calls.is_empty() => "<|observation|>",
            // An answer without text vanishes, and the user's message before it is last.
            _ if last.text().is_empty() && template.drops_empty_messages() => "",
            _ => "<|user|>",
        };
        assert_eq!(added, expected, "{template} {id}");
        let trained = training.pieces().last().unwrap().trained;
        assert!(trained || expected.is_empty(), "{template} {id}");
    });
}

#[test]
fn what_was_rendered_reads_back() {
    each_case(|template, id, _, conversation| {
        for (index, message) in conversation.messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let before = data::Conversation {
                tools: conversation.tools.clone(),
                messages: conversation.messages[..index].to_vec(),
            };
            let mut until = before.clone();
            until.messages.push(message.clone());
            let prompt = template.render(&before, &RenderOptions::PROMPT).unwrap();
            let whole = template.render(&until, &RenderOptions::TRAINING).unwrap();
            let Some(answer) = whole.text().strip_prefix(prompt.text()) else {
                assert!(template.drops_empty_messages() && message.text().is_empty(), "{template} {id}");
                continue;
            };
            for tools in [None, conversation.tools.as_deref()] {
                let turn = template.parse(answer, tools);
                assert!(turn.malformed.is_empty(), "{template} {id}: {turn:?}");
                assert_eq!(turn.tool_calls.len(), message.tool_calls.len(), "{template} {id}");
                for (read, written) in turn.tool_calls.iter().zip(&message.tool_calls) {
                    assert_eq!(read.name, written.name, "{template} {id}");
                    // Without a schema nothing tells that GLM-4.5's 12 was a text.
                    let told = !matches!(template, Template::Glm45 | Template::Qwen3Coder)
                        || tools.is_some()
                        || id != "thoughts";
                    let same = equal_by_value(&read.arguments, &written.arguments);
                    assert_eq!(same, told, "{template} {id}");
                }
                assert_eq!(turn.content.unwrap_or_default(), kept(template, message), "{template} {id}");
                if template == Template::Glm45 {
                    let thoughts = message.reasoning.as_deref().map(str::trim);
                    assert_eq!(turn.reasoning.as_deref(), thoughts, "{id}");
                }
            }
        }
    });
}

#[test]
fn every_trained_answer_has_the_prompt_that_serves_it() {
    each_case(|template, id, _, conversation| {
        let samples = template.samples(&conversation, &RenderOptions::TRAINING).unwrap();
        for (index, message) in conversation.messages.iter().enumerate() {
            let says_something = !message.text().is_empty() || !message.tool_calls.is_empty();
            if message.role != Role::Assistant || !message.is_trained() || !says_something {
                continue;
            }
            let before = data::Conversation {
                tools: conversation.tools.clone(),
                messages: conversation.messages[..index].to_vec(),
            };
            let prompt = template.render(&before, &RenderOptions::PROMPT).unwrap();
            let begins_there = |sample: &Rendered| {
                sample.text().starts_with(prompt.text())
                    && sample.pieces().iter().any(|piece| piece.trained && piece.start == prompt.text().len())
            };
            assert!(
                samples.iter().any(|sample| begins_there(&sample.rendered)),
                "{template} {id}: messages[{index}]"
            );
        }
    });
}

#[test]
fn turns_whose_thoughts_are_dropped_later_are_samples_of_their_own() {
    each_case(|template, id, _, conversation| {
        let samples = template.samples(&conversation, &RenderOptions::TRAINING).unwrap();
        if template != Template::Glm45 || id != "thoughts" {
            return;
        }
        let trained = |sample: &Rendered| -> String {
            let pieces = sample.pieces().iter().filter(|piece| piece.trained);
            pieces.map(|piece| sample.piece_text(piece)).collect()
        };
        assert_eq!(samples.len(), 2);
        assert_eq!(trained(&samples[0].rendered), "\n<think>Low water is at noon.</think>\nAt four.<|user|>");
        assert!(trained(&samples[1].rendered).starts_with("\n<think>The tide\nknows.</think>\nLet me look."));
        assert!(!samples[1].rendered.text().contains("Low water"));
    });
}

#[test]
fn built_in_tools_of_glm4_have_texts_of_their_own() {
    let tools = vec![ToolSpec::new(serde_json::json!({"type": "python"}))];
    let conversation = data::Conversation::with_tools(tools, vec![Message::user("1 + 1?")]);
    for (template, expected) in [
        (Template::Glm4, "# 可用工具\n## python\n\n当你向 `python` 发送"),
        (Template::Glm4A, "支持。\n\n## python\n\n当你向 `python` 发送"),
        (Template::Glm4B, "# 可用工具\n\n## python\n\n当你向 `python` 发送"),
    ] {
        let rendered = template.render(&conversation, &RenderOptions::PLAIN).unwrap();
        assert!(rendered.text().contains(expected), "{}", rendered.text());
    }
    assert!(Template::Glm4D.render(&conversation, &RenderOptions::PLAIN).is_err());
}
