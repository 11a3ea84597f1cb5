//! `cargo xtask golden`: makes the reference goldens again, by running the scripts that made them.
//!
//! Each script names its pinned packages in its header and writes its goldens into the crate that reads them.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Logits and gradients of tiny random models.
const ENGINE: &str = "benches/peers/engine_parity.py";
/// Rendered conversations; takes the folders whose chat templates are the reference.
const CHAT: &str = "benches/peers/chat_golden.py";
const CHAT_FOLDERS: [&str; 9] = [
    "--qwen2.5",
    "--glm4",
    "--glm4-0414",
    "--glm4.5",
    "--qwen3",
    "--qwen3-coder",
    "--hermes",
    "--llama3.1",
    "--mistral",
];

/// Runs the golden scripts with the interpreter given by `--python` (default `python3`).
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut python = "python3";
    let mut folders = Vec::new();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        let value = rest.next().with_context(|| format!("{option} needs a value"))?;
        match option {
            "--python" => python = value,
            option if CHAT_FOLDERS.contains(&option) => folders.extend([option, value]),
            other => bail!("`golden` takes --python PATH and {}, not `{other}`", wanted()),
        }
    }
    run_script(python, ENGINE, &[])?;
    if folders.len() == 2 * CHAT_FOLDERS.len() {
        return run_script(python, CHAT, &folders);
    }
    eprintln!("== {CHAT}: NOT RUN: it needs {}, folders with those models' chat templates", wanted());
    Ok(())
}

fn wanted() -> String {
    CHAT_FOLDERS.map(|option| format!("{option} DIR")).join(", ")
}

fn run_script(python: &str, script: &str, arguments: &[&str]) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    eprintln!("== {script}");
    let status = Command::new(python)
        .arg(root.join(script))
        .args(arguments)
        .current_dir(root)
        .status()
        .with_context(|| format!("{python} could not be started; name an interpreter with --python"))?;
    if !status.success() {
        bail!("{script} failed; its header names the packages that it needs");
    }
    Ok(())
}
