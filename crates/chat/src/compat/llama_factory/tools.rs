//! How LLaMA-Factory tells the model about its tools, in each of its tool formats.
//!
//! In: the JSON text of a tool list. Out: the text that goes behind the system text.

use std::fmt;
use std::str::FromStr;

use crate::compat::CompatError;
use crate::compat::python::{describe, true_value};
use crate::json::{self, Json, to_python, to_python_indented, to_str};

/// A way of writing tools and calls (LLaMA-Factory's `tool_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are LLaMA-Factory's; what each writes is below")]
pub enum ToolFormat {
    Default,
    Gemma4,
    Glm4,
    Glm4Moe,
    Lfm2,
    Ling,
    Llama3,
    MiniMax1,
    MiniMax2,
    Mistral,
    Qwen,
    Qwen35,
    SeedOss,
}

const QWEN_START: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>";
const QWEN_END: &str = "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
const GLM4_MOE_END: &str = "\n</tools>\n\nFor each function call, output the function name and arguments within the following XML format:\n<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>\n";
const GLM4: &str = "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";
const LLAMA3: &str = "You have access to the following functions. To call a function, please respond with JSON for a function call. Respond in the format {\"name\": function name, \"parameters\": dictionary of argument name and its value}. Do not use variables.\n\n";
const MINIMAX1_END: &str = "</tools>\n\nIf you need to call tools, please respond with <tool_calls></tool_calls> XML tags, and provide tool-name and json-object of arguments, following the format below:\n<tool_calls>\n{\"name\": <tool-name-1>, \"arguments\": <args-json-object-1>}\n...\n</tool_calls>";
const MINIMAX2_START: &str = "\n\n# Tools\n\nYou may call one or more tools to assist with the user query.\nHere are the tools available in JSONSchema format:\n\n<tools>\n";
const MINIMAX2_END: &str = "</tools>\n\nWhen making tool calls, use XML format to invoke tools and pass parameters:\n\n<minimax:tool_call>\n<invoke name=\"tool-name-1\">\n<parameter name=\"param-key-1\">param-value-1</parameter>\n<parameter name=\"param-key-2\">param-value-2</parameter>\n...\n</invoke>\n</minimax:tool_call>";
const QWEN35_START: &str = "\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>";
const QWEN35_END: &str = "\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags\n- Required parameters MUST be specified\n- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after\n- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about function calls\n</IMPORTANT>";
const SEED_START: &str = "system\nYou are Doubao, a helpful AI assistant. You may call one or more functions to assist with the user query.Tool List:\nYou are authorized to use the following tools (described in JSON Schema format). Before performing any task, you must decide how to call them based on the descriptions and parameters of these tools.\n";
const SEED_END: &str = "\n工具调用请遵循如下格式:\n<seed:tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>value_1</parameter>\n<parameter=example_parameter_2>This is the value for the second parameter\nthat can span\nmultiple lines</parameter>\n</function>\n</seed:tool_call>\n";

impl ToolFormat {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 13] = [
        Self::Default,
        Self::Gemma4,
        Self::Glm4,
        Self::Glm4Moe,
        Self::Lfm2,
        Self::Ling,
        Self::Llama3,
        Self::MiniMax1,
        Self::MiniMax2,
        Self::Mistral,
        Self::Qwen,
        Self::Qwen35,
        Self::SeedOss,
    ];

    /// LLaMA-Factory's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Gemma4 => "gemma4",
            Self::Glm4 => "glm4",
            Self::Glm4Moe => "glm4_moe",
            Self::Lfm2 => "lfm2",
            Self::Ling => "ling",
            Self::Llama3 => "llama3",
            Self::MiniMax1 => "minimax1",
            Self::MiniMax2 => "minimax2",
            Self::Mistral => "mistral",
            Self::Qwen => "qwen",
            Self::Qwen35 => "qwen3_5",
            Self::SeedOss => "seed_oss",
        }
    }
}

impl fmt::Display for ToolFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ToolFormat {
    type Err = CompatError;

    fn from_str(name: &str) -> Result<Self, CompatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == name).ok_or_else(|| CompatError::UnknownName {
            what: "tool format",
            name: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// The text about the tools of this JSON text; `date` is the day that `llama3` names.
pub fn write_tools(format: ToolFormat, tools: &str, date: &str) -> Result<String, CompatError> {
    let tools =
        json::parse(tools).map_err(|error| stops("tools", format!("not JSON: {error}"), "a JSON list"))?;
    let items = match &tools {
        Json::Array(items) => items.as_slice(),
        Json::Object(map) if map.is_empty() => &[],
        Json::String(text) if text.is_empty() => &[],
        // It prints what it was given and never looks inside.
        Json::Object(_) | Json::String(_) if format == ToolFormat::SeedOss => {
            return Ok(format!("{SEED_START}{}{SEED_END}", to_python(&tools)));
        }
        other => return Err(stops("tools", format!("found {}", describe(Some(other))), "a list of objects")),
    };
    if items.is_empty() {
        return Ok(String::new());
    }
    if format == ToolFormat::SeedOss {
        return Ok(format!("{SEED_START}{}{SEED_END}", to_python(&tools)));
    }
    if let Some((index, tool)) = items.iter().enumerate().find(|(_, tool)| !tool.is_object()) {
        return Err(stops(
            &format!("tools[{index}]"),
            format!("found {} (AttributeError)", describe(Some(tool))),
            "objects",
        ));
    }
    let each = |write: &dyn Fn(&Json) -> String| items.iter().map(write).collect::<String>();
    let wrapped_lines = || each(&|tool| format!("\n{}", wrapped(tool)));
    Ok(match format {
        ToolFormat::Default => default(items)?,
        ToolFormat::Gemma4 => gemma4(items)?,
        ToolFormat::Glm4 => glm4(items)?,
        ToolFormat::Qwen => format!("\n\n{QWEN_START}{}{QWEN_END}", wrapped_lines()),
        ToolFormat::Ling => format!("{QWEN_START}{}{QWEN_END}\ndetailed thinking off", wrapped_lines()),
        ToolFormat::Glm4Moe => format!("\n\n{QWEN_START}{}{GLM4_MOE_END}", wrapped_lines()),
        ToolFormat::Mistral => {
            let tools: Vec<String> = items.iter().map(wrapped).collect();
            format!("[AVAILABLE_TOOLS] [{}][/AVAILABLE_TOOLS]", tools.join(", "))
        }
        ToolFormat::Llama3 => {
            let tools = each(&|tool| to_python_indented(&wrapped_value(tool), 4) + "\n\n");
            format!("Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n{LLAMA3}{tools}")
        }
        ToolFormat::MiniMax1 => {
            let tools = each(&|tool| to_python(function_or_nothing(tool)) + "\n");
            format!("You are provided with these tools:\n<tools>\n{tools}{MINIMAX1_END}")
        }
        ToolFormat::MiniMax2 => {
            let tools = each(&|tool| format!("<tool>{}</tool>\n", to_python(function_or_nothing(tool))));
            format!("{MINIMAX2_START}{tools}{MINIMAX2_END}")
        }
        ToolFormat::Qwen35 => {
            let tools = each(&|tool| format!("\n{}", to_python(function_or_itself(tool))));
            format!("{QWEN35_START}{tools}{QWEN35_END}")
        }
        ToolFormat::Lfm2 => {
            let tools: Vec<String> = items.iter().map(|tool| to_python(function_or_itself(tool))).collect();
            format!("List of tools: <|tool_list_start|>[{}]<|tool_list_end|>", tools.join(", "))
        }
        ToolFormat::SeedOss => String::new(),
    })
}

fn is_wrapped(tool: &Json) -> bool {
    tool.get("type").and_then(Json::as_str) == Some("function")
}

fn wrapped_value(tool: &Json) -> Json {
    if is_wrapped(tool) { tool.clone() } else { serde_json::json!({"type": "function", "function": tool}) }
}

fn wrapped(tool: &Json) -> String {
    to_python(&wrapped_value(tool))
}

fn function_or_itself(tool: &Json) -> &Json {
    tool.get("function").filter(|_| is_wrapped(tool)).unwrap_or(tool)
}

/// As most formats read it: a wrapped tool without a function is an empty text.
fn function_or_nothing(tool: &Json) -> &Json {
    const NOTHING: &Json = &Json::String(String::new());
    if is_wrapped(tool) { tool.get("function").unwrap_or(NOTHING) } else { tool }
}

fn glm4(tools: &[Json]) -> Result<String, CompatError> {
    let mut text = GLM4.to_owned();
    for (index, tool) in tools.iter().enumerate() {
        let tool = function_or_nothing(tool);
        let name = name(index, tool)?;
        let body = to_python_indented(tool, 4);
        text +=
            &format!("\n\n## {}\n\n{body}\n在调用上述函数时，请使用 Json 格式表示调用的参数。", to_str(name));
    }
    Ok(text)
}

fn default(tools: &[Json]) -> Result<String, CompatError> {
    let mut text = String::from("You have access to the following tools:\n");
    let mut names = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let tool = function_or_nothing(tool);
        let mut parameters = String::new();
        let schema = tool.get("parameters").unwrap_or(&Json::Null);
        let place = format!("tools[{index}].parameters.properties");
        let Some(Json::Object(properties)) = schema.get("properties") else {
            return Err(stops(
                &place,
                format!("found {} (KeyError or AttributeError)", describe(schema.get("properties"))),
                "the parameters as an object, {} for none",
            ));
        };
        for (key, property) in properties {
            parameters += &default_parameter(&format!("{place}.{key}"), key, property, schema)?;
        }
        let name = name(index, tool)?;
        let description = tool.get("description").map(to_str).unwrap_or_default();
        text += &format!(
            "> Tool Name: {}\nTool Description: {description}\nTool Args:\n{parameters}\n",
            to_str(name)
        );
        let Some(name) = name.as_str() else {
            return Err(stops(
                &format!("tools[{index}].name"),
                format!("found {}", describe(Some(name))),
                "a text",
            ));
        };
        names.push(name);
    }
    let names = names.join(", ");
    Ok(format!(
        "{text}Use the following format if using a tool:\n```\nAction: tool name (one of [{names}])\nAction Input: the input to the tool, in a JSON format representing the kwargs (e.g. ```{{\"input\": \"hello world\", \"num_beams\": 5}}```)\n```\n"
    ))
}

fn default_parameter(place: &str, key: &str, property: &Json, schema: &Json) -> Result<String, CompatError> {
    if !property.is_object() {
        return Err(stops(
            place,
            format!("found {} (AttributeError)", describe(Some(property))),
            "each property as an object",
        ));
    }
    let required = match schema.get("required") {
        None => false,
        Some(Json::Array(names)) => names.iter().any(|name| name == key),
        Some(Json::Object(names)) => names.contains_key(key),
        Some(Json::String(text)) => text.contains(key),
        other => {
            let found = format!("its \"required\" is {} (TypeError)", describe(other));
            return Err(stops(place, found, "a list of names"));
        }
    };
    let choices = match true_value(property, "enum") {
        None => String::new(),
        Some(choices) => {
            let texts: Option<Vec<&str>> =
                choices.as_array().and_then(|choices| choices.iter().map(Json::as_str).collect());
            let texts = texts.ok_or_else(|| {
                stops(place, "an \"enum\" with values that are no texts (TypeError)", "a list of texts")
            })?;
            format!(", should be one of [{}]", texts.join(", "))
        }
    };
    let items = match true_value(property, "items") {
        None => String::new(),
        Some(Json::Object(items)) => {
            format!(", where each item should be {}", items.get("type").map(to_str).unwrap_or_default())
        }
        other => return Err(stops(place, format!("its \"items\" is {}", describe(other)), "an object")),
    };
    let printed = |name: &str| property.get(name).map(to_str).unwrap_or_default();
    let required = if required { ", required" } else { "" };
    Ok(format!("  - {key} ({}{required}): {}{choices}{items}\n", printed("type"), printed("description")))
}

fn gemma4(tools: &[Json]) -> Result<String, CompatError> {
    let mut declarations = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let tool = function_or_itself(tool);
        let name = to_str(name(index, tool)?);
        let description = tool.get("description").map(to_str).unwrap_or_default();
        let mut text = format!("declaration:{name}{{description:<|\"|>{description}<|\"|>");
        if let Some(schema) = true_value(tool, "parameters") {
            let mut parts = Vec::new();
            if let Some(properties) = true_value(schema, "properties") {
                let parameters =
                    gemma4_properties(&format!("tools[{index}].parameters.properties"), properties)?;
                parts.push(format!("properties:{{{parameters}}}"));
            }
            if let Some(required) = true_value(schema, "required") {
                let Some(names) = required.as_array() else {
                    let found = format!("\"required\" is {}", describe(Some(required)));
                    return Err(stops(&format!("tools[{index}].parameters"), found, "a list of names"));
                };
                let names: Vec<String> = names.iter().map(|name| quoted(&to_str(name))).collect();
                parts.push(format!("required:[{}]", names.join(",")));
            }
            if let Some(kind) = true_value(schema, "type") {
                parts.push(format!("type:{}", quoted(&to_str(kind).to_uppercase())));
            }
            text += &format!(",parameters:{{{}}}", parts.join(","));
        }
        if let Some(response) = true_value(tool, "response") {
            let mut parts = Vec::new();
            if let Some(description) = true_value(response, "description") {
                parts.push(format!("description:{}", quoted(&to_str(description))));
            }
            if response.get("type").map(to_str).unwrap_or_default().to_uppercase() == "OBJECT" {
                parts.push(format!("type:{}", quoted("OBJECT")));
            }
            text += &format!(",response:{{{}}}", parts.join(","));
        }
        declarations.push(text + "}");
    }
    Ok(declarations.join("\n"))
}

fn gemma4_properties(place: &str, properties: &Json) -> Result<String, CompatError> {
    let properties = properties.as_object().ok_or_else(|| {
        stops(place, format!("found {} (AttributeError)", describe(Some(properties))), "an object")
    })?;
    let mut written = Vec::with_capacity(properties.len());
    for (key, property) in properties {
        if !property.is_object() {
            let found = format!("found {} (AttributeError)", describe(Some(property)));
            return Err(stops(&format!("{place}.{key}"), found, "each property as an object"));
        }
        let mut parts = Vec::new();
        if let Some(description) = true_value(property, "description") {
            parts.push(format!("description:{}", quoted(&to_str(description))));
        }
        if let Some(kind) = true_value(property, "type") {
            parts.push(format!("type:{}", quoted(&to_str(kind).to_uppercase())));
        }
        written.push(format!("{key}:{{{}}}", parts.join(",")));
    }
    Ok(written.join(","))
}

/// Gemma's string marks.
fn quoted(text: &str) -> String {
    format!("<|\"|>{text}<|\"|>")
}

fn name(index: usize, tool: &Json) -> Result<&Json, CompatError> {
    tool.get("name")
        .ok_or_else(|| stops(&format!("tools[{index}]"), "a tool without \"name\" (KeyError)", "a name"))
}

fn stops(place: &str, problem: impl Into<String>, expected: &str) -> CompatError {
    CompatError::refused(
        place,
        problem,
        format!("LLaMA-Factory stops here, it takes {expected}"),
        "Mend the tool, or drop the record",
    )
}
