//! LLaMA-Factory's templates: what stands around each kind of turn.
//!
//! In: a name. Out: slots, each encoded on its own. `{{content}}` is where the turn's text goes.

use std::fmt;
use std::str::FromStr;

use super::ToolFormat;
use crate::compat::CompatError;

/// A template of LLaMA-Factory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Template {
    /// `qwen`: ChatML with Qwen2.5's system text and tools.
    Qwen,
    /// `glm4`: GLM-4 9B chat.
    Glm4,
    /// `chatglm3`: ChatGLM3 with GLM-4's way of calling.
    ChatGlm3,
    /// `chatml`: ChatML with ReAct tools.
    ChatMl,
    /// `default`: `Human:` and `Assistant:` with ReAct tools.
    Default,
    /// `llama3`: Llama 3 and 3.1.
    Llama3,
}

/// A part of a turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// Text, in which `{{content}}` and `{{idx}}` are replaced.
    Text(&'static str),
    /// A control token by name.
    Token(&'static str),
    /// The tokenizer's bos token, where it has one.
    Bos,
    /// The tokenizer's eos token.
    Eos,
}

/// What a template is made of.
pub(super) struct Layout {
    pub(super) prefix: &'static [Slot],
    pub(super) system: &'static [Slot],
    pub(super) user: &'static [Slot],
    pub(super) observation: &'static [Slot],
    pub(super) assistant: &'static [Slot],
    pub(super) function: &'static [Slot],
    pub(super) tool_format: ToolFormat,
    pub(super) default_system: &'static str,
    /// LLaMA-Factory adds those that the tokenizer lacks.
    pub(super) stop_words: &'static [&'static str],
    /// No eos after answers: the next prompt's first token is labelled eos instead.
    pub(super) efficient_eos: bool,
    /// Whether names of control tokens in text become control tokens; not with ChatGLM3's SentencePiece.
    pub(super) control_in_text: bool,
}

use Slot::{Bos, Eos, Text, Token};

const CHATML_SYSTEM: &[Slot] = &[Text("<|im_start|>system\n{{content}}<|im_end|>\n")];
const CHATML_USER: &[Slot] = &[Text("<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n")];
const CHATML_ASSISTANT: &[Slot] = &[Text("{{content}}<|im_end|>\n")];

const QWEN: Layout = Layout {
    prefix: &[],
    system: CHATML_SYSTEM,
    user: CHATML_USER,
    observation: &[Text(
        "<|im_start|>user\n<tool_response>\n{{content}}\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    )],
    assistant: CHATML_ASSISTANT,
    function: CHATML_ASSISTANT,
    tool_format: ToolFormat::Qwen,
    default_system: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    stop_words: &["<|im_end|>"],
    efficient_eos: false,
    control_in_text: true,
};

const CHATML: Layout = Layout {
    observation: &[Text("<|im_start|>tool\n{{content}}<|im_end|>\n<|im_start|>assistant\n")],
    tool_format: ToolFormat::Default,
    default_system: "",
    stop_words: &["<|im_end|>", "<|im_start|>"],
    ..QWEN
};

const GLM4: Layout = Layout {
    prefix: &[Text("[gMASK]<sop>")],
    system: &[Text("<|system|>\n{{content}}")],
    user: &[Text("<|user|>\n{{content}}<|assistant|>")],
    observation: &[Text("<|observation|>\n{{content}}<|assistant|>")],
    assistant: &[Text("\n{{content}}")],
    function: &[Text("{{content}}")],
    tool_format: ToolFormat::Glm4,
    default_system: "",
    stop_words: &["<|user|>", "<|observation|>"],
    efficient_eos: true,
    control_in_text: true,
};

const CHATGLM3: Layout = Layout {
    prefix: &[Token("[gMASK]"), Token("sop")],
    system: &[Token("<|system|>"), Text("\n"), Text("{{content}}")],
    user: &[Token("<|user|>"), Text("\n"), Text("{{content}}"), Token("<|assistant|>")],
    observation: &[Token("<|observation|>"), Text("\n"), Text("{{content}}"), Token("<|assistant|>")],
    assistant: &[Text("\n"), Text("{{content}}")],
    control_in_text: false,
    ..GLM4
};

const DEFAULT_USER: &[Slot] = &[Text("Human: {{content}}"), Eos, Text("\nAssistant:")];
const DEFAULT_ASSISTANT: &[Slot] = &[Text("{{content}}"), Eos, Text("\n")];

const DEFAULT: Layout = Layout {
    prefix: &[],
    system: &[Text("System: {{content}}"), Eos, Text("\n")],
    user: DEFAULT_USER,
    observation: DEFAULT_USER,
    assistant: DEFAULT_ASSISTANT,
    function: DEFAULT_ASSISTANT,
    tool_format: ToolFormat::Default,
    default_system: "",
    stop_words: &[],
    efficient_eos: false,
    control_in_text: true,
};

const LLAMA3: Layout = Layout {
    prefix: &[Bos],
    system: &[Text("<|start_header_id|>system<|end_header_id|>\n\n{{content}}<|eot_id|>")],
    user: &[Text(
        "<|start_header_id|>user<|end_header_id|>\n\n{{content}}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    )],
    observation: &[Text(
        "<|start_header_id|>ipython<|end_header_id|>\n\n{{content}}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    )],
    assistant: &[Text("{{content}}<|eot_id|>")],
    function: &[Text("{{content}}<|eot_id|>")],
    tool_format: ToolFormat::Llama3,
    default_system: "",
    stop_words: &["<|eot_id|>", "<|eom_id|>"],
    efficient_eos: false,
    control_in_text: true,
};

impl Template {
    /// Every template, in the order in which messages list them.
    pub const ALL: [Self; 6] =
        [Self::Qwen, Self::Glm4, Self::ChatGlm3, Self::ChatMl, Self::Default, Self::Llama3];

    /// LLaMA-Factory's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qwen => "qwen",
            Self::Glm4 => "glm4",
            Self::ChatGlm3 => "chatglm3",
            Self::ChatMl => "chatml",
            Self::Default => "default",
            Self::Llama3 => "llama3",
        }
    }

    /// The template that fits a tokenizer with these added tokens. LLaMA-Factory itself never guesses.
    pub fn recognise<'a>(added_tokens: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let tokens: Vec<&str> = added_tokens.into_iter().collect();
        let has = |names: &[&str]| names.iter().all(|name| tokens.contains(name));
        if has(&["<|im_start|>", "<|im_end|>", "<tool_call>"]) && !has(&["<think>"]) {
            Some(Self::Qwen)
        } else if has(&["[gMASK]", "<sop>", "<|observation|>"]) && !has(&["<tool_call>"]) {
            Some(Self::Glm4)
        } else if has(&["[gMASK]", "sop", "<|observation|>"]) {
            Some(Self::ChatGlm3)
        } else if has(&["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]) {
            Some(Self::Llama3)
        } else {
            None
        }
    }

    pub(super) fn layout(self) -> &'static Layout {
        match self {
            Self::Qwen => &QWEN,
            Self::Glm4 => &GLM4,
            Self::ChatGlm3 => &CHATGLM3,
            Self::ChatMl => &CHATML,
            Self::Default => &DEFAULT,
            Self::Llama3 => &LLAMA3,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Template {
    type Err = CompatError;

    /// Takes toolsmith's own names of the same models, too: `qwen2.5`, `llama3.1`.
    fn from_str(name: &str) -> Result<Self, CompatError> {
        let known = match name {
            "qwen2.5" => Some(Self::Qwen),
            "llama3.1" => Some(Self::Llama3),
            name => Self::ALL.into_iter().find(|template| template.as_str() == name),
        };
        known.ok_or_else(|| CompatError::UnknownName {
            what: "template of LLaMA-Factory",
            name: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}
