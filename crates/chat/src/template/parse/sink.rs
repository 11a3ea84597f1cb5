//! Where the text around calls goes.
//!
//! In: text in any portions, and where calls stand in it. Out: the same text as content events, without the white space
//! that only sets calls apart. What is held back is at most a newline or a run of white space.

use super::ParseEvent;

/// Collects content.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    /// White space that may turn out to belong to a call.
    held: String,
    /// Whether only white space came since the beginning or the last call.
    in_gap: bool,
    /// Whether any content was sent out.
    any: bool,
    /// Whether there was a call.
    calls: bool,
    /// Whether the format writes texts before calls without the white space at their end.
    pub(super) calls_own_space: bool,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self { held: String::new(), in_gap: true, any: false, calls: false, calls_own_space: false }
    }

    /// Text that follows what came before.
    pub(super) fn content(&mut self, text: &str, events: &mut Vec<ParseEvent>) {
        if !self.in_gap {
            return self.flow(text, events);
        }
        let says_something = !text.trim_start().is_empty();
        self.held.push_str(text);
        if !says_something {
            return;
        }
        self.in_gap = false;
        let held = std::mem::take(&mut self.held);
        match (self.calls, self.any) {
            // The newline after a call is the call's, unless it parts two texts.
            (true, false) => self.flow(held.strip_prefix('\n').unwrap_or(&held), events),
            (true, true) if !held.starts_with(char::is_whitespace) => {
                self.flow("\n", events);
                self.flow(&held, events);
            }
            _ => self.flow(&held, events),
        }
    }

    /// A new stretch of text, set apart by a control token.
    pub(super) fn new_segment(&mut self, events: &mut Vec<ParseEvent>) {
        if !self.in_gap {
            self.flow("\n", events);
        }
    }

    /// A call stands here; `owns_newline` where the format writes a newline before it.
    pub(super) fn call(&mut self, owns_newline: bool, events: &mut Vec<ParseEvent>) {
        if !self.in_gap && !owns_newline {
            self.send(events);
        }
        self.held.clear();
        self.in_gap = true;
        self.calls = true;
    }

    pub(super) fn finish(&mut self, events: &mut Vec<ParseEvent>) {
        if !(self.in_gap && self.calls) {
            self.send(events);
        }
    }

    fn flow(&mut self, text: &str, events: &mut Vec<ParseEvent>) {
        self.held.push_str(text);
        let kept = if self.calls_own_space {
            if text.trim_end().is_empty() {
                return;
            }
            self.held.trim_end().len()
        } else {
            self.held.strip_suffix('\n').unwrap_or(&self.held).len()
        };
        let space = self.held.split_off(kept);
        self.send(events);
        self.held = space;
    }

    fn send(&mut self, events: &mut Vec<ParseEvent>) {
        if !self.held.is_empty() {
            self.any = true;
            events.push(ParseEvent::Content(std::mem::take(&mut self.held)));
        }
    }
}
