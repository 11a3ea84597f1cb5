//! The report for people: each rule with its first places, the text with the spot marked, and how to mend it.

use std::fmt::Write as _;

use toolsmith_chat::check::{Code, Level, Spot};
use toolsmith_prepare::{LocatedFinding, Mended, RuleFindings};
use unicode_width::UnicodeWidthStr;

use super::Checked;
use crate::commands::prepare::grouped;
use crate::terminal::{Styles, painted};

/// The whole report.
pub(crate) fn report(checked: &Checked<'_>, styles: &Styles) -> String {
    let mut text = String::new();
    for rule in &checked.report.rules {
        found_by(&mut text, rule, styles);
    }
    summary(&mut text, checked, styles);
    text
}

fn found_by(text: &mut String, found: &RuleFindings, styles: &Styles) {
    let rule = found.code.rule();
    let style = if found.level == Level::Error { styles.bad } else { styles.warning };
    let name = painted(style, format!("{}[{}]", found.level.as_str(), rule.name));
    let title = painted(styles.heading, rule.title.trim_end_matches('.'));
    let often = match (found.records, found.findings) {
        (0, _) => String::new(),
        (1, 1) => "once".to_owned(),
        (records, findings) if records == findings => format!("in {} records", grouped(records)),
        (1, findings) => format!("{} times in 1 record", grouped(findings)),
        (records, findings) => format!("{} times in {} records", grouped(findings), grouped(records)),
    };
    let _infallible = writeln!(text, "{name} {title}{}{often}", if often.is_empty() { "" } else { ": " });
    for place in &found.places {
        place_of(text, place, styles);
    }
    let more = found.findings - found.places.len();
    if more > 0 {
        let more = format!("… and {} more (--places N shows more)", grouped(more));
        let _infallible = writeln!(text, "  {}", painted(styles.dim, more));
    }
    text.push('\n');
}

fn place_of(text: &mut String, place: &LocatedFinding, styles: &Styles) {
    let finding = &place.finding;
    let mut said = String::new();
    if !place.source.is_empty() {
        let here = format!("{}:{}", place.source, place.line);
        let _infallible = write!(said, "{} record {}: ", painted(styles.dim, here + ":"), place.index);
    }
    if !finding.place.is_empty() {
        let _infallible = write!(said, "{}: ", finding.place);
    }
    said.push_str(&finding.text);
    let _infallible = writeln!(text, "  {said}");
    if let Some(spot) = &finding.spot {
        marked(text, spot, styles);
    }
    if !finding.mend.is_empty() {
        let _infallible = writeln!(text, "      {} {}", painted(styles.good, "→"), finding.mend);
    }
}

/// The excerpt, and a line below it that points at the spot.
fn marked(text: &mut String, spot: &Spot, styles: &Styles) {
    let before = width(spot.excerpt.get(..spot.start).unwrap_or_default());
    let inside = width(spot.excerpt.get(spot.start..spot.end).unwrap_or_default()).max(1);
    let bar = painted(styles.dim, "│");
    let marks = painted(styles.bad, "^".repeat(inside));
    let _infallible = writeln!(text, "      {bar} {}", spot.excerpt);
    let _infallible = writeln!(text, "      {bar} {}{marks}", " ".repeat(before));
}

/// Columns of the terminal that a text takes.
fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

fn summary(text: &mut String, checked: &Checked<'_>, styles: &Styles) {
    let report = checked.report;
    let records = counted(report.conversations, "record");
    let _infallible =
        writeln!(text, "{} {records} in {:.1} s", painted(styles.heading, "checked"), checked.seconds);
    if report.samples > 0 {
        let _infallible = writeln!(
            text,
            "  {}, {} tokens, {:.1}% trained, the longest {}",
            counted(report.samples, "sample"),
            grouped(report.tokens),
            100.0 * report.trained_tokens as f64 / report.tokens.max(1) as f64,
            grouped(report.longest)
        );
    }
    if !checked.with_model {
        text.push_str("  without --model the rules about token ids and control tokens were left out\n");
    }
    if report.errors > 0 {
        let errors = painted(styles.bad, counted(report.errors, "error"));
        let _infallible = writeln!(text, "  {errors} in {}", counted(report.with_errors, "record"));
    }
    if report.warnings > 0 {
        let _infallible =
            writeln!(text, "  {}", painted(styles.warning, counted(report.warnings, "warning")));
    }
    if report.errors + report.warnings == 0 {
        let _infallible = writeln!(text, "  {}", painted(styles.good, "nothing found"));
        return;
    }
    match checked.mended {
        Some((mended, output)) => mended_text(text, mended, &output.display().to_string(), styles),
        None => {
            let fixable: Vec<_> = report
                .rules
                .iter()
                .filter(|rule| rule.code.rule().fixed)
                .map(|rule| rule.code.as_str())
                .collect();
            if !fixable.is_empty() {
                let _infallible = writeln!(text, "  --fix OUT.jsonl mends: {}", fixable.join(", "));
            }
            if let Some(first) = report.rules.first() {
                let _infallible = writeln!(text, "  toolsmith check --explain {} says more", first.code);
            }
        }
    }
}

/// `3 errors`, `1 error`.
fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn mended_text(text: &mut String, mended: &Mended, output: &str, styles: &Styles) {
    let codes: Vec<String> =
        mended.by_code.iter().map(|(code, count)| format!("{code} {}", grouped(*count))).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    let _infallible = writeln!(
        text,
        "{} {output}: {} of {} records, mended in {}{codes}",
        painted(styles.good, "written:"),
        grouped(mended.written),
        grouped(mended.read),
        grouped(mended.mended),
    );
    if mended.left_out > 0 {
        let _infallible = writeln!(text, "  left out {} that cannot be read:", grouped(mended.left_out));
        for place in mended.left_out_places.iter().take(3) {
            let _infallible = writeln!(text, "    {place}");
        }
    }
    text.push_str("  what --fix does not mend is in the file as it was; check the file again\n");
}

/// What one rule is about.
pub(crate) fn explained(code: Code, styles: &Styles) -> String {
    let rule = code.rule();
    let style = if rule.level == Level::Error { styles.bad } else { styles.warning };
    let mut text = String::new();
    let name = painted(style, format!("{}[{}]", rule.level.as_str(), rule.name));
    let _infallible = writeln!(text, "{name} {}\n", painted(styles.heading, rule.title));
    let _infallible = writeln!(text, "{} {}", painted(styles.heading, "why:    "), rule.why);
    let _infallible = writeln!(text, "{} {}", painted(styles.heading, "to mend:"), rule.mend);
    if rule.fixed {
        text.push_str("         toolsmith check --fix OUT.jsonl does it.\n");
    }
    text
}

/// Every rule, as docs/checks.md has them.
pub(crate) fn all_rules() -> String {
    let mut text = String::from(
        "# What `toolsmith check` looks for\n\n\
         Written by `toolsmith check --explain`. `prepare` and `train` run the rules about single records too, and refuse\n\
         records with errors unless `--skip-bad` is given. `--ignore RULE` leaves a rule out, in `check` and `prepare`.\n",
    );
    for code in Code::ALL {
        let rule = code.rule();
        let fixed = if rule.fixed { " `--fix` does it." } else { "" };
        let _infallible = write!(
            text,
            "\n## {}\n\n{} ({}) {}\n\nTo mend: {}{fixed}\n",
            rule.name,
            rule.title,
            rule.level.as_str(),
            rule.why,
            rule.mend
        );
    }
    text
}
