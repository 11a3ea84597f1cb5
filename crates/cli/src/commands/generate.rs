//! `generate`: a plain continuation of a text, without any chat template.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::args::GenerateArgs;
use crate::assistant::Assistant;

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let prompt = match (&args.prompt, &args.file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(file)) => fs::read_to_string(file)
            .with_context(|| format!("{}: cannot be read as UTF-8 text", file.display()))?,
        (None, None) => bail!("nothing to continue: give --prompt TEXT or --file F"),
    };
    let assistant = Assistant::load(&args.model, None)?;
    let ids = assistant.tokenizer.encode_text(&prompt)?;
    if ids.is_empty() {
        bail!("the prompt is empty; expected some text to continue");
    }
    let mut decoded = assistant.tokenizer.decode_stream();
    let mut written = Ok(());
    assistant.complete(&[ids], &args.sampling, &mut |_, id| {
        if written.is_ok() && !assistant.stop_ids.contains(&id) {
            written = out.write_all(decoded.push(id).as_bytes()).and_then(|()| out.flush());
        }
    })?;
    written?;
    out.write_all(decoded.finish().as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
