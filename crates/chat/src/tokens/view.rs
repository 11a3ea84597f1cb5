//! What a sample looks like to the trainer: the model of a coloured view.
//!
//! In: ids and labels. Out: spans of text with a [`Style`], or one [`TokenView`] for each token. It knows no colours and
//! no terminals: whoever shows it chooses them.

use serde::Serialize;

use super::{ChatTokenizer, IGNORE_INDEX};

/// How a span should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Text whose tokens are trained.
    Trained,
    /// Text whose tokens are only read.
    Untrained,
    /// A control token.
    Control,
}

/// Neighbouring tokens of one style.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// What they spell.
    pub text: String,
    /// How it should look.
    pub style: Style,
    /// Whether they are trained; a control token may be, too.
    pub trained: bool,
    /// How many they are.
    pub tokens: usize,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// What it spells; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Its label.
    pub label: i32,
    /// How it should look.
    pub style: Style,
}

/// The sample as spans; a control token is always a span of its own.
pub fn spans(tokenizer: &ChatTokenizer, input_ids: &[u32], labels: &[i32]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut bytes = Vec::new();
    for (id, label) in input_ids.iter().zip(labels) {
        let trained = *label != IGNORE_INDEX;
        let style = style(tokenizer, *id, *label);
        match spans.last_mut() {
            Some(last) if (last.style, last.trained) == (style, trained) && style != Style::Control => {
                last.tokens += 1;
            }
            _ => {
                close(&mut spans, &mut bytes);
                spans.push(Span { text: String::new(), style, trained, tokens: 1 });
            }
        }
        bytes.extend_from_slice(tokenizer.token_bytes(*id));
    }
    close(&mut spans, &mut bytes);
    spans
}

fn close(spans: &mut [Span], bytes: &mut Vec<u8>) {
    if let Some(last) = spans.last_mut() {
        last.text = String::from_utf8_lossy(bytes).into_owned();
    }
    bytes.clear();
}

/// The sample token by token.
pub fn tokens(tokenizer: &ChatTokenizer, input_ids: &[u32], labels: &[i32]) -> Vec<TokenView> {
    let view = |(id, label): (&u32, &i32)| TokenView {
        text: tokenizer.id_to_token(*id).unwrap_or_default(),
        id: *id,
        label: *label,
        style: style(tokenizer, *id, *label),
    };
    input_ids.iter().zip(labels).map(view).collect()
}

fn style(tokenizer: &ChatTokenizer, id: u32, label: i32) -> Style {
    if tokenizer.is_control(id) {
        Style::Control
    } else if label == IGNORE_INDEX {
        Style::Untrained
    } else {
        Style::Trained
    }
}
