//! What the demo prints and puts on its page: tables, lines and examples from the scores.
//!
//! In: evaluations and samples. Out: text and the values of the report. Runs no model and writes no file.

use std::fmt::Write as _;
use std::path::Path;

use toolsmith_chat::data::{Conversation, Message, Role, ToolCall};
use toolsmith_chat::json::to_python;
use toolsmith_chat::template::AssistantTurn;
use toolsmith_chat::tokens::view::{self, Style};
use toolsmith_chat::tokens::{ChatTokenizer, IGNORE_INDEX};
use toolsmith_eval::Scores;
use toolsmith_prepare::Row;

use super::report::{Example, Fact, Report, ScoreRow, Token, TokenSample};
use crate::commands::eval::{Evaluation, Reference, ScoredTurn};
use crate::terminal::{Styles, painted};

/// Held-out questions on the page.
const EXAMPLES: usize = 12;

/// Everything that the page is made from.
pub(super) struct Gathered<'a> {
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) tokenizer: &'a ChatTokenizer,
    pub(super) samples: &'a [Row<'a>],
    pub(super) references: &'a [Reference],
    pub(super) base: &'a Evaluation,
    pub(super) tuned: &'a Evaluation,
    pub(super) losses: &'a [(u64, f32)],
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1}%", 100.0 * share))
}

/// The scores in a line.
pub(super) fn one_line(scores: &Scores) -> String {
    format!(
        "exactly right on {} of the {} turns that need a call; {} spurious, {} missed, {} malformed",
        percent(scores.exact_accuracy),
        scores.turns_with_calls,
        scores.spurious_calls,
        scores.missed_calls,
        scores.malformed_calls
    )
}

/// How the training went, in a line.
pub(super) fn training(losses: &[(u64, f32)], seconds: f64) -> String {
    let mean =
        |part: &[(u64, f32)]| part.iter().map(|&(_, loss)| loss).sum::<f32>() / part.len().max(1) as f32;
    let few = losses.len().min(5);
    format!(
        "{} steps in {seconds:.0} s; loss per trained token {:.3} at first, {:.3} at the end",
        losses.len(),
        mean(&losses[..few]),
        mean(&losses[losses.len() - few..])
    )
}

fn rows(base: &Scores, tuned: &Scores) -> Vec<ScoreRow> {
    let share = |measure: &str, base: Option<f64>, tuned: Option<f64>| ScoreRow {
        measure: measure.to_owned(),
        base: percent(base),
        tuned: percent(tuned),
        base_percent: base.map(|share| 100.0 * share),
        tuned_percent: tuned.map(|share| 100.0 * share),
    };
    let count = |measure: String, base: usize, tuned: usize| ScoreRow {
        measure,
        base: base.to_string(),
        tuned: tuned.to_string(),
        base_percent: None,
        tuned_percent: None,
    };
    let needing = base.turns_with_calls;
    vec![
        share("calls exactly right", base.exact_accuracy, tuned.exact_accuracy),
        share("right tools named", base.name_accuracy, tuned.name_accuracy),
        share("arguments fit the schema", base.schema_valid, tuned.schema_valid),
        count(format!("missed calls (of {needing} turns)"), base.missed_calls, tuned.missed_calls),
        count(
            format!("spurious calls (of {} turns)", base.turns - needing),
            base.spurious_calls,
            tuned.spurious_calls,
        ),
        count("malformed calls".to_owned(), base.malformed_calls, tuned.malformed_calls),
    ]
}

/// Before and after, side by side.
pub(super) fn table(base: &Scores, tuned: &Scores, styles: &Styles) -> String {
    let mut text = format!("{}\n", painted(styles.dim, format!("{:<34}{:>10}{:>10}", "", "base", "tuned")));
    for row in rows(base, tuned) {
        let tuned = painted(styles.good, format!("{:>10}", row.tuned));
        let _infallible = writeln!(text, "{:<34}{:>10}{tuned}", row.measure, row.base);
    }
    text
}

/// The tools offered in a conversation, in a line.
pub(super) fn offered(conversation: &Conversation, styles: &Styles) -> String {
    format!("{} {}", painted(styles.dim, "offered  "), tool_names(conversation).join(", "))
}

fn tool_names(conversation: &Conversation) -> Vec<String> {
    conversation.tools().iter().filter_map(|tool| tool.name().map(str::to_owned)).collect()
}

/// What the model said, calls as calls.
pub(super) fn spoken(turn: &AssistantTurn, styles: &Styles) -> String {
    let mut lines = Vec::new();
    if let Some(content) = turn.content.as_deref().filter(|content| !content.is_empty()) {
        lines.push(format!("{} {content}", painted(styles.trained, "assistant")));
    }
    for call in &turn.tool_calls {
        lines.push(format!("{} {}", painted(styles.control, "call     "), one_call(call)));
    }
    for malformed in &turn.malformed {
        lines.push(format!("{} {}", painted(styles.bad, "malformed"), malformed.raw_text));
    }
    lines.join("\n")
}

fn one_call(call: &ToolCall) -> String {
    format!("{}({})", call.name, to_python(&call.arguments))
}

fn calls(calls: &[ToolCall]) -> String {
    calls.iter().map(one_call).collect::<Vec<_>>().join("\n")
}

fn written(turn: &ScoredTurn) -> String {
    if turn.generated.tool_calls.is_empty() {
        turn.text.trim().to_owned()
    } else {
        calls(&turn.generated.tool_calls)
    }
}

/// The values of the page.
pub(super) fn report(gathered: &Gathered<'_>) -> Report {
    let fact = |name: &str, value: String| Fact { name: name.to_owned(), value };
    let turns = &gathered.base.scores;
    Report {
        title: "toolsmith demo: a model learns to call tools".to_owned(),
        facts: vec![
            fact("exactly right, before", percent(gathered.base.scores.exact_accuracy)),
            fact("exactly right, after", percent(gathered.tuned.scores.exact_accuracy)),
            fact("method", "LoRA, rank 16, all linear layers".to_owned()),
            fact("optimizer steps", gathered.losses.len().to_string()),
            fact("held-out turns", format!("{} ({} need calls)", turns.turns, turns.turns_with_calls)),
            fact("seed", gathered.seed.to_string()),
            fact("time", format!("{:.0} s in all", gathered.seconds)),
        ],
        scores: rows(&gathered.base.scores, &gathered.tuned.scores),
        loss: gathered.losses.to_vec(),
        samples: gathered
            .samples
            .iter()
            .enumerate()
            .map(|(index, row)| sample(gathered.tokenizer, index, row))
            .collect(),
        examples: examples(gathered),
    }
}

fn sample(tokenizer: &ChatTokenizer, index: usize, row: &Row<'_>) -> TokenSample {
    let token = |token: view::TokenView| Token {
        class: match (token.style, token.label != IGNORE_INDEX) {
            (Style::Control, true) => "control trained",
            (Style::Control, false) => "control",
            (_, true) => "trained",
            (_, false) => "untrained",
        },
        text: token.text,
        id: token.id,
        label: token.label,
    };
    TokenSample {
        title: format!("training sample {}", index + 1),
        tokens: view::tokens(tokenizer, row.input_ids, row.labels).into_iter().map(token).collect(),
    }
}

/// Turns for the page: those that the tuned model gets wrong first (at most a third), then others in order.
fn examples(gathered: &Gathered<'_>) -> Vec<Example> {
    let pairs: Vec<_> = gathered.base.turns.iter().zip(&gathered.tuned.turns).collect();
    let (right, wrong): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|(_, tuned)| tuned.score.exactly_right);
    let mut chosen: Vec<_> = wrong.into_iter().take(EXAMPLES / 3).collect();
    chosen.extend(right);
    chosen.truncate(EXAMPLES);
    chosen.into_iter().filter_map(|(base, tuned)| example(gathered.references, base, tuned)).collect()
}

fn example(references: &[Reference], base: &ScoredTurn, tuned: &ScoredTurn) -> Option<Example> {
    let reference = references.iter().find(|reference| reference.index == base.index)?;
    let messages = &reference.conversation.messages;
    let answer = messages.get(base.message)?;
    Some(Example {
        tools: tool_names(&reference.conversation),
        question: question(&messages[..base.message]),
        expected: if answer.tool_calls.is_empty() {
            answer.text().to_owned()
        } else {
            calls(&answer.tool_calls)
        },
        base: written(base),
        base_right: base.score.exactly_right,
        tuned: written(tuned),
        tuned_right: tuned.score.exactly_right,
    })
}

/// What the turn answers: the last question, and results that came since.
fn question(before: &[Message]) -> String {
    let from = before.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let heard = before[from..].iter().filter(|message| matches!(message.role, Role::User | Role::Tool));
    heard.map(|message| message.text()).collect::<Vec<_>>().join(" → ")
}

/// Where everything is, and what to do next.
pub(super) fn next(root: &Path, seconds: f64, styles: &Styles) -> String {
    let root = root.display();
    let mut text = format!("\n{} in {seconds:.0} s: {root}\n", painted(styles.good, "done"));
    for (name, what) in [
        ("report.html", "scores, loss curve, token masks, held-out questions: open it in a browser"),
        ("train.jsonl, eval.jsonl", "the data"),
        ("train.yaml", "the training configuration"),
        ("tuned/", "adapter/ in PEFT's layout, metrics.jsonl, checkpoints"),
        ("base/", "the base model"),
    ] {
        let _infallible = writeln!(text, "  {name:<24} {}", painted(styles.dim, what));
    }
    let _infallible = write!(
        text,
        "\n{}\n  toolsmith chat --model {root}/base --adapter {root}/tuned/adapter --tools {root}/tools.json\n  \
         toolsmith preview YOUR.jsonl --model Qwen/Qwen2.5-0.5B-Instruct\n  \
         toolsmith prepare YOUR.jsonl --model Qwen/Qwen2.5-0.5B-Instruct -o train.parquet\n  \
         toolsmith train recipes/lora-qwen2.5.yaml data=train.parquet\n\
         {}\n",
        painted(styles.heading, "Next, talk to it, or take your own data and model:"),
        painted(styles.dim, "(toolsmith is target/release/toolsmith, or: cargo run --release --)")
    );
    text
}
