//! Calls as `Action: {name}⏎Action Input: {…}` in a text, several one behind another: ReAct.
//!
//! A call is attempted where a name, `Action Input:` and an object follow `Action:`, wherever in a line that stands;
//! anything else is prose. Backticks around the name and a fence around the object are taken off. The object's own
//! strings may hold any text. A broken object is malformed up to the next `Action:`. Behind a call, `Observation:` at the
//! end of the text is a stop mark, as stop tokens are everywhere.

use super::name_line::looks_like_name;
use super::scanner::{Mark, Object, Scanner, begins_mark, starts_with_mark, without_stops};
use crate::data::ToolCall;
use crate::json::{self, ObjectScan};
use crate::template::chatml;
use crate::template::react::{ACTION, INPUT};

const STOPS: [&str; 3] = [chatml::STOPS[0], chatml::STOPS[1], "Observation:"];
const IN_TEXT: [&str; 3] = [ACTION, STOPS[0], STOPS[1]];
const FENCE: &str = "```";
/// What stands between `Action:` and `Action Input:` is no name where it is longer than this and than any listed name.
const LONGEST_NAME: usize = 256;

/// The grammar.
#[derive(Debug, Clone, Default)]
pub(in crate::template) struct React {
    state: State,
}

/// Places are counted from `at`.
#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
    /// `Action:` stands at `at`; the name is not complete.
    Named,
    /// `look` is behind `Action Input:`, or behind the fence that follows it.
    Input { name: String, fenced: bool },
    /// An object begins there.
    Object { name: String, object: usize, fenced: bool, scan: ObjectScan },
    /// A fenced object ended; the fence may end too.
    Fenced { name: String, object: usize, end: usize },
    /// A call ended at `at`.
    After,
    /// No call; everything up to the next `Action:` behind `look` is malformed.
    Broken { error: String },
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

impl React {
    pub(super) fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        let next = match std::mem::take(&mut self.state) {
            State::Text => match scanner.text_until(&IN_TEXT, last) {
                Some(ACTION) => Ok(State::Named),
                Some(_) => Ok(State::Stopped),
                None => Err(State::Text),
            },
            State::Stopped if scanner.only_stops_follow(&STOPS, last) => Err(State::Stopped),
            State::Stopped => Ok(State::Text),
            State::Named => named(scanner, last),
            State::Input { name, fenced } => input(scanner, name, fenced, last),
            State::Object { name, object, fenced, mut scan } => {
                match scanner.object(object, &mut scan, last) {
                    Object::Open => Err(State::Object { name, object, fenced, scan }),
                    Object::Ends(end) if fenced => Ok(State::Fenced { name, object, end }),
                    Object::Ends(end) => Ok(complete(scanner, name, object, end)),
                    Object::Broken(error) => {
                        scanner.look = scanner.at + object;
                        Ok(State::Broken { error })
                    }
                }
            }
            State::Fenced { name, object, end } => fence_ends(scanner, name, object, end, last),
            State::After => after(scanner, last),
            State::Broken { error } => broken(scanner, error, last),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }
}

/// What stands behind `Action:`.
enum Head {
    /// More text may make it a name.
    Open,
    /// A name; `Action Input:` ends so many bytes behind it.
    Name(String, usize),
    Prose,
}

/// Looks no further than `reach`, so that many beginnings in one text stay linear.
fn head(body: &str, reach: usize, last: bool) -> Head {
    let open = if last || body.len() > reach { Head::Prose } else { Head::Open };
    let mut end = body.len().min(reach);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let body = &body[..end];
    let start = body.trim_start();
    let line = start.split('\n').next().unwrap_or_default();
    let (name, rest) = match line.find(INPUT) {
        Some(at) => start.split_at(at),
        None if line.len() == start.len() => return open,
        None => (line, start[line.len()..].trim_start()),
    };
    if !rest.starts_with(INPUT) {
        return if rest.is_empty() || begins_mark(rest, &[INPUT]) { open } else { Head::Prose };
    }
    let name = name.trim().trim_matches('`').trim();
    if name.is_empty() {
        return Head::Prose;
    }
    Head::Name(name.to_owned(), body.len() - rest.len() + INPUT.len())
}

fn named(scanner: &mut Scanner, last: bool) -> Next {
    let start = scanner.at + ACTION.len();
    let reach = LONGEST_NAME.max(scanner.offered.longest_name() + 64);
    match head(&scanner.text[start..], reach, last) {
        Head::Open => Err(State::Named),
        Head::Name(name, input) if is_name(&name, scanner) => {
            scanner.look = start + input;
            Ok(State::Input { name, fenced: false })
        }
        _ => Ok(prose(scanner)),
    }
}

/// A listed name may look like anything; another must look like a name to be a wrong call and not text.
fn is_name(name: &str, scanner: &Scanner) -> bool {
    looks_like_name(name) || (scanner.offered.is_listed() && scanner.offered.allows(name))
}

/// What stands at `at` is no call: `Action:` is text.
fn prose(scanner: &mut Scanner) -> State {
    scanner.content_to(scanner.at + ACTION.len());
    scanner.look = scanner.at;
    State::Text
}

fn input(scanner: &mut Scanner, name: String, fenced: bool, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    if tail.starts_with('{') {
        let object = scanner.look - scanner.at;
        return Ok(State::Object { name, object, fenced, scan: ObjectScan::new() });
    }
    let mark = if fenced { "json" } else { FENCE };
    if let Some(mark) = starts_with_mark(tail, &[mark]) {
        scanner.look += mark.len();
        return Ok(State::Input { name, fenced: true });
    }
    if !last && (tail.is_empty() || begins_mark(tail, &[mark])) {
        return Err(State::Input { name, fenced });
    }
    Ok(prose(scanner))
}

fn fence_ends(scanner: &mut Scanner, name: String, object: usize, end: usize, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    if !last && (tail.is_empty() || begins_mark(tail, &[FENCE])) {
        return Err(State::Fenced { name, object, end });
    }
    if tail.starts_with(FENCE) {
        scanner.look += FENCE.len();
    } else {
        scanner.look = scanner.at + end;
    }
    Ok(complete(scanner, name, object, end))
}

/// The call that stands from `at` to `look`.
fn complete(scanner: &mut Scanner, name: String, object: usize, end: usize) -> State {
    let call = match json::parse(&scanner.rest()[object..end]) {
        Ok(arguments) if scanner.offered.allows(&name) => Ok(ToolCall::new(name, arguments)),
        Ok(_) => Err(scanner.offered.refusal(&name)),
        Err(error) => Err(format!("not JSON: {error}")),
    };
    let raw_text = scanner.text[scanner.at..scanner.look].to_owned();
    scanner.call_begins(false);
    scanner.call(call, &raw_text);
    scanner.skip_to(scanner.look);
    State::After
}

fn after(scanner: &mut Scanner, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    if let Some(stop) = starts_with_mark(tail, &STOPS) {
        scanner.content_to(scanner.look);
        scanner.look += stop.len();
        return Ok(State::Stopped);
    }
    if !last && (tail.is_empty() || begins_mark(tail, &STOPS)) {
        return Err(State::After);
    }
    Ok(State::Text)
}

fn broken(scanner: &mut Scanner, error: String, last: bool) -> Next {
    let end = match scanner.find_mark(&[ACTION], last) {
        Mark::Found(place, _) => place,
        Mark::None(_) if !last => return Err(State::Broken { error }),
        Mark::None(_) => scanner.text.len(),
    };
    scanner.call_begins(false);
    let raw_text = without_stops(&scanner.text[scanner.at..end], &STOPS).trim_end().to_owned();
    scanner.call(Err(error), &raw_text);
    scanner.skip_to(end);
    scanner.look = end;
    Ok(State::Text)
}
