//! What the user is told: one hostile record a file in `messages/`, named `FORMAT-WHAT.json`; everything that reading,
//! checking and rendering say about it is a snapshot.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use toolsmith_chat::check;
use toolsmith_chat::data::preference::Side;
use toolsmith_chat::data::{self, Conversation, DataError, Record, RecordFormat, SourceFormat};
use toolsmith_chat::template::{RenderOptions, Template};

fn read(format: &str, text: &str) -> Result<Vec<Conversation>, DataError> {
    let record = toolsmith_chat::json::parse(text).unwrap();
    let format = match format {
        "any" => None,
        // Names of formats with a dash in them.
        "glaive" => Some("glaive-v2".parse::<RecordFormat>()?),
        "input" => Some(RecordFormat::InputOutput),
        named => Some(named.parse::<RecordFormat>()?),
    };
    Ok(match data::read_any(record, format.as_ref())? {
        Record::Conversation(conversation) => vec![conversation],
        Record::Preference(preference) => Side::BOTH.map(|side| preference.conversation(side)).into(),
        Record::Text(_) | Record::InputOutput(_) => Vec::new(),
    })
}

fn everything_said(format: &str, text: &str) -> String {
    match read(format, text) {
        Ok(conversations) => conversations.iter().map(said_of).collect(),
        Err(error) => format!("read: {error}\n"),
    }
}

fn said_of(conversation: &Conversation) -> String {
    let mut said = String::new();
    let general = check::check(conversation, None);
    for finding in &general {
        writeln!(said, "check: {:?} {finding}", finding.level).unwrap();
    }
    for template in Template::ALL {
        for finding in check::check(conversation, Some(template)) {
            if !general.contains(&finding) {
                writeln!(said, "check {template}: {:?} {finding}", finding.level).unwrap();
            }
        }
        if let Err(error) = template.render(conversation, &RenderOptions::TRAINING) {
            writeln!(said, "render {template}: {error}").unwrap();
        }
    }
    said
}

#[test]
fn hostile_records_get_clear_messages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 50, "{} files", files.len());
    let mut all = String::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let format = name.split('-').next().unwrap();
        let said = everything_said(format, &fs::read_to_string(&file).unwrap());
        assert!(!said.is_empty(), "{name}: nothing was said");
        writeln!(all, "# {name}\n{said}").unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn unknown_names_say_which_there_are() {
    let format = "chatml".parse::<SourceFormat>().unwrap_err();
    insta::assert_snapshot!(format, @r#"unknown format "chatml", expected one of: openai, glm4, sharegpt, chatglm3, alpaca, anthropic, glaive-v2, hermes"#);
    let template = "qwen".parse::<Template>().unwrap_err();
    insta::assert_snapshot!(template, @r#"unknown template "qwen", expected one of: qwen2.5, glm4, glm4:a, glm4:b, glm4:d, glm4-0414, glm4.5, chatglm3, qwen3, qwen3-coder, hermes, react, llama3.1, mistral"#);
}
