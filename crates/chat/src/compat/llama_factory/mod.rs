//! LLaMA-Factory 0.9.5, supervised fine-tuning of text: mode `llama-factory`.
//!
//! In: a `sharegpt` or `openai` record, as its converters read them with the usual column and tag names. Out: one sample.
//! The conversation becomes pairs of prompt and response, each written by the [template](Template)'s slots; **each slot is
//! encoded on its own**, and the names of control tokens in it become control tokens. Then pairs are cut to fit
//! `cutoff_len`, in proportion, from the right. Templates that "save the eos" (`glm4`, `chatglm3`) label the first token of
//! every later prompt with eos, so that labels differ from ids there.

mod calls;
mod encode;
mod template;
mod tools;
mod turns;

pub use calls::write_calls;
pub(super) use encode::encode;
pub use template::Template;
pub use tools::{ToolFormat, write_tools};

/// What LLaMA-Factory takes from its arguments and from the tokenizer's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The template (`template`).
    pub template: Template,
    /// How tools and calls are written, where it is not the template's own way (`tool_format`).
    pub tool_format: Option<ToolFormat>,
    /// The day that the `llama3` tools text names: LLaMA-Factory writes that of preprocessing.
    pub date: String,
    /// The tokenizer's `bos_token`.
    pub bos: Option<u32>,
    /// The tokenizer's `eos_token`.
    pub eos: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            template: Template::Default,
            tool_format: None,
            // The day that Llama 3.1's own chat template names when it is given none.
            date: "26 Jul 2024".to_owned(),
            bos: None,
            eos: None,
        }
    }
}
