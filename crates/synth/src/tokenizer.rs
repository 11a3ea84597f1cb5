//! Trains the base model's tokenizer: byte-level BPE, written as a Hugging Face `tokenizer.json`.
//!
//! In: texts and a vocabulary size. Out: the JSON of `tokenizer.json`, with Qwen2.5's control
//! tokens. Letters, single digits and runs of anything else are kept apart, so that
//! `target_temperature` and `target temperature` share their word tokens and JSON's punctuation
//! (`": "`) is one token. It does not know files, nor what the texts say.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// What may become one token: letters, one digit, or a run of anything else.
pub const PRE_TOKENIZER_PATTERN: &str = r"\p{L}+|\p{N}|[^\p{L}\p{N}]+";

/// Added tokens in the order of their ids, and whether each is special (Qwen2.5's names and flags).
const ADDED_TOKENS: &[(&str, bool)] = &[
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<tool_call>", false),
    ("</tool_call>", false),
];

/// Rarer words are left to be put together from parts.
const MIN_WORD_COUNT: u64 = 3;

/// Trains on `texts` and returns the JSON of `tokenizer.json`, at most `vocab_size` tokens in all.
///
/// Added tokens in a text are training text like any other; pass texts without them.
pub fn train_tokenizer(texts: impl Iterator<Item = String>, vocab_size: usize) -> Json {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        for word in words(&text) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_string(), 1);
                }
            }
        }
    }
    let alphabet = byte_alphabet();
    let mut vocabulary: Vec<String> = alphabet_tokens(&alphabet);
    let mut sequences: Vec<(Vec<usize>, u64)> = counts
        .iter()
        .filter(|(_, count)| **count >= MIN_WORD_COUNT)
        .map(|(word, count)| (byte_ids(word, &alphabet, &vocabulary), *count))
        .collect();
    let mut merges = Vec::new();
    while vocabulary.len() + ADDED_TOKENS.len() < vocab_size {
        let Some((left, right)) = most_frequent_pair(&sequences) else {
            break;
        };
        let id = vocabulary.len();
        merges.push(json!([vocabulary[left], vocabulary[right]]));
        vocabulary.push(format!("{}{}", vocabulary[left], vocabulary[right]));
        for (sequence, _) in &mut sequences {
            merge(sequence, left, right, id);
        }
    }
    tokenizer_json(&vocabulary, &merges)
}

/// Splits as [`PRE_TOKENIZER_PATTERN`] does (for the plain text that we train on).
fn words(text: &str) -> Vec<&str> {
    let class = |c: char| if c.is_alphabetic() { 0 } else { 1 + usize::from(c.is_numeric()) };
    let mut words = Vec::new();
    let mut start = 0;
    let mut previous = None;
    for (index, c) in text.char_indices() {
        let this = class(c);
        if previous.is_some_and(|previous| previous != this || this == 2) {
            words.push(&text[start..index]);
            start = index;
        }
        previous = Some(this);
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// GPT-2's printable stand-in for each byte.
fn byte_alphabet() -> Vec<char> {
    let mut next = 256;
    (0..=255_u8)
        .map(|byte| {
            if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        })
        .collect()
}

/// The 256 first tokens, in the order of their characters.
fn alphabet_tokens(alphabet: &[char]) -> Vec<String> {
    let mut chars = alphabet.to_vec();
    chars.sort_unstable();
    chars.iter().map(ToString::to_string).collect()
}

fn byte_ids(word: &str, alphabet: &[char], tokens: &[String]) -> Vec<usize> {
    word.bytes()
        .filter_map(|byte| {
            let token = alphabet[usize::from(byte)].to_string();
            tokens[..256].binary_search(&token).ok()
        })
        .collect()
}

/// The pair that occurs most; of several, the one of the smallest ids.
fn most_frequent_pair(sequences: &[(Vec<usize>, u64)]) -> Option<(usize, usize)> {
    let mut counts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (sequence, count) in sequences {
        for pair in sequence.windows(2) {
            *counts.entry((pair[0], pair[1])).or_default() += count;
        }
    }
    let mut best = None;
    for (pair, count) in counts {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((pair, count));
        }
    }
    best.filter(|(_, count)| *count >= MIN_WORD_COUNT).map(|(pair, _)| pair)
}

fn merge(sequence: &mut Vec<usize>, left: usize, right: usize, id: usize) {
    let mut index = 0;
    while index + 1 < sequence.len() {
        if sequence[index] == left && sequence[index + 1] == right {
            sequence[index] = id;
            sequence.remove(index + 1);
        }
        index += 1;
    }
}

fn tokenizer_json(vocabulary: &[String], merges: &[Json]) -> Json {
    let ids: Map<String, Json> =
        vocabulary.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added: Vec<Json> = ADDED_TOKENS
        .iter()
        .enumerate()
        .map(|(index, (content, special))| {
            json!({
                "id": vocabulary.len() + index, "content": content, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false, "special": special,
            })
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER_PATTERN}, "behavior": "Isolated", "invert": false},
            byte_level,
        ]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": ids, "merges": merges,
        },
    })
}
