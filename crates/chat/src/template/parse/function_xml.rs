//! Calls as `<tool_call>⏎<function={name}>⏎<parameter={key}>⏎{value}⏎</parameter>⏎…</function>⏎</tool_call>`: Qwen3-Coder.
//!
//! A call is attempted where `<function=` follows `<tool_call>`; anything else after it is prose. A value may hold any
//! text, marks included, but for the marks in an order that only the end of a call, or the beginning of the next one,
//! has. A call that breaks off is malformed up to the next mark. A stop token counts as one only at the end of the text.
//!
//! Values carry no types. Where the tool's schema is known, an argument that may be a text is the text as it stands (or
//! null, where the schema allows it and `None` or `null` stands there). Otherwise a value is JSON if it is a number, a
//! word, a list or an object, Python's `True`, `False` and `None` count as such, and everything else is a text: quotes
//! do not make a text of JSON, since the format writes none.

use super::offered::Offered;
use super::scanner::{Mark, Scanner, begins_mark, starts_with_mark, without_stops};
use crate::data::ToolCall;
use crate::json::{self, Json, JsonMap};
use crate::template::chatml::STOPS;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const FUNCTION: &str = "<function=";
const END_FUNCTION: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const END_PARAMETER: &str = "</parameter>";
const IN_TEXT: [&str; 3] = [OPEN, STOPS[0], STOPS[1]];
const IN_CALL: [&str; 2] = [PARAMETER, END_FUNCTION];
/// What can end a value, if one of the marks behind it follows.
const IN_VALUE: [&str; 3] = [END_PARAMETER, END_FUNCTION, OPEN];
const UNENDED: &str = "the text ends inside the call";
/// A name or key longer than this is none.
const LONGEST_NAME: usize = 4096;

/// The grammar.
#[derive(Debug, Clone, Default)]
pub(in crate::template) struct FunctionXml {
    state: State,
    /// The text is complete and ends inside a value: no later call can be complete.
    unended: bool,
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
    /// The name begins at `look`.
    Name,
    /// Between parameters.
    Between(Call),
    /// A key begins at `look`.
    Key(Call),
    /// A value begins there.
    Value { call: Call, key: String, value: usize },
    /// What may end the value stands at `place`; what follows decides.
    Ending { call: Call, key: String, value: usize, place: usize, mark: &'static str },
    /// The function is complete there; a closing mark may follow.
    Complete { call: Call, end: usize },
    /// No call; everything from `at` to the next mark behind `look` is malformed.
    Broken { error: String },
}

/// A call as far as it was read; values are raw.
#[derive(Debug, Clone, Default)]
struct Call {
    name: String,
    arguments: Vec<(String, String)>,
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

impl FunctionXml {
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
            State::Name => name(scanner, last),
            State::Between(call) => between(scanner, call, last),
            State::Key(call) => key(scanner, call, last),
            State::Value { call, key, value } => self.value(scanner, call, key, value, last),
            State::Ending { call, key, value, place, mark } => {
                ending(scanner, call, key, value, place, mark, last)
            }
            State::Complete { call, end } => complete(scanner, call, end, last),
            State::Broken { error } => broken(scanner, error, last),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }

    /// Why a name cannot be written; `None` where it can.
    pub(in crate::template) fn unwritable_name(name: &str) -> Option<&'static str> {
        if name.trim().is_empty() || name.trim() != name {
            Some("white space around it is lost when the call is read back")
        } else if name.contains(['>', '\n']) || name.len() > LONGEST_NAME {
            Some("it ends at the next \">\", on the same line")
        } else {
            None
        }
    }

    /// Why an argument cannot be written; `None` where it can.
    pub(in crate::template) fn unwritable_argument(key: &str, value: &Json) -> Option<&'static str> {
        if key.contains(['>', '\n']) || key.len() > LONGEST_NAME {
            return Some("its key ends at the next \">\", on the same line");
        }
        let ends = match value {
            Json::String(text) => ends_value(text),
            Json::Array(_) | Json::Object(_) => ends_value(&json::to_python(value)),
            _ => false,
        };
        ends.then_some("its value holds the marks that end a call")
    }

    fn value(&mut self, scanner: &mut Scanner, call: Call, key: String, value: usize, last: bool) -> Next {
        if self.unended {
            return Ok(break_off(scanner, UNENDED));
        }
        match scanner.find_mark(&IN_VALUE, last) {
            Mark::Found(place, mark) => {
                scanner.look = place + mark.len();
                let place = place - scanner.at;
                Ok(State::Ending { call, key, value, place, mark })
            }
            Mark::None(_) if !last => Err(State::Value { call, key, value }),
            Mark::None(_) => {
                self.unended = true;
                Ok(break_off(scanner, UNENDED))
            }
        }
    }
}

fn ending(
    scanner: &mut Scanner,
    mut call: Call,
    key: String,
    value: usize,
    place: usize,
    mark: &'static str,
    last: bool,
) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    let follows = marks_behind(mark);
    if starts_with_mark(tail, follows).is_none() {
        let open = !last && (tail.is_empty() || begins_mark(tail, follows));
        return if open {
            Err(State::Ending { call, key, value, place, mark })
        } else {
            Ok(State::Value { call, key, value })
        };
    }
    if mark != END_PARAMETER {
        scanner.look = scanner.at + place;
        return Ok(State::Broken { error: format!("the parameter {key:?} is not closed") });
    }
    let text = &scanner.rest()[value..place];
    let text = text.strip_prefix('\n').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
    call.arguments.push((key, text));
    Ok(State::Between(call))
}

/// The marks behind which one of these is the end of a value, or of a call that was cut short.
fn marks_behind(mark: &str) -> &'static [&'static str] {
    match mark {
        END_PARAMETER => &[PARAMETER, END_FUNCTION, CLOSE],
        END_FUNCTION => &[CLOSE],
        _ => &[FUNCTION],
    }
}

/// Whether a text holds what ends a value.
fn ends_value(text: &str) -> bool {
    let ends = |(at, mark): (usize, &str)| {
        starts_with_mark(text[at + mark.len()..].trim_start(), marks_behind(mark)).is_some()
    };
    IN_VALUE.iter().any(|mark| text.match_indices(mark).any(ends))
}

fn opened(scanner: &mut Scanner, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    if tail.starts_with(FUNCTION) {
        scanner.look += FUNCTION.len();
        return Ok(State::Name);
    }
    if !last && (tail.is_empty() || begins_mark(tail, &[FUNCTION])) {
        return Err(State::Opened);
    }
    scanner.content_to(scanner.at + OPEN.len());
    scanner.look = scanner.at;
    Ok(State::Text)
}

/// The text up to `>` on this line, and `look` behind it; `Err(true)` where more text is needed.
fn up_to_angle(scanner: &mut Scanner, last: bool) -> Result<String, bool> {
    let tail = scanner.tail();
    match tail.bytes().take(LONGEST_NAME + 1).position(|byte| byte == b'>' || byte == b'\n') {
        Some(end) if tail.as_bytes()[end] == b'>' => {
            let name = tail[..end].to_owned();
            scanner.look += end + 1;
            Ok(name)
        }
        None if !last && tail.len() <= LONGEST_NAME => Err(true),
        _ => Err(false),
    }
}

fn name(scanner: &mut Scanner, last: bool) -> Next {
    match up_to_angle(scanner, last) {
        Ok(name) if name.trim().is_empty() => Ok(break_off(scanner, "the function has no name")),
        Ok(name) => Ok(State::Between(Call { name: name.trim().to_owned(), arguments: Vec::new() })),
        Err(true) => Err(State::Name),
        Err(false) => Ok(break_off(scanner, "no \">\" after the function's name")),
    }
}

fn between(scanner: &mut Scanner, call: Call, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    match starts_with_mark(tail, &IN_CALL) {
        Some(PARAMETER) => {
            scanner.look += PARAMETER.len();
            Ok(State::Key(call))
        }
        Some(mark) => {
            scanner.look += mark.len();
            let end = scanner.look - scanner.at;
            Ok(State::Complete { call, end })
        }
        None if !last && (tail.is_empty() || begins_mark(tail, &IN_CALL)) => Err(State::Between(call)),
        None => Ok(State::Broken { error: format!("expected {PARAMETER}…> or {END_FUNCTION}") }),
    }
}

fn key(scanner: &mut Scanner, call: Call, last: bool) -> Next {
    match up_to_angle(scanner, last) {
        Ok(key) => {
            let value = scanner.look - scanner.at;
            Ok(State::Value { call, key, value })
        }
        Err(true) => Err(State::Key(call)),
        Err(false) => Ok(break_off(scanner, "no \">\" after a parameter's name")),
    }
}

fn complete(scanner: &mut Scanner, call: Call, end: usize, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    if !last && (tail.is_empty() || begins_mark(tail, &[CLOSE])) {
        return Err(State::Complete { call, end });
    }
    // Without its closing mark a complete call still is one.
    scanner.look = if tail.starts_with(CLOSE) { scanner.look + CLOSE.len() } else { scanner.at + end };
    let call = read_call(call, &scanner.offered);
    let raw_text = scanner.text[scanner.at..scanner.look].to_owned();
    scanner.call_begins(true);
    scanner.call(call, &raw_text);
    scanner.skip_to(scanner.look);
    Ok(State::Text)
}

fn break_off(scanner: &mut Scanner, error: &str) -> State {
    scanner.look = scanner.at + OPEN.len();
    State::Broken { error: error.to_owned() }
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

fn read_call(call: Call, offered: &Offered) -> Result<ToolCall, String> {
    if !offered.allows(&call.name) {
        return Err(offered.refusal(&call.name));
    }
    let mut arguments = JsonMap::new();
    for (key, text) in call.arguments {
        let value = typed(text, offered.schema(&call.name, &key));
        arguments.insert(key, value);
    }
    Ok(ToolCall::new(call.name, Json::Object(arguments)))
}

/// A value with the type that its schema, or else its looks, give it.
fn typed(text: String, schema: Option<&Json>) -> Json {
    let takes = |kind| schema.is_some_and(|schema| takes(schema, kind));
    if takes("string") {
        let is_null = takes("null") && matches!(text.trim(), "None" | "null");
        return if is_null { Json::Null } else { Json::String(text) };
    }
    match text.trim() {
        "True" => Json::Bool(true),
        "False" => Json::Bool(false),
        "None" => Json::Null,
        trimmed => match json::parse(trimmed) {
            Ok(Json::String(_)) | Err(_) => Json::String(text),
            Ok(value) => value,
        },
    }
}

/// Whether a schema allows values of this type, as far as it says so plainly.
fn takes(schema: &Json, kind: &str) -> bool {
    let is_kind = |named: &Json| named.as_str() == Some(kind);
    match schema.get("type") {
        Some(Json::Array(kinds)) => return kinds.iter().any(is_kind),
        Some(named) => return is_kind(named),
        None => {}
    }
    let branches = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let values = schema.get("enum").and_then(Json::as_array).into_iter().flatten().chain(schema.get("const"));
    let is_value = |value: &Json| match kind {
        "string" => value.is_string(),
        _ => value.is_null(),
    };
    branches.into_iter().any(|branch| branch.get("type").is_some_and(is_kind))
        || values.into_iter().any(is_value)
}
