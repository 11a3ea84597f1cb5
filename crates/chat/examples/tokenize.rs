//! Encodes texts with a tokenizer's file of any kind, and says how long loading and encoding took.
//!
//! ```text
//! cargo run --release -p toolsmith-chat --example tokenize -- tokenizer.model TEXTS.json > ids.jsonl
//! ```
//! TEXTS.json is a JSON list of strings; out comes a line of ids for each. A `tokenizer_config.json` beside the tokenizer
//! is heeded. `benches/peers/tokenizer_parity.py` compares the ids with those of the reference implementations.

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use toolsmith_chat::tokens::ChatTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(tokenizer), Some(texts), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: tokenize TOKENIZER_FILE TEXTS.json".into());
    };
    let tokenizer = Path::new(&tokenizer);
    let texts: Vec<String> = serde_json::from_slice(&fs::read(texts)?)?;
    let config = fs::read(tokenizer.with_file_name("tokenizer_config.json"));
    let config = config.map(|bytes| serde_json::from_slice(&bytes)).unwrap_or(Ok(None))?;

    let start = Instant::now();
    let tokenizer = ChatTokenizer::from_file(&fs::read(tokenizer)?, config.as_ref())?;
    let loaded = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let ids: Vec<_> = texts.iter().map(|text| tokenizer.encode_text(text)).collect::<Result<_, _>>()?;
    let megabytes = texts.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    let rate = megabytes / start.elapsed().as_secs_f64();

    let spelled_alike = texts.iter().zip(&ids).filter(|(text, ids)| tokenizer.decode(ids) == **text).count();
    let control = ids.iter().flatten().filter(|id| tokenizer.is_control(**id)).count();
    for ids in &ids {
        println!("{}", serde_json::to_string(ids)?);
    }
    eprintln!(
        "loaded in {loaded:.3} s; {megabytes:.2} MB at {rate:.1} MB/s; {spelled_alike} of {} texts come back as they were; {control} control ids",
        texts.len()
    );
    Ok(())
}
