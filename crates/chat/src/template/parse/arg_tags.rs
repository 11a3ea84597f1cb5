//! Calls as tags in a text: GLM-4.5 and its successors.
//!
//! ```text
//! <tool_call>{name}⏎<arg_key>{key}</arg_key>⏎<arg_value>{value}</arg_value>⏎…</tool_call>
//! ```
//!
//! The newlines may be missing (GLM-4.7), and the body may be JSON as in [`super::tool_call_tags`]. A call is attempted
//! where a name and then one of its tags follow; anything else is prose. A value ends at the `</arg_value>` behind which
//! the next key or the end of the call stands, so that it may hold any other tag. A call that breaks off is malformed up
//! to the next mark; so is one without its end, since more arguments may have been meant. What a value is, text or JSON,
//! the tool's schema says (see [`super::schema_types`]).

use super::name_line::{looks_like_name, may_stand_in_name};
use super::offered::Offered;
use super::scanner::{Mark, Object, Scanner, begins_mark, starts_with_mark, without_stops};
use super::schema_types::bare_value;
use super::tool_call_tags::read_call;
use crate::data::ToolCall;
use crate::json::{Json, JsonMap, ObjectScan};
use crate::template::glm_turns::{OBSERVATION, USER};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const KEY: &str = "<arg_key>";
const KEY_END: &str = "</arg_key>";
const VALUE: &str = "<arg_value>";
const VALUE_END: &str = "</arg_value>";
const STOPS: [&str; 3] = [USER, OBSERVATION, "<|endoftext|>"];
const IN_TEXT: [&str; 4] = [OPEN, STOPS[0], STOPS[1], STOPS[2]];
const AFTER_JSON: [&str; 5] = [CLOSE, OPEN, STOPS[0], STOPS[1], STOPS[2]];
const AFTER_NAME: [&str; 5] = [KEY, CLOSE, STOPS[0], STOPS[1], STOPS[2]];
const AFTER_VALUE: [&str; 2] = [KEY, CLOSE];
/// Names longer than this, and than any listed one, are none.
const LONGEST_NAME: usize = 256;
/// Newlines between the mark and the name or the object.
const MOST_NEWLINES: usize = 4;
const UNFINISHED: &str = "the text ends inside the call";

/// The grammar.
#[derive(Debug, Clone, Default)]
pub(in crate::template) struct ArgTags {
    state: State,
    call: Call,
    /// A call whose first key begins before this place is known to break: an earlier attempt came through here. Without
    /// it, many calls that begin inside one another would each look at everything.
    doomed_before: usize,
}

/// The call that is being read.
#[derive(Debug, Clone, Default)]
struct Call {
    name: String,
    arguments: JsonMap,
    key: String,
}

/// Places are counted from `at`.
#[derive(Debug, Clone, Default)]
enum State {
    /// Nothing came yet: a newline before the text is the format's.
    #[default]
    Start,
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
    /// `<tool_call>` stands at `at`; `look` is behind it.
    Opened,
    /// The name was read; a tag should follow.
    Named,
    /// Here a key begins.
    Key {
        from: usize,
    },
    /// A key ended; its value's tag should follow.
    KeyEnded,
    /// Here a value begins.
    Value {
        from: usize,
    },
    /// Here `</arg_value>` stands; what follows it decides.
    ValueEnded {
        from: usize,
        end: usize,
    },
    /// A JSON body begins there.
    Object {
        object: usize,
        scan: ObjectScan,
    },
    /// The JSON body is complete; what follows decides.
    ObjectEnded {
        object: usize,
        end: usize,
    },
    /// No call; everything up to the next mark is malformed.
    Broken {
        error: String,
    },
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

impl ArgTags {
    pub(super) fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        let next = match std::mem::take(&mut self.state) {
            State::Start => start(scanner, last),
            State::Text => match scanner.text_until(&IN_TEXT, last) {
                Some(OPEN) => Ok(State::Opened),
                Some(_) => Ok(State::Stopped),
                None => Err(State::Text),
            },
            State::Stopped if scanner.only_stops_follow(&STOPS, last) => Err(State::Stopped),
            State::Stopped => Ok(State::Text),
            State::Opened => self.opened(scanner, last),
            State::Named => self.named(scanner, last),
            State::Key { from } => self.key(scanner, from, last),
            State::KeyEnded => self.key_ended(scanner, last),
            State::Value { from } => self.value(scanner, from, last),
            State::ValueEnded { from, end } => self.value_ended(scanner, from, end, last),
            State::Object { object, mut scan } => match scanner.object(object, &mut scan, last) {
                Object::Open => Err(State::Object { object, scan }),
                Object::Ends(end) => Ok(State::ObjectEnded { object, end }),
                Object::Broken(error) => Ok(break_off(scanner, error)),
            },
            State::ObjectEnded { object, end } => object_ended(scanner, object, end, last),
            State::Broken { error } => broken(scanner, error, last),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }

    fn opened(&mut self, scanner: &mut Scanner, last: bool) -> Next {
        let body = &scanner.text[scanner.at + OPEN.len()..];
        let newlines = body.bytes().take(MOST_NEWLINES).take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let start = &body[newlines.count()..];
        if start.is_empty() && !last {
            return Err(State::Opened);
        }
        let name_at = scanner.at + OPEN.len() + (body.len() - start.len());
        if start.starts_with('{') {
            scanner.look = name_at;
            return Ok(State::Object { object: name_at - scanner.at, scan: ObjectScan::new() });
        }
        let reach = LONGEST_NAME.max(scanner.offered.longest_name() + 16);
        let ends = |byte: u8| byte == b'\n' || byte == b'<';
        let Some(length) = start.bytes().take(reach).position(ends) else {
            if !last && start.len() < reach && may_become_name(start, &scanner.offered) {
                return Err(State::Opened);
            }
            // A name at the very end of the text is the beginning of a call that was cut off.
            if start.len() < reach && is_name(start.trim_end_matches('\r'), &scanner.offered) {
                return Ok(break_off(scanner, UNFINISHED.to_owned()));
            }
            return Ok(prose(scanner));
        };
        let name = start[..length].trim_end_matches('\r');
        if !is_name(name, &scanner.offered) {
            return Ok(prose(scanner));
        }
        self.call = Call { name: name.to_owned(), ..Call::default() };
        scanner.look = name_at + length;
        Ok(State::Named)
    }

    fn named(&mut self, scanner: &mut Scanner, last: bool) -> Next {
        scanner.look_past_space();
        match tag(scanner, &AFTER_NAME, last) {
            Tag::Wait => Err(State::Named),
            Tag::Found(CLOSE) => Ok(self.complete(scanner)),
            Tag::Found(KEY) if scanner.absolute(scanner.look) >= self.doomed_before => {
                Ok(State::Key { from: scanner.look - scanner.at })
            }
            Tag::Found(_) => Ok(break_off(scanner, UNFINISHED.to_owned())),
            Tag::None if scanner.tail().is_empty() => Ok(break_off(scanner, UNFINISHED.to_owned())),
            Tag::None => Ok(prose(scanner)),
        }
    }

    fn key(&mut self, scanner: &mut Scanner, from: usize, last: bool) -> Next {
        match scanner.find_mark(&[KEY_END], last) {
            Mark::Found(place, _) => {
                scanner.text[scanner.at + from..place].clone_into(&mut self.call.key);
                scanner.look = place + KEY_END.len();
                Ok(State::KeyEnded)
            }
            Mark::None(_) if !last => Err(State::Key { from }),
            Mark::None(_) => Ok(self.dead_end(scanner, UNFINISHED)),
        }
    }

    fn key_ended(&mut self, scanner: &mut Scanner, last: bool) -> Next {
        scanner.look_past_space();
        match tag(scanner, &[VALUE], last) {
            Tag::Wait => Err(State::KeyEnded),
            Tag::Found(_) => Ok(State::Value { from: scanner.look - scanner.at }),
            Tag::None if scanner.tail().is_empty() => Ok(self.dead_end(scanner, UNFINISHED)),
            Tag::None => Ok(self.dead_end(scanner, "no <arg_value> behind a key")),
        }
    }

    fn value(&mut self, scanner: &mut Scanner, from: usize, last: bool) -> Next {
        match scanner.find_mark(&[VALUE_END], last) {
            Mark::Found(place, _) => {
                scanner.look = place + VALUE_END.len();
                Ok(State::ValueEnded { from, end: place - scanner.at })
            }
            Mark::None(_) if !last => Err(State::Value { from }),
            Mark::None(_) => Ok(self.dead_end(scanner, UNFINISHED)),
        }
    }

    fn value_ended(&mut self, scanner: &mut Scanner, from: usize, end: usize, last: bool) -> Next {
        scanner.look_past_space();
        let tag = match tag(scanner, &AFTER_VALUE, last) {
            Tag::Wait => return Err(State::ValueEnded { from, end }),
            // It was part of the value.
            Tag::None => return Ok(State::Value { from }),
            Tag::Found(tag) => tag,
        };
        let text = &scanner.rest()[from..end];
        let key = std::mem::take(&mut self.call.key);
        let value = bare_value(text, scanner.offered.types(&self.call.name, &key));
        self.call.arguments.insert(key, value);
        if tag == CLOSE {
            return Ok(self.complete(scanner));
        }
        Ok(State::Key { from: scanner.look - scanner.at })
    }

    fn complete(&mut self, scanner: &mut Scanner) -> State {
        let Call { name, arguments, .. } = std::mem::take(&mut self.call);
        let call = if scanner.offered.allows(&name) {
            Ok(ToolCall::new(name, Json::Object(arguments)))
        } else {
            Err(scanner.offered.refusal(&name))
        };
        let raw_text = scanner.text[scanner.at..scanner.look].to_owned();
        scanner.call_begins(true);
        scanner.call(call, &raw_text);
        scanner.skip_to(scanner.look);
        State::Text
    }

    /// Breaks off where every call that comes through here would.
    fn dead_end(&mut self, scanner: &mut Scanner, error: &str) -> State {
        self.doomed_before = scanner.absolute(scanner.look);
        break_off(scanner, error.to_owned())
    }
}

enum Tag {
    Found(&'static str),
    /// More text may complete one.
    Wait,
    None,
}

/// The tag that stands at `look`; `look` moves behind it.
fn tag(scanner: &mut Scanner, tags: &[&'static str], last: bool) -> Tag {
    let tail = scanner.tail();
    match starts_with_mark(tail, tags) {
        Some(tag) => {
            scanner.look += tag.len();
            Tag::Found(tag)
        }
        None if !last && begins_mark(tail, tags) => Tag::Wait,
        None => Tag::None,
    }
}

fn start(scanner: &mut Scanner, last: bool) -> Next {
    match scanner.rest().as_bytes() {
        [] | [b'\n'] if !last => return Err(State::Start),
        [b'\n', _, ..] => scanner.skip(1),
        _ => {}
    }
    Ok(State::Text)
}

/// There is no call: `<tool_call>` is text.
fn prose(scanner: &mut Scanner) -> State {
    scanner.look = scanner.at + OPEN.len();
    scanner.content_to(scanner.look);
    State::Text
}

fn break_off(scanner: &mut Scanner, error: String) -> State {
    scanner.look = scanner.at + OPEN.len();
    State::Broken { error }
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

fn object_ended(scanner: &mut Scanner, object: usize, end: usize, last: bool) -> Next {
    scanner.look_past_space();
    let tail = scanner.tail();
    let mark = starts_with_mark(tail, &AFTER_JSON);
    if mark.is_none() && !last && begins_mark(tail, &AFTER_JSON) {
        return Err(State::ObjectEnded { object, end });
    }
    if mark.is_none() && !tail.is_empty() {
        scanner.look = scanner.at + end;
        return Ok(State::Broken { error: "text after the call's object".to_owned() });
    }
    if mark == Some(CLOSE) {
        scanner.look += CLOSE.len();
    }
    let call = read_call(&scanner.rest()[object..end], &scanner.offered);
    let raw_text = scanner.text[scanner.at..scanner.look].to_owned();
    scanner.call_begins(true);
    scanner.call(call, &raw_text);
    scanner.skip_to(scanner.look);
    Ok(State::Text)
}

/// Whether a text between `<tool_call>` and a tag is a name: a listed one, or what looks like one.
fn is_name(name: &str, offered: &Offered) -> bool {
    (offered.is_listed() && offered.allows(name)) || looks_like_name(name)
}

fn may_become_name(start: &str, offered: &Offered) -> bool {
    let start = start.trim_end_matches('\r');
    offered.any_starts_with(start) || start.chars().all(may_stand_in_name)
}
