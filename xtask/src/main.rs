//! Developer commands, run as `cargo xtask NAME`: what CI holds the project to, and how its assets are made.

mod base;
mod check;
mod golden;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask check [--no-tests] [--install]
    format, clippy with warnings denied, documentation, licences, then the tests
    --no-tests   leave the tests out (CI has run them already)
    --install    install cargo-deny where it is missing

cargo xtask golden [--python PATH] [--qwen2.5 DIR --glm4 DIR --qwen3 DIR --qwen3-coder DIR --hermes DIR --llama3.1 DIR
                   --mistral DIR]
    make the reference goldens again with pinned Python packages; DIR: a folder with that model's chat template

cargo xtask base data|tokenizer [...]
    make the corpus and the tokenizer of the embedded base model (docs/base-model.md)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("check") => check::run(rest),
        Some("golden") => golden::run(rest),
        Some("base") => base::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(anyhow::anyhow!("no command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
