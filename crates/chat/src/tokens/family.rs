//! What tokenizer files leave to the program that reads them, family by family.
//!
//! In: how many pieces a file has and the model's `tokenizer_config.json`. Out: how text is cut into words, and the control
//! tokens. Facts of the published tokenizers; what a `tokenizer_config.json` says goes before them.

use serde_json::Value as Json;

use super::vocabulary::Added;

/// A model family whose vocabulary comes as a tiktoken file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TiktokenFamily {
    /// GLM-4 (9B).
    Glm4,
    /// The first Qwen; from Qwen1.5 on there is a `tokenizer.json`.
    Qwen,
    /// Llama 3, whose control tokens its `tokenizer_config.json` lists.
    Llama3,
}

/// How the numbers in these families' patterns are cut; all else is the same.
macro_rules! words {
    ($numbers:literal) => {
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $numbers,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

const GLM4_TOKENS: [&str; 14] = [
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
];

const CHATGLM3_TOKENS: [&str; 9] = [
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "sop",
    "eop",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
];

const QWEN_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const QWEN_EXTRAS: usize = 205;

impl TiktokenFamily {
    /// The family: by the name of the tokenizer's class, else by the size of the vocabulary.
    pub(super) fn recognise(ranks: usize, tokenizer_config: Option<&Json>) -> Option<Self> {
        match class(tokenizer_config) {
            Some("ChatGLM4Tokenizer") => Some(Self::Glm4),
            Some("QWenTokenizer") => Some(Self::Qwen),
            _ => match ranks {
                151_329 => Some(Self::Glm4),
                151_643 => Some(Self::Qwen),
                128_000 => Some(Self::Llama3),
                _ => None,
            },
        }
    }

    /// The pattern whose matches are the words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Glm4 | Self::Llama3 => words!(r"\p{N}{1,3}"),
            Self::Qwen => words!(r"\p{N}"),
        }
    }

    /// Whether text is brought into Unicode's form NFC first.
    pub(super) fn composes(self) -> bool {
        self == Self::Qwen
    }

    /// The control tokens, which come after the ranks.
    pub(super) fn control_tokens(self, ranks: u32) -> Vec<Added> {
        match self {
            Self::Glm4 => numbered(ranks, GLM4_TOKENS.map(str::to_owned)),
            Self::Qwen => {
                let extras = (0..QWEN_EXTRAS).map(|number| format!("<|extra_{number}|>"));
                numbered(ranks, QWEN_TOKENS.map(str::to_owned).into_iter().chain(extras))
            }
            Self::Llama3 => {
                let named = ["<|begin_of_text|>", "<|end_of_text|>"].map(str::to_owned);
                let mut tokens = numbered(ranks, named);
                for (place, name) in [(6, "<|start_header_id|>"), (7, "<|end_header_id|>"), (9, "<|eot_id|>")]
                {
                    tokens.push(Added::special(ranks + place, name));
                }
                tokens
            }
        }
    }
}

/// The control tokens that ChatGLM2 and ChatGLM3 put behind their SentencePiece model; none for other models.
pub(super) fn behind_sentencepiece(pieces: u32, tokenizer_config: Option<&Json>) -> Vec<Added> {
    match class(tokenizer_config) {
        Some("ChatGLMTokenizer") => numbered(pieces, CHATGLM3_TOKENS.map(str::to_owned)),
        _ => Vec::new(),
    }
}

/// `tokenizer_class`.
pub(super) fn class(tokenizer_config: Option<&Json>) -> Option<&str> {
    tokenizer_config?.get("tokenizer_class")?.as_str()
}

/// Adds what a `tokenizer_config.json` lists as `added_tokens_decoder`, which goes before what is there.
pub(super) fn add_configured(added: &mut Vec<Added>, tokenizer_config: Option<&Json>) {
    let listed = tokenizer_config.and_then(|config| config.get("added_tokens_decoder")?.as_object());
    let listed = listed.into_iter().flatten();
    let listed: Vec<_> =
        listed.filter_map(|(id, entry)| Added::read(Some(id.parse().ok()?), entry)).collect();
    added.retain(|known| !listed.iter().any(|added| added.id == known.id || added.name == known.name));
    added.extend(listed);
    added.sort_by_key(|added| added.id);
    added.dedup_by_key(|added| added.id);
}

fn numbered(first: u32, names: impl IntoIterator<Item = String>) -> Vec<Added> {
    (first..).zip(names).map(|(id, name)| Added::special(id, &name)).collect()
}
