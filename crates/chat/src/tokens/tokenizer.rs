//! The tokenizer: loading, and text that is never control.
//!
//! In: the bytes of a tokenizer's file. Out: a [`ChatTokenizer`], cheap to clone and to share between threads. What it
//! encodes with knows no added tokens, so no text can become one.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;
use tokenizers::pipeline::PipelineToken;

use super::file_kind::{FileKind, kind_of};
use super::pipeline::Pipeline;
use super::sentencepiece::SentencePiece;
use super::vocabulary::Vocabulary;
use super::{DecodeStream, TokenizerError, json_tokenizer, sentencepiece, tiktoken};

/// A model's tokenizer.
#[derive(Clone)]
pub struct ChatTokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    encoder: Encoder,
    vocabulary: Vocabulary,
}

enum Encoder {
    Pipeline(Pipeline),
    SentencePiece(SentencePiece),
}

impl std::fmt::Debug for ChatTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl ChatTokenizer {
    /// Reads a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let (pipeline, vocabulary) = json_tokenizer::read(bytes)?;
        Ok(Self::new(Encoder::Pipeline(pipeline), vocabulary))
    }

    /// Reads the JSON value of a `tokenizer.json`.
    pub fn from_json(tokenizer: Json) -> Result<Self, TokenizerError> {
        Self::from_bytes(tokenizer.to_string().as_bytes())
    }

    /// Reads a tokenizer's file of any kind that its bytes show it to be: a `tokenizer.json`; a tiktoken file
    /// (`qwen.tiktoken`, GLM-4's `tokenizer.model`); a SentencePiece `tokenizer.model`. The last two say little of their
    /// control tokens: those come from the `tokenizer_config.json` beside it and from what is known of the family.
    pub fn from_file(bytes: &[u8], tokenizer_config: Option<&Json>) -> Result<Self, TokenizerError> {
        match kind_of(bytes)? {
            FileKind::Json => Self::from_bytes(bytes),
            FileKind::Tiktoken => {
                let (pipeline, vocabulary) = tiktoken::read(bytes, tokenizer_config)?;
                Ok(Self::new(Encoder::Pipeline(pipeline), vocabulary))
            }
            FileKind::SentencePiece => {
                let (model, vocabulary) = sentencepiece::read(bytes, tokenizer_config)?;
                Ok(Self::new(Encoder::SentencePiece(model), vocabulary))
            }
        }
    }

    fn new(encoder: Encoder, vocabulary: Vocabulary) -> Self {
        Self { inner: Arc::new(Inner { encoder, vocabulary }) }
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary().size()
    }

    /// The names of the added tokens (the control tokens), in the file's order.
    pub fn added_tokens(&self) -> impl Iterator<Item = &str> {
        self.vocabulary().added().iter().map(|added| added.name.as_str())
    }

    /// Where the first name of a control token stands in `text[from..]`: its place in `text`.
    pub fn find_control_name(&self, text: &str, from: usize) -> Option<std::ops::Range<usize>> {
        self.vocabulary().find_added(text, from).map(|(range, _)| range)
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
        let encoded = match &self.inner.encoder {
            Encoder::Pipeline(pipeline) => pipeline.encode_into(text, self.vocabulary(), tokens),
            Encoder::SentencePiece(model) => {
                model.encode_into(text, tokens);
                Ok(())
            }
        };
        encoded.map_err(|reason| TokenizerError::Encode { bytes: text.len(), reason })
    }

    /// The text as the tokenizer sees it (Unicode NFC for Qwen).
    pub(super) fn normalize<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, TokenizerError> {
        match &self.inner.encoder {
            Encoder::Pipeline(pipeline) => pipeline
                .normalize(text)
                .map_err(|reason| TokenizerError::Encode { bytes: text.len(), reason }),
            Encoder::SentencePiece(model) => Ok(Cow::Owned(model.normalize(text))),
        }
    }
}
