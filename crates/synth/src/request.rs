//! How people ask: calls worded as one request in plain English.
//!
//! In: calls and a random source. Out: text in which every tool's verb and thing, and every
//! parameter's words, stand near their value. It does not know conversations or tool definitions.

use crate::kind::{ValueType, spoken_name};
use crate::rng::Rng;
use crate::tool::{Call, with_article};

/// Ways to begin, and the mark that ends the sentence.
const OPENERS: &[(&str, &str)] = &[
    ("Please ", "."),
    ("Can you ", "?"),
    ("Could you ", "?"),
    ("I need you to ", "."),
    ("I want to ", "."),
    ("I would like to ", "."),
    ("Help me ", "."),
    ("Hi, please ", "."),
    ("Hello, can you ", "?"),
    ("Time to ", "."),
    ("We have to ", "."),
    ("Would you please ", "?"),
];
/// Ways to ask for one thing more.
const JOINERS: &[&str] = &[", and also ", ", and then ", "; also ", ", then "];

/// The text of a request for all `calls`, in order.
pub(crate) fn word_request(calls: &[Call], rng: &mut Rng) -> String {
    let (opener, end) = *rng.pick(OPENERS);
    let mut text = opener.to_string();
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            text.push_str(rng.pick::<&str>(JOINERS));
        }
        text.push_str(&word_task(call, rng));
        // Sentences of their own suit the last task only, or the next one would not join on.
        let last = index + 1 == calls.len();
        if call.values.is_empty() {
            if last {
                text.push_str(end);
            }
        } else if last && rng.chance(35) {
            text.push_str(end);
            text.push(' ');
            text.push_str(&word_sentence(call, rng));
        } else {
            text.push_str(&word_clauses(call, rng));
            if last {
                text.push_str(end);
            }
        }
    }
    text
}

/// `book a table`, `book the table`, `book a new table`.
fn word_task(call: &Call, rng: &mut Rng) -> String {
    let tool = &call.tool;
    match rng.below(4) {
        0 => format!("{} the {}", tool.verb, tool.noun),
        1 => format!("{} this {}", tool.verb, tool.noun),
        _ => format!("{} {}", tool.verb, with_article(&tool.noun)),
    }
}

/// ` with party size 6, arrival time 19:30 and baby chair on`
fn word_clauses(call: &Call, rng: &mut Rng) -> String {
    let lead = *rng.pick(&[" with ", " with ", ", ", ": ", " using "]);
    let between = *rng.pick(&["", "", " set to", " of", " being"]);
    let clauses: Vec<String> = call
        .values
        .iter()
        .map(|(index, value)| {
            let param = &call.tool.params[*index];
            let name = spoken_name(&param.name);
            match param.values {
                ValueType::Object(_) => format!("{name} with {}", value.spoken),
                ValueType::Flag if rng.chance(50) => {
                    let state = if value.spoken == "on" { "enabled" } else { "disabled" };
                    format!("{name} {state}")
                }
                ValueType::Flag => format!("{name} {}", value.spoken),
                _ if rng.chance(6) => format!("{} as {name}", value.spoken),
                _ => format!("{name}{between} {}", value.spoken),
            }
        })
        .collect();
    format!("{lead}{}", join_clauses(&clauses))
}

/// `The party size is 6 and the arrival time is 19:30.`
fn word_sentence(call: &Call, rng: &mut Rng) -> String {
    let verb = *rng.pick(&["is", "is", "should be", "must be"]);
    let clauses: Vec<String> = call
        .values
        .iter()
        .enumerate()
        .map(|(position, (index, value))| {
            let name = spoken_name(&call.tool.params[*index].name);
            let article = if position == 0 { "The" } else { "the" };
            match call.tool.params[*index].values {
                ValueType::Object(_) => format!("{article} {name} has {}", value.spoken),
                _ if verb == "is" && name.ends_with('s') => format!("{article} {name} are {}", value.spoken),
                _ => format!("{article} {name} {verb} {}", value.spoken),
            }
        })
        .collect();
    format!("{}.", join_clauses(&clauses))
}

/// As an enumeration, but with a comma before `and` where a clause holds one itself.
fn join_clauses(clauses: &[String]) -> String {
    let nested = clauses.iter().any(|clause| clause.contains(" and "));
    match clauses {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] if nested => format!("{}, and {last}", start.join(", ")),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}
