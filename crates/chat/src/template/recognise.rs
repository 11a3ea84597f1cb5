//! Which template a model folder's files name.
//!
//! In: facts from `config.json`, `tokenizer_config.json`, `chat_template.jinja` and the tokenizer. Out: a [`Template`]
//! that prints what the folder's own chat template prints, or nothing. A chat template decides alone where there is one.

use super::{Template, qwen25};
use crate::json::Json;

/// What a model folder says about its chat format.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelFacts {
    /// `model_type` of `config.json`.
    pub model_type: Option<String>,
    /// The text of the chat template.
    pub chat_template: Option<String>,
    /// The added tokens of the tokenizer.
    pub added_tokens: Vec<String>,
    /// The special tokens that `tokenizer_config.json` names (`bos_token`, …), which chat templates read.
    pub special_tokens: Vec<(String, String)>,
}

impl ModelFacts {
    /// Collects the facts from a folder's files, as far as they are there.
    ///
    /// `chat_template_file` is the text of `chat_template.jinja`, which goes before the one in `tokenizer_config.json`.
    pub fn new(
        config: Option<&Json>,
        tokenizer_config: Option<&Json>,
        chat_template_file: Option<&str>,
        added_tokens: Vec<String>,
    ) -> Self {
        let model_type = config.and_then(|config| config.get("model_type")).and_then(Json::as_str);
        let in_config = tokenizer_config.and_then(|config| config.get("chat_template"));
        let in_config = in_config.and_then(|template| match template {
            Json::String(text) => Some(text.as_str()),
            // Several named templates: the one for tools, else the default.
            Json::Array(named) => ["tool_use", "default"].iter().find_map(|name| {
                let named =
                    named.iter().find(|entry| entry.get("name").and_then(Json::as_str) == Some(name))?;
                named.get("template")?.as_str()
            }),
            _ => None,
        });
        Self {
            model_type: model_type.map(str::to_owned),
            chat_template: chat_template_file.or(in_config).map(str::to_owned),
            added_tokens,
            special_tokens: tokenizer_config.map(special_tokens).unwrap_or_default(),
        }
    }
}

fn special_tokens(tokenizer_config: &Json) -> Vec<(String, String)> {
    const NAMES: [&str; 7] =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let token = |name: &str| {
        let token = tokenizer_config.get(name)?;
        token
            .as_str()
            .or_else(|| token.get("content")?.as_str())
            .map(|token| (name.to_owned(), token.to_owned()))
    };
    NAMES.into_iter().filter_map(token).collect()
}

pub(super) fn recognise(facts: &ModelFacts) -> Option<Template> {
    if let Some(text) = &facts.chat_template {
        return recognise_text(text);
    }
    let has = |names: &[&str]| names.iter().all(|name| facts.added_tokens.iter().any(|token| token == name));
    match facts.model_type.as_deref() {
        // "glm" is GLM-4 9B in transformers' own code, "chatglm" in the model's; "glm4" is GLM-4-0414, another format.
        Some("glm" | "chatglm") if has(&["[gMASK]", "<sop>", "<|user|>", "<|observation|>"]) => {
            Some(Template::Glm4)
        }
        Some("qwen2") if has(&["<|im_start|>", "<|im_end|>", "<tool_call>"]) && !has(&["<think>"]) => {
            Some(Template::Qwen25)
        }
        _ => None,
    }
}

fn recognise_text(text: &str) -> Option<Template> {
    let has = |parts: &[&str]| parts.iter().all(|part| text.contains(part));
    let thinks = text.contains("<think>") || text.contains("reasoning_content");
    let qwen25 =
        ["<|im_start|>", "# Tools", "<tools>", "<tool_call>", "<tool_response>", qwen25::DEFAULT_SYSTEM];
    if has(&qwen25) && !thinks {
        return Some(Template::Qwen25);
    }
    let glm4 = ["[gMASK]<sop>", "# 可用工具", "名为 ChatGLM 的人工智能助手", "metadata"];
    if has(&glm4) && !thinks {
        return Some(Template::Glm4);
    }
    None
}
