//! SentencePiece models: ChatGLM3's and Llama's `tokenizer.model`.
//!
//! In: the model file, and the `tokenizer_config.json` beside it. Out: a [`SentencePiece`] that gives the ids that Google's
//! library gives to text, and the [`Vocabulary`]. Both kinds of models in use are read, BPE and Unigram. What becomes of a
//! user-defined piece is [`pieces`]' to say.

mod bpe;
mod character_map;
mod model_file;
mod normalizer;
mod pieces;
mod trie;
mod unigram;

use serde_json::Value as Json;
use tokenizers::pipeline::PipelineToken;

use self::model_file::{ModelFile, PieceKind};
use self::normalizer::Normalizer;
use self::pieces::Pieces;
use self::unigram::Unigram;
use super::TokenizerError;
use super::family;
use super::vocabulary::{Added, Alphabet, Spelling, Vocabulary};

/// Text to ids, without control tokens.
#[derive(Debug)]
pub(super) struct SentencePiece {
    normalizer: Normalizer,
    pieces: Pieces,
    /// `None` for byte-pair encoding.
    unigram: Option<Unigram>,
}

/// Reads a model file.
pub(super) fn read(
    bytes: &[u8],
    tokenizer_config: Option<&Json>,
) -> Result<(SentencePiece, Vocabulary), TokenizerError> {
    let unusable = |reason| TokenizerError::SentencePiece { reason };
    let file = model_file::parse(bytes).map_err(unusable)?;
    build(&file, tokenizer_config).map_err(unusable)
}

fn build(
    file: &ModelFile<'_>,
    tokenizer_config: Option<&Json>,
) -> Result<(SentencePiece, Vocabulary), String> {
    let count = u32::try_from(file.pieces.len()).map_err(|_| "it has too many pieces")?;
    let mut added: Vec<Added> = (0..)
        .zip(&file.pieces)
        .filter(|(_, piece)| pieces::is_control(piece))
        .map(|(id, piece)| Added {
            special: piece.kind != PieceKind::UserDefined,
            ..Added::special(id, piece.text)
        })
        .collect();
    added.extend(family::behind_sentencepiece(count, tokenizer_config));
    family::add_configured(&mut added, tokenizer_config);

    let control: std::collections::HashSet<u32> = added.iter().map(|added| added.id).collect();
    let pieces = Pieces::new(&file.pieces, file.byte_fallback, &control)?;
    let normalizer = Normalizer::new(&file.rules)?;
    let unigram = match file.kind {
        1 => Some(Unigram::new(&pieces)),
        2 => None,
        other => {
            return Err(format!(
                "its model is of the kind {other}; what can be read is unigram (1) and BPE (2)"
            ));
        }
    };
    let spelling = Spelling {
        alphabet: Alphabet::Text { byte_fallback: file.byte_fallback },
        leading_space: normalizer.leading_space(),
    };
    let vocabulary = Vocabulary::new((0..).zip(file.pieces.iter().map(|piece| piece.text)), added, spelling)?;
    Ok((SentencePiece { normalizer, pieces, unigram }, vocabulary))
}

impl SentencePiece {
    /// The text that the pieces spell.
    pub(super) fn normalize(&self, text: &str) -> String {
        self.normalizer.normalize(text)
    }

    /// Appends the ids of a text.
    pub(super) fn encode_into(&self, text: &str, tokens: &mut Vec<PipelineToken>) {
        let text = self.normalize(text);
        let mut after_unknown = false;
        let mut push = |part: &str, id: Option<u32>| {
            let mut ids = |id: u32| tokens.push(PipelineToken::from(id));
            match id {
                Some(id) => ids(id),
                None => self.pieces.push_unknown(part, &mut ids, after_unknown),
            }
            after_unknown = id.is_none();
        };
        match &self.unigram {
            Some(unigram) => unigram.cut(&text, &mut push),
            None => bpe::cut(&self.pieces, &text, &mut |part| {
                push(part, self.pieces.get(part).map(|known| known.id));
            }),
        }
    }
}
