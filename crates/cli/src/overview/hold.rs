//! The second pass: everything that the page shows of the conversations chosen.
//!
//! In: the files again, and which records are wanted. Out: each as JSON, with what they have in common told once: the
//! texts of tokens and the definitions of tools. Records that nobody asked for are read and dropped.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::bail;
use serde::Serialize;
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::Chunk;

use super::choose::Chosen;
use super::collect::{Dataset, Overview};
use super::made::Made;
use super::shown::Shown;

/// What the page holds of the conversations chosen.
pub(crate) struct Held {
    /// Their titles, in input order.
    pub(crate) titles: Vec<String>,
    /// Each as JSON for a script element, in the same order.
    pub(crate) conversations: Vec<String>,
    /// Every token that occurs in them.
    pub(crate) tokens: Vec<Token>,
    /// Every tool definition that occurs in them.
    pub(crate) definitions: Vec<String>,
}

/// A token of the vocabulary.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    id: u32,
    text: TokenText,
    control: bool,
}

/// What a token spells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum TokenText {
    Text(String),
    /// Part of a character.
    Bytes(Vec<u8>),
}

/// Reads the records chosen; `progress` hears how many bytes were read.
pub(crate) fn hold(
    dataset: &Dataset<'_>,
    overview: &Overview,
    chosen: &Chosen,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Held> {
    let wanted: HashSet<(usize, usize)> = chosen
        .records
        .iter()
        .map(|&record| &overview.records[record])
        .map(|r| (r.file, r.place.index))
        .collect();
    let work = |chunk: Chunk| {
        let format = dataset.format_of(chunk.source);
        let wanted = chunk.records.iter().filter(|raw| wanted.contains(&(chunk.source, raw.place.index)));
        wanted.map(|raw| Shown::new(&Made::new(dataset.maker, format, raw), raw)).collect::<Vec<_>>()
    };
    let mut held = Held { titles: vec![], conversations: vec![], tokens: vec![], definitions: vec![] };
    let mut ids = BTreeSet::new();
    let mut known = HashMap::new();
    let mut failed = None;
    toolsmith_prepare::map_chunks(dataset.files, &dataset.pipeline, &work, &mut |shown, bytes_read| {
        for mut conversation in shown {
            for sample in &conversation.samples {
                ids.extend(sample.ids.iter().copied());
            }
            for definition in std::mem::take(&mut conversation.definitions) {
                let index = *known.entry(definition).or_insert_with_key(|definition| {
                    held.definitions.push(definition.clone());
                    held.definitions.len() - 1
                });
                conversation.tools.push(index);
            }
            match script_json(&conversation) {
                Ok(json) => held.conversations.push(json),
                Err(error) => failed = Some(error),
            }
            held.titles.push(conversation.title);
        }
        progress(bytes_read);
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if held.titles.len() != chosen.records.len() {
        bail!(
            "the data changed while it was read: {} of the {} conversations chosen were found again. Run it once more",
            held.titles.len(),
            chosen.records.len()
        );
    }
    held.tokens = ids.into_iter().map(|id| token(dataset.maker.tokenizer, id)).collect();
    Ok(held)
}

fn token(tokenizer: &ChatTokenizer, id: u32) -> Token {
    let bytes = tokenizer.token_bytes(id);
    let text = match str::from_utf8(bytes) {
        Ok(text) => TokenText::Text(text.to_owned()),
        Err(_) => TokenText::Bytes(bytes.to_vec()),
    };
    Token { id, text, control: tokenizer.is_control(id) }
}

/// JSON that can stand in a script element: no text in it can end the element or begin a comment.
pub(crate) fn script_json(value: &impl Serialize) -> serde_json::Result<String> {
    // `<` stands in JSON only within strings, where its escape means the same.
    let json = serde_json::to_string(value)?;
    Ok(json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_script_element() {
        let hostile = "</script><!--<img src=x onerror=alert(1)>\u{2028}\u{202e}\0";
        let json = script_json(&[hostile]).unwrap();
        assert!(!json.contains('<') && !json.contains('\u{2028}') && !json.contains('\0'), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [hostile]);
    }
}
