//! The thoughts before an answer: `<think>⏎…⏎</think>⏎⏎`.
//!
//! They count only at the beginning of the answer; `<think>` later on is text. The newlines around them are the format's
//! and not theirs. An answer that ends inside its thoughts has no content.

use super::ParseEvent;
use super::scanner::{Scanner, begins_mark};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Reads the thoughts, then has done its part.
#[derive(Debug, Clone)]
pub(super) struct Thinking {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Before,
    /// From `at` to `look` stand newlines, which may be the last.
    Inside {
        any: bool,
    },
    After,
}

impl Thinking {
    pub(super) fn new() -> Self {
        Self { state: State::Before }
    }

    /// Takes what belongs to the thoughts; `true` once the answer itself begins.
    pub(super) fn is_over(&mut self, scanner: &mut Scanner, last: bool) -> bool {
        loop {
            match self.state {
                State::Before => {
                    scanner.look_past_space();
                    let tail = scanner.tail();
                    if tail.starts_with(OPEN) {
                        scanner.skip_to(scanner.look + OPEN.len());
                        self.state = State::Inside { any: false };
                    } else if !last && (tail.is_empty() || begins_mark(tail, &[OPEN])) {
                        return false;
                    } else {
                        scanner.look = scanner.at;
                        return true;
                    }
                }
                State::Inside { any } => {
                    let tail = scanner.tail();
                    if let Some(close) = tail.find(CLOSE) {
                        let end = scanner.look + close;
                        emit(scanner, end, any);
                        scanner.skip_to(end + CLOSE.len());
                        self.state = State::After;
                        continue;
                    }
                    if last {
                        emit(scanner, scanner.text.len(), any);
                        scanner.skip_to(scanner.text.len());
                        return true;
                    }
                    let begun = (1..CLOSE.len()).rev().find(|length| tail.ends_with(&CLOSE[..*length]));
                    let look = scanner.text.len() - begun.unwrap_or(0);
                    let certain = scanner.text[scanner.look..look].trim_end_matches('\n').len();
                    if certain > 0 {
                        let end = scanner.look + certain;
                        let sent = emit(scanner, end, any);
                        scanner.skip_to(end);
                        self.state = State::Inside { any: any || sent };
                    }
                    scanner.look = look;
                    return false;
                }
                State::After => {
                    let rest = scanner.rest();
                    let newlines = rest.len() - rest.trim_start_matches('\n').len();
                    let all = newlines == rest.len();
                    scanner.skip(newlines);
                    return last || !all;
                }
            }
        }
    }
}

/// Sends the thoughts up to here out, without the newlines around them; whether there was anything to send.
fn emit(scanner: &mut Scanner, end: usize, any: bool) -> bool {
    let text = scanner.text[scanner.at..end].trim_end_matches('\n');
    let text = if any { text } else { text.trim_start_matches('\n') };
    // The newlines held back stand between two thoughts if more text follows them.
    if text.is_empty() {
        return false;
    }
    let event = ParseEvent::Reasoning(text.to_owned());
    scanner.event(event);
    true
}
