//! Names that Python takes as identifiers.

/// Whether a text can be the name of a Python argument: an identifier that is no keyword.
pub fn is_identifier(text: &str) -> bool {
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let mut chars = text.chars();
    chars.next().is_some_and(starts_identifier) && chars.all(goes_on_identifier) && !KEYWORDS.contains(&text)
}

/// Whether an identifier can start with a character.
pub(crate) fn starts_identifier(c: char) -> bool {
    c == '_' || unicode_ident::is_xid_start(c)
}

/// Whether an identifier can go on with a character.
pub(crate) fn goes_on_identifier(c: char) -> bool {
    unicode_ident::is_xid_continue(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_python_takes_are_identifiers() {
        assert!(["a", "_b1", "城市", "é"].into_iter().all(is_identifier));
        assert!(
            ["", "1a", "a-b", "a b", "class", "None", "x.y", "a\n"]
                .into_iter()
                .all(|text| !is_identifier(text))
        );
    }
}
