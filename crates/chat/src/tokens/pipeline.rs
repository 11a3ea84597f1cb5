//! Text to ids, step by step: normalizer, words, model.
//!
//! In: the small parts of a tokenizer as JSON (normalizer, pre-tokenizer), which are the `tokenizers` crate's, and a model,
//! which for byte-level BPE is ours. Out: a [`Pipeline`] from text to ids. It has no added tokens, so no text that goes
//! through it can become one.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};
use tokenizers::pipeline::{
    EncodeOptions, Override, PipelineModel, PipelinePostProcessor, PipelinePreTokenizer, PipelineToken,
    PipelineTokenizer, PreTokenizer, PreTokenizerScratch, Span, normalize_all,
};
use tokenizers::vocab::bucket_added_vocabulary::AddedVocabulary;

use super::byte_bpe::{ByteBpe, Work};
use super::nfc::is_plainly_nfc;
use super::regex_split;
use super::vocabulary::Vocabulary;

/// Text to ids, without added tokens.
pub(super) struct Pipeline {
    /// Holds the normalizers; its model is a stand-in.
    normalizer: PipelineTokenizer,
    /// Its only normalizer is NFC, if it has any.
    at_most_nfc: bool,
    encoder: Encoder,
}

/// Words to ids.
pub(super) enum Model {
    /// Byte-level BPE.
    Bytes(ByteBpe),
    /// Any other.
    Crate(Box<PipelineModel>),
}

enum Encoder {
    Bytes {
        words: Box<PipelinePreTokenizer>,
        model: ByteBpe,
        /// Tells its words from those of others in a thread's [`Buffers`].
        number: u64,
    },
    Crate(PipelineTokenizer),
}

const OPTIONS: EncodeOptions = EncodeOptions {
    add_special_tokens: false,
    encode_special_tokens: true,
    padding: Override::Off,
    truncation: Override::Off,
};

/// What a thread needs to encode: room, and the words of the pipeline that was last at work.
#[derive(Default)]
struct Buffers {
    owner: u64,
    scratch: PreTokenizerScratch,
    spans: Vec<Span>,
    work: Work,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

static PIPELINES: AtomicU64 = AtomicU64::new(1);

impl Pipeline {
    /// `parts` is a canonical `tokenizer.json` whose model does not matter.
    ///
    /// # Errors
    /// A normalizer or pre-tokenizer that the crate cannot build.
    pub(super) fn new(mut parts: Json, model: Model) -> Result<Self, String> {
        if let Json::Object(root) = &mut parts {
            root.insert(
                "model".to_owned(),
                json!({"type": "BPE", "byte_level": false, "vocab": {"a": 0}, "merges": []}),
            );
            root.insert("added_tokens".to_owned(), json!([]));
            for key in ["post_processor", "decoder", "padding", "truncation", "role_to_token"] {
                root.remove(key);
            }
        }
        let normalizer = tokenizers::from_json(&parts.to_string()).map_err(|error| error.to_string())?;
        let at_most_nfc = at_most_nfc(&parts["normalizer"]);
        let words = Box::new(regex_split::with_engine(normalizer.get_pre_tokenizer())?);
        let encoder = match model {
            Model::Bytes(model) => {
                Encoder::Bytes { words, model, number: PIPELINES.fetch_add(1, Ordering::Relaxed) }
            }
            // Handed over as it is: the crate would take most of the loading time to read it from JSON.
            Model::Crate(model) => Encoder::Crate(PipelineTokenizer::from_parts(
                AddedVocabulary::new(),
                Vec::new(),
                *words,
                *model,
                PipelinePostProcessor::default(),
                None,
                BTreeMap::new(),
                None,
                None,
            )),
        };
        Ok(Self { normalizer, at_most_nfc, encoder })
    }

    /// Appends the ids of a text. `vocabulary` is the one that the model was made with.
    pub(super) fn encode_into(
        &self,
        text: &str,
        vocabulary: &Vocabulary,
        tokens: &mut Vec<PipelineToken>,
    ) -> Result<(), String> {
        let text = self.normalize(text)?;
        match &self.encoder {
            Encoder::Crate(encoder) => {
                encoder.encode_into(&text, &OPTIONS, tokens).map_err(|error| error.to_string())
            }
            Encoder::Bytes { .. } if u32::try_from(text.len()).is_err() => {
                Err("it is longer than 4 GB".to_owned())
            }
            Encoder::Bytes { words, model, number } => BUFFERS.with_borrow_mut(|buffers| {
                let Buffers { owner, scratch, spans, work } = buffers;
                if owner != number {
                    *work = Work::default();
                    *owner = *number;
                }
                spans.clear();
                let start = tokens.len();
                words.pre_tokenize(&text, scratch, spans).map_err(|error| error.to_string())?;
                for range in spans.iter().map(|span| span.range()).filter(|range| !range.is_empty()) {
                    model.encode_word(text.as_bytes(), range, vocabulary, work, tokens);
                }
                match model.unspelled(text.as_bytes(), &tokens[start..]) {
                    Some(byte) => {
                        Err(format!("no piece of the tokenizer's vocabulary spells the byte {byte:#04x}"))
                    }
                    None => Ok(()),
                }
            }),
        }
    }

    /// The text as the model sees it (Unicode NFC for Qwen).
    pub(super) fn normalize<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, String> {
        if self.at_most_nfc && is_plainly_nfc(text) {
            return Ok(Cow::Borrowed(text));
        }
        normalize_all(self.normalizer.get_normalizers(), text, 0).map_err(|error| error.to_string())
    }
}

fn at_most_nfc(normalizer: &Json) -> bool {
    match normalizer["type"].as_str() {
        None => normalizer.is_null(),
        Some("NFC") => true,
        Some("Sequence") => {
            normalizer["normalizers"].as_array().is_some_and(|steps| steps.iter().all(at_most_nfc))
        }
        Some(_) => false,
    }
}
