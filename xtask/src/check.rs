//! `cargo xtask check`: one command that holds the project to its own rules.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

const CARGO_DENY_VERSION: &str = "0.20.2";

/// A cargo command that must succeed.
struct Check {
    name: &'static str,
    arguments: &'static [&'static str],
}

const CHECKS: &[Check] = &[
    Check { name: "format", arguments: &["fmt", "--all", "--check"] },
    Check {
        name: "clippy",
        arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    },
    Check {
        name: "documentation",
        arguments: &["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"],
    },
    // The README's first command begins so.
    Check { name: "cargo run", arguments: &["run", "--quiet", "--locked", "--", "--version"] },
    Check { name: "licences, bans, sources", arguments: &["deny", "check", "licenses", "bans", "sources"] },
];

const TESTS: Check = Check { name: "tests", arguments: &["test", "--locked"] };

/// Runs every check in turn, and names all that failed at the end rather than stopping at the first.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut with_tests = true;
    let mut install = false;
    for argument in arguments {
        match argument.as_str() {
            "--no-tests" => with_tests = false,
            "--install" => install = true,
            other => bail!("`check` takes --no-tests and --install, not `{other}`"),
        }
    }
    if install {
        install_cargo_deny()?;
    }

    let mut failed = Vec::new();
    for check in CHECKS.iter().chain(with_tests.then_some(&TESTS)) {
        eprintln!("== {}: cargo {}", check.name, check.arguments.join(" "));
        let status = Command::new(env!("CARGO"))
            .args(check.arguments)
            .env("RUSTDOCFLAGS", "-D warnings")
            .status()
            .with_context(|| format!("cargo {} could not be started", check.arguments.join(" ")))?;
        if !status.success() {
            failed.push(check.name);
        }
    }
    advisories()?;
    if failed.is_empty() {
        eprintln!("== all checks passed");
        Ok(())
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

/// Security advisories need a database from the network; where it cannot be had, that is said, not hidden.
fn advisories() -> Result<()> {
    eprintln!("== advisories: cargo deny check advisories");
    let fetched = Command::new(env!("CARGO"))
        .args(["deny", "fetch", "db"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cargo deny could not be started")?;
    if !fetched.success() {
        eprintln!("   NOT CHECKED: the advisory database could not be fetched from here");
        return Ok(());
    }
    let status = Command::new(env!("CARGO")).args(["deny", "check", "advisories"]).status()?;
    if status.success() { Ok(()) } else { bail!("failed: advisories") }
}

fn install_cargo_deny() -> Result<()> {
    let present = Command::new(env!("CARGO"))
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if present {
        return Ok(());
    }
    eprintln!("== installing cargo-deny {CARGO_DENY_VERSION}");
    let status = Command::new(env!("CARGO"))
        .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY_VERSION])
        .status()
        .context("cargo install could not be started")?;
    if status.success() { Ok(()) } else { bail!("cargo-deny could not be installed") }
}
