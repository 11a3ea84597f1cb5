//! `parse`: tool calls out of generated text, JSON lines in and out.

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value as Json;
use toolsmith_chat::data::ToolSpec;
use toolsmith_chat::template::{ChatTemplate, TemplateName};

use crate::args::ParseArgs;
use crate::hub::Need;
use crate::model_folder::ModelFolder;

#[derive(Deserialize)]
struct Input {
    text: String,
}

/// Runs the command.
pub(crate) fn run(
    args: &ParseArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let tools = args.tools.as_deref().map(read_tools).transpose()?;
    let template = template(args)?;
    for (index, line) in input.lines().enumerate() {
        let line =
            line.with_context(|| format!("standard input:{}: cannot be read as UTF-8 text", index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let input: Input = serde_json::from_str(&line).with_context(|| {
            format!("standard input:{}: expected a JSON object {{\"text\": …}}", index + 1)
        })?;
        let turn = template.parse(&input.text, tools.as_deref());
        serde_json::to_writer(&mut *out, &turn)?;
        out.write_all(b"\n")?;
        // Whoever feeds lines one by one waits for each answer.
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The chat template that tells how calls are written.
fn template(args: &ParseArgs) -> anyhow::Result<ChatTemplate> {
    match (&args.model, args.template) {
        (None, Some(TemplateName::Native(template))) => Ok(template.into()),
        (None, _) => {
            bail!("--template jinja is the chat template of a model. Name the model too: --model DIR")
        }
        (Some(model), named) => {
            let folder = ModelFolder::open(model, Need::Tokenizer)?;
            folder.template(named, &folder.tokenizer()?)
        }
    }
}

/// Reads a file of tools: a list, or an object that holds one under `tools`.
pub(crate) fn read_tools(path: &Path) -> anyhow::Result<Vec<ToolSpec>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let json: Json =
        serde_json::from_str(&text).with_context(|| format!("{}: is not JSON", path.display()))?;
    let list = match json {
        Json::Array(list) => list,
        Json::Object(mut object) => match object.remove("tools") {
            Some(Json::Array(list)) => list,
            _ => bail!(
                "{}: expected a list of tools, or an object with such a list under \"tools\"",
                path.display()
            ),
        },
        _ => bail!("{}: expected a list of tools", path.display()),
    };
    let tools: Vec<ToolSpec> = list.into_iter().map(ToolSpec::new).collect();
    if let Some(index) = tools.iter().position(|tool| tool.name().is_none()) {
        bail!(
            "{}: tools[{index}]: has no name; expected {{\"type\": \"function\", \"function\": {{\"name\": …}}}}",
            path.display()
        );
    }
    Ok(tools)
}
