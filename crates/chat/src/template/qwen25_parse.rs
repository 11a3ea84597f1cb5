//! Reads what Qwen2.5 wrote: text with `<tool_call>⏎{"name": …, "arguments": {…}}⏎</tool_call>` in it.
//!
//! A call is attempted where an object follows `<tool_call>`; anything else after it is prose. The object's own strings
//! may hold any text, marks included, so its end is found by reading it and not by searching. An object that breaks
//! off is malformed up to the next mark. A stop token counts as one only at the end of the text.

use super::parse::{Offered, begins_mark, leading_space, starts_with_mark, without_stops};
use super::sink::Sink;
use super::{MalformedToolCall, ParseEvent};
use crate::data::ToolCall;
use crate::json::{self, Json, ObjectScan, ScanState};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const STOPS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];
const IN_TEXT: [&str; 3] = [OPEN, STOPS[0], STOPS[1]];
const AFTER_OBJECT: [&str; 4] = [CLOSE, OPEN, STOPS[0], STOPS[1]];

/// A parser of answers in this format.
#[derive(Debug, Clone)]
pub(super) struct Qwen25Parser {
    offered: Offered,
    sink: Sink,
    text: String,
    /// Where what is not settled yet begins: the text's rest, or the mark that the state is about.
    at: usize,
    /// How far the state has looked.
    look: usize,
    state: State,
}

/// Places are counted from `at`.
#[derive(Debug, Clone)]
enum State {
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
    /// `<tool_call>` stands at `at`, and nothing but white space after it so far.
    Opened,
    /// An object begins there.
    Object {
        object: usize,
        scan: ObjectScan,
    },
    /// The object is complete; what follows decides.
    Complete {
        object: usize,
        end: usize,
    },
    /// No call; everything up to the next mark is malformed.
    Broken {
        error: String,
    },
}

impl Qwen25Parser {
    pub(super) fn new(offered: Offered) -> Self {
        Self { offered, sink: Sink::new(), text: String::new(), at: 0, look: 0, state: State::Text }
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
        self.sink.finish(&mut events);
        events
    }

    /// One step; `false` where more text is needed, or where there is none left.
    fn step(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => self.in_text(last, events),
            State::Stopped => self.stopped(last, events),
            State::Opened => self.opened(last, events),
            State::Object { object, scan } => self.in_object(object, scan, last),
            State::Complete { object, end } => self.complete(object, end, last, events),
            State::Broken { error } => self.broken(error, last, events),
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

    /// Sends everything up to here out as content.
    fn content_to(&mut self, end: usize, events: &mut Vec<ParseEvent>) {
        self.sink.content(&self.text[self.at..end], events);
        self.at = end;
        self.look = self.look.max(end);
    }

    fn in_text(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        let Some(found) = self.text[self.look..].find('<') else {
            self.content_to(self.text.len(), events);
            return self.wait(State::Text);
        };
        let mark = self.look + found;
        let tail = &self.text[mark..];
        if let Some(found) = starts_with_mark(tail, &IN_TEXT) {
            self.content_to(mark, events);
            self.look = mark + found.len();
            return self.go(if found == OPEN { State::Opened } else { State::Stopped });
        }
        if !last && begins_mark(tail, &IN_TEXT) {
            self.content_to(mark, events);
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
        self.content_to(self.look, events);
        self.go(State::Text)
    }

    fn opened(&mut self, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        self.look += leading_space(&self.text[self.look..]);
        match self.text.as_bytes().get(self.look) {
            Some(b'{') => {
                let object = self.look - self.at;
                self.go(State::Object { object, scan: ObjectScan::new() })
            }
            None if !last => self.wait(State::Opened),
            _ => {
                let after = self.at + OPEN.len();
                self.look = after;
                self.content_to(after, events);
                self.go(State::Text)
            }
        }
    }

    fn in_object(&mut self, object: usize, mut scan: ObjectScan, last: bool) -> bool {
        let from = self.at + object + scan.scanned();
        match scan.push(&self.text.as_bytes()[from..]) {
            ScanState::Open if !last => self.wait(State::Object { object, scan }),
            ScanState::Open => self.break_off("the text ends inside the call".to_owned()),
            ScanState::Broken(at) => self.break_off(format!("not JSON from byte {at} of the object on")),
            ScanState::Complete(length) => {
                self.look = self.at + object + length;
                self.go(State::Complete { object, end: object + length })
            }
        }
    }

    fn break_off(&mut self, error: String) -> bool {
        self.look = self.at + OPEN.len();
        self.go(State::Broken { error })
    }

    fn complete(&mut self, object: usize, end: usize, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        self.look += leading_space(&self.text[self.look..]);
        let tail = &self.text[self.look..];
        let mark = starts_with_mark(tail, &AFTER_OBJECT);
        if mark.is_none() && !last && begins_mark(tail, &AFTER_OBJECT) {
            return self.wait(State::Complete { object, end });
        }
        if mark.is_none() && !tail.is_empty() {
            self.look = self.at + end;
            return self.go(State::Broken { error: "text after the call's object".to_owned() });
        }
        if mark == Some(CLOSE) {
            self.look += CLOSE.len();
        }
        // Without its closing mark a complete call still is one.
        self.sink.call(true, events);
        let call = read_call(&self.text[self.at + object..self.at + end], &self.offered);
        events.push(match call {
            Ok(call) => ParseEvent::ToolCall(call),
            Err(error) => {
                let raw_text = self.text[self.at..self.look].to_owned();
                ParseEvent::Malformed(MalformedToolCall { raw_text, error })
            }
        });
        self.at = self.look;
        self.go(State::Text)
    }

    fn broken(&mut self, error: String, last: bool, events: &mut Vec<ParseEvent>) -> bool {
        const MARKS: [&str; 2] = [CLOSE, OPEN];
        let end = loop {
            let Some(found) = self.text[self.look..].find('<') else {
                self.look = self.text.len();
                break None;
            };
            self.look += found;
            let tail = &self.text[self.look..];
            match starts_with_mark(tail, &MARKS) {
                Some(CLOSE) => break Some(self.look + CLOSE.len()),
                Some(_) => break Some(self.look),
                None if !last && begins_mark(tail, &MARKS) => break None,
                None => self.look += 1,
            }
        };
        if end.is_none() && !last {
            return self.wait(State::Broken { error });
        }
        let end = end.unwrap_or(self.text.len());
        self.sink.call(true, events);
        let raw_text = without_stops(&self.text[self.at..end], &STOPS).trim_end().to_owned();
        events.push(ParseEvent::Malformed(MalformedToolCall { raw_text, error }));
        self.at = end;
        self.look = end;
        self.go(State::Text)
    }
}

fn read_call(text: &str, offered: &Offered) -> Result<ToolCall, String> {
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
