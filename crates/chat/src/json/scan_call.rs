//! Finds the end of a Python call's arguments, `(city='深圳', days=[1, 2])`, in text that may still be growing.
//!
//! In: bytes, in any portions. Out: whether the closing parenthesis was found, cannot be found, or may still come. Only
//! what hides the end is looked at (strings, brackets); the reader that takes the arguments afterwards is strict.

use super::scan::{Scan, ScanState};

/// A scan of one call that goes on from portion to portion.
#[derive(Debug, Clone)]
pub(crate) struct CallScan {
    stack: Vec<u8>,
    place: Place,
    scanned: usize,
    state: ScanState,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Outside,
    /// So many quotes stood here: a string begins, an empty one, or one in triple quotes.
    Quotes(u8, u8),
    String(u8),
    StringEscape(u8),
    /// In triple quotes, after so many that may end it.
    Triple(u8, u8),
    TripleEscape(u8),
}

impl CallScan {
    pub(crate) fn new() -> Self {
        Self { stack: Vec::new(), place: Place::Outside, scanned: 0, state: ScanState::Open }
    }

    /// `Some(true)`: goes on; `Some(false)`: this byte ended the call; `None`: cannot stand here.
    fn step(&mut self, byte: u8) -> Option<bool> {
        use Place::{Outside, Quotes, String, StringEscape, Triple, TripleEscape};
        self.place = match self.place {
            Quotes(quote, 1) if byte == quote => Quotes(quote, 2),
            Quotes(quote, 2) if byte == quote => Triple(quote, 0),
            Quotes(quote, 1) => {
                self.place = String(quote);
                return self.step(byte);
            }
            Quotes(..) | Outside => return self.outside(byte),
            String(quote) => match byte {
                b'\\' => StringEscape(quote),
                b'\n' => return None,
                _ if byte == quote => Outside,
                _ => String(quote),
            },
            StringEscape(quote) => String(quote),
            Triple(quote, count) => match byte {
                b'\\' => TripleEscape(quote),
                _ if byte == quote && count == 2 => Outside,
                _ if byte == quote => Triple(quote, count + 1),
                _ => Triple(quote, 0),
            },
            TripleEscape(quote) => Triple(quote, 0),
        };
        Some(true)
    }

    fn outside(&mut self, byte: u8) -> Option<bool> {
        self.place = Place::Outside;
        // What is looked at begins with the opening parenthesis.
        if self.stack.is_empty() && byte != b'(' {
            return None;
        }
        match byte {
            b'\'' | b'"' => self.place = Place::Quotes(byte, 1),
            b'(' | b'[' | b'{' => self.stack.push(byte),
            b')' | b']' | b'}' => {
                let opened = match byte {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if self.stack.pop() != Some(opened) {
                    return None;
                }
            }
            b'_' | b'.' | b'+' | b'-' | b'=' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' | 0x80.. => {}
            _ if byte.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        Some(!self.stack.is_empty())
    }
}

impl Scan for CallScan {
    const WHAT: &'static str = "arguments";
    const WRITTEN_IN: &'static str = "Python literals";

    fn scanned(&self) -> usize {
        self.scanned
    }

    fn push(&mut self, bytes: &[u8]) -> ScanState {
        for &byte in bytes {
            if self.state != ScanState::Open {
                break;
            }
            match self.step(byte) {
                None => self.state = ScanState::Broken(self.scanned),
                Some(goes_on) => {
                    self.scanned += 1;
                    if !goes_on {
                        self.state = ScanState::Complete(self.scanned);
                    }
                }
            }
        }
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> ScanState {
        let mut scan = CallScan::new();
        text.as_bytes().iter().fold(ScanState::Open, |_, byte| scan.push(&[*byte]))
    }

    #[test]
    fn the_end_is_found_wherever_strings_hide_parentheses() {
        let text = r#"(a=')', b="\")", c=[(1, {'d': ''})], e='''x')''', f="""""")"#;
        assert_eq!(scan(text), ScanState::Complete(text.len()));
        assert_eq!(scan(&format!("{text}\n```")), ScanState::Complete(text.len()));
        for cut in 0..text.len() {
            assert_eq!(scan(&text[..cut]), ScanState::Open, "{cut}");
        }
        assert_eq!(scan("()"), ScanState::Complete(2));
    }

    #[test]
    fn what_is_no_call_breaks_at_the_first_wrong_byte() {
        for (text, at) in [("a", 0), ("(a='\n", 4), ("(a=[1)", 5), ("(<", 1), ("(a=1;", 4), ("'a'", 0)] {
            assert_eq!(scan(text), ScanState::Broken(at), "{text}");
        }
    }
}
