//! The base model's corpus: short documents that are dense in copying and typed JSON, and
//! conversations in an older calling convention.
//!
//! In: a seed and a count. Out: records, `{"text": ...}` or `{"messages": ..., "tools": ...}`.
//! In the older convention every argument is written as a string, a turn makes exactly one call
//! (for the first thing asked), and a call is made even where nothing fits. It does not know the
//! demo's tools except as names to stay away from.

use serde_json::{Map, Value as Json, json};

use crate::conversation::{assistant, assistant_calls, draw_result, small_talk, system, tool_result, user};
use crate::invented::Vocabulary;
use crate::json_text::json_text;
use crate::kind::{Pool, ValueType, spoken_name};
use crate::request::word_request;
use crate::rng::Rng;
use crate::tool::{Call, Tool};

/// How much of the corpus, in percent of its records, comes before the first long document.
const SHORT_PERCENT: usize = 35;

/// How many of a corpus of `count` records come before the first long document.
#[must_use]
pub fn short_records(count: usize) -> usize {
    (count * SHORT_PERCENT).div_ceil(100)
}

/// `count` records of the base model's corpus, to be read in this order: short documents first
/// (they teach copying), then those with tool definitions, and conversations.
pub fn base_corpus(seed: u64, count: usize) -> impl Iterator<Item = Json> {
    let vocabulary = Vocabulary::new();
    (0..count).map(move |index| {
        let mut rng = Rng::new(seed, 1000 + index as u64);
        let weights =
            if index < short_records(count) { [0, 4, 32, 22, 16, 14, 12] } else { [28, 42, 12, 8, 4, 4, 2] };
        record(&weights, &vocabulary, &mut rng)
    })
}

fn record(weights: &[usize; 7], vocabulary: &Vocabulary, rng: &mut Rng) -> Json {
    let text = match rng.weighted(weights) {
        0 => return old_conversation(vocabulary, rng),
        1 => job_sheet(vocabulary, rng),
        2 => form(vocabulary, rng),
        3 => matching(vocabulary, rng),
        4 => repetition(vocabulary, rng),
        5 => table(vocabulary, rng),
        _ => spelling(vocabulary, rng),
    };
    json!({"text": text})
}

fn tools(vocabulary: &Vocabulary, rng: &mut Rng) -> Vec<Tool> {
    let count = 1 + rng.weighted(&[34, 41, 22, 3]);
    let mut tools: Vec<Tool> = Vec::new();
    while tools.len() < count {
        let mut tool = vocabulary.tool(rng);
        if let Some(last) = tools.last()
            && rng.chance(25)
        {
            if rng.chance(50) {
                tool.noun.clone_from(&last.noun);
            } else {
                tool.verb.clone_from(&last.verb);
            }
            if vocabulary.is_forbidden(&tool) {
                continue;
            }
        }
        if tools.iter().all(|other| other.name() != tool.name()) {
            tools.push(tool);
        }
    }
    tools
}

/// Requests for something: usually of the offered tools, else of one that is not offered.
fn wanted(vocabulary: &Vocabulary, tools: &[Tool], unfit_percent: usize, rng: &mut Rng) -> (Vec<Call>, bool) {
    if rng.chance(unfit_percent) {
        let other = loop {
            let tool = vocabulary.tool(rng);
            if tools.iter().all(|offered| offered.noun != tool.noun) {
                break tool;
            }
        };
        return (vec![other.draw_call(rng)], false);
    }
    let count = 1 + rng.weighted(&[70, 24, 6]);
    let mut order = rng.sample(tools, tools.len());
    while order.len() < count {
        order.push(rng.pick(tools).clone());
    }
    let calls = order.iter().take(count).map(|tool| tool.draw_call(rng)).collect();
    (calls, true)
}

/// A conversation in the older convention.
fn old_conversation(vocabulary: &Vocabulary, rng: &mut Rng) -> Json {
    let tools = tools(vocabulary, rng);
    let mut messages = vec![system(rng)];
    if rng.chance(4) {
        let (remark, _) = small_talk(rng);
        messages.push(user(remark));
        messages.push(assistant_calls(&[blind_call(&tools[0])], 1));
    } else {
        let (calls, fits) = wanted(vocabulary, &tools, 10, rng);
        messages.push(user(&word_request(&calls, rng)));
        let call =
            if fits { (calls[0].tool.name(), calls[0].string_arguments()) } else { blind_call(&tools[0]) };
        messages.push(assistant_calls(&[call], 1));
        if rng.chance(18) {
            let (result, answer) = draw_result(&calls[0].tool, rng);
            messages.push(tool_result(1, &result));
            messages.push(assistant(&answer));
        }
    }
    let tools: Vec<Json> = tools.iter().map(Tool::definition).collect();
    json!({"messages": messages, "tools": tools})
}

/// What the older convention does when nothing fits: the first tool, with values made up.
fn blind_call(tool: &Tool) -> (String, Map<String, Json>) {
    let required = tool.params.iter().filter(|param| param.required);
    let arguments = required.map(|param| (param.name.clone(), json!("unknown"))).collect();
    (tool.name(), arguments)
}

/// Tool definitions, a request, and the steps that carry it out, with typed values.
fn job_sheet(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let tools = tools(vocabulary, rng);
    let (calls, fits) = wanted(vocabulary, &tools, 18, rng);
    let mut text = String::from("Job sheet\n");
    for tool in &tools {
        text.push_str(&json_text(&tool.definition()));
        text.push('\n');
    }
    text.push_str(&format!("Request: {}\nSteps:\n", word_request(&calls, rng)));
    if fits {
        for call in &calls {
            let step = json!({"step": call.tool.name(), "with": call.arguments()});
            text.push_str(&json_text(&step));
            text.push('\n');
        }
    } else {
        text.push_str(&format!("none, no tool to {}\n", calls[0].tool.task()));
    }
    text
}

/// Fields with their types, a note in words, and the record that it fills.
fn form(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let mut tool = vocabulary.tool(rng);
    let count = 1 + rng.below(4);
    tool.params = vocabulary.params(count, rng);
    let call = tool.draw_call(rng);
    let fields: Vec<String> =
        tool.params.iter().map(|param| format!("{} {}", param.name, type_name(&param.values))).collect();
    format!(
        "Form: {}\nNote: {}\nRecord: {}\n",
        fields.join(", "),
        word_request(std::slice::from_ref(&call), rng),
        json_text(&Json::Object(call.arguments()))
    )
}

fn type_name(values: &ValueType) -> &'static str {
    match values {
        ValueType::Text(_) | ValueType::Choice(_) => "string",
        ValueType::Integer(..) => "integer",
        ValueType::Number(..) => "number",
        ValueType::Flag => "boolean",
        ValueType::Words(_) | ValueType::Integers(..) => "array",
        ValueType::Object(_) => "object",
    }
}

/// Names of jobs, and for each of some requests the one that fits, or none.
fn matching(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let count = 2 + rng.below(4);
    let jobs: Vec<Tool> = (0..count).map(|_| vocabulary.tool(rng)).collect();
    let names: Vec<String> = jobs.iter().map(Tool::name).collect();
    let mut text = format!("Jobs: {}\n", names.join(", "));
    for _ in 0..2 + rng.below(3) {
        let (mut tool, name) = if rng.chance(70) {
            let tool = rng.pick(&jobs).clone();
            let name = tool.name();
            (tool, name)
        } else {
            (vocabulary.tool(rng), "none".to_string())
        };
        tool.params.clear();
        let request = word_request(&[tool.draw_call(rng)], rng);
        text.push_str(&format!("Request: {request}\nJob: {name}\n"));
    }
    text
}

/// A list said twice or more.
fn repetition(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let count = 2 + rng.below(8);
    let items: Vec<String> = (0..count)
        .map(|_| match rng.below(5) {
            0 => rng.range(-999, 9999).to_string(),
            1 => rng.pick(&[Pool::Person, Pool::City, Pool::Date, Pool::Time, Pool::Code]).draw(rng),
            _ => vocabulary.word(rng),
        })
        .collect();
    let separator = *rng.pick(&[", ", " ", "_", "; ", "\n"]);
    let line = items.join(separator);
    let mut text = format!("List: {line}\n");
    for _ in 0..1 + rng.below(2) {
        text.push_str(&format!("Again: {line}\n"));
    }
    text
}

/// Entries with values, then questions about some of them.
fn table(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let count = 2 + rng.below(5);
    let rows: Vec<(String, String)> = vocabulary
        .params(count, rng)
        .iter()
        .map(|param| (spoken_name(&param.name), param.values.draw(rng).spoken))
        .collect();
    let mut text = String::from("Table\n");
    for (name, value) in &rows {
        text.push_str(&format!("{name}: {value}\n"));
    }
    for _ in 0..1 + rng.below(3) {
        let (name, value) = rng.pick(&rows);
        text.push_str(&format!("What is the {name}? {value}\n"));
    }
    text
}

/// Words and the identifier that they make, both ways.
fn spelling(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let mut text = String::from("Names\n");
    for _ in 0..3 + rng.below(4) {
        let count = 2 + rng.below(2);
        let words: Vec<String> = (0..count).map(|_| vocabulary.word(rng)).collect();
        if vocabulary.is_name_forbidden(&words.join("_")) {
            continue;
        }
        if rng.chance(50) {
            text.push_str(&format!("{} -> {}\n", words.join(" "), words.join("_")));
        } else {
            text.push_str(&format!("{} -> {}\n", words.join("_"), words.join(" ")));
        }
    }
    text
}
