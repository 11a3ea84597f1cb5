//! Which template a model folder's files name.
//!
//! In: facts from `config.json`, `tokenizer_config.json`, `chat_template.jinja` and the tokenizer. Out: a [`Template`]
//! that prints what the folder's own chat template prints, or nothing. A chat template decides alone where there is one.
//!
//! One exception: ChatGLM3's own chat template knows no tools, and stands for the code of 2023 which does. Nothing in a
//! folder tells of `glm4:a`, `glm4:b` and `glm4:d`, which live in code: they are chosen by name.

use super::{Template, qwen3_coder, qwen25};
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

const GLM4: [&str; 4] = ["[gMASK]", "<sop>", "<|user|>", "<|observation|>"];

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
        // "glm" is GLM-4 9B in transformers' own code, "chatglm" in the model's, which ChatGLM3 is called too.
        Some("glm" | "chatglm") if has(&GLM4) => Some(Template::Glm4),
        Some("chatglm") if has(&["[gMASK]", "sop", "<|user|>", "<|observation|>"]) => {
            Some(Template::ChatGlm3)
        }
        Some("glm4") if has(&GLM4) => Some(Template::Glm40414),
        Some("glm4_moe") if has(&GLM4) && has(&["<think>", "<arg_key>", "/nothink"]) => Some(Template::Glm45),
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
    // The template of the models that may think or not; those that always or never do have others.
    let qwen3 =
        ["<|im_start|>", "# Tools", "<tools>", "<tool_call>", "reasoning_content", "last_query_index"];
    if has(&qwen3) && has(&["enable_thinking is false", "<think>\\n\\n</think>"]) && !has(&["<function="]) {
        return Some(Template::Qwen3);
    }
    let coder = ["<|im_start|>", "<function=", "<parameter=", "<IMPORTANT>", qwen3_coder::DEFAULT_SYSTEM];
    if has(&coder) && !thinks {
        return Some(Template::Qwen3Coder);
    }
    let hermes = [
        "<|im_start|>",
        "bos_token",
        "You are a function calling AI model.",
        "\"list[\" +  json_to_python_type(json_spec|items)",
        "loop.previtem and loop.previtem.role != \"tool\"",
        "Use the following pydantic model json schema",
    ];
    if has(&hermes) && !thinks {
        return Some(Template::Hermes);
    }
    if has(&["<|im_start|>", "Action Input:", "> Tool Name: "]) && !thinks {
        return Some(Template::React);
    }
    let llama31 =
        ["<|start_header_id|>", "tools_in_user_message", "\"parameters\"", "ipython", "Environment: ipython"];
    if has(&llama31) && has(&["26 Jul 2024", "single tool-calls at once"]) && !has(&["strftime_now"]) {
        return Some(Template::Llama31);
    }
    let mistral =
        ["[AVAILABLE_TOOLS][", "[TOOL_CALLS][", "[TOOL_RESULTS]{", "\"[INST]\"", "user_messages[-1]"];
    if has(&mistral) && has(&["length 9", "call_id"]) {
        return Some(Template::Mistral);
    }
    let glm4 = ["[gMASK]<sop>", "# 可用工具", "名为 ChatGLM 的人工智能助手", "metadata"];
    if has(&glm4) && !thinks {
        return Some(Template::Glm4);
    }
    // The space behind the name is in the copies that are known; one without it prints something else.
    let glm4_0414 = ["[gMASK]<sop>", "# 可用工具", "message.get(\"metadata\"", "<|assistant|>{{ meta }} \n"];
    if has(&glm4_0414) && !text.contains("人工智能助手") && !thinks {
        return Some(Template::Glm40414);
    }
    // GLM-4.7 writes calls without newlines, and has a switch for the thoughts of earlier turns.
    let glm45 = ["[gMASK]<sop>", "<arg_key>", "/nothink", "'\\n<think></think>'", "'\\n<tool_call>'"];
    if has(&glm45) && !text.contains("clear_thinking") {
        return Some(Template::Glm45);
    }
    if has(&["[gMASK]sop<|{{ message['role'] }}|>"]) {
        return Some(Template::ChatGlm3);
    }
    None
}
