//! The report as one JSON object.

use std::io::{self, Write};

use serde::Serialize;
use toolsmith_prepare::{CheckReport, Mended};

use super::Checked;

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    mended: Option<&'a Mended>,
    seconds: f64,
}

/// Writes it.
pub(crate) fn write(checked: &Checked<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mended = checked.mended.map(|(mended, _)| mended);
    serde_json::to_writer(&mut *out, &Report { report: checked.report, mended, seconds: checked.seconds })?;
    out.write_all(b"\n")
}
