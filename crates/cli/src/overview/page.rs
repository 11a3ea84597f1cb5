//! The page over a data set: one self-contained HTML file.
//!
//! In: an [`Overview`], the conversations held, facts to print. Out: HTML text. It reads no file and fetches nothing; all
//! text of the data travels as JSON in script elements that nothing runs, and becomes text on the page, never markup.

use std::collections::HashMap;

use anyhow::{Context, Result};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;

use super::choose::{self, Chosen, is_untrained};
use super::collect::{Dataset, Overview, RecordFacts};
use super::counts::{Bin, Counts, Quantiles};
use super::hold::{self, Held, script_json};
use super::shown::shortened;
use crate::commands::prepare::grouped;
use crate::house;

/// Bins of a chart, tools listed, characters of a tool's name.
const BINS: usize = 24;
const MAX_TOOLS: usize = 1000;
const TOOL_NAME: usize = 100;

/// Codes of warnings that a sample was cut begin like this.
const CUT: &str = "cut-";

const PAGE: &str = include_str!("page/page.html.j2");
const STYLE: &str = include_str!("page/page.css");
const SCRIPTS: [&str; 7] = [
    include_str!("page/dom.js"),
    include_str!("page/charts.js"),
    include_str!("page/filters.js"),
    include_str!("page/list.js"),
    include_str!("page/chat.js"),
    include_str!("page/tokens.js"),
    include_str!("page/main.js"),
];

/// A finished page.
pub(crate) struct Page {
    /// The HTML.
    pub(crate) html: String,
    /// How many conversations it holds of how many, and why these.
    pub(crate) holds: String,
}

/// A named fact or number.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its value, as printed.
    pub(crate) value: String,
    /// A remark on it; may be empty.
    pub(crate) remark: String,
}

/// What the page's script reads first. The conversations themselves stand in elements of their own, each parsed when it
/// is opened.
#[derive(Serialize)]
struct Index<'a> {
    files: Vec<String>,
    records: usize,
    codes: Vec<Code<'a>>,
    tools: Vec<Tool>,
    tools_in_all: usize,
    charts: [Chart; 3],
    marks: Vec<Mark>,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Code<'a> {
    code: &'a str,
    refused: usize,
    warned: usize,
}

#[derive(Serialize)]
struct Tool {
    name: String,
    calls: usize,
    called_in: usize,
    offered_in: usize,
}

#[derive(Serialize)]
struct Chart {
    /// What a row is asked for: `tokens`, `share` or `calls`.
    field: &'static str,
    title: &'static str,
    /// What a bar counts.
    counts: &'static str,
    unit: &'static str,
    bins: Vec<Bin>,
    quantiles: Quantiles,
}

/// A yes or no that rows can be filtered by.
#[derive(Serialize)]
struct Mark {
    field: &'static str,
    name: &'static str,
    count: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    file: usize,
    index: usize,
    line: usize,
    title: &'a str,
    /// Tokens and trained tokens of each sample.
    samples: Vec<(usize, usize)>,
    /// `None` where there is no conversation to count calls in.
    calls: Option<usize>,
    tools: Vec<usize>,
    codes: Vec<&'a str>,
    refused: bool,
    untrained: bool,
    cut: bool,
}

/// Makes the page with at most `limit` conversations; `progress` hears how many bytes were read again.
pub(crate) fn make(
    dataset: &Dataset<'_>,
    overview: &Overview,
    facts: &[Fact],
    limit: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Page> {
    let chosen = choose::choose(&overview.records, limit);
    let held = hold::hold(dataset, overview, &chosen, progress)?;
    let names: Vec<String> = dataset.files.iter().map(|path| path.display().to_string()).collect();
    let holds = holds(overview, &chosen);
    let html = render(overview, &chosen, &held, &names, facts, &holds)?;
    Ok(Page { html, holds })
}

fn render(
    overview: &Overview,
    chosen: &Chosen,
    held: &Held,
    names: &[String],
    facts: &[Fact],
    holds: &str,
) -> Result<String> {
    let index = index(overview, chosen, held, names);
    let script = |value: Result<String, serde_json::Error>| value.map(Value::from_safe_string);
    let conversations: Vec<Value> =
        held.conversations.iter().map(|json| Value::from_safe_string(json.clone())).collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page.html", PAGE).context("the page's template")?;
    let page = environment.get_template("page.html").context("the page's template")?;
    page.render(minijinja::context! {
        title => title(names),
        facts => Value::from(Serde(facts)),
        tiles => Value::from(Serde(tiles(overview))),
        holds,
        house => Value::from_safe_string(house::STYLE.to_owned()),
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPTS.join("\n")),
        index => script(script_json(&index))?,
        tokens => script(script_json(&held.tokens))?,
        definitions => script(script_json(&held.definitions))?,
        conversations,
    })
    .context("the page's template")
}

fn title(names: &[String]) -> String {
    let file = |name: &String| name.rsplit(['/', '\\']).next().unwrap_or(name).to_owned();
    match names {
        [] => String::new(),
        [one] => file(one),
        [one, two] => format!("{} and {}", file(one), file(two)),
        [one, rest @ ..] => format!("{} and {} more files", file(one), rest.len()),
    }
}

/// The numbers that `prepare` prints.
fn tiles(overview: &Overview) -> Vec<Fact> {
    let summary = &overview.summary;
    let percent = |part: usize, whole: usize| format!("{:.1}%", 100.0 * part as f64 / whole.max(1) as f64);
    let tile = |name, value: usize, remark| Fact { name, value: grouped(value), remark };
    vec![
        tile("conversations", summary.conversations, String::new()),
        tile("refused", summary.refused, percent(summary.refused, summary.conversations)),
        tile("samples", summary.samples, String::new()),
        tile("tokens", summary.tokens, String::new()),
        tile("trained tokens", summary.trained_tokens, percent(summary.trained_tokens, summary.tokens)),
        tile("longest", summary.longest, "tokens".to_owned()),
        tile("warnings", summary.warnings_by_code.values().sum(), String::new()),
    ]
}

/// How many conversations are held, and why these.
fn holds(overview: &Overview, chosen: &Chosen) -> String {
    let (held, all) = (chosen.records.len(), overview.records.len());
    if held == all {
        return format!("This page holds all {} conversations.", grouped(all));
    }
    let reasons: Vec<String> =
        chosen.reasons.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
    format!(
        "This page holds {} of {} conversations, so that it stays small enough to open: {}. Counts and charts are over \
         all. With -n it holds more.",
        grouped(held),
        grouped(all),
        reasons.join(", ")
    )
}

fn index<'a>(overview: &'a Overview, chosen: &Chosen, held: &'a Held, names: &[String]) -> Index<'a> {
    let ranks: HashMap<&str, usize> =
        overview.tools_by_calls().take(MAX_TOOLS).map(|tool| tool.name.as_str()).zip(0..).collect();
    let tools = overview.tools_by_calls().take(MAX_TOOLS).map(|tool| Tool {
        name: shortened(&tool.name, TOOL_NAME),
        calls: tool.calls,
        called_in: tool.called_in,
        offered_in: tool.offered_in,
    });
    let mut codes: Vec<Code<'_>> = overview
        .codes
        .iter()
        .map(|found| Code { code: &found.code, refused: found.refused, warned: found.warned })
        .collect();
    codes.sort_by_key(|code| (code.refused == 0, std::cmp::Reverse(code.refused + code.warned), code.code));
    let rows = chosen.records.iter().zip(&held.titles).map(|(&record, title)| {
        let facts = &overview.records[record];
        Row {
            file: facts.file,
            index: facts.place.index,
            line: facts.place.line,
            title,
            samples: facts.samples.iter().map(|sample| (sample.tokens, sample.trained)).collect(),
            calls: facts.calls,
            tools: facts
                .called
                .iter()
                .filter_map(|&tool| ranks.get(overview.tools[tool].name.as_str()).copied())
                .collect(),
            codes: facts.codes.iter().map(|&code| overview.codes[code].code.as_str()).collect(),
            refused: facts.refused,
            untrained: is_untrained(facts),
            cut: is_cut(overview, facts),
        }
    });
    Index {
        files: names.to_vec(),
        records: overview.records.len(),
        codes,
        tools: tools.collect(),
        tools_in_all: overview.tools.len(),
        charts: charts(overview),
        marks: marks(overview),
        rows: rows.collect(),
    }
}

fn charts(overview: &Overview) -> [Chart; 3] {
    let (lengths, shares, calls) = (&overview.lengths, &overview.shares, &overview.calls);
    let chart = |field, title, counts, unit, values: &Counts, bins| Chart {
        field,
        title,
        counts,
        unit,
        bins,
        quantiles: values.quantiles(),
    };
    [
        chart("tokens", "Tokens in a sample", "samples", "", lengths, lengths.bins(BINS)),
        chart("share", "Trained share of a sample", "samples", "%", shares, shares.share_bins(5)),
        chart("calls", "Calls in a conversation", "conversations", "", calls, calls.bins(BINS)),
    ]
}

fn marks(overview: &Overview) -> Vec<Mark> {
    let count = |holds: &dyn Fn(&RecordFacts) -> bool| overview.records.iter().filter(|r| holds(r)).count();
    vec![
        Mark { field: "refused", name: "refused", count: overview.summary.refused },
        Mark { field: "untrained", name: "no trained tokens", count: count(&is_untrained) },
        Mark { field: "cut", name: "cut", count: count(&|record| is_cut(overview, record)) },
    ]
}

fn is_cut(overview: &Overview, record: &RecordFacts) -> bool {
    record.codes.iter().any(|&code| overview.codes[code].code.starts_with(CUT))
}
