//! `render`: conversations as the model reads them, one JSON line a sample.
//!
//! A conversation that cannot be rendered gives `{"index", "error"}` in its place, so that lines stay in step.

use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use toolsmith_chat::template::{RenderOptions, Rendered, Template, TrainingSample};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::Record;

use super::render_compat;
use crate::args::RenderArgs;
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::source::{self, Located};
use crate::terminal;

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Encoded { index: usize, sample: usize, text: String, input_ids: Vec<u32>, labels: Vec<i32> },
    Text { index: usize, sample: usize, text: String },
    Error { index: usize, error: String },
}

/// How records become lines.
struct Renderer {
    template: Option<Template>,
    tokenizer: Option<ChatTokenizer>,
    eos: Option<u32>,
    options: RenderOptions,
}

/// Runs the command.
pub(crate) fn run(args: &RenderArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Some(done) = render_compat::run(args, out)? {
        return Ok(done);
    }
    let options = RenderOptions {
        add_generation_prompt: args.add_generation_prompt,
        for_training: args.for_training,
        enable_thinking: !args.no_thinking,
    };
    let renderer = match &args.model {
        None => Renderer { template: args.format.template()?, tokenizer: None, eos: None, options },
        Some(model) => {
            let folder = ModelFolder::open(model, Need::Tokenizer)?;
            let tokenizer = folder.tokenizer()?;
            let template = folder.template(args.format.template()?, &tokenizer)?;
            let eos = folder.eos_id(&tokenizer);
            Renderer { template: Some(template), tokenizer: Some(tokenizer), eos, options }
        }
    };
    let mut failed = 0usize;
    let mut total = 0usize;
    for record in source::records(&args.data, args.format.format)? {
        let record = record?;
        let here = record.here().to_string();
        let index = record.place.index;
        let lines = renderer.lines(record).unwrap_or_else(|error| {
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
        terminal::say(format_args!("{failed} of {total} records could not be rendered; their lines say why"));
    }
    Ok(ExitCode::SUCCESS)
}

impl Renderer {
    /// The lines of a record: one per sample.
    fn lines(&self, record: Located<Result<Record, toolsmith_prepare::Reason>>) -> Result<Vec<Line>, String> {
        let index = record.place.index;
        match record.value.map_err(|reason| reason.message)? {
            Record::Conversation(conversation) => {
                let template = self.template.ok_or("no --template is given")?;
                let rendered = if self.options.for_training {
                    template.samples(&conversation, &self.options)
                } else {
                    template.render(&conversation, &self.options).map(|rendered| {
                        vec![TrainingSample { conversation: Cow::Borrowed(&conversation), rendered }]
                    })
                };
                let rendered = rendered.map_err(|error| error.to_string())?;
                rendered
                    .iter()
                    .enumerate()
                    .map(|(sample, rendered)| self.line(index, sample, &rendered.rendered))
                    .collect()
            }
            Record::Text(text) => {
                let Some(tokenizer) = &self.tokenizer else {
                    return Ok(vec![Line::Text { index, sample: 0, text }]);
                };
                let mut input_ids = tokenizer.encode_text(&text).map_err(|error| error.to_string())?;
                if self.options.for_training {
                    input_ids.extend(self.eos);
                }
                let labels = input_ids.iter().map(|id| id.cast_signed()).collect();
                Ok(vec![Line::Encoded { index, sample: 0, text, input_ids, labels }])
            }
        }
    }

    fn line(&self, index: usize, sample: usize, rendered: &Rendered) -> Result<Line, String> {
        let text = rendered.text().to_owned();
        let Some(tokenizer) = &self.tokenizer else {
            return Ok(Line::Text { index, sample, text });
        };
        let encoded = tokenizer.encode(rendered).map_err(|error| error.to_string())?;
        Ok(Line::Encoded { index, sample, text, input_ids: encoded.input_ids, labels: encoded.labels })
    }
}
