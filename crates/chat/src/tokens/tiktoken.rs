//! tiktoken files: `qwen.tiktoken`, GLM-4's `tokenizer.model`.
//!
//! In: lines of a piece in base64 and its rank, which is its id. Out: a [`Pipeline`] that gives the ids tiktoken gives, and
//! the [`Vocabulary`]. Such a file says neither how text is cut into words nor what the control tokens are:
//! [`TiktokenFamily`] knows.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tokenizers::utils::byte_level::BYTES_CHAR_LOOKUP;

use super::TokenizerError;
use super::byte_bpe::ByteBpe;
use super::family::{self, TiktokenFamily};
use super::pipeline::{Model, Pipeline};
use super::vocabulary::{Alphabet, Spelling, Vocabulary};

/// Longest piece (bytes). The longest seen has 512.
const LONGEST: usize = 1024;

pub(super) fn read(
    bytes: &[u8],
    tokenizer_config: Option<&Json>,
) -> Result<(Pipeline, Vocabulary), TokenizerError> {
    let pieces = parse(bytes)?;
    let family = TiktokenFamily::recognise(pieces.len(), tokenizer_config).ok_or_else(|| {
        let class = family::class(tokenizer_config)
            .map_or_else(|| "nothing".to_owned(), |class| format!("{class:?}"));
        TokenizerError::UnknownTiktoken { ranks: pieces.len(), class }
    })?;
    let unusable = |reason: String| TokenizerError::Tiktoken { line: pieces.len(), reason };
    let ranks = u32::try_from(pieces.len()).map_err(|_| unusable("too many pieces".to_owned()))?;
    let mut added = family.control_tokens(ranks);
    family::add_configured(&mut added, tokenizer_config);
    added.retain(|added| added.id >= ranks);

    let spelled: Vec<String> = pieces.iter().map(|piece| spell(piece)).collect();
    let spelling = Spelling { alphabet: Alphabet::ByteLevel, leading_space: false };
    let with_ids = (0..).zip(spelled.iter().map(String::as_str));
    let vocabulary = Vocabulary::new(with_ids, added, spelling).map_err(unusable)?;

    let pieces = spelled.iter().map(String::as_str).zip(0..);
    let model =
        ByteBpe::from_ranks(pieces, &vocabulary).ok_or_else(|| unusable("a byte has no piece".to_owned()))?;
    let parts = json!({
        "version": "2.0",
        "normalizer": family.composes().then(|| json!({"type": "NFC"})),
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": family.words()}, "behavior": "Isolated", "invert": false},
    });
    let pipeline = Pipeline::new(parts, Model::Bytes(model)).map_err(unusable)?;
    Ok((pipeline, vocabulary))
}

/// The pieces in the order of their ranks.
fn parse(bytes: &[u8]) -> Result<Vec<Vec<u8>>, TokenizerError> {
    let mut lines: Vec<(usize, u32, Vec<u8>)> = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            let (rank, piece) =
                parse_line(line).map_err(|reason| TokenizerError::Tiktoken { line: number, reason })?;
            lines.push((number, rank, piece));
        }
    }
    lines.sort_by_key(|(number, rank, _)| (*rank, *number));
    let mut seen: HashMap<&[u8], usize> = HashMap::with_capacity(lines.len());
    for (expected, (number, rank, piece)) in lines.iter().enumerate() {
        let fail = |reason| Err(TokenizerError::Tiktoken { line: *number, reason });
        if (*rank as usize) < expected {
            return fail(format!("rank {rank} again; line {} has it too", lines[expected - 1].0));
        }
        if *rank as usize > expected {
            return fail(format!(
                "rank {rank}, but no line has rank {expected}; expected every rank from 0 on once"
            ));
        }
        if let Some(first) = seen.insert(piece, *number) {
            return fail(format!("the same piece as in line {first}"));
        }
    }
    if let Some(byte) = (0..=255).find(|byte| !seen.contains_key([*byte].as_slice())) {
        let line = bytes.split(|byte| *byte == b'\n').count();
        let reason = format!("the file ends without a piece for the byte 0x{byte:02X}, which text needs");
        return Err(TokenizerError::Tiktoken { line, reason });
    }
    drop(seen);
    Ok(lines.into_iter().map(|(_, _, piece)| piece).collect())
}

fn parse_line(line: &[u8]) -> Result<(u32, Vec<u8>), String> {
    let shown = || String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
    let space = line.iter().position(|byte| *byte == b' ');
    let Some(space) = space else {
        return Err(format!("expected a piece in base64, a space and a rank, found {:?}", shown()));
    };
    let (piece, rank) = (&line[..space], &line[space + 1..]);
    let number = std::str::from_utf8(rank).ok().and_then(|rank| rank.parse::<u32>().ok());
    let rank = number.ok_or_else(|| format!("the rank is no number: {:?}", shown()))?;
    // Four characters of base64 are three bytes.
    if piece.len() / 4 * 3 > LONGEST + 2 {
        return Err(format!("a piece of more than {LONGEST} bytes"));
    }
    match STANDARD.decode(piece) {
        Ok(piece) if piece.is_empty() => Err("a piece without bytes".to_owned()),
        Ok(piece) => Ok((rank, piece)),
        Err(error) => Err(format!("the piece is not whole base64 ({error}): {:?}", shown())),
    }
}

/// In the alphabet in which the crate expects byte-level pieces.
fn spell(piece: &[u8]) -> String {
    piece.iter().map(|byte| BYTES_CHAR_LOOKUP[usize::from(*byte)]).collect()
}
