//! `render`: conversations as the model reads them, one JSON line a sample.
//!
//! A conversation that cannot be rendered gives `{"index", "error"}` in its place, so that lines stay in step.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;
use toolsmith_chat::data::Conversation;
use toolsmith_chat::template::{
    ChatTemplate, ModelTemplate, RenderOptions, Rendered, TemplateName, first_difference,
};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::Record;

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
    template: Option<ChatTemplate>,
    /// The model's own template, to compare with.
    own: Option<Arc<ModelTemplate>>,
    tokenizer: Option<ChatTokenizer>,
    eos: Option<u32>,
    options: RenderOptions,
}

/// Runs the command.
pub(crate) fn run(args: &RenderArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = RenderOptions {
        add_generation_prompt: args.add_generation_prompt,
        for_training: args.for_training,
        enable_thinking: !args.no_thinking,
    };
    let renderer = match &args.model {
        None => {
            let template = match args.format.template {
                Some(TemplateName::Native(template)) => Some(template.into()),
                Some(TemplateName::Jinja) => {
                    bail!("--template jinja is the chat template of a model. Name the model too: --model DIR")
                }
                None => None,
            };
            Renderer { template, own: None, tokenizer: None, eos: None, options }
        }
        Some(model) => {
            let folder = ModelFolder::open(model, Need::Tokenizer)?;
            let tokenizer = folder.tokenizer()?;
            let template = folder.template(args.format.template, &tokenizer)?;
            let eos = folder.eos_id(&tokenizer);
            let own = if args.verify { Some(own_template(&folder, &tokenizer)?) } else { None };
            Renderer { template: Some(template), own, tokenizer: Some(tokenizer), eos, options }
        }
    };
    let mut failed = 0usize;
    let mut total = 0usize;
    let mut parity = Parity::default();
    for record in source::records(&args.data, args.format.format)? {
        let record = record?;
        let here = record.here().to_string();
        let index = record.place.index;
        if let (Some(own), Ok(Record::Conversation(conversation))) = (&renderer.own, &record.value) {
            parity.compare(&renderer, own, conversation, &here);
        }
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
    if renderer.own.is_some() {
        terminal::say(format_args!(
            "compared with the model's own chat template: {} of {} texts differ",
            parity.differ, parity.compared
        ));
    }
    Ok(if parity.differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn own_template(folder: &ModelFolder, tokenizer: &ChatTokenizer) -> anyhow::Result<Arc<ModelTemplate>> {
    folder.own_template(tokenizer)?.with_context(|| {
        format!("{}: has no chat template to compare with; leave --verify out", folder.path.display())
    })
}

/// What comparing with the model's own template found.
#[derive(Default)]
struct Parity {
    compared: usize,
    differ: usize,
}

/// Differences shown one by one; beyond it they are only counted.
const SHOWN: usize = 20;

impl Parity {
    fn compare(&mut self, renderer: &Renderer, own: &ModelTemplate, conversation: &Conversation, here: &str) {
        let Some(template) = &renderer.template else { return };
        // The stop token that training adds is not the template's.
        let options = RenderOptions { for_training: false, ..renderer.options };
        let said = match (template.render(conversation, &options), own.text(conversation, &options)) {
            (Ok(ours), Ok(theirs)) => first_difference(ours.text(), &theirs).map(|found| found.to_string()),
            (Err(_), Err(_)) => None,
            (Err(error), Ok(_)) => Some(format!("refused only here: {error}")),
            (Ok(_), Err(error)) => Some(error.to_string()),
        };
        self.compared += 1;
        if let Some(said) = said {
            self.differ += 1;
            if self.differ <= SHOWN {
                terminal::say(format_args!("{here}: {said}"));
            }
        }
    }
}

impl Renderer {
    /// The lines of a record: one per sample.
    fn lines(&self, record: Located<Result<Record, toolsmith_prepare::Reason>>) -> Result<Vec<Line>, String> {
        let index = record.place.index;
        match record.value.map_err(|reason| reason.message)? {
            Record::Conversation(conversation) => {
                let template = self.template.as_ref().ok_or("no --template is given")?;
                let rendered = if self.options.for_training {
                    template.samples(&conversation, &self.options)
                } else {
                    template.render(&conversation, &self.options).map(|rendered| vec![rendered])
                };
                let rendered = rendered.map_err(|error| error.to_string())?;
                rendered
                    .iter()
                    .enumerate()
                    .map(|(sample, rendered)| self.line(index, sample, rendered))
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
