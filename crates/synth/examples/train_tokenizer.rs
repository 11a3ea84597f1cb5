//! Trains the tokenizer on JSON lines from standard input (every string in them is text):
//! `train_tokenizer VOCAB_SIZE < lines > tokenizer.json`.

use std::io::{BufRead, Write};

fn main() -> std::io::Result<()> {
    let size = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(4096);
    let texts = std::io::stdin()
        .lock()
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<String>(&line).unwrap_or(line));
    let json = toolsmith_synth::train_tokenizer(texts, size);
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&json)?)
}
