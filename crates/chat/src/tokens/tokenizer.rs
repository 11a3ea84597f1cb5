//! The tokenizer: loading, and text that is never control.
//!
//! In: the bytes of a `tokenizer.json`, of this or an earlier version of its format. Out: a [`ChatTokenizer`], cheap to
//! clone and to share between threads. It holds the `tokenizers` crate's pipeline *without* the added tokens, so no text
//! that goes through it can become one.

use std::sync::Arc;

use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer, normalize_all};

use super::regex_split::RegexSplit;
use super::vocabulary::Vocabulary;
use super::{DecodeStream, TokenizerError};
use crate::json::Json;

/// A model's tokenizer.
#[derive(Clone)]
pub struct ChatTokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    pipeline: PipelineTokenizer,
    regex_split: Option<RegexSplit>,
    options: EncodeOptions,
    vocabulary: Vocabulary,
}

impl std::fmt::Debug for ChatTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl ChatTokenizer {
    /// Reads a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let tokenizer: Json = serde_json::from_slice(bytes)
            .map_err(|error| TokenizerError::NotJson { reason: error.to_string() })?;
        Self::from_json(tokenizer)
    }

    /// Reads the JSON value of a `tokenizer.json`.
    pub fn from_json(mut tokenizer: Json) -> Result<Self, TokenizerError> {
        let unusable = |reason: String| TokenizerError::Unusable { reason };
        tokenizers::canonicalize_value(&mut tokenizer).map_err(|error| unusable(error.to_string()))?;
        let vocabulary = Vocabulary::new(&tokenizer)?;
        if let Json::Object(root) = &mut tokenizer {
            root.insert("added_tokens".to_owned(), Json::Array(Vec::new()));
            for key in ["post_processor", "padding", "truncation"] {
                root.insert(key.to_owned(), Json::Null);
            }
            unlearn_added(root.get_mut("model"), &vocabulary);
        }
        let regex_split = RegexSplit::take_from(&mut tokenizer).map_err(unusable)?;
        let pipeline = tokenizers::from_json(&tokenizer.to_string());
        let pipeline = pipeline.map_err(|error| unusable(error.to_string()))?;
        let options = EncodeOptions {
            add_special_tokens: false,
            encode_special_tokens: true,
            padding: Override::Off,
            truncation: Override::Off,
        };
        Ok(Self { inner: Arc::new(Inner { pipeline, regex_split, options, vocabulary }) })
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary().size()
    }

    /// The names of the added tokens (the control tokens), in the file's order.
    pub fn added_tokens(&self) -> impl Iterator<Item = &str> {
        self.vocabulary().added().iter().map(|added| added.name.as_str())
    }

    /// Whether an id is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary().added_by_id(id).is_some()
    }

    /// The id of a control token, by its name.
    pub fn control_id(&self, name: &str) -> Option<u32> {
        self.vocabulary().added_by_name(name).map(|added| added.id)
    }

    /// The ids of those of these control tokens that the tokenizer has: what generation stops at.
    pub fn control_ids(&self, names: &[&str]) -> Vec<u32> {
        names.iter().filter_map(|name| self.control_id(name)).collect()
    }

    /// The id that spells exactly this text: a control token, or the one token that the text encodes to.
    pub fn token_to_id(&self, text: &str) -> Option<u32> {
        self.control_id(text).or_else(|| match self.encode_text(text).as_deref() {
            Ok([id]) => Some(*id),
            _ => None,
        })
    }

    /// What an id spells, bytes that are no UTF-8 replaced; `None` for an id that the tokenizer does not have.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.vocabulary().knows(id).then(|| String::from_utf8_lossy(self.vocabulary().bytes(id)).into_owned())
    }

    /// The bytes that an id spells; none for an id that the tokenizer does not have.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary().bytes(id)
    }

    /// The ids of a text, none of them a control token whatever the text says.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = Vec::with_capacity(text.len() / 3 + 1);
        self.encode_into(text, &mut tokens)?;
        Ok(tokens.into_iter().map(PipelineToken::id).collect())
    }

    /// The text of these ids, control tokens by their names; bytes that are no UTF-8 are replaced.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.decode_stream();
        let mut text = String::new();
        for id in ids {
            text.push_str(&stream.push(*id));
        }
        text.push_str(&stream.finish());
        text
    }

    /// The same without control tokens that are marked as special (`<tool_call>` usually is not, and stays).
    pub fn decode_skipping_special(&self, ids: &[u32]) -> String {
        let special = |id: &u32| self.vocabulary().added_by_id(*id).is_some_and(|added| added.special);
        let ids: Vec<u32> = ids.iter().copied().filter(|id| !special(id)).collect();
        self.decode(&ids)
    }

    /// Decodes ids as they come, never half a character.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(self)
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        &self.inner.vocabulary
    }

    pub(super) fn encode_into(
        &self,
        text: &str,
        tokens: &mut Vec<PipelineToken>,
    ) -> Result<(), TokenizerError> {
        let Inner { pipeline, options, .. } = &*self.inner;
        let encoded = match &self.inner.regex_split {
            None => pipeline.encode_into(text, options, tokens).map_err(|error| error.to_string()),
            Some(split) => normalize_all(pipeline.get_normalizers(), text, 0)
                .map_err(|error| error.to_string())
                .and_then(|text| {
                    split.each(&text, |part| {
                        pipeline.encode_into(part, options, tokens).map_err(|error| error.to_string())
                    })
                }),
        };
        encoded.map_err(|reason| TokenizerError::Encode { bytes: text.len(), reason })
    }

    /// The text as the tokenizer sees it (Unicode NFC for Qwen).
    pub(super) fn normalize<'a>(&self, text: &'a str) -> Result<std::borrow::Cow<'a, str>, TokenizerError> {
        normalize_all(self.inner.pipeline.get_normalizers(), text, 0)
            .map_err(|error| TokenizerError::Encode { bytes: text.len(), reason: error.to_string() })
    }
}

/// Takes added tokens out of the model's own vocabulary, where a file holds them in both places: with `ignore_merges`, or
/// by merges, text could become one of them. What merges make or use one of them goes too. Single characters stay,
/// since text cannot be spelled without them.
fn unlearn_added(model: Option<&mut Json>, vocabulary: &Vocabulary) {
    let Some(Json::Object(model)) = model else { return };
    if model.get("type").and_then(Json::as_str) != Some("BPE") {
        return;
    }
    let unknown = model.get("unk_token").and_then(Json::as_str).map(str::to_owned);
    let names: Vec<String> = match model.get("vocab") {
        Some(Json::Object(vocab)) => vocabulary
            .added()
            .iter()
            .map(|added| added.name.clone())
            .filter(|name| {
                vocab.contains_key(name) && name.chars().count() > 1 && Some(name) != unknown.as_ref()
            })
            .collect(),
        _ => return,
    };
    if names.is_empty() {
        return;
    }
    let gone = |piece: &Json| piece.as_str().is_some_and(|piece| names.iter().any(|name| name == piece));
    if let Some(Json::Array(merges)) = model.get_mut("merges") {
        merges.retain(|merge| {
            let (left, right) = (merge.get(0), merge.get(1));
            let made = match (left.and_then(Json::as_str), right.and_then(Json::as_str)) {
                (Some(left), Some(right)) => Some(Json::String(format!("{left}{right}"))),
                _ => None,
            };
            !left.is_some_and(gone) && !right.is_some_and(gone) && !made.as_ref().is_some_and(gone)
        });
    }
    if let Some(Json::Object(vocab)) = model.get_mut("vocab") {
        for name in &names {
            vocab.remove(name);
        }
    }
}
