//! Reads what GLM-4 wrote: segments that begin after `<|assistant|>`, each a text or a call `name⏎{…}`.
//!
//! A call has no mark of its own. With a list of tools, its first line must be one of their names and an object must
//! follow; then text after the object is content, and a broken object is malformed. Without a list, the first line
//! must have no inner white space or sentence punctuation and the rest of the segment must be one complete object;
//! anything else is text. Built-in tools take the rest of the segment raw. A stop token counts as one only at the end
//! of the text, and `<|assistant|>` only where a call or a newline follows it.

use super::glm4::{ASSISTANT, OBSERVATION, USER};
use super::parse::{Offered, begins_mark, leading_space, starts_with_mark, without_stops};
use super::sink::Sink;
use super::{MalformedToolCall, ParseEvent};
use crate::data::ToolCall;
use crate::json::{self, Json, JsonMap, ObjectScan, ScanState};

const STOPS: [&str; 3] = [USER, OBSERVATION, "<|endoftext|>"];
const MARKS: [&str; 4] = [ASSISTANT, STOPS[0], STOPS[1], STOPS[2]];
/// A first line longer than this, and than any listed name, is no name.
const LONGEST_NAME_LINE: usize = 256;

/// A parser of answers in this format.
#[derive(Debug, Clone)]
pub(super) struct Glm4Parser {
    offered: Offered,
    sink: Sink,
    /// A call of a built-in tool whose raw text goes on.
    raw: Option<RawCall>,
    text: String,
    /// Where what is not settled yet begins: a segment, its `<|assistant|>` included, or the rest of a text.
    at: usize,
    /// How far the state has looked.
    look: usize,
    /// Bytes of the `<|assistant|>` at `at`; 0 at the beginning of the answer.
    mark: usize,
    state: State,
}

#[derive(Debug, Clone)]
struct RawCall {
    name: String,
    key: &'static str,
    text: String,
}

/// Places are counted from `at`.
#[derive(Debug, Clone)]
enum State {
    /// A segment begins; its first line is not complete.
    Head,
    /// The first line is a name; an object should follow.
    Named { name: String },
    /// The object goes on.
    Object { name: String, object: usize, scan: ObjectScan },
    /// The object is complete; what follows decides.
    Complete { name: String, object: usize, end: usize },
    /// A listed name with a broken object: malformed up to the next segment.
    Broken { error: String },
    /// Text.
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
}

impl Glm4Parser {
    pub(super) fn new(offered: Offered) -> Self {
        Self {
            offered,
            sink: Sink::new(),
            raw: None,
            text: String::new(),
            at: 0,
            look: 0,
            mark: 0,
            state: State::Head,
        }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<ParseEvent> {
        self.text.push_str(text);
        let mut events = Vec::new();
        while self.step(false, &mut events) {}
        if self.at > self.text.len() / 2 {
            self.text.drain(..self.at);
            self.look -= self.at;
            self.at = 0;
        }
        events
    }

    pub(super) fn finish(mut self) -> Vec<ParseEvent> {
        let mut events = Vec::new();
        while self.step(true, &mut events) {}
        self.close_raw(&mut events);
        self.sink.finish(&mut events);
        events
    }

    /// One step; `false` where more text is needed, or where there is none left.
    fn step(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Head => self.head(last, events),
            State::Named { name } => self.named(name, last),
            State::Object { name, object, scan } => self.in_object(name, object, scan, last),
            State::Complete { name, object, end } => self.complete(name, object, end, last, events),
            State::Broken { error } => self.broken(error, last, events),
            State::Text => self.in_text(last, events),
            State::Stopped => self.stopped(last, events),
        }
    }

    fn wait(&mut self, state: State) -> bool {
        self.state = state;
        false
    }

    fn go(&mut self, state: State) -> bool {
        self.state = state;
        true
    }

    /// The segment is no call: what stands at `at` is text, its `<|assistant|>` included.
    fn prose(&mut self) -> bool {
        self.look = self.at + self.mark;
        self.go(State::Text)
    }

    /// Sends everything up to here to the raw call that is open, or out as content.
    fn text_to(&mut self, end: usize, events: &mut Vec<ParseEvent>) {
        let text = &self.text[self.at..end];
        match &mut self.raw {
            Some(raw) => raw.text.push_str(text),
            None => self.sink.content(text, events),
        }
        self.at = end;
        self.look = self.look.max(end);
    }

    fn close_raw(&mut self, events: &mut Vec<ParseEvent>) {
        if let Some(RawCall { name, key, text }) = self.raw.take() {
            let mut arguments = JsonMap::new();
            arguments.insert(key.to_owned(), Json::String(text));
            events.push(ParseEvent::ToolCall(ToolCall::new(name, Json::Object(arguments))));
        }
    }

    fn head(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        let start = self.at + self.mark;
        let body = &self.text[start..];
        // Looking no further than a name can reach keeps many segments in one long line linear.
        let reach = self.longest_line() + 1;
        let Some(newline) = body.bytes().take(reach).position(|byte| byte == b'\n') else {
            if !last && body.len() < reach && self.may_become_name(body) {
                return self.wait(State::Head);
            }
            return self.prose();
        };
        let line = &body[..newline];
        let name = line.trim();
        if name.is_empty() {
            // The newline is the header's; a line of spaces is the text's.
            let has_spaces = !line.is_empty();
            self.close_raw(events);
            if self.mark > 0 {
                self.sink.new_segment(events);
            }
            self.at = if has_spaces { start } else { start + 1 };
            self.look = self.at;
            return self.go(State::Text);
        }
        if !self.is_name(name) {
            return self.prose();
        }
        let name = name.to_owned();
        self.look = start + newline + 1;
        let Some(key) = self.offered.raw_key(&name) else {
            return self.go(State::Named { name });
        };
        self.close_raw(events);
        self.sink.call(false, events);
        self.raw = Some(RawCall { name, key, text: String::new() });
        self.at = self.look;
        self.go(State::Text)
    }

    fn longest_line(&self) -> usize {
        LONGEST_NAME_LINE.max(self.offered.longest_name() + 16)
    }

    fn is_name(&self, name: &str) -> bool {
        if self.offered.is_listed() { self.offered.allows(name) } else { looks_like_name(name) }
    }

    fn may_become_name(&self, line: &str) -> bool {
        let start = line.trim_start();
        let name = start.trim_end();
        if self.offered.is_listed() {
            return if name.len() < start.len() && !self.offered.any_starts_with(start) {
                self.offered.allows(name)
            } else {
                self.offered.any_starts_with(start)
            };
        }
        name.chars().all(may_stand_in_name)
    }

    fn named(&mut self, name: String, last: bool) -> bool {
        self.look += leading_space(&self.text[self.look..]);
        match self.text.as_bytes().get(self.look) {
            Some(b'{') => {
                let object = self.look - self.at;
                self.go(State::Object { name, object, scan: ObjectScan::new() })
            }
            None if !last => self.wait(State::Named { name }),
            _ => self.prose(),
        }
    }

    fn in_object(&mut self, name: String, object: usize, mut scan: ObjectScan, last: bool) -> bool {
        let from = self.at + object + scan.scanned();
        let error = match scan.push(&self.text.as_bytes()[from..]) {
            ScanState::Open if !last => return self.wait(State::Object { name, object, scan }),
            ScanState::Complete(length) => {
                self.look = self.at + object + length;
                return self.go(State::Complete { name, object, end: object + length });
            }
            ScanState::Open => "the text ends inside the call".to_owned(),
            ScanState::Broken(at) => format!("not JSON from byte {at} of the arguments on"),
        };
        self.break_off(object, error)
    }

    fn break_off(&mut self, object: usize, error: String) -> bool {
        if !self.offered.is_listed() {
            return self.prose();
        }
        self.look = self.at + object;
        self.go(State::Broken { error })
    }

    fn complete(
        &mut self,
        name: String,
        object: usize,
        end: usize,
        last: bool,
        events: &mut Vec<ParseEvent>,
    ) -> bool {
        let after = self.look + leading_space(&self.text[self.look..]);
        let tail = &self.text[after..];
        if !last && (tail.is_empty() || begins_mark(tail, &MARKS)) {
            self.look = after;
            return self.wait(State::Complete { name, object, end });
        }
        let ends_segment = tail.is_empty() || starts_with_mark(tail, &MARKS).is_some();
        if !ends_segment && !self.offered.is_listed() {
            return self.prose();
        }
        let arguments = match json::parse(&self.text[self.at + object..self.at + end]) {
            Ok(arguments) => arguments,
            Err(error) => return self.break_off(object, format!("not JSON: {error}")),
        };
        self.close_raw(events);
        self.sink.call(false, events);
        events.push(ParseEvent::ToolCall(ToolCall::new(name, arguments)));
        self.at = if ends_segment { after } else { self.at + end };
        self.look = self.at;
        self.go(State::Text)
    }

    fn broken(&mut self, error: String, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        let end = loop {
            let Some(found) = self.text[self.look..].find('<') else {
                self.look = self.text.len();
                break None;
            };
            self.look += found;
            let tail = &self.text[self.look..];
            if tail.starts_with(ASSISTANT) {
                break Some(self.look);
            }
            if !last && begins_mark(tail, &[ASSISTANT]) {
                break None;
            }
            self.look += 1;
        };
        if end.is_none() && !last {
            return self.wait(State::Broken { error });
        }
        let end = end.unwrap_or(self.text.len());
        self.close_raw(events);
        self.sink.call(false, events);
        let raw_text = &self.text[self.at + self.mark..end];
        let raw_text = without_stops(raw_text, &STOPS).trim_end().to_owned();
        events.push(ParseEvent::Malformed(MalformedToolCall { raw_text, error }));
        self.at = end;
        self.look = end;
        self.go(State::Text)
    }

    fn in_text(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        let Some(found) = self.text[self.look..].find('<') else {
            self.text_to(self.text.len(), events);
            return self.wait(State::Text);
        };
        let mark = self.look + found;
        let tail = &self.text[mark..];
        if let Some(found) = starts_with_mark(tail, &MARKS) {
            self.text_to(mark, events);
            self.look = mark + found.len();
            if found != ASSISTANT {
                return self.go(State::Stopped);
            }
            self.mark = found.len();
            return self.go(State::Head);
        }
        if !last && begins_mark(tail, &MARKS) {
            self.text_to(mark, events);
            return self.wait(State::Text);
        }
        self.look = mark + 1;
        self.go(State::Text)
    }

    fn stopped(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        self.look += leading_space(&self.text[self.look..]);
        let tail = &self.text[self.look..];
        if tail.is_empty() {
            if last {
                self.at = self.look;
            }
            return self.wait(State::Stopped);
        }
        if let Some(stop) = starts_with_mark(tail, &STOPS) {
            self.look += stop.len();
            return self.go(State::Stopped);
        }
        if !last && begins_mark(tail, &STOPS) {
            return self.wait(State::Stopped);
        }
        self.text_to(self.look, events);
        self.go(State::Text)
    }
}

/// Whether a first line can be a tool's name where no list says so.
fn looks_like_name(name: &str) -> bool {
    name.chars().all(may_stand_in_name)
        && name.chars().any(char::is_alphanumeric)
        && !name.ends_with(['.', ':'])
}

fn may_stand_in_name(c: char) -> bool {
    const SENTENCE: &str = ",;!?。，；：！？、…·「」『』“”‘’（）《》【】";
    const OTHER: &str = "\"'`()[]{}<>|";
    !c.is_whitespace() && !c.is_control() && !SENTENCE.contains(c) && !OTHER.contains(c)
}
