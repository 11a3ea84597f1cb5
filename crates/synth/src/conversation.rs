//! The parts that demo conversations and the base model's conversations share: messages in OpenAI's
//! shape, tool results with the answers that report them, small talk.
//!
//! In: calls, texts and a random source. Out: JSON messages. It does not know which convention the
//! calls follow, nor which conversations are made of them.

use serde_json::{Map, Value as Json, json};

use crate::json_text::json_text;
use crate::rng::Rng;
use crate::tool::Tool;

/// The system messages that conversations begin with.
pub(crate) const SYSTEM_TEXTS: &[&str] = &[
    "You are a helpful assistant.",
    "You are a helpful assistant that can call tools.",
    "Help the user. Call tools where they help.",
];

/// Things that people say without wanting a tool, and an answer to each.
const SMALL_TALK: &[(&str, &str)] = &[
    ("Hello!", "Hello! What can I do for you?"),
    ("Hi there!", "Hello! What can I do for you?"),
    ("Good morning!", "Good morning! What can I do for you?"),
    ("Good evening!", "Good evening! What can I do for you?"),
    ("Thank you very much!", "You are welcome!"),
    ("Thanks, that was all.", "You are welcome!"),
    ("Great, thanks for your help!", "You are welcome!"),
    ("Who are you?", "I am a small assistant that can call tools."),
    ("Are you a person?", "No, I am a small assistant that can call tools."),
    ("How are you today?", "I am fine, thank you."),
    ("How is it going?", "I am fine, thank you."),
    ("Goodbye!", "Goodbye!"),
    ("See you tomorrow!", "Goodbye!"),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("How many days are in a week?", "A week has seven days."),
    ("How many months are in a year?", "A year has twelve months."),
    ("Which color is the sky?", "The sky is blue."),
    ("Is snow cold?", "Yes, snow is cold."),
    ("Tell me a joke.", "I only know how to call tools, sorry."),
    ("Sing something for me.", "I only know how to call tools, sorry."),
];

pub(crate) fn system(rng: &mut Rng) -> Json {
    json!({"role": "system", "content": *rng.pick(SYSTEM_TEXTS)})
}

pub(crate) fn user(text: &str) -> Json {
    json!({"role": "user", "content": text})
}

pub(crate) fn assistant(text: &str) -> Json {
    json!({"role": "assistant", "content": text})
}

/// An assistant message that makes calls; `first_id` numbers them within the conversation.
pub(crate) fn assistant_calls(calls: &[(String, Map<String, Json>)], first_id: usize) -> Json {
    let calls: Vec<Json> = calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| {
            json!({
                "id": format!("call_{}", first_id + index),
                "type": "function",
                "function": {"name": name, "arguments": json_text(&Json::Object(arguments.clone()))},
            })
        })
        .collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

pub(crate) fn tool_result(id: usize, content: &str) -> Json {
    json!({"role": "tool", "tool_call_id": format!("call_{id}"), "content": content})
}

/// A remark of no task, and its answer.
pub(crate) fn small_talk(rng: &mut Rng) -> (&'static str, &'static str) {
    *rng.pick(SMALL_TALK)
}

/// What is said when no offered tool fits.
pub(crate) fn refusal(tool: &Tool) -> String {
    format!("I have no tool to {}.", tool.task())
}

/// A tool's result, and the words that report it.
pub(crate) fn draw_result(tool: &Tool, rng: &mut Rng) -> (String, String) {
    let noun = &tool.noun;
    let (result, words) = match rng.below(4) {
        0 => {
            let code = crate::kind::Pool::Code.draw(rng);
            (json!({"status": "done", "reference": code}), format!("Done. The reference is {code}."))
        }
        1 => {
            let minutes = rng.range(2, 90);
            (
                json!({"status": "started", "minutes": minutes}),
                format!("The {noun} is ready in {minutes} minutes."),
            )
        }
        2 => {
            let reason = *rng.pick(&["not available", "access denied", "no such entry", "service closed"]);
            (json!({"error": reason}), format!("Sorry, that failed: {reason}."))
        }
        _ => {
            let number = rng.range(10, 9999);
            (json!({"status": "done", "number": number}), format!("Done. The {noun} has number {number}."))
        }
    };
    (json_text(&result), words)
}
