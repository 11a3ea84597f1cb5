//! What the search for duplicates finds in a data file, or how large an edit it still sees through.
//!
//! ```text
//! cargo run --release -p toolsmith-chat --example duplicates -- DATA.json [THRESHOLD]
//! cargo run --release -p toolsmith-chat --example duplicates -- DATA.json [THRESHOLD] --edits
//! ```
//!
//! DATA.json is a JSON list or JSON lines. The first prints the duplicates. The second edits each conversation in
//! several ways and prints, for each way, how many of the edited ones are found to be like their originals; edits are
//! drawn with a fixed seed, so the numbers can be had again.

use std::error::Error;
use std::time::Instant;
use std::{env, fs};

use serde_json::Value;
use toolsmith_chat::check::duplicates::{Fingerprint, Likeness, Threshold, find_duplicates, find_overlaps};
use toolsmith_chat::data::{self, Conversation, Message, Role};

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, arguments): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|flag| flag.starts_with("--"));
    let (path, threshold) = match &arguments[..] {
        [path] => (path, Threshold::default()),
        [path, threshold] => (path, Threshold::new(threshold.parse()?)?),
        _ => return Err("usage: duplicates DATA.json [THRESHOLD] [--edits]".into()),
    };
    let conversations = read(path)?;
    if flags.iter().any(|flag| flag == "--edits") {
        print_edits(&conversations, threshold)
    } else {
        print_duplicates(&conversations, threshold)
    }
}

fn read(path: &str) -> Result<Vec<Conversation>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let records: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text)?,
        false => serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>()?,
    };
    let read = |record| Ok(data::read_recognised(record)?.0);
    records.into_iter().map(read).collect()
}

fn fingerprints(conversations: &[Conversation]) -> Vec<Fingerprint> {
    conversations.iter().map(Fingerprint::of).collect()
}

fn print_duplicates(conversations: &[Conversation], threshold: Threshold) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let fingerprints = fingerprints(conversations);
    let read = start.elapsed();
    let start = Instant::now();
    let found = find_duplicates(&fingerprints, Some(threshold))?;
    let searched = start.elapsed();
    let (mut same, mut alike, mut groups) = (0, 0, std::collections::BTreeSet::new());
    for duplicate in found.iter() {
        groups.insert(duplicate.group);
        match duplicate.likeness {
            Likeness::Same => same += 1,
            Likeness::Alike { .. } => alike += 1,
        }
        println!("{}", serde_json::to_string(&duplicate)?);
    }
    let count = conversations.len();
    eprintln!(
        "{count} conversations: {same} the same as an earlier one, {alike} alike, in {} groups",
        groups.len()
    );
    eprintln!("fingerprints in {read:?}, search in {searched:?}");
    Ok(())
}

/// A way to edit a conversation.
type Edit = fn(&mut Conversation, &mut Random);

fn print_edits(conversations: &[Conversation], threshold: Threshold) -> Result<(), Box<dyn Error>> {
    let edits: [(&str, Edit); 11] = [
        ("a mark before the first question", |talk, random| {
            if let Some(text) = texts(talk).next() {
                *text = format!("[{}] {text}", random.below(1000));
            }
        }),
        ("capitals and full stops gone", |talk, _| {
            texts(talk).for_each(|text| *text = text.to_lowercase().replace(['.', '。'], ""));
        }),
        ("another system prompt", |talk, _| talk.messages.insert(0, Message::system("Be short and kind."))),
        ("one word", |talk, random| {
            let count = texts(talk).count();
            if let Some(text) = texts(talk).nth(random.below(count)) {
                replace_words(text, 1, random);
            }
        }),
        ("one argument, everywhere", change_value),
        ("the last message", |talk, _| {
            if let Some(text) = texts(talk).last() {
                *text = "I could not find that for you. Would you like to try again later today?".to_owned();
            }
        }),
        ("2% of the words", |talk, random| replace_share(talk, 2, random)),
        ("5% of the words", |talk, random| replace_share(talk, 5, random)),
        ("10% of the words", |talk, random| replace_share(talk, 10, random)),
        ("20% of the words", |talk, random| replace_share(talk, 20, random)),
        ("50% of the words", |talk, random| replace_share(talk, 50, random)),
    ];
    let train = fingerprints(conversations);
    println!("| changed | edited | found | estimated similarity |\n|---|---|---|---|");
    for (name, edit) in edits {
        let mut random = Random(7);
        let (mut eval, mut originals) = (Vec::new(), Vec::new());
        for (conversation, original) in conversations.iter().zip(&train) {
            let mut edited = conversation.clone();
            edit(&mut edited, &mut random);
            if edited != *conversation {
                eval.push(Fingerprint::of(&edited));
                originals.push(original);
            }
        }
        let found = find_overlaps(&train, &eval, Some(threshold))?.len();
        let similarities: Vec<f32> = eval
            .iter()
            .zip(originals)
            .filter_map(|(edited, original)| match edited.likeness(original)? {
                Likeness::Same => Some(1.0),
                Likeness::Alike { similarity } => Some(similarity),
            })
            .collect();
        let mean = similarities.iter().sum::<f32>() / similarities.len().max(1) as f32;
        println!(
            "| {name} | {} | {:.1}% | {mean:.2} |",
            eval.len(),
            100.0 * found as f32 / eval.len() as f32
        );
    }
    Ok(())
}

/// The texts of user and assistant.
fn texts(conversation: &mut Conversation) -> impl Iterator<Item = &mut String> {
    let said = |message: &&mut Message| matches!(message.role, Role::User | Role::Assistant);
    conversation.messages.iter_mut().filter(said).filter_map(|message| message.content.as_mut())
}

/// Gives the first text among the arguments of the first call another value, there and wherever it is said.
fn change_value(conversation: &mut Conversation, _: &mut Random) {
    let calls = conversation.messages.iter().flat_map(|message| &message.tool_calls);
    let mut values = calls.flat_map(|call| call.arguments.as_object().into_iter().flatten());
    let Some(old) =
        values.find_map(|(_, value)| Some(value.as_str()?.to_owned()).filter(|text| text.len() > 1))
    else {
        return;
    };
    let new = "Ulaanbaatar";
    texts(conversation).for_each(|text| *text = text.replace(&old, new));
    for call in conversation.messages.iter_mut().flat_map(|message| &mut message.tool_calls) {
        let values = call.arguments.as_object_mut().into_iter().flat_map(|object| object.values_mut());
        values.filter(|value| value.as_str() == Some(&old)).for_each(|value| *value = Value::from(new));
    }
}

fn replace_share(conversation: &mut Conversation, percent: usize, random: &mut Random) {
    for text in texts(conversation) {
        let alphanumeric = |word: &&String| word.chars().all(char::is_alphanumeric);
        let words = split(text).iter().filter(alphanumeric).count() * percent;
        // What is left over of a word is rounded by chance.
        replace_words(text, (words + random.below(100)) / 100, random);
    }
}

/// Replaces so many words of a text by others.
fn replace_words(text: &mut String, count: usize, random: &mut Random) {
    let mut words = split(text);
    let places = (0..words.len()).filter(|place| words[*place].chars().all(char::is_alphanumeric)).collect();
    for place in random.sample(places, count) {
        words[place] = format!("word{}", random.below(10_000));
    }
    *text = words.concat();
}

/// Words, and what stands between them; a Chinese character is a word.
fn split(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut joins = false;
    for character in text.chars() {
        let continues = character.is_alphanumeric() && character < '\u{2e80}';
        match parts.last_mut().filter(|_| joins && continues) {
            Some(word) => word.push(character),
            None => parts.push(character.into()),
        }
        joins = continues;
    }
    parts
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn sample(&mut self, mut from: Vec<usize>, count: usize) -> Vec<usize> {
        for at in 0..count.min(from.len()) {
            let other = at + self.below(from.len() - at);
            from.swap(at, other);
        }
        from.truncate(count);
        from
    }
}
