//! Calls as JSON without marks around them, one object or a list: Llama 3.1, Mistral.
//!
//! A mark may stand before them (`<|python_tag|>`, `[TOOL_CALLS]`): what follows it are calls, or malformed ones. Without
//! it, and without a list of tools, an answer is calls only as a whole: objects that have a name, arguments and nothing
//! else, in a list or one behind another, perhaps in a fence. With a list of tools they may begin on any line and text
//! may follow, but each name must be listed. All else is text; an object that begins as a call and breaks off is
//! malformed up to the next one. A stop token counts as one only at the end of the text.

use super::json_call::{begins_call, read, read_unmarked};
use super::scanner::{Mark, Object, Scanner, begins_mark, starts_with_mark, without_stops};
use crate::data::ToolCall;
use crate::json::{ObjectScan, Scan as _};

const FENCE: &str = "```";
const LINES: [&str; 3] = ["\n{", "\n[", "\n```"];
const NEXT_CALL: &str = "{\"name\"";

/// The grammar.
#[derive(Debug, Clone)]
pub(in crate::template) struct BareJson {
    mark: &'static str,
    stops: &'static [&'static str],
    /// The mark and the stop tokens.
    marks: Vec<&'static str>,
    state: State,
}

/// Places are counted from `at`, where the batch begins.
#[derive(Debug, Clone)]
enum State {
    /// The answer begins.
    Start,
    Text,
    /// A stop token stands at `at`; more text would make it content.
    Stopped,
    /// Calls may begin at `look`.
    Open(Batch),
    /// In a list, where an object should begin.
    Element(Batch),
    /// An object begins there.
    Object {
        batch: Batch,
        object: usize,
        scan: ObjectScan,
    },
    /// In a list, behind an object.
    Between(Batch),
    /// Behind a complete object or list.
    After(Batch),
    /// An object that began as a call broke off; it is malformed up to the next one behind `look`.
    Broken {
        batch: Batch,
        object: usize,
        error: String,
    },
}

/// Calls that stand together.
#[derive(Debug, Clone, Default)]
struct Batch {
    marked: bool,
    fence: Fence,
    in_list: bool,
    /// Whether a stop token was seen behind them.
    stopped: bool,
    /// What was read; an error has the text that it is about.
    calls: Vec<Result<ToolCall, (String, String)>>,
    /// Where the last of them ends.
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fence {
    #[default]
    None,
    Open,
    Closed,
}

/// The next state; `Err` where it has to wait for more text.
type Next = Result<State, State>;

impl BareJson {
    pub(in crate::template) fn new(mark: &'static str, stops: &'static [&'static str]) -> Self {
        let marks = std::iter::once(mark).chain(stops.iter().copied()).collect();
        Self { mark, stops, marks, state: State::Start }
    }

    pub(super) fn step(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        let next = match std::mem::replace(&mut self.state, State::Text) {
            State::Start => Ok(State::Open(Batch::default())),
            State::Text => self.text(scanner, last),
            State::Stopped if scanner.only_stops_follow(self.stops, last) => Err(State::Stopped),
            State::Stopped => Ok(State::Text),
            State::Open(batch) => self.open(scanner, batch, last),
            State::Element(batch) => self.element(scanner, batch, last),
            State::Object { batch, object, scan } => self.object(scanner, batch, object, scan, last),
            State::Between(batch) => self.between(scanner, batch, last),
            State::After(batch) => self.after(scanner, batch, last),
            State::Broken { batch, object, error } => self.broken(scanner, batch, object, error, last),
        };
        let goes_on = next.is_ok();
        self.state = next.unwrap_or_else(|state| state);
        goes_on
    }

    fn text(&self, scanner: &mut Scanner, last: bool) -> Next {
        let listed;
        let marks = if scanner.offered.is_listed() {
            listed = [&self.marks[..], &LINES].concat();
            &listed
        } else {
            &self.marks
        };
        match scanner.text_until(marks, last) {
            Some(mark) if mark == self.mark => Ok(State::Open(Batch { marked: true, ..Batch::default() })),
            Some(line) if LINES.contains(&line) => {
                scanner.look = scanner.at + 1;
                Ok(State::Open(Batch::default()))
            }
            Some(_) => Ok(State::Stopped),
            None => Err(State::Text),
        }
    }

    fn open(&self, scanner: &mut Scanner, mut batch: Batch, last: bool) -> Next {
        scanner.look_past_space();
        let tail = scanner.tail();
        let marks = [self.mark, if batch.fence == Fence::None { FENCE } else { "json" }];
        if !last && (tail.is_empty() || begins_mark(tail, &marks)) {
            return Err(State::Open(batch));
        }
        match starts_with_mark(tail, &marks) {
            Some(mark) if mark != self.mark && !batch.marked => {
                scanner.look += mark.len();
                batch.fence = Fence::Open;
                Ok(State::Open(batch))
            }
            None if tail.starts_with('{') => Ok(object_at(scanner, batch)),
            None if tail.starts_with('[') => {
                scanner.look += 1;
                batch.in_list = true;
                Ok(State::Element(batch))
            }
            _ => Ok(self.prose(scanner, &batch)),
        }
    }

    /// What was looked at is text.
    fn prose(&self, scanner: &mut Scanner, batch: &Batch) -> State {
        if batch.marked && batch.calls.is_empty() {
            scanner.look = scanner.at + self.mark.len();
        } else if scanner.look > scanner.at + 1 && scanner.text.as_bytes()[scanner.look - 1] == b'\n' {
            // The next line may begin with a call.
            scanner.look -= 1;
        }
        scanner.content_to(scanner.look);
        State::Text
    }

    fn element(&self, scanner: &mut Scanner, batch: Batch, last: bool) -> Next {
        scanner.look_past_space();
        match scanner.tail().as_bytes().first() {
            Some(b'{') => Ok(object_at(scanner, batch)),
            None if !last => Err(State::Element(batch)),
            _ => Ok(self.break_off(scanner, batch)),
        }
    }

    /// No object where one should be: the list ends here, if it has begun to be one.
    fn break_off(&self, scanner: &mut Scanner, batch: Batch) -> State {
        if batch.calls.is_empty() || !(batch.marked || scanner.offered.is_listed()) {
            return self.prose(scanner, &batch);
        }
        flush(scanner, batch)
    }

    fn object(
        &self,
        scanner: &mut Scanner,
        mut batch: Batch,
        object: usize,
        mut scan: ObjectScan,
        last: bool,
    ) -> Next {
        let end = match scanner.object(object, &mut scan, last) {
            Object::Open => return Err(State::Object { batch, object, scan }),
            Object::Ends(end) => end,
            Object::Broken(error) => {
                let until = object + scan.scanned();
                scanner.look = scanner.at + until;
                // What follows may not have come yet, so it must not count.
                if batch.marked || begins_call(&scanner.rest()[object..until]) {
                    return Ok(State::Broken { batch, object, error });
                }
                return Ok(self.prose(scanner, &batch));
            }
        };
        let text = &scanner.rest()[object..end];
        let call = if batch.marked {
            let offered = |call: ToolCall| match scanner.offered.allows(&call.name) {
                true => Ok(call),
                false => Err(scanner.offered.refusal(&call.name)),
            };
            read(text).and_then(offered).map_err(|error| (error, text.to_owned()))
        } else {
            match read_unmarked(text).filter(|call| scanner.offered.allows(&call.name)) {
                Some(call) => Ok(call),
                None => return Ok(self.no_call(scanner, batch)),
            }
        };
        batch.calls.push(call);
        batch.end = end;
        Ok(if batch.in_list { State::Between(batch) } else { State::After(batch) })
    }

    /// An object without a mark is no call. Behind others it is text that follows them, where that may be.
    fn no_call(&self, scanner: &mut Scanner, batch: Batch) -> State {
        if !batch.calls.is_empty() && scanner.offered.is_listed() {
            let after = scanner.look;
            let state = flush(scanner, batch);
            scanner.look = after;
            return state;
        }
        self.prose(scanner, &batch)
    }

    fn between(&self, scanner: &mut Scanner, mut batch: Batch, last: bool) -> Next {
        scanner.look_past_space();
        match scanner.tail().as_bytes().first() {
            Some(b',') => {
                scanner.look += 1;
                Ok(State::Element(batch))
            }
            Some(b']') => {
                scanner.look += 1;
                batch.end = scanner.look - scanner.at;
                batch.in_list = false;
                Ok(State::After(batch))
            }
            None if !last => Err(State::Between(batch)),
            // Without its bracket a list of complete calls still is one.
            _ => Ok(State::After(batch)),
        }
    }

    fn after(&self, scanner: &mut Scanner, mut batch: Batch, last: bool) -> Next {
        scanner.look_past_space();
        let tail = scanner.tail();
        if tail.is_empty() {
            return if last { Ok(flush(scanner, batch)) } else { Err(State::After(batch)) };
        }
        if let Some(stop) = starts_with_mark(tail, self.stops) {
            scanner.look += stop.len();
            batch.stopped = true;
            return Ok(State::After(batch));
        }
        if batch.fence == Fence::Open && tail.starts_with(FENCE) {
            scanner.look += FENCE.len();
            batch.fence = Fence::Closed;
            batch.end = scanner.look - scanner.at;
            return Ok(State::After(batch));
        }
        if !last && (begins_mark(tail, &self.marks) || begins_mark(tail, &[FENCE])) {
            return Err(State::After(batch));
        }
        if tail.starts_with(self.mark) {
            return Ok(flush(scanner, batch));
        }
        let goes_on = !batch.stopped && batch.fence != Fence::Closed;
        if goes_on && tail.starts_with(';') {
            scanner.look += 1;
            return Ok(State::After(batch));
        }
        if goes_on && tail.starts_with('{') {
            return Ok(object_at(scanner, batch));
        }
        if batch.marked || scanner.offered.is_listed() {
            return Ok(flush(scanner, batch));
        }
        Ok(self.prose(scanner, &batch))
    }

    fn broken(
        &self,
        scanner: &mut Scanner,
        mut batch: Batch,
        object: usize,
        error: String,
        last: bool,
    ) -> Next {
        let (end, goes_on) = match scanner.find_mark(&[NEXT_CALL, self.mark], last) {
            Mark::Found(place, mark) => (place, mark == NEXT_CALL),
            Mark::None(_) if !last => return Err(State::Broken { batch, object, error }),
            Mark::None(_) => (scanner.text.len(), false),
        };
        let raw_text = without_stops(&scanner.text[scanner.at + object..end], self.stops);
        let raw_text = raw_text.trim_end().trim_end_matches(',').to_owned();
        batch.calls.push(Err((error, raw_text)));
        batch.end = end - scanner.at;
        scanner.look = end;
        Ok(if goes_on { object_at(scanner, batch) } else { flush(scanner, batch) })
    }
}

fn object_at(scanner: &Scanner, batch: Batch) -> State {
    State::Object { batch, object: scanner.look - scanner.at, scan: ObjectScan::new() }
}

/// Says what was read; what follows the last call is text.
fn flush(scanner: &mut Scanner, batch: Batch) -> State {
    scanner.call_begins(true);
    for call in batch.calls {
        match call {
            Ok(call) => scanner.call(Ok(call), ""),
            Err((error, raw_text)) => scanner.call(Err(error), &raw_text),
        }
    }
    scanner.skip_to(scanner.at + batch.end);
    scanner.look = scanner.at;
    State::Text
}
