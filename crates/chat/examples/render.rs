//! Renders a data file for a model folder and prints a JSON line for each conversation: text, ids and labels.
//!
//! ```text
//! cargo run -p toolsmith-chat --example render -- DATA.json MODEL_FOLDER
//! ```
//!
//! DATA.json is a JSON list or JSON lines; the folder needs `tokenizer.json` and a chat template. The command line's
//! `toolsmith render` does the same, and more; this shows the library's part of it.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs, io};

use serde_json::{Value, json};
use toolsmith_chat::data;
use toolsmith_chat::template::{ModelFacts, RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [data, model] = &arguments[..] else { return Err("usage: render DATA.json MODEL_FOLDER".into()) };
    let model = Path::new(model);

    let tokenizer = ChatTokenizer::from_bytes(&fs::read(model.join("tokenizer.json"))?)?;
    let config: Value = serde_json::from_slice(&fs::read(model.join("tokenizer_config.json"))?)?;
    let added = tokenizer.added_tokens().map(str::to_owned).collect();
    let facts = ModelFacts::new(None, Some(&config), None, added);
    let template = Template::recognise(&facts).ok_or("the model's chat template is not known")?;

    let text = fs::read_to_string(data)?;
    let records: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text)?,
        false => serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>()?,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (index, record) in records.into_iter().enumerate() {
        let line = match render(record, template, &tokenizer) {
            Ok(line) => line,
            Err(error) => json!({"error": error.to_string()}),
        };
        writeln!(out, "{}", with_index(index, line))?;
    }
    Ok(out.flush()?)
}

fn render(record: Value, template: Template, tokenizer: &ChatTokenizer) -> Result<Value, Box<dyn Error>> {
    let (conversation, _) = data::read_recognised(record)?;
    let rendered = template.render(&conversation, &RenderOptions::PLAIN)?;
    let encoded = tokenizer.encode(&rendered)?;
    Ok(json!({"text": rendered.text(), "input_ids": encoded.input_ids, "labels": encoded.labels}))
}

fn with_index(index: usize, line: Value) -> Value {
    let mut whole = json!({"index": index, "sample": 0});
    if let (Value::Object(whole), Value::Object(line)) = (&mut whole, line) {
        whole.extend(line);
    }
    whole
}
