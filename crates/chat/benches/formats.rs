//! How fast conversations become text, text becomes ids, and what models write becomes calls.
//!
//! `cargo bench -p toolsmith-chat`. Without more it works on the goldens' conversations; `TOOLSMITH_BENCH_DATA` names a JSON
//! array or JSONL file of conversations in any format that is recognised, `TOOLSMITH_BENCH_TOKENIZER` a `tokenizer.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use serde_json::Value;
use toolsmith_chat::data::{self, Conversation, Message, ToolCall};
use toolsmith_chat::template::{RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

const FAMILIES: [Template; 14] = Template::ALL;

fn main() {
    divan::main();
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

static CONVERSATIONS: LazyLock<Vec<Conversation>> = LazyLock::new(|| {
    let given = std::env::var_os("TOOLSMITH_BENCH_DATA").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| golden("qwen2.5/cases.jsonl"));
    let text = std::fs::read_to_string(&path).expect("the data can be read");
    let records: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|_| {
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    });
    let records =
        records.into_iter().map(|mut record| if given.is_some() { record } else { record["record"].take() });
    records.filter_map(|record| Some(data::read_recognised(record).ok()?.0)).collect()
});

static TOKENIZER: LazyLock<(Vec<u8>, ChatTokenizer)> = LazyLock::new(|| {
    let given = std::env::var_os("TOOLSMITH_BENCH_TOKENIZER").map(PathBuf::from);
    let bytes =
        std::fs::read(given.unwrap_or_else(|| golden("tokenizer.json"))).expect("the tokenizer can be read");
    let tokenizer = ChatTokenizer::from_bytes(&bytes).expect("a tokenizer");
    (bytes, tokenizer)
});

#[divan::bench(args = FAMILIES)]
fn render(bencher: Bencher<'_, '_>, template: Template) {
    let renders =
        |conversation: &&Conversation| template.render(conversation, &RenderOptions::TRAINING).is_ok();
    let conversations: Vec<_> = CONVERSATIONS.iter().filter(renders).collect();
    bencher.counter(ItemsCount::new(conversations.len())).bench_local(|| {
        for conversation in &conversations {
            let _ = black_box(template.render(conversation, &RenderOptions::TRAINING));
        }
    });
}

#[divan::bench]
fn encode_text(bencher: Bencher<'_, '_>) {
    let render = |conversation| Template::Qwen25.render(conversation, &RenderOptions::TRAINING).ok();
    let texts: Vec<String> =
        CONVERSATIONS.iter().filter_map(render).map(|rendered| rendered.text().to_owned()).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    let (_, tokenizer) = &*TOKENIZER;
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        for text in &texts {
            let _ = black_box(tokenizer.encode_text(text));
        }
    });
}

#[divan::bench]
fn load_tokenizer(bencher: Bencher<'_, '_>) {
    let (bytes, _) = &*TOKENIZER;
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| ChatTokenizer::from_bytes(black_box(bytes)).is_ok());
}

/// Streams what a model would have written, a thousand calls with prose between, in portions of four characters; time for
/// twice the text should be twice the time.
#[divan::bench(args = FAMILIES, consts = [4, 8])]
fn stream<const TIMES: usize>(bencher: Bencher<'_, '_>, template: Template) {
    let text: Vec<char> = answer(template).repeat(1000 * TIMES).chars().collect();
    let portions: Vec<String> = text.chunks(4).map(|portion| portion.iter().collect()).collect();
    bencher.counter(BytesCount::new(portions.iter().map(String::len).sum::<usize>())).bench_local(|| {
        let mut parser = template.stream_parser(None);
        for portion in &portions {
            black_box(parser.push(portion));
        }
        black_box(parser.finish())
    });
}

/// A call and some words, without what ends the turn.
fn answer(template: Template) -> String {
    let call = ToolCall::new("find", serde_json::json!({"query": "a \"b\" <c>", "limit": 3}));
    let mut conversation = Conversation::with_tools(Vec::new(), vec![Message::user("Find it.")]);
    let prompt = template.render(&conversation, &RenderOptions::PROMPT).expect("a question can be rendered");
    conversation.messages.push(Message::calls(vec![call]));
    let whole = template.render(&conversation, &RenderOptions::TRAINING).expect("a call can be rendered");
    let answer = whole.text().strip_prefix(prompt.text()).expect("a prompt is a prefix").trim_end();
    let stop =
        template.stop_tokens().iter().find(|stop| answer.ends_with(**stop)).copied().unwrap_or_default();
    format!("{}\nLet me see.\n", answer.trim_end_matches(stop))
}
