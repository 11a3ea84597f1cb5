//! Text as Python sees it: what its `strip` takes away. Templates that trim messages do it by Python's own rules.

/// `text.strip()`: Python's white space is Unicode's and the four separators before the space.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_pythons() {
        assert_eq!(strip("\x1c\u{3000} a b\u{a0}\n"), "a b");
    }
}
