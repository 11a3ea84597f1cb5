//! The `toolsmith` program: reads the command line, runs one command, prints its errors, sets the exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad records found in the data.

mod adapter_folder;
mod args;
mod assistant;
mod check_report;
mod commands;
mod compat;
mod datasets;
mod demo;
mod house;
mod hub;
mod memory;
mod model_folder;
mod overview;
mod source;
mod starting_adapter;
mod terminal;
mod train_progress;

use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use terminal::{StandardOutput, Styles};

/// Preparing data is many small allocations in many threads, at which this one is faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("TOOLSMITH_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let errors = Styles::stderr(cli.common.color);
    match run(cli) {
        Ok(code) => code,
        Err(error) if terminal::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_error(&error, &errors);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let threads = cli.common.threads;
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let styles = Styles::stdout(cli.common.color);
    let mut out = BufWriter::new(StandardOutput(io::stdout().lock()));
    let out = &mut out;
    match cli.command {
        Command::Demo(args) => demo::run(&args, threads, &styles, out),
        Command::Check(args) => commands::check::run(&args, threads, &styles, out),
        Command::Prepare(args) => commands::prepare::run(&args, threads, &styles, out),
        Command::Render(args) => commands::render::run(&args, out),
        Command::Parse(args) => commands::parse::run(&args, &mut io::stdin().lock(), out),
        Command::Convert(args) => commands::convert::run(&args, &styles, out),
        Command::Preview(args) => commands::preview::run(&args, threads, &styles, out),
        Command::Train(args) => commands::train::run(&args, threads, &styles, out),
        Command::Merge(args) => commands::merge::run(&args, out),
        Command::Generate(args) => commands::generate::run(&args, out),
        Command::Chat(args) => commands::chat::run(&args, &styles, &mut io::stdin().lock(), out),
        Command::Eval(args) => commands::eval::run(&args, &styles, out),
    }
}
