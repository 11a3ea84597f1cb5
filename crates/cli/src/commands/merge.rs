//! `merge`: an adapter added into its model's weights, as a plain model folder that any server takes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use toolsmith_model::WeightType;

use crate::args::MergeArgs;
use crate::assistant::Assistant;

/// Runs the command.
pub(crate) fn run(args: &MergeArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if args.model.adapter.is_none() {
        bail!("no adapter to merge; give its folder with --adapter DIR");
    }
    let output = &args.output;
    if output.exists() {
        bail!("{}: exists already; name a folder that does not", output.display());
    }
    let mut assistant = Assistant::load(&args.model, None)?;
    // What is still attached: beside packed weights it is merged now, a prefix says why it cannot be.
    assistant.decoder.merge_adapter()?;
    let dtype = args.dtype.unwrap_or_else(|| WeightType::of_config(&assistant.decoder.config().json));
    let partial = beside(output);
    let written = write(&assistant, &partial, dtype).and_then(|()| {
        fs::rename(&partial, output).with_context(|| format!("{}: cannot be written", output.display()))
    });
    if written.is_err() {
        // The first error is the one to report; there may be nothing to remove.
        let _ = fs::remove_dir_all(&partial);
    }
    written?;
    writeln!(out, "{}: the merged model, weights in {}", output.display(), dtype.torch_name())?;
    writeln!(out, "try it: toolsmith chat --model {}", output.display())?;
    Ok(ExitCode::SUCCESS)
}

fn beside(output: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".partial");
    output.with_file_name(name)
}

fn write(assistant: &Assistant, folder: &Path, dtype: WeightType) -> anyhow::Result<()> {
    assistant.decoder.save(folder, dtype)?;
    assistant
        .files
        .complete(folder, assistant.template.as_ref(), &assistant.tokenizer)
        .with_context(|| format!("{}: cannot be completed", folder.display()))
}
