//! The tokenizer: what is refused, what never becomes control, and the view of a sample.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use toolsmith_chat::check;
use toolsmith_chat::data::{Conversation, Message};
use toolsmith_chat::template::{ModelFacts, RenderOptions, Template};
use toolsmith_chat::tokens::view::{self, Style};
use toolsmith_chat::tokens::{ChatTokenizer, TokenizerError};

fn golden_json() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn golden() -> ChatTokenizer {
    ChatTokenizer::from_json(golden_json()).unwrap()
}

/// A model that knows `<x>` itself, as one piece that merges make.
fn with_control_in_vocabulary(ignore_merges: bool) -> ChatTokenizer {
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": 4, "content": "<x>", "special": true, "normalized": false,
                          "single_word": false, "lstrip": false, "rstrip": false}],
        "model": {"type": "BPE", "ignore_merges": ignore_merges,
                  "vocab": {"<": 0, "x": 1, ">": 2, "<x": 3, "<x>": 4}, "merges": ["< x", "<x >"]},
    });
    ChatTokenizer::from_json(tokenizer).unwrap()
}

#[test]
fn text_cannot_become_a_control_token_that_the_model_itself_knows() {
    for ignore_merges in [false, true] {
        let tokenizer = with_control_in_vocabulary(ignore_merges);
        assert_eq!(tokenizer.encode_text("<x>").unwrap(), [3, 2]);
        assert_eq!(tokenizer.control_id("<x>"), Some(4));
        assert_eq!(tokenizer.decode(&[4, 3, 2]), "<x><x>");
    }
}

#[test]
fn broken_files_are_refused_with_a_reason() {
    let message = |bytes: &[u8]| ChatTokenizer::from_bytes(bytes).unwrap_err().to_string();
    assert!(message(b"{").starts_with("the tokenizer.json is not JSON: EOF"));
    assert_eq!(
        message(b"[]"),
        "the tokenizer.json cannot be used: a tokenizer.json must be a JSON object, found an array"
    );
    assert_eq!(message(b"{}"), "the tokenizer.json cannot be used: the config has no `model`");
    let mut tokenizer = golden_json();
    tokenizer["model"]["vocab"]["a"] = json!("seven");
    assert!(ChatTokenizer::from_json(tokenizer).is_err());
    let mut tokenizer = golden_json();
    tokenizer["model"]["vocab"]["a"] = json!(u32::MAX);
    assert!(ChatTokenizer::from_json(tokenizer).is_err());
}

#[test]
fn a_template_needs_its_control_tokens() {
    let mut tokenizer = golden_json();
    let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
    tokens.retain(|token| token["content"] != "<|im_start|>");
    let tokenizer = ChatTokenizer::from_json(tokenizer).unwrap();
    let conversation = Conversation::new(vec![Message::user("Hi")]);
    let rendered = Template::Qwen25.render(&conversation, &RenderOptions::PLAIN).unwrap();
    match tokenizer.encode(&rendered) {
        Err(TokenizerError::NoControlToken { token, known }) => {
            assert_eq!(token, "<|im_start|>");
            assert!(known.contains("<|im_end|>"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_beyond_the_vocabulary_spell_nothing() {
    let tokenizer = golden();
    let size = u32::try_from(tokenizer.vocab_size()).unwrap();
    assert_eq!(tokenizer.decode(&[size, u32::MAX]), "");
    assert_eq!(tokenizer.id_to_token(size), None);
    assert!(!tokenizer.is_control(size));
}

#[test]
fn characters_are_never_cut_in_a_stream() {
    let tokenizer = golden();
    let text = "深圳𠮷e\u{301}😀";
    let composed = "深圳𠮷é😀";
    let ids = tokenizer.encode_text(text).unwrap();
    let mut stream = tokenizer.decode_stream();
    let parts: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
    assert!(ids.len() > composed.chars().count());
    assert_eq!(parts.concat() + &stream.finish(), composed);
    assert!(parts.iter().all(|part| !part.contains(char::REPLACEMENT_CHARACTER)));
    // A character that never completes is replaced.
    let mut stream = tokenizer.decode_stream();
    assert_eq!((stream.push(ids[0]), stream.finish().as_str()), (String::new(), "\u{fffd}"));
}

#[test]
fn ids_and_names_of_control_tokens() {
    let tokenizer = golden();
    let end = tokenizer.control_id("<|im_end|>").unwrap();
    assert_eq!(tokenizer.id_to_token(end).as_deref(), Some("<|im_end|>"));
    assert_eq!(tokenizer.token_to_id("<|im_end|>"), Some(end));
    assert_eq!(tokenizer.control_ids(Template::Qwen25.stop_tokens()).first(), Some(&end));
    assert!(!tokenizer.encode_text("<|im_end|>").unwrap().contains(&end));
    let call = tokenizer.control_id("<tool_call>").unwrap();
    assert_eq!(tokenizer.decode_skipping_special(&[end, call, end]), "<tool_call>");
}

#[test]
fn an_answer_that_starts_with_a_newline_loses_the_token_it_shares_with_the_header() {
    let tokenizer = golden();
    let conversation = Conversation::new(vec![Message::user("Hi"), Message::assistant("\nHello")]);
    let rendered = Template::Qwen25.render(&conversation, &RenderOptions::TRAINING).unwrap();
    let encoded = tokenizer.encode(&rendered).unwrap();
    assert_eq!(encoded.straddling_tokens, 1);
    let codes: Vec<_> = check::check_encoded(&encoded).iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["straddling-token"]);
    let trained: Vec<u32> = encoded.labels.iter().filter_map(|label| u32::try_from(*label).ok()).collect();
    assert_eq!(tokenizer.decode(&trained), "Hello<|im_end|>");
}

#[test]
fn a_view_shows_what_is_trained() {
    let tokenizer = golden();
    let conversation = Conversation::new(vec![Message::user("Hi"), Message::assistant("深圳")]);
    let rendered = Template::Qwen25.render(&conversation, &RenderOptions::TRAINING).unwrap();
    let encoded = tokenizer.encode(&rendered).unwrap();
    let spans = view::spans(&tokenizer, &encoded.input_ids, &encoded.labels);
    let text: String = spans.iter().map(|span| span.text.as_str()).collect();
    assert_eq!(text, rendered.text());
    let tail: Vec<_> =
        spans.iter().rev().take(4).map(|span| (span.text.as_str(), span.style, span.trained)).collect();
    let expected = [
        ("\n", Style::Untrained, false),
        ("<|im_end|>", Style::Control, true),
        ("深圳", Style::Trained, true),
        ("assistant\n", Style::Untrained, false),
    ];
    assert_eq!(tail, expected);
    assert_eq!(spans.iter().map(|span| span.tokens).sum::<usize>(), encoded.input_ids.len());
    let tokens = view::tokens(&tokenizer, &encoded.input_ids, &encoded.labels);
    assert_eq!(tokens.len(), encoded.input_ids.len());
    assert!(tokens.iter().all(|token| token.label == -100 || token.label == token.id.cast_signed()));
}

#[test]
fn templates_are_recognised_by_what_the_folder_says() {
    let facts = |model_type: &str, template: Option<&str>, added: &[&str]| {
        let config = json!({"model_type": model_type});
        let tokenizer_config = template.map(|template| json!({"chat_template": template}));
        let added = added.iter().map(|name| (*name).to_owned()).collect();
        ModelFacts::new(Some(&config), tokenizer_config.as_ref(), None, added)
    };
    let recognise = |facts: ModelFacts| Template::recognise(&facts);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/base/chat_template.jinja");
    let ours = fs::read_to_string(path).unwrap();
    assert_eq!(recognise(facts("llama", Some(&ours), &[])), Some(Template::Qwen25));
    let qwen = ["<|im_start|>", "<|im_end|>", "<tool_call>"];
    assert_eq!(recognise(facts("qwen2", None, &qwen)), Some(Template::Qwen25));
    let glm = ["[gMASK]", "<sop>", "<|user|>", "<|observation|>"];
    assert_eq!(recognise(facts("chatglm", None, &glm)), Some(Template::Glm4));
    assert_eq!(recognise(facts("glm", None, &glm)), Some(Template::Glm4));
    assert_eq!(recognise(facts("glm4", None, &glm)), Some(Template::Glm40414));
    let chatglm3 = ["[gMASK]", "sop", "<|user|>", "<|observation|>"];
    assert_eq!(recognise(facts("chatglm", None, &chatglm3)), Some(Template::ChatGlm3));
    let jinja =
        "{% for message in messages %}{% if loop.first %}[gMASK]sop<|{{ message['role'] }}|>\n {{ … }}";
    assert_eq!(recognise(facts("chatglm", Some(jinja), &chatglm3)), Some(Template::ChatGlm3));
    let glm45 = [&glm[..], &["<think>", "<arg_key>", "/nothink"]].concat();
    assert_eq!(recognise(facts("glm4_moe", None, &glm45)), Some(Template::Glm45));
    // Other formats are not guessed at: GLM-4.5 without its tags, Qwen3, a plain ChatML, a template nobody knows.
    assert_eq!(recognise(facts("glm4_moe", None, &glm)), None);
    assert_eq!(
        recognise(facts("qwen2", None, &["<|im_start|>", "<|im_end|>", "<tool_call>", "<think>"])),
        None
    );
    assert_eq!(recognise(facts("qwen2", Some("<|im_start|>{{ messages }}"), &qwen)), None);
    assert_eq!(recognise(facts("qwen2", Some(&format!("{ours}<think>")), &qwen)), None);
    assert_eq!(recognise(ModelFacts::default()), None);
}
