//! Calls as a line with the name and the arguments behind it, in segments that begin after `<|assistant|>`: as an object,
//! `name⏎{…}` (GLM-4), or as Python in a fenced block, `name⏎```python⏎tool_call(…)⏎```` (ChatGLM3).
//!
//! A call has no mark of its own. With a list of tools, its first line must be one of their names and an object must
//! follow; then text after the object is content, and a broken object is malformed. Without a list, the first line
//! must have no inner white space or sentence punctuation and the rest of the segment must be one complete object;
//! anything else is text. `tool_call(` marks a call, so there what breaks off is malformed with or without a list; the
//! fence may be missing. Built-in tools take the rest of the segment raw. A stop token counts as one only at the end of
//! the text, and `<|assistant|>` only where a call or a newline follows it.

use std::ops::Range;

use super::offered::Offered;
use super::python_block::{self, Code};
use super::scanner::{Mark, Object, Scanner, begins_mark, starts_with_mark, without_stops};
use crate::data::ToolCall;
use crate::json::{self, CallScan, Json, JsonMap, ObjectScan};
use crate::template::glm_turns::{ASSISTANT, BuiltIn, OBSERVATION, USER};

const MARKS: [&str; 4] = [ASSISTANT, USER, OBSERVATION, "<|endoftext|>"];
const MARKS_OF_CHATGLM3: [&str; 4] = [ASSISTANT, USER, OBSERVATION, "</s>"];
/// A first line longer than this, and than any listed name, is no name.
const LONGEST_NAME_LINE: usize = 256;

/// How the arguments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Object,
    PythonBlock,
}

/// The grammar.
#[derive(Debug, Clone)]
pub(in crate::template) struct NameLine {
    body: Body,
    built_in: BuiltIn,
    /// `<|assistant|>` and the stop tokens.
    marks: [&'static str; 4],
    /// A call of a built-in tool whose raw text goes on, by name and key.
    raw: Option<(String, &'static str)>,
    /// Bytes of the `<|assistant|>` at `at`; 0 at the beginning of the answer.
    mark: usize,
    state: State,
}

/// Places are counted from `at`.
#[derive(Debug, Clone, Default)]
enum State {
    /// A segment begins; its first line is not complete.
    #[default]
    Head,
    /// The first line was empty, and a space that the tokenizer wrote may follow.
    Begun,
    /// The first line is a name; an object should follow.
    Named { name: String },
    /// The object goes on.
    Object { name: String, object: usize, scan: ArgumentScan },
    /// The object is complete, and the end of the fence was seen or not; what follows decides.
    Complete { name: String, object: usize, end: usize, fenced: bool },
    /// A listed name with a broken object: malformed up to the next segment.
    Broken { error: String },
    /// Text.
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
}

#[derive(Debug, Clone)]
enum ArgumentScan {
    Object(ObjectScan),
    Call(CallScan),
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

impl NameLine {
    /// Arguments as JSON objects.
    pub(in crate::template) fn objects(built_in: BuiltIn) -> Self {
        Self { body: Body::Object, built_in, marks: MARKS, raw: None, mark: 0, state: State::Head }
    }

    /// Arguments as Python literals in a fenced block.
    pub(in crate::template) fn python_blocks(built_in: BuiltIn) -> Self {
        Self { body: Body::PythonBlock, marks: MARKS_OF_CHATGLM3, ..Self::objects(built_in) }
    }

    pub(super) fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        let next = match std::mem::take(&mut self.state) {
            State::Head => self.head(scanner, last),
            State::Named { name } => self.named(scanner, name, last),
            State::Begun => begun(scanner, last),
            State::Object { name, object, mut scan } => {
                let found = match &mut scan {
                    ArgumentScan::Object(scan) => scanner.object(object, scan, last),
                    ArgumentScan::Call(scan) => scanner.object(object, scan, last),
                };
                match found {
                    Object::Open => Err(State::Object { name, object, scan }),
                    Object::Ends(end) => Ok(State::Complete { name, object, end, fenced: false }),
                    Object::Broken(error) => Ok(self.break_off(scanner, object, error)),
                }
            }
            State::Complete { name, object, end, fenced } => {
                self.complete(scanner, name, object..end, fenced, last)
            }
            State::Broken { error } => self.broken(scanner, error, last),
            State::Text => match scanner.text_until(&self.marks, last) {
                Some(ASSISTANT) => {
                    self.mark = ASSISTANT.len();
                    Ok(State::Head)
                }
                Some(_) => Ok(State::Stopped),
                None => Err(State::Text),
            },
            State::Stopped if scanner.only_stops_follow(&self.marks[1..], last) => Err(State::Stopped),
            State::Stopped => Ok(State::Text),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }

    pub(super) fn finish(&mut self, scanner: &mut Scanner) {
        self.close_raw(scanner);
    }

    /// The segment is no call: what stands at `at` is text, its `<|assistant|>` included.
    fn prose(&self, scanner: &mut Scanner) -> State {
        scanner.look = scanner.at + self.mark;
        State::Text
    }

    fn close_raw(&mut self, scanner: &mut Scanner) {
        if let Some((name, key)) = self.raw.take() {
            let text = scanner.capture.take().unwrap_or_default();
            let text = match self.body {
                Body::Object => text,
                Body::PythonBlock => python_block::without_fence(&text).to_owned(),
            };
            let mut arguments = JsonMap::new();
            arguments.insert(key.to_owned(), Json::String(text));
            scanner.call(Ok(ToolCall::new(name, Json::Object(arguments))), "");
        }
    }

    fn head(&mut self, scanner: &mut Scanner, last: bool) -> Next {
        let start = scanner.at + self.mark;
        let body = &scanner.text[start..];
        // Looking no further than a name can reach keeps many segments in one long line linear.
        let reach = LONGEST_NAME_LINE.max(scanner.offered.longest_name() + 16) + 1;
        let Some(newline) = body.bytes().take(reach).position(|byte| byte == b'\n') else {
            if !last && body.len() < reach && may_become_name(body, &scanner.offered) {
                return Err(State::Head);
            }
            return Ok(self.prose(scanner));
        };
        let line = &body[..newline];
        let name = line.trim();
        if name.is_empty() {
            // The newline is the header's; a line of spaces is the text's.
            let has_spaces = !line.is_empty();
            self.close_raw(scanner);
            if self.mark > 0 {
                scanner.new_segment();
            }
            let in_block = self.body == Body::PythonBlock;
            scanner.at = if has_spaces && !in_block { start } else { start + newline + 1 };
            scanner.look = scanner.at;
            return Ok(if in_block { State::Begun } else { State::Text });
        }
        if !is_name(name, &scanner.offered) {
            return Ok(self.prose(scanner));
        }
        let name = name.to_owned();
        scanner.look = start + newline + 1;
        let Some(key) = scanner.offered.raw_key(&name, self.built_in) else {
            return Ok(State::Named { name });
        };
        self.close_raw(scanner);
        scanner.call_begins(false);
        self.raw = Some((name, key));
        scanner.capture = Some(String::new());
        scanner.at = scanner.look;
        Ok(State::Text)
    }

    fn named(&self, scanner: &mut Scanner, name: String, last: bool) -> Next {
        scanner.look_past_space();
        let object = scanner.look - scanner.at;
        if self.body == Body::PythonBlock {
            return match python_block::arguments(scanner.tail(), last) {
                Code::Wait => Err(State::Named { name }),
                Code::None => Ok(self.prose(scanner)),
                Code::Begins(offset) => {
                    let scan = ArgumentScan::Call(CallScan::new());
                    Ok(State::Object { name, object: object + offset, scan })
                }
            };
        }
        match scanner.tail().as_bytes().first() {
            Some(b'{') => Ok(State::Object { name, object, scan: ArgumentScan::Object(ObjectScan::new()) }),
            None if !last => Err(State::Named { name }),
            _ => Ok(self.prose(scanner)),
        }
    }

    fn break_off(&self, scanner: &mut Scanner, object: usize, error: String) -> State {
        if !scanner.offered.is_listed() && self.body == Body::Object {
            return self.prose(scanner);
        }
        scanner.look = scanner.at + object;
        State::Broken { error }
    }

    fn complete(
        &mut self,
        scanner: &mut Scanner,
        name: String,
        Range { start: object, end }: Range<usize>,
        mut fenced: bool,
        last: bool,
    ) -> Next {
        scanner.look_past_space();
        if self.body == Body::PythonBlock && !fenced {
            let Some(fence) = python_block::fence_end(scanner.tail(), last) else {
                return Err(State::Complete { name, object, end, fenced });
            };
            fenced = fence > 0;
            scanner.look += fence;
            scanner.look_past_space();
        }
        let after = scanner.look;
        let tail = scanner.tail();
        if !last && (tail.is_empty() || begins_mark(tail, &self.marks)) {
            return Err(State::Complete { name, object, end, fenced });
        }
        let ends_segment = tail.is_empty() || starts_with_mark(tail, &self.marks).is_some();
        if !ends_segment && !scanner.offered.is_listed() && self.body == Body::Object {
            return Ok(self.prose(scanner));
        }
        let text = &scanner.rest()[object..end];
        let read = match self.body {
            Body::Object => json::parse(text).map_err(|error| format!("not JSON: {error}")),
            Body::PythonBlock => python_block::read(text),
        };
        let arguments = match read {
            Ok(arguments) => arguments,
            Err(error) => return Ok(self.break_off(scanner, object, error)),
        };
        self.close_raw(scanner);
        scanner.call_begins(false);
        scanner.call(Ok(ToolCall::new(name, arguments)), "");
        // Text behind the call begins where its object or its fence ends.
        scanner.at = if ends_segment || fenced { after } else { scanner.at + end };
        scanner.look = scanner.at;
        Ok(State::Text)
    }

    fn broken(&mut self, scanner: &mut Scanner, error: String, last: bool) -> Next {
        let end = match scanner.find_mark(&[ASSISTANT], last) {
            Mark::Found(place, _) => place,
            Mark::None(_) if !last => return Err(State::Broken { error }),
            Mark::None(_) => scanner.text.len(),
        };
        self.close_raw(scanner);
        scanner.call_begins(false);
        let raw_text = &scanner.text[scanner.at + self.mark..end];
        let raw_text = without_stops(raw_text, &self.marks[1..]).trim_end().to_owned();
        scanner.call(Err(error), &raw_text);
        scanner.at = end;
        scanner.look = end;
        Ok(State::Text)
    }
}

/// Behind an empty first line: the space that the tokenizer writes where a text begins is no part of it.
fn begun(scanner: &mut Scanner, last: bool) -> Next {
    if scanner.rest().is_empty() && !last {
        return Err(State::Begun);
    }
    scanner.skip(usize::from(scanner.rest().starts_with(' ')));
    Ok(State::Text)
}

fn is_name(name: &str, offered: &Offered) -> bool {
    if offered.is_listed() { offered.allows(name) } else { looks_like_name(name) }
}

fn may_become_name(line: &str, offered: &Offered) -> bool {
    let start = line.trim_start();
    let name = start.trim_end();
    // Only the newline that every answer begins with may follow.
    if name.is_empty() {
        return true;
    }
    if offered.is_listed() {
        return if name.len() < start.len() && !offered.any_starts_with(start) {
            offered.allows(name)
        } else {
            offered.any_starts_with(start)
        };
    }
    name.chars().all(may_stand_in_name)
}

/// Whether a first line can be a tool's name where no list says so.
pub(super) fn looks_like_name(name: &str) -> bool {
    name.chars().all(may_stand_in_name)
        && name.chars().any(char::is_alphanumeric)
        && !name.ends_with(['.', ':'])
}

pub(super) fn may_stand_in_name(c: char) -> bool {
    const SENTENCE: &str = ",;!?。，；：！？、…·「」『』“”‘’（）《》【】";
    const OTHER: &str = "\"'`()[]{}<>|";
    !c.is_whitespace() && !c.is_control() && !SENTENCE.contains(c) && !OTHER.contains(c)
}
