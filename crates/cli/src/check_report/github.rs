//! The report as annotations of GitHub Actions, which show each finding beside its line.

use std::io::{self, Write};

use toolsmith_chat::check::Level;

use super::Checked;

/// Writes one line for each place, and one for each rule of which more was found.
pub(crate) fn write(checked: &Checked<'_>, out: &mut dyn Write) -> io::Result<()> {
    for rule in &checked.report.rules {
        let level = match rule.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        for place in &rule.places {
            let message = value(&place.finding.to_string());
            if place.source.is_empty() {
                writeln!(out, "::{level} title={}::{message}", property(rule.code.as_str()))?;
            } else {
                let (file, title) = (property(&place.source), property(rule.code.as_str()));
                writeln!(out, "::{level} file={file},line={},title={title}::{message}", place.line)?;
            }
        }
        let more = rule.findings - rule.places.len();
        if more > 0 {
            writeln!(out, "::notice title={}::{more} more", property(rule.code.as_str()))?;
        }
    }
    Ok(())
}

fn value(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    value(text).replace(':', "%3A").replace(',', "%2C")
}
