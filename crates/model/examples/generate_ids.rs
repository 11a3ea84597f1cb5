//! Greedy generation from ids, with the speed of decoding and the most memory that was held.
//!
//! Run: cargo run --release -p toolsmith-model --example generate_ids -- MODEL NEW_TOKENS STOP_ID ID...
//! MODEL is a folder or a GGUF file. Prints the new ids on stdout, measurements on stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

use std::path::Path;
use std::time::Instant;

use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, GenerationOptions, generate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: generate_ids MODEL NEW_TOKENS STOP_ID ID...";
    let model = arguments.next().ok_or(usage)?;
    let max_new_tokens = arguments.next().ok_or(usage)?.parse()?;
    let stop_ids = vec![arguments.next().ok_or(usage)?.parse()?];
    let prompt: Vec<u32> = arguments.map(|id| id.parse()).collect::<Result<_, _>>()?;

    let start = Instant::now();
    let decoder = Decoder::load(Path::new(&model), CpuDevice::new())?;
    eprintln!("loaded in {:.2} s, peak {}", start.elapsed().as_secs_f64(), peak_memory());
    let options = GenerationOptions { max_new_tokens, stop_ids, ..Default::default() };
    let (start, mut first) = (Instant::now(), None);
    let found = generate(&decoder, &[prompt], &options, &mut |_, _| {
        first.get_or_insert_with(Instant::now);
    })?;
    let ids = &found[0].ids;
    if let Some(first) = first {
        let seconds = first.elapsed().as_secs_f64();
        eprintln!(
            "first token after {:.3} s, then {} tokens at {:.1} a second; peak {}",
            (first - start).as_secs_f64(),
            ids.len() - 1,
            (ids.len() - 1) as f64 / seconds,
            peak_memory()
        );
    }
    println!("{}", ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

/// The most memory this process has held, as Linux says it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
