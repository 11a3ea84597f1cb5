//! `cargo xtask golden`: makes the reference goldens again, by running the scripts that made them.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each script states its pinned packages in its header and writes below the folder beside it here.
const SCRIPTS: &[&str] = &[];

/// Runs every golden script with the interpreter given by `--python` (default `python3`).
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let python = match arguments {
        [] => PathBuf::from("python3"),
        [flag, path] if flag == "--python" => PathBuf::from(path),
        _ => bail!("`golden` takes --python PATH alone"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    for script in SCRIPTS {
        eprintln!("== {script}");
        let status = Command::new(&python)
            .arg(root.join(script))
            .current_dir(root)
            .status()
            .with_context(|| format!("{} could not be started; name an interpreter with --python", python.display()))?;
        if !status.success() {
            bail!("{script} failed; its header names the packages that it needs");
        }
    }
    Ok(())
}
