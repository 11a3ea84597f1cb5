//! The report in SARIF 2.1.0 (OASIS standard), which code hosts and editors show beside the lines.

use std::io::{self, Write};

use serde_json::{Value as Json, json};
use toolsmith_chat::check::{Code, Level};
use toolsmith_prepare::LocatedFinding;

use super::Checked;

/// Writes one log with one run.
pub(crate) fn write(checked: &Checked<'_>, out: &mut dyn Write) -> io::Result<()> {
    let rules: Vec<Json> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let mut results = Vec::new();
    for rule in &checked.report.rules {
        results.extend(rule.places.iter().map(|place| result(checked, place)));
    }
    let told: usize = checked.report.rules.iter().map(|rule| rule.places.len()).sum();
    let left_out = checked.report.errors + checked.report.warnings - told;
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "toolsmith",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {"conversations": checked.report.conversations, "resultsLeftOut": left_out},
        }],
    });
    serde_json::to_writer(&mut *out, &log)?;
    out.write_all(b"\n")
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}

fn rule(code: Code) -> Json {
    let rule = code.rule();
    json!({
        "id": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.mend},
        "defaultConfiguration": {"level": level(rule.level)},
    })
}

fn result(checked: &Checked<'_>, place: &LocatedFinding) -> Json {
    let finding = &place.finding;
    let index = Code::ALL.iter().position(|code| *code == finding.code);
    let first = checked.sources.first().map(|path| path.display().to_string()).unwrap_or_default();
    let location = match place.source.as_str() {
        "" => json!({"artifactLocation": {"uri": uri(&first)}}),
        source => {
            let mut region = json!({"startLine": place.line});
            if let Some(spot) = &finding.spot {
                region["snippet"] = json!({"text": spot.excerpt});
            }
            json!({"artifactLocation": {"uri": uri(source)}, "region": region})
        }
    };
    json!({
        "ruleId": finding.code.as_str(),
        "ruleIndex": index,
        "level": level(finding.level),
        "message": {"text": finding.to_string()},
        "locations": [{"physicalLocation": location}],
        "properties": {"record": place.index, "place": finding.place},
    })
}

/// A path as the reference that SARIF asks for: what has a meaning in a URI is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
