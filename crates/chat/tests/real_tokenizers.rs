//! Checks with the tokenizers of real models, which are no part of the project (see `shared/mod.rs`).
//! `cargo test --release -p toolsmith-chat --test real_tokenizers -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod shared;

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use toolsmith_chat::data::{self, SourceFormat};
use toolsmith_chat::template::{RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

const NAMES: [&str; 5] = ["qwen2_5", "glm4", "glm4.5", "llama3_1", "chatglm3"];

const HARD: [&str; 9] = [
    "Hello, world! It's 3.14159 o'clock; don't you'Re WE'LL",
    "深圳今天的天气怎么样？气温25℃，「你好」『世界』 ㍿㌔",
    "Привет, мир! Ελληνικά עברית العربية हिन्दी ไทย 한국어 日本語",
    "👍🏽 👨\u{200d}👩\u{200d}👧 🇩🇪 ☃\u{fe0f} 𠮷野家 𝔘𝔫 \u{10ffff}",
    " \t\n\r\n \n\n\n   \u{a0}\u{2003}\u{3000}\u{200b}\u{feff}\u{85}\u{b}\u{c} end   ",
    "\0\u{1}\u{7}\u{1b}[0m\u{7f}\u{80}\u{ad}",
    "def f(x):\n    return {\"a\": [1, 2.5e-10]}  # c\n\n\tpass\n",
    "0 00 000 1234567890 ٠١٢٣ ①②③ ¾",
    "'ſ 'S ǅ İ ß ΐ",
];

fn tokenizer(name: &str) -> ChatTokenizer {
    let start = Instant::now();
    let tokenizer = shared::tokenizer(name);
    println!("{name}: loaded in {:.2} s", start.elapsed().as_secs_f64());
    tokenizer
}

/// The names of the added tokens, whole, in pieces, next to letters, spaces and each other.
fn texts_around(names: &[String]) -> Vec<String> {
    let mut texts: Vec<String> = HARD.iter().map(|text| (*text).to_owned()).collect();
    for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
        let middle = (0..name.len() / 2 + 1).rev().find(|at| name.is_char_boundary(*at)).unwrap();
        texts.extend([
            name.clone(),
            format!(" {name} "),
            format!("\n\n{name}\n"),
            format!("a{name}b"),
            format!("{name}{next}{name}"),
            format!("{}{name}{}", &name[..middle], &name[middle..]),
            format!("深{name}\u{301}"),
        ]);
    }
    texts
}

#[test]
#[ignore = "needs the tokenizers of real models"]
fn no_text_becomes_a_control_token_and_every_text_comes_back() {
    for name in NAMES {
        let tokenizer = tokenizer(name);
        let names: Vec<String> = tokenizer.added_tokens().map(str::to_owned).collect();
        let texts = texts_around(&names);
        for text in &texts {
            let ids = tokenizer.encode_text(text).unwrap();
            assert!(ids.iter().all(|id| !tokenizer.is_control(*id)), "{name}: {text:?} is {ids:?}");
            let back = tokenizer.decode(&ids);
            // Qwen composes text; what that changes is left to the comparison with the reference.
            if name != "qwen2_5" || !text.contains(['\u{301}', '\u{fe0f}']) {
                assert_eq!(&back, text, "{name}: {ids:?}");
            }
        }
        println!("{name}: {} texts around {} added tokens", texts.len(), names.len());
    }
}

#[test]
#[ignore = "needs the tokenizers of real models"]
fn no_content_of_a_conversation_becomes_a_control_token() {
    for (name, template) in [("qwen2_5", Template::Qwen25), ("glm4", Template::Glm4)] {
        let tokenizer = tokenizer(name);
        let names: Vec<String> = tokenizer.added_tokens().map(str::to_owned).collect();
        let count = |content: &str| {
            let record = json!({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": content}]});
            let conversation = data::read_record(record, SourceFormat::OpenAi).unwrap();
            let rendered = template.render(&conversation, &RenderOptions::TRAINING).unwrap();
            let encoded = tokenizer.encode(&rendered).unwrap();
            assert_eq!(tokenizer.decode(&encoded.input_ids), rendered.text());
            encoded.input_ids.iter().filter(|id| tokenizer.is_control(**id)).count()
        };
        let plain = count("x");
        for text in texts_around(&names).iter().filter(|text| !text.contains(['\u{301}', '\u{fe0f}'])) {
            assert_eq!(count(text), plain, "{name}: {text:?}");
        }
    }
}

/// A tiktoken file of the same vocabulary.
fn as_tiktoken(tokenizer: &ChatTokenizer, ranks: u32) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut file = String::new();
    for rank in 0..ranks {
        for group in tokenizer.token_bytes(rank).chunks(3) {
            let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
            for place in 0..4 {
                let letter = LETTERS[bits >> (18 - 6 * place) & 63];
                file.push(if place <= group.len() { char::from(letter) } else { '=' });
            }
        }
        file.push_str(&format!(" {rank}\n"));
    }
    file
}

#[test]
#[ignore = "needs the tokenizers of real models"]
fn a_tiktoken_file_of_the_same_vocabulary_gives_the_same_ids() {
    for (name, ranks) in [("glm4", 151_329), ("qwen2_5", 151_643), ("llama3_1", 128_000)] {
        let json = tokenizer(name);
        let file = as_tiktoken(&json, ranks);
        let start = Instant::now();
        let tiktoken = ChatTokenizer::from_file(file.as_bytes(), None).unwrap();
        println!("{name}: loaded from tiktoken in {:.2} s", start.elapsed().as_secs_f64());
        let names: Vec<String> = json.added_tokens().map(str::to_owned).collect();
        // Every piece as a text, then hard texts.
        let pieces = (0..ranks).filter_map(|id| String::from_utf8(json.token_bytes(id).to_vec()).ok());
        let texts: Vec<String> = pieces.chain(texts_around(&names)).collect();
        for text in &texts {
            assert_eq!(
                tiktoken.encode_text(text).unwrap(),
                json.encode_text(text).unwrap(),
                "{name}: {text:?}"
            );
        }
        println!("{name}: {} texts the same", texts.len());
        if name == "glm4" {
            for control in names {
                assert_eq!(tiktoken.control_id(&control), json.control_id(&control), "{control}");
            }
        }
    }
}

/// A SentencePiece model of the same vocabulary, its pieces in the order of the merges.
fn as_sentencepiece(file: &Value) -> Vec<u8> {
    let length = |bytes: &[u8]| {
        let (mut rest, mut varint) = (bytes.len(), Vec::new());
        while rest > 127 {
            varint.push((rest & 127) as u8 | 128);
            rest >>= 7;
        }
        varint.push(rest as u8);
        varint
    };
    let field = |number: u8, bytes: &[u8]| [vec![number << 3 | 2], length(bytes), bytes.to_vec()].concat();
    let mut pieces: Vec<(u64, &str)> = file["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(piece, id)| (id.as_u64().unwrap(), piece.as_str()))
        .collect();
    pieces.sort_unstable();
    let mut model = Vec::new();
    for (place, (id, text)) in pieces.into_iter().enumerate() {
        assert_eq!(place as u64, id);
        let kind = match text {
            "<unk>" => 2,
            "<s>" | "</s>" => 3,
            text if text.len() == 6 && text.starts_with("<0x") => 6,
            _ => 1,
        };
        let mut piece = field(1, text.as_bytes());
        piece.push(0x15);
        piece.extend((-(id as f32)).to_le_bytes());
        piece.extend([0x18, kind]);
        model.extend(field(1, &piece));
    }
    // BPE, byte fallback; no map of characters, a space before the text, no spaces removed.
    model.extend(field(2, &[0x18, 2, 0x98, 0x02, 1]));
    model.extend(field(3, &[0x20, 0]));
    model
}

#[test]
#[ignore = "needs the tokenizers of real models"]
fn a_sentencepiece_model_of_chatglm3s_vocabulary_gives_the_same_ids() {
    let json = tokenizer("chatglm3");
    let file = shared::json("tokenizers/chatglm3/tokenizer.json");
    let model = as_sentencepiece(&file);
    if let Some(path) = std::env::var_os("TOOLSMITH_WRITE_MODEL") {
        fs::write(path, &model).unwrap();
    }
    let config = json!({"tokenizer_class": "ChatGLMTokenizer"});
    let start = Instant::now();
    let ours = ChatTokenizer::from_file(&model, Some(&config)).unwrap();
    println!("chatglm3: loaded from SentencePiece in {:.2} s", start.elapsed().as_secs_f64());
    let names: Vec<String> = json.added_tokens().map(str::to_owned).collect();
    for control in &names {
        assert_eq!(ours.control_id(control), json.control_id(control), "{control}");
    }
    assert_eq!(ours.encode_text("\n").unwrap(), [30910, 13]);
    let texts = texts_around(&names);
    let (mut same, mut different) = (0, Vec::new());
    for text in &texts {
        match ours.encode_text(text).unwrap() == json.encode_text(text).unwrap() {
            true => same += 1,
            false => different.push(text),
        }
    }
    println!("chatglm3: {same} texts the same; different: {different:?}");
    assert!(different.is_empty());
}
