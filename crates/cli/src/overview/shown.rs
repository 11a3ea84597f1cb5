//! A conversation as the page shows it: plain values that become JSON.
//!
//! In: a record and what became of it. Out: a [`Shown`] of bounded size; what is left out of it is counted in it. Does
//! not know files or the page.

use serde::Serialize;
use toolsmith_chat::check::Finding;
use toolsmith_chat::data::preference::Side;
use toolsmith_chat::data::{Conversation, Message, ToolSpec};
use toolsmith_prepare::{IGNORE_INDEX, RawRecord, Record, Sample};

use super::choose::{MAX_TEXT, MAX_TOKENS};
use super::made::{Made, trained_tokens};

/// Findings of one conversation that are shown, and characters of each.
const MAX_FINDINGS: usize = 100;
const MAX_FINDING: usize = 2000;

/// Characters of a title.
const TITLE: usize = 120;

/// A conversation.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Shown {
    /// What it is about, for lists.
    #[serde(skip)]
    pub(crate) title: String,
    /// The messages; empty where the record cannot be read.
    messages: Vec<ShownMessage>,
    /// The definitions of the tools offered, as text.
    #[serde(skip)]
    pub(crate) definitions: Vec<String>,
    /// The same, as indices into the page's list of definitions.
    pub(crate) tools: Vec<usize>,
    /// The record as it stands in the file, where it cannot be read.
    raw: Option<String>,
    findings: Vec<ShownFinding>,
    findings_left_out: usize,
    /// Its samples.
    pub(crate) samples: Vec<ShownSample>,
    /// Characters that were left out above.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct ShownMessage {
    role: &'static str,
    /// Of a preference: which answer it belongs to.
    side: Option<&'static str>,
    text: Option<String>,
    reasoning: Option<String>,
    calls: Vec<ShownCall>,
    /// Of a result: the call that it answers, and the tool.
    tool_call_id: Option<String>,
    name: Option<String>,
    trained: bool,
}

#[derive(Debug, Serialize)]
struct ShownCall {
    id: Option<String>,
    name: String,
    /// JSON on several lines, as text: a reader of JSON would round its long numbers.
    arguments: String,
}

#[derive(Debug, Serialize)]
struct ShownFinding {
    code: String,
    /// Index of the message that it is about.
    message: Option<usize>,
    text: String,
}

/// A sample.
#[derive(Debug, Serialize)]
pub(crate) struct ShownSample {
    /// Tokens, and how many of them are trained, before anything is left out.
    tokens: usize,
    trained: usize,
    /// Token ids.
    pub(crate) ids: Vec<u32>,
    /// Lengths of runs, the first untrained, the next trained, and so on.
    runs: Vec<usize>,
    /// Positions whose label is neither -100 nor the id, with the label.
    labels: Vec<(usize, i32)>,
    /// Runs of one weight in the loss, with their length; empty where all count the same.
    weights: Vec<(usize, f32)>,
}

impl Shown {
    /// What the page shows of a record.
    pub(crate) fn new(made: &Made, raw: &RawRecord) -> Self {
        let mut shown = Self::default();
        let mut room = Room { characters: MAX_TEXT, left_out: 0 };
        match &made.record {
            Some(record) => shown.read(record, &mut room),
            None => {
                let bytes = raw.bytes.as_deref().unwrap_or_default();
                let text = String::from_utf8_lossy(bytes);
                shown.raw = Some(room.take(&text));
                shown.title = shortened(&text, TITLE);
            }
        }
        shown.findings = made.findings.iter().take(MAX_FINDINGS).map(shown_finding).collect();
        shown.findings_left_out = made.findings.len().saturating_sub(MAX_FINDINGS);
        let mut tokens_left = MAX_TOKENS;
        for sample in &made.samples {
            let shown_tokens = sample.input_ids.len().min(tokens_left);
            tokens_left -= shown_tokens;
            shown.samples.push(shown_sample(sample, shown_tokens));
        }
        shown.left_out = room.left_out;
        shown
    }

    fn read(&mut self, record: &Record, room: &mut Room) {
        match record {
            Record::Conversation(conversation) => self.converse(conversation, None, room),
            Record::Text(text) => self.messages.push(plain("text", text, true, room)),
            Record::InputOutput(pair) => {
                self.messages.push(plain("prompt", &pair.prompt, false, room));
                self.messages.push(plain("response", &pair.response, true, room));
            }
            Record::Preference(preference) => {
                for side in Side::BOTH {
                    self.converse(&preference.conversation(side), Some(side.as_str()), room);
                }
            }
        }
        let titled = |message: &&ShownMessage| message.role != "system" && message.text.is_some();
        let title = self.messages.iter().find(titled).or(self.messages.first());
        let text = title.and_then(|message| message.text.as_deref()).unwrap_or_default();
        self.title = shortened(text, TITLE);
    }

    fn converse(&mut self, conversation: &Conversation, side: Option<&'static str>, room: &mut Room) {
        if self.definitions.is_empty() {
            let pretty = |tool: &ToolSpec| pretty(tool.definition());
            self.definitions = conversation.tools().iter().map(pretty).map(|text| room.take(&text)).collect();
        }
        self.messages.extend(conversation.messages.iter().map(|message| shown_message(message, side, room)));
    }
}

/// How many characters may still be shown.
struct Room {
    characters: usize,
    left_out: usize,
}

impl Room {
    /// As much of the text as there is room for.
    fn take(&mut self, text: &str) -> String {
        let kept: String = text.chars().take(self.characters).collect();
        self.left_out += text[kept.len()..].chars().count();
        self.characters -= kept.chars().count();
        kept
    }
}

fn shown_message(message: &Message, side: Option<&'static str>, room: &mut Room) -> ShownMessage {
    let calls = message.tool_calls.iter().map(|call| ShownCall {
        id: call.id.clone(),
        name: room.take(&call.name),
        arguments: room.take(&pretty(&call.arguments)),
    });
    ShownMessage {
        role: message.role.as_str(),
        side,
        calls: calls.collect(),
        text: message.content.as_deref().map(|text| room.take(text)),
        reasoning: message.reasoning.as_deref().map(|text| room.take(text)),
        tool_call_id: message.tool_call_id.as_deref().map(|id| room.take(id)),
        name: message.name.as_deref().map(|name| room.take(name)),
        trained: message.is_trained(),
    }
}

fn plain(role: &'static str, text: &str, trained: bool, room: &mut Room) -> ShownMessage {
    ShownMessage {
        role,
        side: None,
        text: Some(room.take(text)),
        reasoning: None,
        calls: Vec::new(),
        tool_call_id: None,
        name: None,
        trained,
    }
}

fn pretty(json: &serde_json::Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_else(|_| json.to_string())
}

fn shown_finding(finding: &Finding) -> ShownFinding {
    ShownFinding {
        code: finding.code.as_str().to_owned(),
        message: finding.message,
        text: shortened(&finding.sentence(), MAX_FINDING),
    }
}

/// The text, or its beginning with an ellipsis.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn shown_sample(sample: &Sample, count: usize) -> ShownSample {
    let mut runs = vec![0];
    let mut labels = Vec::new();
    let mut weights: Vec<(usize, f32)> = Vec::new();
    let mut in_trained = false;
    for (position, (&id, &label)) in sample.input_ids.iter().zip(&sample.labels).take(count).enumerate() {
        let trained = label != IGNORE_INDEX;
        if trained != in_trained {
            runs.push(0);
            in_trained = trained;
        }
        if let Some(last) = runs.last_mut() {
            *last += 1;
        }
        if trained && label != id.cast_signed() {
            labels.push((position, label));
        }
    }
    for &weight in sample.weights.iter().flatten().take(count) {
        match weights.last_mut() {
            Some((length, last)) if *last == weight => *length += 1,
            _ => weights.push((1, weight)),
        }
    }
    let ids = sample.input_ids.iter().take(count).copied().collect();
    ShownSample {
        tokens: sample.input_ids.len(),
        trained: trained_tokens(sample),
        ids,
        runs,
        labels,
        weights,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_travel_as_runs_and_exceptions() {
        let sample = Sample {
            input_ids: vec![5, 6, 7, 8, 9],
            labels: vec![IGNORE_INDEX, 6, 70, IGNORE_INDEX, 9],
            weights: Some(vec![1.0, 2.0, 2.0, 1.0, 1.0]),
        };
        let shown = shown_sample(&sample, 5);
        assert_eq!(shown.runs, [1, 2, 1, 1]);
        assert_eq!(shown.labels, [(2, 70)]);
        assert_eq!(shown.weights, [(1, 1.0), (2, 2.0), (2, 1.0)]);
        let cut = shown_sample(&sample, 2);
        assert_eq!((cut.tokens, cut.trained, cut.ids.len(), cut.runs), (5, 3, 2, vec![1, 1]));
    }

    #[test]
    fn text_beyond_the_room_is_counted() {
        let mut room = Room { characters: 4, left_out: 0 };
        assert_eq!(room.take("日本"), "日本");
        assert_eq!(room.take("語abc"), "語a");
        assert_eq!(room.take("x"), "");
        assert_eq!(room.left_out, 3);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("日本語", 2), "日本…");
        assert_eq!(shortened("日本", 2), "日本");
    }
}
