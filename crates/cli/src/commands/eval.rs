//! `eval`: the model answers at each trained assistant turn, after the reference's history, and its calls are scored.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use serde::Serialize;
use toolsmith_chat::check::{self, Level};
use toolsmith_chat::data::{Conversation, Role, ToolCall};
use toolsmith_chat::template::{AssistantTurn, ChatTemplate};
use toolsmith_eval::{Scorer, Scores, TurnScore};
use toolsmith_prepare::RecordFormat;

use super::prepare::{FOUND_ERRORS, grouped};
use crate::args::{EvalArgs, SamplingArgs};
use crate::assistant::Assistant;
use crate::datasets;
use crate::source;
use crate::terminal::{self, Styles, painted};

/// A reference conversation and its index in the file.
pub(crate) struct Reference {
    /// Index of its record.
    pub(crate) index: usize,
    /// What was said.
    pub(crate) conversation: Conversation,
}

/// One scored turn.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScoredTurn {
    /// Index of the conversation's record.
    pub(crate) index: usize,
    /// Index of the assistant message in it.
    pub(crate) message: usize,
    /// The calls it makes.
    pub(crate) reference: Vec<ToolCall>,
    /// What the model wrote, as text.
    pub(crate) text: String,
    /// What that says.
    pub(crate) generated: AssistantTurn,
    /// Whether the limit of new tokens cut it off.
    pub(crate) cut_off: bool,
    /// How they compare.
    pub(crate) score: TurnScore,
}

/// All turns and their scores.
pub(crate) struct Evaluation {
    /// The scores.
    pub(crate) scores: Scores,
    /// Each turn, in order.
    pub(crate) turns: Vec<ScoredTurn>,
    /// Tokens generated.
    pub(crate) tokens: usize,
}

/// The object that `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    scores: &'a Scores,
    conversations: usize,
    refused: usize,
    cut_off: usize,
    generated_tokens: usize,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs, styles: &Styles, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let data = datasets::find_one(&args.data, &args.format)?;
    let assistant = Assistant::load(&args.model, args.format.template()?)?;
    let template = assistant.template()?;
    let (mut references, refused) = read_references(&data.path, data.format, template)?;
    if !refused.is_empty() {
        for reason in refused.iter().take(20) {
            terminal::say(format_args!("{} {reason}", painted(styles.bad, "refused:")));
        }
        if !args.skip_bad {
            let count = match refused.len() {
                1 => "1 record is bad".to_owned(),
                more => format!("{} records are bad", grouped(more)),
            };
            terminal::say(format_args!(
                "{} {count}, so nothing was scored. Mend the data, or drop what is bad with --skip-bad",
                painted(styles.bad, "error:"),
            ));
            return Ok(ExitCode::from(FOUND_ERRORS));
        }
    }
    references.truncate(args.limit.unwrap_or(usize::MAX));

    let bar = terminal::count_bar(turns(&references).count() as u64, "turns");
    bar.set_message("answering");
    let begun = Instant::now();
    let evaluation = evaluate(&assistant, &references, &args.sampling, args.batch_size, &mut |done| {
        bar.set_position(done as u64)
    });
    bar.finish_and_clear();
    let evaluation = evaluation?;
    let report = Report {
        scores: &evaluation.scores,
        conversations: references.len(),
        refused: refused.len(),
        cut_off: evaluation.turns.iter().filter(|turn| turn.cut_off).count(),
        generated_tokens: evaluation.tokens,
        seconds: begun.elapsed().as_secs_f64(),
    };
    if let Some(path) = &args.predictions {
        write_predictions(path, &evaluation.turns)?;
    }
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(table(&report, styles).as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The conversations of a file that can be scored, and why the others cannot.
pub(crate) fn read_references(
    path: &Path,
    format: Option<RecordFormat>,
    template: &ChatTemplate,
) -> anyhow::Result<(Vec<Reference>, Vec<String>)> {
    let mut references = Vec::new();
    let mut refused = Vec::new();
    for record in source::records(path, format)? {
        let record = record?;
        let here = record.here().to_string();
        match source::conversation(record.value) {
            Err(reason) => refused.push(format!("{here}: {reason}")),
            Ok(conversation) => {
                let findings = check::check(&conversation, template.native());
                match findings.iter().find(|finding| finding.level == Level::Error) {
                    Some(finding) => refused.push(format!("{here}: {finding}")),
                    None => references.push(Reference { index: record.place.index, conversation }),
                }
            }
        }
    }
    Ok((references, refused))
}

/// The turns that are scored: every assistant message that would be trained.
fn turns(references: &[Reference]) -> impl Iterator<Item = (&Reference, usize)> {
    references.iter().flat_map(|reference| {
        let messages = reference.conversation.messages.iter().enumerate();
        let answers = messages.filter(|(_, message)| message.role == Role::Assistant && message.is_trained());
        answers.map(move |(index, _)| (reference, index))
    })
}

/// Generates an answer at each turn, `batch_size` at a time, and scores it; `progress` hears how many are done.
pub(crate) fn evaluate(
    assistant: &Assistant,
    references: &[Reference],
    sampling: &SamplingArgs,
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
) -> anyhow::Result<Evaluation> {
    let all: Vec<(&Reference, usize)> = turns(references).collect();
    let mut scorer = Scorer::default();
    let mut scored = Vec::with_capacity(all.len());
    let mut tokens = 0;
    for (number, batch) in all.chunks(batch_size.max(1)).enumerate() {
        let histories: Vec<Conversation> =
            batch.iter().map(|(reference, message)| history(reference, *message)).collect();
        // Each batch draws differently, yet always the same.
        let sampling = SamplingArgs { seed: sampling.seed.wrapping_add(number as u64), ..sampling.clone() };
        let answers = assistant.answer_all(&histories, &sampling)?;
        for ((reference, message), answer) in batch.iter().zip(answers) {
            let calls = &reference.conversation.messages[*message].tool_calls;
            let score = scorer.score(calls, &answer.turn, reference.conversation.tools());
            tokens += answer.tokens;
            scored.push(ScoredTurn {
                index: reference.index,
                message: *message,
                reference: calls.clone(),
                text: answer.text,
                generated: answer.turn,
                cut_off: answer.cut_off,
                score,
            });
        }
        progress(scored.len());
    }
    Ok(Evaluation { scores: scorer.scores(), turns: scored, tokens })
}

/// What was said before a message.
fn history(reference: &Reference, message: usize) -> Conversation {
    Conversation {
        tools: reference.conversation.tools.clone(),
        messages: reference.conversation.messages[..message].to_vec(),
    }
}

fn write_predictions(path: &Path, turns: &[ScoredTurn]) -> anyhow::Result<()> {
    let mut text = String::new();
    for turn in turns {
        text.push_str(&serde_json::to_string(turn)?);
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

fn table(report: &Report<'_>, styles: &Styles) -> String {
    let scores = report.scores;
    let share = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}%", 100.0 * value));
    let without_calls = scores.turns - scores.turns_with_calls;
    let rows = [
        (
            "turns",
            grouped(scores.turns),
            format!("{} of them should call a tool", grouped(scores.turns_with_calls)),
        ),
        ("name accuracy", share(scores.name_accuracy), "the right tools called".to_owned()),
        (
            "exact accuracy",
            share(scores.exact_accuracy),
            "the right tools with the right arguments".to_owned(),
        ),
        (
            "schema valid",
            share(scores.schema_valid),
            "calls whose arguments fit the tool's schema".to_owned(),
        ),
        (
            "spurious calls",
            grouped(scores.spurious_calls),
            format!("of {} turns that need none", grouped(without_calls)),
        ),
        ("missed calls", grouped(scores.missed_calls), "turns without the call they need".to_owned()),
        ("malformed calls", grouped(scores.malformed_calls), "could not be read".to_owned()),
        ("cut off", grouped(report.cut_off), "answers at --max-new-tokens".to_owned()),
    ];
    let mut text = String::new();
    for (name, value, remark) in rows {
        let name = painted(styles.heading, format!("{name:<16}"));
        let _infallible = writeln!(text, "{name}{value:>9}   {}", painted(styles.dim, remark));
    }
    let speed = report.generated_tokens as f64 / report.seconds.max(1e-9);
    let _infallible = writeln!(
        text,
        "{}",
        painted(
            styles.dim,
            format!(
                "{} tokens in {:.1} s, {speed:.0} a second",
                grouped(report.generated_tokens),
                report.seconds
            )
        )
    );
    text
}
