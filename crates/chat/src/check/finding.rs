//! What a rule found: where, what, and how to mend it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Code, Level};

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    pub code: Code,
    /// How bad it is.
    pub level: Level,
    /// Index of the message, where it is about one.
    #[serde(rename = "message_index", skip_serializing_if = "Option::is_none", default)]
    pub message: Option<usize>,
    /// Where inside the record, as `messages[3].tool_calls[0]`; empty where that is part of the text.
    pub place: String,
    /// What was found, and what was expected.
    pub text: String,
    /// How to mend it; empty where that is part of the text.
    pub mend: String,
    /// The text in question with the spot marked, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spot: Option<Box<Spot>>,
}

/// A spot in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The text around it, on one line, shortened.
    pub excerpt: String,
    /// Where the spot begins in the excerpt, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Finding {
    /// A finding that says everything in one text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            level: code.level(),
            message: None,
            place: String::new(),
            text: text.into(),
            mend: String::new(),
            spot: None,
        }
    }

    /// Place, text and how to mend it, in one line.
    pub fn sentence(&self) -> String {
        let mut sentence = self.place.clone();
        if !sentence.is_empty() {
            sentence.push_str(": ");
        }
        sentence.push_str(&self.text);
        if !self.mend.is_empty() {
            sentence.push_str(". ");
            sentence.push_str(&self.mend);
        }
        sentence
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.sentence(), self.code)
    }
}

impl Spot {
    /// Characters shown before the spot, of the spot, and after it, at most.
    const BEFORE: usize = 32;
    const INSIDE: usize = 48;
    const AFTER: usize = 32;

    /// The surroundings of `range` in `text`; a range that is not on characters' edges is widened to them.
    pub fn new(text: &str, range: Range<usize>) -> Self {
        let end = (range.end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let start = (0..=range.start.min(end)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, inside, after) = (&text[..start], &text[start..end], &text[end..]);
        let from = before.char_indices().rev().nth(Self::BEFORE - 1).map_or(0, |(at, _)| at);
        let until = |text: &str, most: usize| text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
        let (shown, rest) = (until(inside, Self::INSIDE), until(after, Self::AFTER));
        let mut excerpt = String::new();
        if from > 0 {
            excerpt.push('…');
        }
        push_visible(&mut excerpt, &before[from..]);
        let start = excerpt.len();
        push_visible(&mut excerpt, &inside[..shown]);
        if shown < inside.len() {
            excerpt.push('…');
        }
        let end = excerpt.len();
        push_visible(&mut excerpt, &after[..rest]);
        if rest < after.len() {
            excerpt.push('…');
        }
        Self { excerpt, start, end }
    }
}

/// Line breaks and other control characters are shown as what JSON writes for them.
fn push_visible(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_shown_with_its_surroundings() {
        let spot = Spot::new("ab\ncd", 3..4);
        assert_eq!((spot.excerpt.as_str(), &spot.excerpt[spot.start..spot.end]), ("ab\\ncd", "c"));
        let long = format!("{}深{}", "x".repeat(100), "y".repeat(100));
        let spot = Spot::new(&long, 101..102);
        assert_eq!(&spot.excerpt[spot.start..spot.end], "深");
        assert_eq!(spot.excerpt, format!("…{}深{}…", "x".repeat(32), "y".repeat(32)));
        let all = Spot::new(&long, 0..usize::MAX);
        assert_eq!(all.end, all.excerpt.len());
        assert_eq!(Spot::new("", 5..9).excerpt, "");
    }
}
