//! Finds the end of a JSON object in text that may still be growing.
//!
//! In: bytes, in any portions. Out: whether the object is complete, broken, or still open. The scan is strict where a
//! wrong byte could hide the end of the object (structure, strings), so that it stops soon in text that is no JSON;
//! numbers and words are checked by the reader that takes the object afterwards. It keeps no text.

/// What a scan knows so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanState {
    /// The object goes on.
    Open,
    /// The object ended; the number of bytes it has.
    Complete(usize),
    /// A byte that cannot stand where it does; how many bytes came before it.
    Broken(usize),
}

/// A search for the end of something in text that may still be growing.
pub(crate) trait Scan {
    /// What it looks at, as a message says it.
    const WHAT: &'static str;
    /// In what that is written.
    const WRITTEN_IN: &'static str;

    /// How many bytes were looked at.
    fn scanned(&self) -> usize;

    /// Looks at the bytes that follow those looked at so far.
    fn push(&mut self, bytes: &[u8]) -> ScanState;
}

/// A scan of one object that goes on from portion to portion.
#[derive(Debug, Clone)]
pub(crate) struct ObjectScan {
    stack: Vec<u8>,
    expect: Expect,
    scanned: usize,
    state: ScanState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Start,
    FirstKey,
    Key,
    InKey,
    InKeyEscape,
    Colon,
    Value,
    FirstItem,
    InString,
    InStringEscape,
    InScalar,
    AfterValue,
}

impl Scan for ObjectScan {
    const WHAT: &'static str = "object";
    const WRITTEN_IN: &'static str = "JSON";

    fn scanned(&self) -> usize {
        self.scanned
    }

    fn push(&mut self, bytes: &[u8]) -> ScanState {
        if self.state != ScanState::Open {
            return self.state;
        }
        for &byte in bytes {
            match self.step(byte) {
                Some(true) => self.scanned += 1,
                Some(false) => {
                    self.scanned += 1;
                    self.state = ScanState::Complete(self.scanned);
                    break;
                }
                None => {
                    self.state = ScanState::Broken(self.scanned);
                    break;
                }
            }
        }
        self.state
    }
}

impl ObjectScan {
    pub(crate) fn new() -> Self {
        Self { stack: Vec::new(), expect: Expect::Start, scanned: 0, state: ScanState::Open }
    }

    /// `Some(true)`: goes on; `Some(false)`: this byte ended the object; `None`: cannot stand here.
    fn step(&mut self, byte: u8) -> Option<bool> {
        use Expect::{
            AfterValue, Colon, FirstItem, FirstKey, InKey, InKeyEscape, InScalar, InString, InStringEscape,
            Key, Start, Value,
        };
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.expect {
            Start => {
                if byte != b'{' {
                    return None;
                }
                self.open(byte);
            }
            InKey | InString => match byte {
                b'"' => self.expect = if self.expect == InKey { Colon } else { AfterValue },
                b'\\' => self.expect = if self.expect == InKey { InKeyEscape } else { InStringEscape },
                0..=0x1f => return None,
                _ => {}
            },
            InKeyEscape | InStringEscape => {
                if !matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') {
                    return None;
                }
                self.expect = if self.expect == InKeyEscape { InKey } else { InString };
            }
            InScalar => match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.' => {}
                _ => {
                    self.expect = AfterValue;
                    return self.step(byte);
                }
            },
            _ if space => {}
            FirstKey | Key => match byte {
                b'"' => self.expect = InKey,
                b'}' if self.expect == FirstKey => return self.close(b'{'),
                _ => return None,
            },
            Colon => {
                if byte != b':' {
                    return None;
                }
                self.expect = Value;
            }
            Value | FirstItem => match byte {
                b'"' => self.expect = InString,
                b'{' | b'[' => self.open(byte),
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => self.expect = InScalar,
                b']' if self.expect == FirstItem => return self.close(b'['),
                _ => return None,
            },
            AfterValue => match (byte, self.stack.last()) {
                (b',', Some(b'{')) => self.expect = Key,
                (b',', Some(_)) => self.expect = Value,
                (b'}', _) => return self.close(b'{'),
                (b']', _) => return self.close(b'['),
                _ => return None,
            },
        }
        Some(true)
    }

    fn open(&mut self, byte: u8) {
        self.stack.push(byte);
        self.expect = if byte == b'{' { Expect::FirstKey } else { Expect::FirstItem };
    }

    fn close(&mut self, opened: u8) -> Option<bool> {
        if self.stack.pop() != Some(opened) {
            return None;
        }
        self.expect = Expect::AfterValue;
        Some(!self.stack.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> ScanState {
        ObjectScan::new().push(text.as_bytes())
    }

    #[test]
    fn the_end_of_an_object_is_found_wherever_strings_hide_braces() {
        let text = r#"{"a": "}\"{", "b": [{"c": 1.5e-7}, null, []], "d": {}}"#;
        assert_eq!(scan(text), ScanState::Complete(text.len()));
        assert_eq!(scan(&format!("{text} trailing }}")), ScanState::Complete(text.len()));
        for cut in 0..text.len() {
            assert_eq!(scan(&text[..cut]), ScanState::Open, "{cut}");
        }
    }

    #[test]
    fn what_is_no_object_breaks_at_the_first_wrong_byte() {
        for (text, at) in [
            ("[1]", 0),
            ("{a", 1),
            ("{\"a\" 1", 5),
            ("{\"a\": 1, }", 9),
            ("{\"a\": [1}", 8),
            ("{\"a\": \"x\ny\"", 8),
            ("{\"a\": \"\\q", 8),
            ("{\"a\": True", 6),
            ("{\"a\": 1 2", 8),
        ] {
            assert_eq!(scan(text), ScanState::Broken(at), "{text}");
        }
    }

    #[test]
    fn portions_do_not_change_the_result() {
        let text = "{\"a\": [\"\\\\\", {\"b\": -1}]} ";
        let mut scan = ObjectScan::new();
        let mut state = ScanState::Open;
        for byte in text.as_bytes() {
            state = scan.push(&[*byte]);
        }
        assert_eq!(state, ScanState::Complete(text.len() - 1));
    }
}
