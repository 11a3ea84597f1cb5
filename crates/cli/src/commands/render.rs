//! `render`: conversations as the model reads them, one JSON line a sample.
//!
//! A conversation that cannot be rendered gives `{"index", "error"}` in its place, so that lines stay in step.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::Serialize;
use toolsmith_chat::check::Finding;
use toolsmith_chat::data::preference::Side;
use toolsmith_chat::data::{Conversation, InputOutput};
use toolsmith_chat::template::{
    ChatTemplate, ModelTemplate, RenderOptions, Rendered, TemplateName, first_difference,
};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::{IGNORE_INDEX, Record};

use super::render_compat;
use crate::args::RenderArgs;
use crate::datasets::{self, DataFile};
use crate::hub::Need;
use crate::model_folder::ModelFolder;
use crate::source::{self, Located};
use crate::terminal;

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Sample {
        index: usize,
        sample: usize,
        /// `chosen` or `rejected`, where the record is a preference.
        #[serde(skip_serializing_if = "Option::is_none")]
        side: Option<&'static str>,
        text: String,
        #[serde(flatten)]
        encoded: Option<Ids>,
    },
    Error {
        index: usize,
        error: String,
    },
}

/// What a model is given, where there is one.
#[derive(Debug, Serialize)]
struct Ids {
    input_ids: Vec<u32>,
    labels: Vec<i32>,
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
    if let Some(done) = render_compat::run(args, out)? {
        return Ok(done);
    }
    let options = RenderOptions {
        add_generation_prompt: args.add_generation_prompt,
        for_training: args.for_training,
        enable_thinking: !args.no_thinking,
    };
    let renderer = match &args.model {
        None => {
            let template = match args.format.template()? {
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
            let template = folder.template(args.format.template()?, &tokenizer)?;
            let eos = folder.eos_id(&tokenizer);
            let own = if args.verify { Some(own_template(&folder, &tokenizer)?) } else { None };
            Renderer { template: Some(template), own, tokenizer: Some(tokenizer), eos, options }
        }
    };
    let mut failed = 0usize;
    let mut total = 0usize;
    let mut parity = Parity::default();
    let DataFile { path, format } = datasets::find_one(&args.data, &args.format)?;
    for record in source::records(&path, format)? {
        let record = record?;
        let here = record.here().to_string();
        let index = record.place.index;
        if let (Some(own), Ok(value)) = (&renderer.own, &record.value) {
            parity.compare_record(&renderer, own, value, &here);
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
    fn compare_record(&mut self, renderer: &Renderer, own: &ModelTemplate, record: &Record, here: &str) {
        match record {
            Record::Conversation(conversation) => self.compare(renderer, own, conversation, here),
            Record::Preference(preference) => {
                for side in Side::BOTH {
                    let here = format!("{here}: {}", side.as_str());
                    self.compare(renderer, own, &preference.conversation(side), &here);
                }
            }
            Record::Text(_) | Record::InputOutput(_) => {}
        }
    }

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
    fn lines(&self, record: Located<Result<Record, Finding>>) -> Result<Vec<Line>, String> {
        let index = record.place.index;
        let line = |sample, side, (text, encoded)| Line::Sample { index, sample, side, text, encoded };
        match record.value.map_err(|finding| finding.to_string())? {
            Record::Conversation(conversation) => {
                let samples = self.conversation(&conversation)?.into_iter().enumerate();
                Ok(samples.map(|(sample, text)| line(sample, None, text)).collect())
            }
            Record::Text(text) => {
                let encoded = self.continued("", &text)?;
                Ok(vec![line(0, None, (text, encoded))])
            }
            Record::InputOutput(InputOutput { prompt, response }) => {
                let encoded = self.continued(&prompt, &response)?;
                Ok(vec![line(0, None, (prompt + &response, encoded))])
            }
            Record::Preference(preference) => {
                let mut lines = Vec::new();
                for side in Side::BOTH {
                    let samples = self.conversation(&preference.conversation(side));
                    for text in samples.map_err(|error| format!("{}: {error}", side.as_str()))? {
                        lines.push(line(lines.len(), Some(side.as_str()), text));
                    }
                }
                Ok(lines)
            }
        }
    }

    /// The samples of a conversation, each with its ids.
    fn conversation(&self, conversation: &Conversation) -> Result<Vec<(String, Option<Ids>)>, String> {
        let template = self.template.as_ref().ok_or("no --template is given")?;
        if self.options.for_training {
            let samples = template.samples(conversation, &self.options).map_err(|error| error.to_string())?;
            return samples.iter().map(|sample| self.encoded(&sample.rendered)).collect();
        }
        let rendered = template.render(conversation, &self.options).map_err(|error| error.to_string())?;
        Ok(vec![self.encoded(&rendered)?])
    }

    fn encoded(&self, rendered: &Rendered) -> Result<(String, Option<Ids>), String> {
        let text = rendered.text().to_owned();
        let Some(tokenizer) = &self.tokenizer else { return Ok((text, None)) };
        let encoded = tokenizer.encode(rendered).map_err(|error| error.to_string())?;
        Ok((text, Some(Ids { input_ids: encoded.input_ids, labels: encoded.labels })))
    }

    /// An untrained beginning and a trained text after it, both without any template.
    fn continued(&self, prompt: &str, text: &str) -> Result<Option<Ids>, String> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(None) };
        let encode = |text: &str| tokenizer.encode_text(text).map_err(|error| error.to_string());
        let mut input_ids = encode(prompt)?;
        let mut labels = vec![IGNORE_INDEX; input_ids.len()];
        input_ids.extend(encode(text)?);
        if self.options.for_training {
            input_ids.extend(self.eos);
        }
        labels.extend(input_ids[labels.len()..].iter().map(|id| id.cast_signed()));
        Ok(Some(Ids { input_ids, labels }))
    }
}
