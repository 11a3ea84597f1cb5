//! How LLaMA-Factory writes calls, in each of its tool formats.
//!
//! In: the text of a `function_call` turn: JSON of one call or a list, perhaps with text around `<tool_call>…</tool_call>`
//! or a thought before. Out: what the model is trained to write.

use super::ToolFormat;
use crate::compat::CompatError;
use crate::compat::python::describe;
use crate::json::{self, Json, JsonMap, push_python, push_python_string, to_python, to_str};

/// `thought_words` and `tool_call_words` of every template that is known here.
const THOUGHT: [&str; 2] = ["<think>\n", "\n</think>\n\n"];
const CALL: [&str; 2] = ["<tool_call>", "</tool_call>"];

struct Call<'a> {
    /// Usually a text.
    name: &'a Json,
    arguments: &'a Json,
}

/// The text of a `function_call` turn, written in this format.
pub(super) fn write_turn(format: ToolFormat, place: &str, content: &str) -> Result<String, CompatError> {
    let (before, calls) = match between(content, CALL) {
        Some((whole, inside)) => (content.replace(whole, ""), inside.to_owned()),
        None => match between(content, THOUGHT) {
            Some((whole, _)) => (whole.to_owned(), content.replace(whole, "")),
            None => (String::new(), content.to_owned()),
        },
    };
    let calls = json::parse(&calls).map_err(|error| {
        stops(
            place,
            format!("not JSON: {error}"),
            "a call {\"name\": …, \"arguments\": {…}} or a list of them",
        )
    })?;
    Ok(before + &write_calls(format, place, &calls)?)
}

/// The first stretch that begins and ends with these words, whole and without them.
fn between<'a>(text: &'a str, words: [&str; 2]) -> Option<(&'a str, &'a str)> {
    let start = text.find(words[0])?;
    let inside = start + words[0].len();
    let length = text[inside..].find(words[1])?;
    let end = inside + length;
    Some((&text[start..end + words[1].len()], &text[inside..end]))
}

fn read<'a>(place: &str, item: &'a Json) -> Result<Call<'a>, CompatError> {
    match item {
        Json::Object(call) => match (call.get("name"), call.get("arguments")) {
            (Some(name), Some(arguments)) => Ok(Call { name, arguments }),
            (None, _) => Err(stops(place, "a call without \"name\" (KeyError)", "both")),
            (_, None) => Err(stops(place, "a call without \"arguments\" (KeyError)", "both; {} for none")),
        },
        other => Err(stops(place, format!("found {}", describe(Some(other))), "a call as an object")),
    }
}

/// A call or list of calls, `{"name": …, "arguments": …}` each, as this format writes them. `place` is for messages.
pub fn write_calls(format: ToolFormat, place: &str, calls: &Json) -> Result<String, CompatError> {
    let items = match calls {
        Json::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let calls: Vec<Call<'_>> = items.iter().map(|item| read(place, item)).collect::<Result<_, _>>()?;
    let each = |separator: &str, write: &dyn Fn(&Call<'_>) -> Result<String, CompatError>| {
        Ok(calls.iter().map(write).collect::<Result<Vec<_>, CompatError>>()?.join(separator))
    };
    match format {
        ToolFormat::Default => each("\n", &|call| {
            Ok(format!("Action: {}\nAction Input: {}", to_str(call.name), to_python(call.arguments)))
        }),
        ToolFormat::Glm4 => match calls.as_slice() {
            [call] => Ok(format!("{}\n{}", to_str(call.name), to_python(call.arguments))),
            [] => Err(stops(place, "an empty list of calls (IndexError)", "one call")),
            more => Err(CompatError::refused(
                place,
                format!("{} calls in one turn", more.len()),
                "LLaMA-Factory stops (ValueError: GLM-4 does not support parallel functions)",
                "Make one call a turn, or use another template",
            )),
        },
        ToolFormat::Llama3 => Ok(match calls.as_slice() {
            [call] => named(call, "parameters"),
            calls => list(calls.iter().map(|call| named(call, "parameters"))),
        }),
        ToolFormat::Mistral => Ok(list(calls.iter().map(|call| named(call, "arguments")))),
        ToolFormat::Qwen | ToolFormat::Ling => {
            each("\n", &|call| Ok(format!("<tool_call>\n{}\n</tool_call>", named(call, "arguments"))))
        }
        ToolFormat::MiniMax1 => {
            let calls = each("\n", &|call| Ok(named(call, "arguments")))?;
            Ok(format!("<tool_calls>\n{calls}\n</tool_calls>"))
        }
        ToolFormat::MiniMax2 => each("\n", &|call| {
            let mut text = format!("<invoke name=\"{}\">", to_str(call.name));
            for (key, value) in pairs(place, call)? {
                text += &format!("\n<parameter name=\"{key}\">{}</parameter>", raw(value));
            }
            Ok(text + "\n</invoke>")
        }),
        ToolFormat::Qwen35 => each("\n", &|call| {
            let mut text = format!("<tool_call>\n<function={}>", to_str(call.name));
            for (key, value) in pairs(place, call)? {
                text += &format!("\n<parameter={key}>\n{}\n</parameter>", raw(value));
            }
            Ok(text + "\n</function>\n</tool_call>")
        }),
        ToolFormat::Glm4Moe => each("\n", &|call| {
            let mut text = format!("\n<tool_call>{}", name(place, call)?);
            for (key, value) in pairs(place, call)? {
                text += &format!("\n<arg_key>{key}</arg_key>\n<arg_value>{}</arg_value>", raw(value));
            }
            // It writes no </tool_call>.
            Ok(text)
        }),
        ToolFormat::SeedOss => each("\n", &|call| {
            // Nor does this one write the > behind the name.
            let mut text = format!("\n<seed:tool_call>\n<function={}", name(place, call)?);
            for (key, value) in pairs(place, call)? {
                text += &format!("\n<parameter={key}>{}</parameter>", raw(value));
            }
            Ok(text + "\n</function>\n</seed:tool_call>")
        }),
        ToolFormat::Lfm2 => {
            let calls = each(", ", &|call| {
                let argument = |(key, value): (&String, &Json)| match value {
                    Json::String(text) => format!("{key}=\"{text}\""),
                    other => format!("{key}={}", to_python(other)),
                };
                let arguments: Vec<String> = pairs(place, call)?.iter().map(argument).collect();
                Ok(format!("{}({})", to_str(call.name), arguments.join(", ")))
            })?;
            Ok(format!("<|tool_call_start|>[{calls}]<|tool_call_end|>"))
        }
        ToolFormat::Gemma4 => each("", &|call| {
            let arguments = match call.arguments {
                Json::Object(arguments) => {
                    let arguments: Vec<String> = sorted(arguments)
                        .map(|(key, value)| format!("{key}:{}", gemma_value(value)))
                        .collect();
                    arguments.join(",")
                }
                Json::String(text) => text.clone(),
                other => gemma_value(other),
            };
            Ok(format!("<|tool_call>call:{}{{{arguments}}}<tool_call|>", to_str(call.name)))
        }),
    }
}

/// `{"name": …, "arguments": …}`, the second key by its name.
fn named(call: &Call<'_>, key: &str) -> String {
    let mut text = String::from("{\"name\": ");
    push_python(&mut text, call.name);
    text.push_str(", ");
    push_python_string(&mut text, key);
    text.push_str(": ");
    push_python(&mut text, call.arguments);
    text.push('}');
    text
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn name<'a>(place: &str, call: &Call<'a>) -> Result<&'a str, CompatError> {
    call.name.as_str().ok_or_else(|| {
        stops(place, format!("the name is {} (TypeError)", describe(Some(call.name))), "a text")
    })
}

fn pairs<'a>(place: &str, call: &Call<'a>) -> Result<&'a JsonMap, CompatError> {
    call.arguments.as_object().ok_or_else(|| {
        let found = format!("the arguments are {} (AttributeError)", describe(Some(call.arguments)));
        stops(place, found, "an object")
    })
}

/// A text as it is, anything else as JSON.
fn raw(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => to_python(other),
    }
}

fn sorted(map: &JsonMap) -> impl Iterator<Item = (&String, &Json)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries.into_iter()
}

fn gemma_value(value: &Json) -> String {
    match value {
        Json::String(text) => format!("<|\"|>{text}<|\"|>"),
        Json::Bool(true) => "true".to_owned(),
        Json::Bool(false) => "false".to_owned(),
        Json::Null => "null".to_owned(),
        Json::Object(map) => {
            let entries: Vec<_> =
                sorted(map).map(|(key, value)| format!("{key}:{}", gemma_value(value))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(gemma_value).collect();
            format!("[{}]", items.join(","))
        }
        number @ Json::Number(_) => to_str(number),
    }
}

fn stops(place: &str, problem: impl Into<String>, expected: &str) -> CompatError {
    CompatError::refused(
        place,
        problem,
        format!("LLaMA-Factory stops here, it takes {expected}"),
        "Mend the call, or drop the record",
    )
}
