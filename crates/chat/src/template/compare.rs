//! Where two texts begin to differ.

use std::fmt;

/// The first difference of two texts, with what stands around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How many characters are equal.
    pub at: usize,
    /// The first text from a little before that place on.
    pub ours: String,
    /// The second.
    pub theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: ours {:?}, the model's template {:?}", self.at, self.ours, self.theirs)
    }
}

/// Characters shown before and after the place.
const BEFORE: usize = 20;
const AFTER: usize = 40;

/// The first difference; `None` where the texts are equal.
pub fn first_difference(ours: &str, theirs: &str) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    let at = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| -> String {
        text.chars().skip(at.saturating_sub(BEFORE)).take(at.min(BEFORE) + AFTER).collect()
    };
    Some(Difference { at, ours: around(ours), theirs: around(theirs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_in_context() {
        assert_eq!(first_difference("a", "a"), None);
        let long = "é".repeat(30);
        let difference = first_difference(&format!("{long}x"), &format!("{long}yz")).unwrap();
        assert_eq!(difference.at, 30);
        assert_eq!(difference.theirs, format!("{}yz", "é".repeat(20)));
        assert_eq!(first_difference("ab", "a").unwrap().theirs, "a");
    }
}
