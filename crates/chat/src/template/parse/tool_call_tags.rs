//! Calls as `<tool_call>⏎{"name": …, "arguments": {…}}⏎</tool_call>` in a text: Qwen2.5, Qwen3, Hermes.
//!
//! A call is attempted where an object follows `<tool_call>`; anything else after it is prose. The object's own strings
//! may hold any text, marks included, so its end is found by reading it and not by searching. An object that breaks
//! off is malformed up to the next mark. A stop token counts as one only at the end of the text.

use super::offered::Offered;
use super::scanner::{Mark, Object, Scanner, begins_mark, starts_with_mark, without_stops};
use crate::data::ToolCall;
use crate::json::{self, Json, ObjectScan};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const STOPS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];
const IN_TEXT: [&str; 3] = [OPEN, STOPS[0], STOPS[1]];
const AFTER_OBJECT: [&str; 4] = [CLOSE, OPEN, STOPS[0], STOPS[1]];

/// The grammar.
#[derive(Debug, Clone, Default)]
pub(in crate::template) struct ToolCallTags {
    state: State,
}

/// Places are counted from `at`.
#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
    /// `<tool_call>` stands at `at`, and nothing but white space after it so far.
    Opened,
    /// An object begins there.
    Object { object: usize, scan: ObjectScan },
    /// The object is complete; what follows decides.
    Complete { object: usize, end: usize },
    /// No call; everything up to the next mark is malformed.
    Broken { error: String },
}

impl ToolCallTags {
    pub(super) fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        let next = match std::mem::take(&mut self.state) {
            State::Text => match scanner.text_until(&IN_TEXT, last) {
                Some(OPEN) => Ok(State::Opened),
                Some(_) => Ok(State::Stopped),
                None => Err(State::Text),
            },
            State::Stopped if scanner.only_stops_follow(&STOPS, last) => Err(State::Stopped),
            State::Stopped => Ok(State::Text),
            State::Opened => opened(scanner, last),
            State::Object { object, mut scan } => match scanner.object(object, &mut scan, last) {
                Object::Open => Err(State::Object { object, scan }),
                Object::Ends(end) => Ok(State::Complete { object, end }),
                Object::Broken(error) => Ok(break_off(scanner, error)),
            },
            State::Complete { object, end } => complete(scanner, object, end, last),
            State::Broken { error } => broken(scanner, error, last),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

fn opened(scanner: &mut Scanner, last: bool) -> Next {
    scanner.look_past_space();
    match scanner.tail().as_bytes().first() {
        Some(b'{') => Ok(State::Object { object: scanner.look - scanner.at, scan: ObjectScan::new() }),
        None if !last => Err(State::Opened),
        _ => {
            scanner.look = scanner.at + OPEN.len();
            scanner.content_to(scanner.look);
            Ok(State::Text)
        }
    }
}

fn break_off(scanner: &mut Scanner, error: String) -> State {
    scanner.look = scanner.at + OPEN.len();
    State::Broken { error }
}

fn complete(scanner: &mut Scanner, object: usize, end: usize, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    let mark = starts_with_mark(tail, &AFTER_OBJECT);
    if mark.is_none() && !last && begins_mark(tail, &AFTER_OBJECT) {
        return Err(State::Complete { object, end });
    }
    if mark.is_none() && !tail.is_empty() {
        scanner.look = scanner.at + end;
        return Ok(State::Broken { error: "text after the call's object".to_owned() });
    }
    if mark == Some(CLOSE) {
        scanner.look += CLOSE.len();
    }
    // Without its closing mark a complete call still is one.
    let call = read_call(&scanner.rest()[object..end], &scanner.offered);
    let raw_text = scanner.text[scanner.at..scanner.look].to_owned();
    scanner.call_begins(true);
    scanner.call(call, &raw_text);
    scanner.skip_to(scanner.look);
    Ok(State::Text)
}

fn broken(scanner: &mut Scanner, error: String, last: bool) -> Next {
    let end = match scanner.find_mark(&[CLOSE, OPEN], last) {
        Mark::Found(place, CLOSE) => place + CLOSE.len(),
        Mark::Found(place, _) => place,
        Mark::None(_) if !last => return Err(State::Broken { error }),
        Mark::None(_) => scanner.text.len(),
    };
    scanner.call_begins(true);
    let raw_text = without_stops(&scanner.text[scanner.at..end], &STOPS).trim_end().to_owned();
    scanner.call(Err(error), &raw_text);
    scanner.skip_to(end);
    scanner.look = end;
    Ok(State::Text)
}

pub(super) fn read_call(text: &str, offered: &Offered) -> Result<ToolCall, String> {
    const EXPECTED: &str = "expected {\"name\": …, \"arguments\": {…}}";
    let mut call = match json::parse(text) {
        Ok(Json::Object(call)) => call,
        Ok(_) => return Err(format!("no object; {EXPECTED}")),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let Some(Json::String(name)) = call.remove("name") else {
        return Err(format!("no \"name\" in the call; {EXPECTED}"));
    };
    let arguments = match call.remove("arguments") {
        // Some models write the arguments as JSON text.
        Some(Json::String(text)) => {
            json::parse(&text).map_err(|error| format!("the arguments are no JSON: {error}"))?
        }
        Some(arguments) => arguments,
        None => return Err(format!("no \"arguments\" in the call; {EXPECTED}")),
    };
    if !arguments.is_object() {
        return Err(format!("the arguments are no object; {EXPECTED}"));
    }
    if !offered.allows(&name) {
        return Err(offered.refusal(&name));
    }
    Ok(ToolCall::new(name, arguments))
}
