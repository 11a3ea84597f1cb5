//! A `tokenizer.json` as a tokenizer.
//!
//! In: the file's bytes, of this or an earlier version of its format. Out: a [`Pipeline`] without the added tokens, and the
//! [`Vocabulary`].

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};
use tokenizers::models::bpe::{BpeConfig, PipelineBPE};
use tokenizers::models::unigram::Unigram;
use tokenizers::pipeline::PipelineModel;

use super::TokenizerError;
use super::byte_bpe::ByteBpe;
use super::json_file::{JsonFile, Merge, Model, Vocab};
use super::pipeline::{Model as TokenModel, Pipeline};
use super::unlearn::{atoms_are_text, unlearn_bpe, unlearn_unigram};
use super::vocabulary::{Added, Alphabet, Spelling, Vocabulary};

/// Reads a `tokenizer.json`.
pub(super) fn read(bytes: &[u8]) -> Result<(Pipeline, Vocabulary), TokenizerError> {
    let file: JsonFile<'_> = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => TokenizerError::Unusable { reason: error.to_string() },
        _ => TokenizerError::NotJson { reason: error.to_string() },
    })?;
    build(file).map_err(|reason| TokenizerError::Unusable { reason })
}

fn build(file: JsonFile<'_>) -> Result<(Pipeline, Vocabulary), String> {
    let JsonFile { mut rest, model } = file;
    let mut model = model.ok_or("it has no \"model\"")?;
    let mut added = read_added(rest.get("added_tokens")).ok_or("an added token without id or content")?;
    let leading_space = rest.get("decoder").is_some_and(takes_leading_space);
    // What they would do is done here; of the rest, not all that is in use can be read.
    for key in ["post_processor", "decoder", "padding", "truncation"] {
        rest.remove(key);
    }
    let mut vocab = model.vocab.take().ok_or("its model has no \"vocab\"")?;
    check_lengths(&vocab)?;
    let options = canonical(&mut rest, &model, &vocab)?;

    let is = |name: &str| options.get(name).and_then(Json::as_bool).unwrap_or(false);
    let alphabet = if is("byte_level") {
        Alphabet::ByteLevel
    } else {
        Alphabet::Text { byte_fallback: is("byte_fallback") }
    };
    let spelling = Spelling { alphabet, leading_space };
    let vocabulary = match &vocab {
        Vocab::Ids(pieces) => {
            let pieces = || pieces.iter().map(|(piece, id)| (piece.as_ref(), *id));
            atoms_are_text(&mut added, pieces(), alphabet);
            Vocabulary::new(pieces().map(|(piece, id)| (id, piece)), added, spelling)?
        }
        Vocab::Scores(pieces) => {
            let pieces = || (0..).zip(pieces).map(|(id, (piece, _))| (piece.as_ref(), id));
            atoms_are_text(&mut added, pieces(), alphabet);
            Vocabulary::new(pieces().map(|(piece, id)| (id, piece)), added, spelling)?
        }
    };
    let kind = options.get("type").and_then(Json::as_str).unwrap_or_default();
    let model = match (kind, &mut vocab) {
        ("BPE", Vocab::Ids(pieces)) => bpe(pieces, model, &options, &vocabulary, alphabet)?,
        ("Unigram", Vocab::Scores(pieces)) => unigram(pieces, &options, &vocabulary)?,
        _ => return Err(format!("its model is of the kind {kind:?}; what can be read is BPE and Unigram")),
    };
    Ok((Pipeline::new(Json::Object(rest), model)?, vocabulary))
}

/// Brings all but vocabulary and merges into the current version of the format; returns the model's options.
fn canonical(
    rest: &mut Map<String, Json>,
    model: &Model<'_>,
    vocab: &Vocab<'_>,
) -> Result<Map<String, Json>, String> {
    let mut options = model.rest.clone();
    // The kind of an old model is told by which of these it has.
    options.insert("vocab".to_owned(), if matches!(vocab, Vocab::Ids(_)) { json!({}) } else { json!([]) });
    if model.merges.is_some() {
        options.insert("merges".to_owned(), json!([]));
    }
    let mut root = std::mem::take(rest);
    root.insert("model".to_owned(), Json::Object(options));
    let mut root = Json::Object(root);
    tokenizers::canonicalize_value(&mut root).map_err(|error| error.to_string())?;
    let Json::Object(mut root) = root else { return Err("it is no object".to_owned()) };
    let options = root.remove("model");
    *rest = root;
    match options {
        Some(Json::Object(options)) => Ok(options),
        _ => Err("its \"model\" is no object".to_owned()),
    }
}

/// What the crate would panic about.
fn check_lengths(vocab: &Vocab<'_>) -> Result<(), String> {
    let longest = match vocab {
        Vocab::Ids(pieces) => pieces.iter().map(|(piece, _)| piece.len()).max(),
        Vocab::Scores(pieces) => pieces.iter().map(|(piece, _)| piece.len()).max(),
    };
    match longest {
        None => Err("its vocabulary is empty".to_owned()),
        Some(length) if length > usize::from(u16::MAX) => Err(format!("a piece of {length} bytes")),
        Some(_) => Ok(()),
    }
}

/// The same, of merges: their parts must fit into a piece.
fn check_merges(pieces: &[(Cow<'_, str>, u32)], merges: &[Merge<'_>], prefix: &str) -> Result<(), String> {
    let longest = pieces.iter().map(|(piece, _)| piece.len()).max().unwrap_or(0);
    let fits = |(left, right): &Merge<'_>| {
        right.is_char_boundary(prefix.len()) && left.len() + right.len() - prefix.len() <= longest
    };
    match merges.iter().find(|merge| !fits(merge)) {
        Some((left, right)) => {
            Err(format!("the merge of {left:?} and {right:?} makes no piece of its vocabulary"))
        }
        None => Ok(()),
    }
}

fn bpe(
    pieces: &mut Vec<(Cow<'_, str>, u32)>,
    model: Model<'_>,
    options: &Map<String, Json>,
    vocabulary: &Vocabulary,
    alphabet: Alphabet,
) -> Result<TokenModel, String> {
    let text = |name: &str| options.get(name).and_then(Json::as_str);
    let is = |name: &str| options.get(name).and_then(Json::as_bool).unwrap_or(false);
    if options.get("dropout").and_then(Json::as_f64).is_some_and(|dropout| dropout > 0.0) {
        return Err("its model drops merges at random (\"dropout\"): set that to null".to_owned());
    }
    let mut merges = model.merges.ok_or("its model has no \"merges\"")?;
    // A byte-level model spells everything.
    let unknown = text("unk_token").filter(|_| alphabet != Alphabet::ByteLevel);
    check_merges(pieces, &merges, text("continuing_subword_prefix").unwrap_or_default())?;
    let unknown = unlearn_bpe(pieces, &mut merges, vocabulary.added(), unknown);
    let marks_words = ["continuing_subword_prefix", "end_of_word_suffix"]
        .into_iter()
        .any(|name| text(name).is_some_and(|mark| !mark.is_empty()));
    if alphabet == Alphabet::ByteLevel && !marks_words {
        let pieces = pieces.iter().map(|(piece, id)| (piece.as_ref(), *id));
        let model = ByteBpe::from_merges(pieces, &merges, is("ignore_merges"), vocabulary)?;
        return Ok(TokenModel::Bytes(model));
    }
    let config = BpeConfig {
        vocab: pieces.drain(..).map(|(piece, id)| (piece.into_owned(), id)).collect(),
        merges: merges.into_iter().map(|(left, right)| (left.into_owned(), right.into_owned())).collect(),
        byte_level: alphabet == Alphabet::ByteLevel,
        unk_token: unknown,
        continuing_subword_prefix: text("continuing_subword_prefix").map(str::to_owned),
        end_of_word_suffix: text("end_of_word_suffix").map(str::to_owned),
        fuse_unk: is("fuse_unk"),
        byte_fallback: alphabet == Alphabet::Text { byte_fallback: true },
        ignore_merges: is("ignore_merges"),
        ..BpeConfig::default()
    };
    let model = PipelineBPE::from_config(config).map_err(|error| error.to_string())?;
    Ok(TokenModel::Crate(Box::new(PipelineModel::BPE(model))))
}

fn unigram(
    pieces: &mut Vec<(Cow<'_, str>, f64)>,
    options: &Map<String, Json>,
    vocabulary: &Vocabulary,
) -> Result<TokenModel, String> {
    let unknown = match options.get("unk_id") {
        None | Some(Json::Null) => None,
        Some(id) => {
            Some(id.as_u64().and_then(|id| usize::try_from(id).ok()).ok_or("its \"unk_id\" is no id")?)
        }
    };
    let byte_fallback = options.get("byte_fallback").and_then(Json::as_bool).unwrap_or(false);
    let mut pieces: Vec<_> = pieces.drain(..).map(|(piece, score)| (piece.into_owned(), score)).collect();
    unlearn_unigram(&mut pieces, vocabulary.added());
    let model = Unigram::from(pieces, unknown, byte_fallback);
    let model = model.map_err(|error| error.to_string())?;
    Ok(TokenModel::Crate(Box::new(PipelineModel::Unigram(model))))
}

fn read_added(entries: Option<&Json>) -> Option<Vec<Added>> {
    match entries {
        Some(Json::Array(entries)) => entries.iter().map(|entry| Added::read(None, entry)).collect(),
        _ => Some(Vec::new()),
    }
}

/// Whether decoding takes a space away from the beginning.
fn takes_leading_space(decoder: &Json) -> bool {
    match decoder["type"].as_str() {
        Some("Strip") => {
            decoder["content"] == " " && decoder["start"].as_u64().is_some_and(|count| count > 0)
        }
        Some("Metaspace") => {
            decoder["prepend_scheme"] != "never" && decoder["add_prefix_space"].as_bool() != Some(false)
        }
        Some("Sequence") => {
            decoder["decoders"].as_array().is_some_and(|steps| steps.iter().any(takes_leading_space))
        }
        _ => false,
    }
}
