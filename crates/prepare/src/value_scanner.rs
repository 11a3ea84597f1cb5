//! Where one JSON value ends in a stream of bytes.
//!
//! In: the bytes from a value's first one on, buffer by buffer. Out: how many of them belong to it, and what ended it.
//! It follows strings and brackets alone; whether the value is JSON is not its business.

/// What ended a value; none of the ending bytes belongs to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Comma,
    Bracket,
    /// A new record begins behind this one without a comma between them.
    NoComma,
    /// A new record begins inside this one, which is therefore broken.
    Restart,
    File,
}

/// Follows strings and brackets through one value.
pub(crate) struct Scanner {
    in_array: bool,
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// The last byte that is neither white space nor inside a string.
    last: u8,
    started: bool,
}

impl Scanner {
    pub(crate) fn new(in_array: bool) -> Self {
        Self { in_array, open: Vec::new(), in_string: false, escaped: false, last: 0, started: false }
    }

    /// Bytes of `buffer` that belong to the value, and what ended it, if it ended.
    pub(crate) fn scan(&mut self, buffer: &[u8]) -> (usize, Option<Ended>) {
        let mut at = 0;
        while at < buffer.len() {
            if self.in_string {
                at = self.scan_string(buffer, at);
                continue;
            }
            let byte = buffer[at];
            match byte {
                b'"' => self.in_string = true,
                b',' if self.open.is_empty() && self.in_array => return (at, Some(Ended::Comma)),
                b'{' if self.last == b'}' && self.open.is_empty() && self.in_array => {
                    return (at, Some(Ended::NoComma));
                }
                b'{' if self.last == b',' && self.open == [b'{'] && self.in_array => {
                    // No JSON object holds `, {`: the record before lacks its closing brace.
                    return (at, Some(Ended::Restart));
                }
                b'{' | b'[' => self.open.push(byte),
                b'}' | b']' if self.close(byte) => return (at, Some(Ended::Bracket)),
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
                self.started = true;
            }
            at += 1;
            if !self.in_array && self.started && self.open.is_empty() && !self.in_string {
                let scalar_goes_on = !matches!(byte, b'}' | b']') && !byte.is_ascii_whitespace();
                if !scalar_goes_on {
                    return (at, Some(Ended::Bracket));
                }
            }
        }
        (at, None)
    }

    fn scan_string(&mut self, buffer: &[u8], at: usize) -> usize {
        if self.escaped {
            self.escaped = false;
            return at + 1;
        }
        let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', &buffer[at..]) else {
            return buffer.len();
        };
        let at = at + found;
        match buffer[at] {
            b'\\' => self.escaped = true,
            // JSON strings hold no raw line break: at one, the string has lost its closing quote.
            _ => self.in_string = false,
        }
        at + 1
    }

    /// Closes the nearest matching bracket; true when the bracket belongs to the array around the value.
    fn close(&mut self, closing: u8) -> bool {
        let opening = if closing == b'}' { b'{' } else { b'[' };
        match self.open.iter().rposition(|&byte| byte == opening) {
            Some(depth) => {
                self.open.truncate(depth);
                false
            }
            None => self.in_array && closing == b']',
        }
    }
}
