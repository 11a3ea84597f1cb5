//! How many conversations a second one core renders: natively, and through the model's own chat template.
//!
//! ```text
//! cargo run --release -p toolsmith-chat --example template_speed -- DATA.json MODEL_FOLDER
//! ```
//!
//! `text` is what the template prints; `samples` are texts cut into pieces with trained spans, as training takes them.

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use serde_json::Value;
use toolsmith_chat::data::{self, Conversation};
use toolsmith_chat::template::{ChatTemplate, ModelFacts, ModelTemplate, RenderOptions, Template};
use toolsmith_chat::tokens::ChatTokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [data, model] = &arguments[..] else {
        return Err("usage: template_speed DATA.json MODEL_FOLDER".into());
    };
    let model = Path::new(model);
    let tokenizer = ChatTokenizer::from_bytes(&fs::read(model.join("tokenizer.json"))?)?;
    let config: Option<Value> = match fs::read(model.join("tokenizer_config.json")) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes)?),
        Err(_) => None,
    };
    let file = fs::read_to_string(model.join("chat_template.jinja")).ok();
    let added = tokenizer.added_tokens().map(str::to_owned).collect();
    let facts = ModelFacts::new(None, config.as_ref(), file.as_deref(), added);

    let records: Vec<Value> = serde_json::from_slice(&fs::read(data)?)?;
    let read = |record: Value| data::read_recognised(record).map(|(conversation, _)| conversation);
    let conversations = records.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;

    let own = ModelTemplate::new(&facts, None, None)?;
    let text = |conversation: &Conversation| own.text(conversation, &RenderOptions::PLAIN).is_ok();
    report("jinja, text", &conversations, text);
    let own = ChatTemplate::Model(own.into());
    report("jinja, samples", &conversations, |one| own.samples(one, &RenderOptions::TRAINING).is_ok());
    if let Some(native) = Template::recognise(&facts) {
        let samples = |one: &Conversation| native.samples(one, &RenderOptions::TRAINING).is_ok();
        report(native.as_str(), &conversations, samples);
    }
    Ok(())
}

fn report(name: &str, conversations: &[Conversation], render: impl Fn(&Conversation) -> bool) {
    let rendered = conversations.iter().filter(|one| render(one)).count();
    let (begun, mut rounds) = (Instant::now(), 0);
    let before = cpu_secs();
    while rounds < 3 || begun.elapsed().as_secs_f64() < 1.0 {
        conversations.iter().for_each(|one| {
            render(one);
        });
        rounds += 1;
    }
    let seconds = (cpu_secs() - before).max(1e-9);
    let rate = (rounds * conversations.len()) as f64 / seconds;
    println!("{name:<16} {rate:>10.0} conversations/s ({rendered} of {} rendered)", conversations.len());
}

/// Seconds this thread has run, so that other work on the machine does not count.
fn cpu_secs() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
