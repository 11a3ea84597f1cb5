//! An overview for the terminal.
//!
//! In: an [`Overview`]. Out: text: how samples and calls are distributed, and which tools are called most.

use std::fmt::Write as _;

use super::collect::Overview;
use super::counts::{Bin, Counts};
use super::shown::shortened;
use crate::commands::prepare::grouped;
use crate::terminal::{Styles, harmless, painted};

/// Characters of the longest bar and of a name, rows of a histogram, tools listed.
const BAR: usize = 40;
const NAME: usize = 28;
const ROWS: usize = 10;
const TOOLS: usize = 10;

/// Distributions and tools.
pub(crate) fn describe(overview: &Overview, styles: &Styles) -> String {
    let mut text = String::new();
    let (lengths, shares, calls) = (&overview.lengths, &overview.shares, &overview.calls);
    histogram(&mut text, "tokens in a sample", lengths, "", &lengths.bins(ROWS), styles);
    histogram(&mut text, "trained tokens in a sample", shares, "%", &shares.share_bins(10), styles);
    histogram(&mut text, "calls in a conversation", calls, "", &calls.bins(ROWS), styles);
    tools(&mut text, overview, styles);
    text
}

fn histogram(text: &mut String, title: &str, counts: &Counts, unit: &str, bins: &[Bin], styles: &Styles) {
    if counts.total() == 0 {
        return;
    }
    let found = counts.quantiles();
    let _infallible = writeln!(
        text,
        "\n{}   median {}{unit}, p95 {}{unit}, max {}{unit}",
        painted(styles.heading, title),
        grouped(found.median),
        grouped(found.p95),
        grouped(found.largest)
    );
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    for bin in bins {
        row(text, &format!("{}{unit}", range(bin)), bin.count, most, styles);
    }
}

/// A bin as `200-299`, `7` or `1,000 and more`.
fn range(bin: &Bin) -> String {
    match bin.high {
        Some(high) if high == bin.low => grouped(bin.low),
        Some(high) => format!("{}-{}", grouped(bin.low), grouped(high)),
        None => format!("{} and more", grouped(bin.low)),
    }
}

fn tools(text: &mut String, overview: &Overview, styles: &Styles) {
    if overview.tools.is_empty() {
        return;
    }
    let called: Vec<_> = overview.tools_by_calls().take_while(|tool| tool.calls > 0).collect();
    let _infallible = writeln!(
        text,
        "\n{}   {} tools called, {} offered and never called",
        painted(styles.heading, "calls by tool"),
        grouped(called.len()),
        grouped(overview.tools.len() - called.len())
    );
    let most = called.first().map_or(0, |tool| tool.calls);
    for tool in called.iter().take(TOOLS) {
        row(text, &harmless(&shortened(&tool.name, NAME - 1)), tool.calls, most, styles);
    }
    if called.len() > TOOLS {
        let _infallible =
            writeln!(text, "{:>NAME$}", format!("… and {} more", grouped(called.len() - TOOLS)));
    }
}

fn row(text: &mut String, name: &str, count: usize, most: usize, styles: &Styles) {
    let pad = " ".repeat(NAME.saturating_sub(name.chars().count()));
    let bar = "█".repeat((count * BAR).div_ceil(most.max(1)));
    let gap = if bar.is_empty() { "" } else { "  " };
    let _infallible =
        writeln!(text, "{pad}{name} {:>10}{gap}{}", grouped(count), painted(styles.trained, bar));
}
