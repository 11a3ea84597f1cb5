//! `render --compat`: the samples of an earlier trainer, one JSON line each.
//!
//! A record that the trainer drops or stops at gives `{"index", "error"}` in its place.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use toolsmith_chat::Json;
use toolsmith_chat::compat::Mode;
use toolsmith_chat::data::SourceFormat;
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::{RawRecord, RecordFormat, record};

use crate::args::{RenderArgs, Split};
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::{source, terminal};

/// One line of output; `text` is always null, since these samples are made of ids.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Training {
        index: usize,
        sample: usize,
        text: Option<()>,
        input_ids: Vec<u32>,
        labels: Vec<i32>,
    },
    Eval {
        index: usize,
        sample: usize,
        text: Option<()>,
        input_ids: Vec<u32>,
        labels: Option<()>,
        output_ids: Vec<u32>,
    },
    Error {
        index: usize,
        error: String,
    },
}

/// Runs the command, if a trainer is named.
pub(crate) fn run(args: &RenderArgs, out: &mut dyn Write) -> anyhow::Result<Option<ExitCode>> {
    if args.compat.compat.is_none() {
        return Ok(None);
    }
    let model =
        args.model.as_deref().context("--compat needs the model's tokenizer: give its folder by --model")?;
    let folder = ModelFolder::open(model, Need::Tokenizer)?;
    let tokenizer = folder.tokenizer()?;
    let files = std::slice::from_ref(&args.data);
    let Some(mode) = args.compat.mode_of_file(files, args.format.template.as_ref(), &folder, &tokenizer)?
    else {
        return Ok(None);
    };
    // Other records are told by their shape.
    let format = match args.format.format {
        Some(RecordFormat::Conversation(format)) => Some(format),
        _ => None,
    };
    let (mut failed, mut total) = (0usize, 0usize);
    for raw in source::raw_records(&args.data)? {
        let raw = raw?;
        let index = raw.place.index;
        let here = format!("{}:{}: record {index}", args.data.display(), raw.place.line);
        let lines = parse(raw).and_then(|record| match args.split {
            Split::Train => training_lines(&mode, index, record, format, &tokenizer),
            Split::Eval => eval_lines(&mode, index, record, format, &tokenizer),
        });
        let lines = lines.unwrap_or_else(|error| {
            failed += 1;
            vec![Line::Error { index, error: format!("{here}: {error}") }]
        });
        total += 1;
        for line in &lines {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    if failed > 0 {
        terminal::say(format_args!("{failed} of {total} records give no sample; their lines say why"));
    }
    Ok(Some(ExitCode::SUCCESS))
}

fn parse(raw: RawRecord) -> Result<Json, String> {
    record::parse(&raw.bytes?, raw.place).map_err(|finding| finding.to_string())
}

fn training_lines(
    mode: &Mode,
    index: usize,
    record: Json,
    format: Option<SourceFormat>,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<Line>, String> {
    let samples = mode.encode(record, format, tokenizer).map_err(|error| error.to_string())?;
    let line = |(sample, encoded): (usize, toolsmith_chat::tokens::Encoded)| Line::Training {
        index,
        sample,
        text: None,
        input_ids: encoded.input_ids,
        labels: encoded.labels,
    };
    Ok(samples.into_iter().enumerate().map(line).collect())
}

fn eval_lines(
    mode: &Mode,
    index: usize,
    record: Json,
    format: Option<SourceFormat>,
    tokenizer: &ChatTokenizer,
) -> Result<Vec<Line>, String> {
    let samples = mode.encode_eval(record, format, tokenizer).map_err(|error| error.to_string())?;
    let line = |(sample, eval): (usize, toolsmith_chat::compat::EvalSample)| Line::Eval {
        index,
        sample,
        text: None,
        input_ids: eval.input_ids,
        labels: None,
        output_ids: eval.output_ids,
    };
    Ok(samples.into_iter().enumerate().map(line).collect())
}
