//! Rules about token ids and labels.

use super::{Code, Finding, Findings};
use crate::tokens::{ChatTokenizer, Encoded, IGNORE_INDEX};

/// What is wrong with encoded ids: no label, or tokens that straddle the edge of the trained text.
pub fn check_encoded(encoded: &Encoded) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    if encoded.trained_tokens() == 0 {
        let text = "every label is -100, so the loss would be 0 and teach nothing".to_owned();
        let mend = "Add the answer to learn, set train: true on it, or drop the record";
        findings.add(Code::NothingTrained, None, "labels".to_owned(), text, mend);
    }
    if encoded.straddling_tokens > 0 {
        let text = format!(
            "{} tokens hold trained and untrained text at once, and are not trained",
            encoded.straddling_tokens
        );
        let mend = "Often an answer that begins with a newline: strip it";
        findings.add(Code::StraddlingToken, None, "input_ids".to_owned(), text, mend);
    }
    findings.0
}

/// Trained stretches that do not end in one of the ids `stops`, so that where an answer ends is not learned. White space
/// behind a stop token does not count: some trainers train it too.
///
/// A stretch that ends with a sample that was cut is left to the rules about cuts.
pub(super) fn check_stops(
    input_ids: &[u32],
    labels: &[i32],
    stops: &[u32],
    cut: bool,
    tokenizer: &ChatTokenizer,
) -> Option<Finding> {
    let blank = |id: &u32| tokenizer.token_bytes(*id).iter().all(u8::is_ascii_whitespace);
    let (mut stretches, mut unended, mut first) = (0, 0, None);
    let mut start = None;
    for (at, label) in labels.iter().enumerate() {
        if *label == IGNORE_INDEX {
            start = None;
            continue;
        }
        let begun = *start.get_or_insert(at);
        let ends = labels.get(at + 1).is_none_or(|next| *next == IGNORE_INDEX);
        if !ends || (cut && at + 1 == labels.len()) {
            continue;
        }
        stretches += 1;
        let last = input_ids.get(begun..=at).unwrap_or_default().iter().rev().find(|id| !blank(id));
        if last.is_none_or(|id| !stops.contains(id)) {
            unended += 1;
            first.get_or_insert(at);
        }
    }
    let at = first?;
    let shown = |range: std::ops::Range<usize>| tokenizer.decode(input_ids.get(range).unwrap_or_default());
    let (ending, rest) = (shown(at.saturating_sub(15)..at + 1), shown(at + 1..input_ids.len().min(at + 8)));
    let text = format!("{unended} of {stretches} trained answers do not end in a stop token");
    let mend = "Use the model's own template, or one that ends every answer with a token";
    let mut findings = Findings(Vec::new());
    findings.add(Code::StopUntrained, None, "labels".to_owned(), text, mend);
    let end = ending.len();
    findings.mark(&(ending + &rest), end..end + rest.chars().next().map_or(0, char::len_utf8));
    findings.0.pop()
}
