//! Writes generated data as JSON lines: `write_data base SEED COUNT` or `write_data train|eval SEED COUNT`.

use std::io::{BufWriter, Write};

use toolsmith_synth::{DemoSizes, base_corpus, demo_dataset};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (kind, seed, count) = (args.first().map_or("", String::as_str), number(1), number(2) as usize);
    let mut out = BufWriter::new(std::io::stdout().lock());
    match kind {
        "base" => {
            for record in base_corpus(seed, count) {
                writeln!(out, "{record}")?;
            }
        }
        "train" | "eval" => {
            let dataset = demo_dataset(seed, DemoSizes { train: count, eval: count });
            for record in if kind == "train" { dataset.train } else { dataset.eval } {
                writeln!(out, "{record}")?;
            }
        }
        other => eprintln!("expected base, train or eval, found {other:?}"),
    }
    out.flush()
}
