//! Compatibility modes: the ids *and* labels of earlier trainers, bit for bit, so that an old run can be repeated.
//!
//! In: a record as JSON, in the reference's own format or any other. Out: the samples that the reference would have made
//! of it, quirks included; what it crashes on or drops is a [`CompatError`]. One file a reference. What a mode does that
//! toolsmith itself would not is listed by [`Compat::quirks`], to be told to the user.
//!
//! Here, and nowhere else, text of a conversation may become control tokens and a label may differ from its input id,
//! because that is what the references did. It does not know files or the clock.

mod arrow;
mod chatglm3;
mod error;
mod glm4;
pub mod llama_factory;
mod python;
mod quirks;
mod record;

use std::fmt;
use std::str::FromStr;

pub use arrow::ArrowSchema;
pub use error::CompatError;
pub use record::{to_chatglm3, to_glm4, to_sharegpt};

use crate::data::SourceFormat;
use crate::json::Json;
use crate::tokens::{ChatTokenizer, Encoded, IGNORE_INDEX};

/// A reference trainer whose samples are reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compat {
    /// GLM-4's `finetune.py` with `combine: false`: message by message.
    Glm4Official,
    /// GLM-4's `finetune.py` with `combine: true`: the whole conversation, only its last turn trained.
    Glm4OfficialCombine,
    /// ChatGLM3's `preprocess_utils.py` as of the end of 2023: multi-turn and input-output records.
    ChatGlm3Of2023,
    /// LLaMA-Factory 0.9.5, supervised stage: the named [template](llama_factory::Template), encoded slot by slot.
    LlamaFactory,
}

impl Compat {
    /// Every mode, in the order in which messages list them.
    pub const ALL: [Self; 4] =
        [Self::Glm4Official, Self::Glm4OfficialCombine, Self::ChatGlm3Of2023, Self::LlamaFactory];

    /// The name that `--compat` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Glm4Official => "glm4-official",
            Self::Glm4OfficialCombine => "glm4-official-combine",
            Self::ChatGlm3Of2023 => "chatglm3-2023",
            Self::LlamaFactory => "llama-factory",
        }
    }

    /// What this mode does that toolsmith itself would not, each told to the user once.
    pub fn quirks(self) -> &'static [&'static str] {
        quirks::quirks(self)
    }
}

impl fmt::Display for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compat {
    type Err = CompatError;

    fn from_str(name: &str) -> Result<Self, CompatError> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or_else(|| CompatError::UnknownName {
            what: "compatibility mode",
            name: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// The limits and flags of a run, by the references' names. What is not given is the reference's own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// GLM-4: tokens of the prompt, 512 by default.
    pub max_input_length: Option<usize>,
    /// GLM-4: tokens of the answer, 512 by default. A training sample is cut at the sum of both and one.
    pub max_output_length: Option<usize>,
    /// ChatGLM3, multi-turn: tokens of a sample, 1024 by default.
    pub max_seq_length: Option<usize>,
    /// ChatGLM3, input-output: tokens of the prompt, 1024 by default.
    pub max_source_length: Option<usize>,
    /// ChatGLM3, input-output: tokens of the answer, 128 by default.
    pub max_target_length: Option<usize>,
    /// LLaMA-Factory: tokens of a sample, 2048 by default.
    pub cutoff_len: Option<usize>,
    /// LLaMA-Factory: train the last turn only, and cut earlier ones first.
    pub mask_history: bool,
    /// LLaMA-Factory: train the prompts, too.
    pub train_on_prompt: bool,
}

/// A reference as it was run.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode {
    /// Which one.
    pub compat: Compat,
    /// Its limits.
    pub limits: Limits,
    /// GLM-4: the columns of the data as Arrow saw them, where nulls that it fills in are wanted.
    pub arrow: Option<ArrowSchema>,
    /// GLM-4: keep the keys of messages whose value is null, as transformers 5.6 and earlier do; 5.23 drops them.
    pub keep_null_keys: bool,
    /// LLaMA-Factory: its template and what it takes from the tokenizer's configuration.
    pub llama_factory: llama_factory::Options,
}

/// A sample of a reference's evaluation split: what is given, and what should be generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalSample {
    /// The prompt.
    pub input_ids: Vec<u32>,
    /// The answer.
    pub output_ids: Vec<u32>,
}

impl Mode {
    /// A reference with its own defaults.
    pub fn new(compat: Compat) -> Self {
        Self {
            compat,
            limits: Limits::default(),
            arrow: None,
            keep_null_keys: false,
            llama_factory: llama_factory::Options::default(),
        }
    }

    /// The training samples that the reference makes of a record.
    ///
    /// Without a format, a record that fits the reference's own is taken as that, any other is recognised by its shape.
    pub fn encode(
        &self,
        record: Json,
        format: Option<SourceFormat>,
        tokenizer: &ChatTokenizer,
    ) -> Result<Vec<Encoded>, CompatError> {
        let record = record::into_own(record, format, self.compat)?;
        match self.compat {
            Compat::Glm4Official | Compat::Glm4OfficialCombine => glm4::encode(self, record, tokenizer),
            Compat::ChatGlm3Of2023 => chatglm3::encode(&self.limits, &record, tokenizer),
            Compat::LlamaFactory => {
                llama_factory::encode(&self.limits, &self.llama_factory, &record, tokenizer)
            }
        }
    }

    /// The samples of the reference's evaluation split. Only GLM-4's `finetune.py` makes others there than for training.
    pub fn encode_eval(
        &self,
        record: Json,
        format: Option<SourceFormat>,
        tokenizer: &ChatTokenizer,
    ) -> Result<Vec<EvalSample>, CompatError> {
        match self.compat {
            Compat::Glm4Official | Compat::Glm4OfficialCombine => {
                let record = record::into_own(record, format, self.compat)?;
                glm4::encode_eval(self, record, tokenizer)
            }
            Compat::ChatGlm3Of2023 | Compat::LlamaFactory => Err(CompatError::Setting {
                compat: self.compat,
                problem: "the reference makes the same samples for training and evaluation".to_owned(),
                mend: "Leave --split eval out".to_owned(),
            }),
        }
    }
}

fn control(compat: Compat, token: &str, tokenizer: &ChatTokenizer) -> Result<u32, CompatError> {
    tokenizer.control_id(token).ok_or_else(|| CompatError::NoControlToken { compat, token: token.to_owned() })
}

/// Labels as the 2023 and GLM-4 scripts make them: an id is trained where the mask of the position *before* it says so.
fn shifted_labels(input_ids: &[u32], mask: &[bool]) -> Vec<i32> {
    let before = std::iter::once(false).chain(mask.iter().copied());
    let label = |(id, trained): (&u32, bool)| if trained { id.cast_signed() } else { IGNORE_INDEX };
    input_ids.iter().zip(before).map(label).collect()
}

fn sample(input_ids: Vec<u32>, labels: Vec<i32>) -> Encoded {
    Encoded { input_ids, labels, straddling_tokens: 0 }
}
