//! The `tokenizers` crate's pipeline, put together from its parts.
//!
//! In: the small parts of a tokenizer as JSON (normalizer, pre-tokenizer), and a model. Out: a [`Pipeline`] from text to
//! ids. It has no added tokens, so no text that goes through it can become one. The model is handed over as it is:
//! spelling 150,000 pieces as JSON so that the crate may parse them again would take most of the loading time.

use std::borrow::Cow;

use serde_json::{Value as Json, json};
use tokenizers::pipeline::{
    EncodeOptions, Override, PipelineModel, PipelinePostProcessor, PipelineToken, PipelineTokenizer,
    normalize_all,
};
use tokenizers::vocab::bucket_added_vocabulary::AddedVocabulary;

use super::regex_split;

/// Text to ids, without added tokens.
pub(super) struct Pipeline {
    /// Holds the normalizers; its model is a stand-in.
    normalizer: PipelineTokenizer,
    encoder: PipelineTokenizer,
    options: EncodeOptions,
}

impl Pipeline {
    /// `parts` is a canonical `tokenizer.json` whose model does not matter.
    ///
    /// # Errors
    /// A normalizer or pre-tokenizer that the crate cannot build.
    pub(super) fn new(mut parts: Json, model: PipelineModel) -> Result<Self, String> {
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
        let encoder = PipelineTokenizer::from_parts(
            AddedVocabulary::new(),
            Vec::new(),
            regex_split::with_engine(normalizer.get_pre_tokenizer())?,
            model,
            PipelinePostProcessor::default(),
            None,
            std::collections::BTreeMap::new(),
            None,
            None,
        );
        let options = EncodeOptions {
            add_special_tokens: false,
            encode_special_tokens: true,
            padding: Override::Off,
            truncation: Override::Off,
        };
        Ok(Self { normalizer, encoder, options })
    }

    /// Appends the ids of a text.
    pub(super) fn encode_into(&self, text: &str, tokens: &mut Vec<PipelineToken>) -> Result<(), String> {
        let text = self.normalize(text)?;
        self.encoder.encode_into(&text, &self.options, tokens).map_err(|error| error.to_string())
    }

    /// The text as the model sees it (Unicode NFC for Qwen).
    pub(super) fn normalize<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, String> {
        normalize_all(self.normalizer.get_normalizers(), text, 0).map_err(|error| error.to_string())
    }
}
