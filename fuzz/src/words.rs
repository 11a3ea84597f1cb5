//! The words that the readers look for, from the dictionaries that libFuzzer gets too.

use std::sync::LazyLock;

/// Marks of the chat formats, and what could be taken for one.
pub static MARKS: LazyLock<Vec<String>> = LazyLock::new(|| words(include_str!("../dictionaries/marks.dict")));

/// Keys of records and what stands under them.
pub static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| words(include_str!("../dictionaries/keys.dict")));

/// The entries of a dictionary: a quoted text a line, in which `\xAB` is a byte.
fn words(dictionary: &'static str) -> Vec<String> {
    let quoted = |line: &'static str| line.strip_prefix('"')?.strip_suffix('"');
    dictionary.lines().filter_map(quoted).map(unescaped).collect()
}

fn unescaped(quoted: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = quoted.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
                (digit(*high) << 4 | digit(*low), after)
            }
            (b'\\', [byte, after @ ..]) => (*byte, after),
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).expect("words are UTF-8")
}
