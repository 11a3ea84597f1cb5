//! A SentencePiece model with any pieces and rules: read, and a text encoded and decoded with it.
//!
//! Input: draws, of which a well-formed protocol buffer is written.
#![no_main]

use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_fuzz::arbitrary::{Result, Unstructured};
use toolsmith_fuzz::fuzz_target;

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn flag(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

fn piece(text: &str, score: f32, kind: u64) -> Vec<u8> {
    let mut piece = Vec::new();
    field(&mut piece, 1, text.as_bytes());
    piece.push(0x15);
    piece.extend(score.to_le_bytes());
    flag(&mut piece, 3, kind);
    piece
}

fn model(u: &mut Unstructured<'_>) -> Result<(Vec<u8>, String)> {
    const TEXTS: [&str; 16] = [
        "▁", "a", "b", "ab", "▁a", "▁ab", "abab", "ba", "aa", "aaaa", "深", "深圳", "e\u{301}", "\u{301}",
        "\n", " ",
    ];
    let mut file = Vec::new();
    field(&mut file, 1, &piece("<unk>", 0.0, 2));
    if u.arbitrary()? {
        for byte in 0..=255_u8 {
            field(&mut file, 1, &piece(&format!("<0x{byte:02X}>"), 0.0, 6));
        }
    }
    for _ in 0..u.int_in_range(0..=12)? {
        let text: &str = if u.ratio(3, 4)? { u.choose(&TEXTS)? } else { u.arbitrary()? };
        let score = if u.arbitrary()? { u.arbitrary()? } else { -f32::from(u.arbitrary::<u8>()?) };
        field(&mut file, 1, &piece(text, score, if u.ratio(3, 4)? { 1 } else { u.int_in_range(0..=7)? }));
    }
    let mut trainer = Vec::new();
    flag(&mut trainer, 3, u.int_in_range(0..=4)?);
    flag(&mut trainer, 24, u.int_in_range(0..=1)?);
    flag(&mut trainer, 35, u.int_in_range(0..=1)?);
    field(&mut file, 2, &trainer);
    let mut normalizer = Vec::new();
    for number in 3..=5 {
        flag(&mut normalizer, number, u.int_in_range(0..=1)?);
    }
    if u.arbitrary()? {
        let length = u.int_in_range(0..=64)?;
        field(&mut normalizer, 2, u.bytes(u.len().min(length))?);
    }
    field(&mut file, 3, &normalizer);
    let mut text = String::new();
    for _ in 0..u.int_in_range(0..=12)? {
        text.push_str(u.choose(&TEXTS)?);
    }
    text.push_str(u.arbitrary()?);
    Ok((file, text))
}

/// A character that no model has, since what stands for those is marked as a control token.
const UNKNOWN: &str = "\u{10fffd}";

fuzz_target!(|input: &[u8]| {
    let Ok((file, text)) = model(&mut Unstructured::new(input)) else { return };
    let Ok(tokenizer) = ChatTokenizer::from_file(&file, None) else { return };
    let Ok(ids) = tokenizer.encode_text(&text) else { return };
    let unknown = tokenizer.encode_text(UNKNOWN).unwrap_or_default();
    for id in ids.iter().copied() {
        assert!(!tokenizer.is_control(id) || unknown.contains(&id), "{ids:?}");
        assert!((id as usize) < tokenizer.vocab_size(), "{ids:?}");
    }
    let _text = tokenizer.decode(&ids);
});
