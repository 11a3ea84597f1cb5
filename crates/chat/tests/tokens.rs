//! The tokenizer: what is refused, what never becomes control, and the view of a sample.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use toolsmith_chat::check;
use toolsmith_chat::data::{Conversation, Message};
use toolsmith_chat::template::{ModelFacts, RenderOptions, Template};
use toolsmith_chat::tokens::view::{self, Style};
use toolsmith_chat::tokens::{ChatTokenizer, IGNORE_INDEX, PartWeights, TokenizerError};

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
        "the tokenizer.json cannot be used: invalid type: sequence, expected the JSON object of a tokenizer.json at line 1 column 0"
    );
    assert_eq!(message(b"{}"), "the tokenizer.json cannot be used: it has no \"model\"");
    let mut tokenizer = golden_json();
    tokenizer["model"]["vocab"]["a"] = json!("seven");
    assert!(ChatTokenizer::from_json(tokenizer).is_err());
    let mut tokenizer = golden_json();
    tokenizer["model"]["vocab"]["a"] = json!(u32::MAX);
    assert!(ChatTokenizer::from_json(tokenizer).is_err());
}

#[test]
fn hostile_models_are_refused_not_panicked_about() {
    let message = |model: Value| ChatTokenizer::from_json(json!({"model": model})).unwrap_err().to_string();
    let bpe = |vocab: Value, merges: Value| message(json!({"type": "BPE", "vocab": vocab, "merges": merges}));
    assert!(bpe(json!({}), json!([])).ends_with("its vocabulary is empty"));
    assert!(bpe(json!({"x".repeat(70_000): 0}), json!([])).ends_with("a piece of 70000 bytes"));
    assert!(bpe(json!({"a": 0, "b": 1}), json!(["a b"])).ends_with("makes no piece of its vocabulary"));
    assert!(bpe(json!({"a": 0, "bb": 1}), json!(["a a"])).contains("out of vocabulary"));
    assert!(bpe(json!({"a": 0}), json!(["a b c"])).contains("is not two pieces with a space between"));
    assert!(bpe(json!({"a": 0}), json!([["a"]])).contains("a merge that is not a pair"));
    assert!(bpe(json!({"a": -1}), json!([])).contains("expected u32"));
    assert!(bpe(json!({"a": 1 << 25}), json!([])).ends_with("an id above 16 million"));
    let prefix = json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "continuing_subword_prefix": "###"});
    assert!(message(prefix).ends_with("makes no piece of its vocabulary"));
    assert!(message(json!({"type": "WordPiece", "vocab": {"a": 0}})).contains("of the kind \"WordPiece\""));
    assert!(message(json!({"type": "Unigram", "vocab": [["a", "b"]]})).contains("invalid type"));
    assert!(message(json!({"type": "Unigram", "vocab": [["a", 0.5]], "unk_id": 9})).contains("unk_id"));
}

#[test]
fn added_tokens_are_unlearned_by_id_and_in_unigram_models() {
    // Spelled in bytes, the name is another text than in the vocabulary.
    let mut tokenizer = golden_json();
    let vocab = tokenizer["model"]["vocab"].as_object().unwrap();
    let (word, id) =
        vocab.iter().find(|(piece, _)| piece.starts_with('Ġ') && piece.chars().count() > 3).unwrap();
    let (name, id) = (word.replace('Ġ', " "), id.clone());
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({"id": id, "content": name}));
    let tokenizer = ChatTokenizer::from_json(tokenizer).unwrap();
    let id = tokenizer.control_id(&name).unwrap();
    let ids = tokenizer.encode_text(&name).unwrap();
    assert!(!ids.contains(&id));
    assert_eq!(tokenizer.decode(&ids), name);

    let unigram = json!({"added_tokens": [{"id": 0, "content": "<unk>"}, {"id": 1, "content": "</s>"}], "model": {
        "type": "Unigram", "unk_id": 0,
        "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["<", -3.0], ["/", -3.0], ["s", -3.0], [">", -3.0], ["/s", -4.0]]}});
    let tokenizer = ChatTokenizer::from_json(unigram).unwrap();
    assert_eq!(tokenizer.encode_text("</s>").unwrap(), [2, 6, 5]);
    assert_eq!(tokenizer.decode(&[1, 2, 6, 5]), "</s></s>");
}

#[test]
fn an_added_token_that_text_cannot_be_spelled_without_is_text() {
    let tokenizer = json!({"added_tokens": [{"id": 0, "content": "a"}, {"id": 2, "content": "ab"}],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}});
    let tokenizer = ChatTokenizer::from_json(tokenizer).unwrap();
    assert_eq!(tokenizer.added_tokens().collect::<Vec<_>>(), ["ab"]);
    assert_eq!(tokenizer.encode_text("ab").unwrap(), [0, 1]);
}

#[test]
fn white_space_that_a_control_token_takes_is_not_encoded() {
    let ids_with = |flags: &[&str]| {
        let mut tokenizer = golden_json();
        for token in tokenizer["added_tokens"].as_array_mut().unwrap() {
            for flag in flags {
                token[*flag] = json!(true);
            }
        }
        let tokenizer = ChatTokenizer::from_json(tokenizer).unwrap();
        let conversation = Conversation::new(vec![Message::user("Hi"), Message::assistant("Yes")]);
        let rendered = Template::Qwen25.render(&conversation, &RenderOptions::TRAINING).unwrap();
        let encoded = tokenizer.encode(&rendered).unwrap();
        assert_eq!(encoded.input_ids.len(), encoded.labels.len());
        tokenizer.decode(&encoded.input_ids)
    };
    let whole = ids_with(&[]);
    assert!(whole.contains("<|im_end|>\n<|im_start|>"));
    let stripped = whole.replace("<|im_end|>\n", "<|im_end|>");
    assert_eq!(ids_with(&["rstrip"]), stripped);
    // The newline at the very end stands before no token.
    assert_eq!(ids_with(&["lstrip"]), stripped + "\n");
    assert_eq!(ids_with(&["single_word", "normalized"]), whole);
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

#[test]
fn parts_of_an_answer_weigh_what_they_are_given() {
    let call = toolsmith_chat::data::ToolCall::new("walk", json!({"far": "yes", "steps": 12}));
    let answer =
        Message { tool_calls: vec![call], ..Message::new(toolsmith_chat::data::Role::Assistant, "well") };
    let conversation = Conversation::new(vec![Message::user("walk"), answer]);
    let tokenizer = golden();
    let weights = PartWeights { name: 2.0, argument_key: 3.0, argument_value: 4.0, prose: 5.0 };
    for template in Template::ALL {
        let rendered = template.render(&conversation, &RenderOptions::TRAINING).unwrap();
        let Ok((encoded, weights)) = tokenizer.encode_weighted(&rendered, &weights) else {
            continue; // The golden tokenizer does not have this family's control tokens.
        };
        let text = |weight: f32| -> String {
            let trained = encoded.labels.iter().zip(&weights).filter(|(label, _)| **label != IGNORE_INDEX);
            let ids = trained.filter(|(_, found)| **found == weight).map(|(label, _)| label.cast_unsigned());
            tokenizer.decode(&ids.collect::<Vec<_>>())
        };
        assert_eq!(encoded, tokenizer.encode(&rendered).unwrap());
        assert!(text(2.0).contains("walk"), "{template}: {:?}", text(2.0));
        assert!(text(3.0).contains("far") && text(3.0).contains("steps"), "{template}: {:?}", text(3.0));
        assert!(text(4.0).contains("yes") && text(4.0).contains("12"), "{template}: {:?}", text(4.0));
        assert_eq!(text(5.0), "well", "{template}");
        assert!(!text(1.0).contains("walk") && !text(1.0).contains("yes"), "{template}: {:?}", text(1.0));
    }
}
