//! Text that is in Unicode's form NFC at first sight.
//!
//! In: a text. Out: whether each of its characters stands in a block that NFC leaves alone, which is so of nearly all
//! text and quick to see. `false` says nothing: the whole algorithm, which is not here, must then look.

/// Whether the text is in NFC for sure.
pub(super) fn is_plainly_nfc(text: &str) -> bool {
    const PORTION: usize = 64;
    let is_plain = |(start, portion): (usize, &[u8])| {
        // Bytes below this one are ASCII, go on with a character, or begin one below U+0300.
        let mut begins = portion.iter().enumerate().filter(|(_, byte)| **byte >= 0xcc);
        portion.is_ascii()
            || begins.all(|(at, _)| {
                let rest = text.get(start * PORTION + at..);
                rest.and_then(|rest| rest.chars().next()).is_some_and(keeps_its_form)
            })
    };
    text.as_bytes().chunks(PORTION).enumerate().all(is_plain)
}

/// Blocks whose characters all have combining class 0 and `NFC_Quick_Check=Yes`.
fn keeps_its_form(c: char) -> bool {
    matches!(c,
        '\0'..='\u{2ff}'
        | '\u{410}'..='\u{482}' // Cyrillic letters
        | '\u{2010}'..='\u{2027}' // dashes, quotation marks, bullets
        | '\u{2030}'..='\u{205e}'
        | '\u{20a0}'..='\u{20bf}' // currencies
        | '\u{2190}'..='\u{2319}' // arrows, mathematics
        | '\u{2400}'..='\u{2ad0}' // boxes, symbols
        | '\u{3000}'..='\u{3029}' // CJK punctuation
        | '\u{3041}'..='\u{3096}' // kana
        | '\u{30a0}'..='\u{30ff}'
        | '\u{4e00}'..='\u{9fff}' // CJK ideographs
        | '\u{ac00}'..='\u{d7a3}' // Hangul syllables
        | '\u{ff01}'..='\u{ff9f}' // full and half width
        | '\u{1f300}'..='\u{1faff}' // pictographs
    )
}

#[cfg(test)]
mod tests {
    use tokenizers::pipeline::Normalizer;

    use super::*;

    fn is_unchanged(text: &str) -> bool {
        tokenizers::normalizers::unicode::NFC.normalize(text, 0).unwrap() == text
    }

    #[test]
    fn what_keeps_its_form_does_so_after_any_character() {
        for c in ('\0'..=char::MAX).filter(|c| keeps_its_form(*c)) {
            // A letter before it would take it up, if it combined.
            for before in ["", "a", "か", "ㄱ", "\u{1100}", "가", "=", "\u{315}"] {
                let text = format!("{before}{c}");
                assert!(is_unchanged(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn what_normalization_changes_is_not_plain() {
        for text in
            ["e\u{301}", "\u{212b}", "\u{340}", "\u{1100}\u{1161}", "か\u{3099}", "\u{2329}", "\u{2000}"]
        {
            assert!(!is_unchanged(text) && !is_plainly_nfc(text), "{text:?}");
        }
        for text in ["", "plain", "Zoë’s naïve café — 5 °C", "你好，世界。", "ソフト", "안녕", "Привет", "🌞"]
        {
            assert!(is_plainly_nfc(text), "{text:?}");
        }
        for length in 0..200 {
            assert!(!is_plainly_nfc(&format!("{}e\u{301}x", "x".repeat(length))));
            assert!(is_plainly_nfc(&format!("{}é’界x", "x".repeat(length))));
        }
    }
}
