//! LLaMA-Factory's `dataset_info.json`: which file a data set is in, and what its columns and speakers are called.
//!
//! ```json
//! {"weather": {"file_name": "weather.json", "formatting": "sharegpt",
//!              "columns": {"messages": "turns", "tools": "tools"},
//!              "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "human", "assistant_tag": "bot"}}}
//! ```
//!
//! In: the file's text and a data set's name. Out: a [`Dataset`], which reads records, and a list of what it cannot
//! follow. As there, naming any column leaves out those not named, and so with tags. It opens no file.

use std::borrow::Cow;

use super::preference::{self, Keys};
use super::record::{Record, read_text};
use super::shape::{Place, describe};
use super::sharegpt::{self, Names, Speaker};
use super::{DataError, alpaca, openai};
use crate::json::{self, Json, JsonMap};

/// A data set as `dataset_info.json` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its file or folder, relative to that of `dataset_info.json`.
    pub file_name: String,
    /// What the description says that is not followed; for the user to know.
    pub ignored: Vec<String>,
    layout: Layout,
    ranking: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Layout {
    Alpaca(alpaca::Columns),
    /// `alpaca` without an answer: plain text.
    Text(String),
    ShareGpt(Names),
    OpenAi(Names),
}

/// Keys that mean nothing here, and why.
const NOT_FOLLOWED: [(&str, &str); 4] = [
    ("subset", "a file has no subsets"),
    ("split", "a file has no splits; all of it is read"),
    ("folder", "a file is read where file_name says"),
    ("num_samples", "all records are read; cut the file to take fewer"),
];
const ELSEWHERE: [&str; 5] = ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"];
const MEDIA: [&str; 3] = ["images", "videos", "audios"];

/// The data set of this name in the text of a `dataset_info.json`.
pub fn parse(text: &str, name: &str) -> Result<Dataset, DataError> {
    let root = Place::Record;
    let whole = json::parse(text).map_err(|error| root.not_json(error, text))?;
    let mut whole = root.object(whole)?;
    let Some(entry) = whole.remove(name) else {
        let mut names: Vec<_> = whole.keys().map(String::as_str).collect();
        names.sort_by_key(|known| !(known.contains(name) || name.contains(known)));
        let more = if names.len() > 20 { ", …" } else { "" };
        let names = format!("{}{more}", names[..names.len().min(20)].join(", "));
        return Err(DataError::UnknownDataset { name: name.to_owned(), names });
    };
    let place = root.key(name);
    read_entry(&place, name, place.object(entry)?)
}

fn read_entry(place: &Place<'_>, name: &str, mut entry: JsonMap) -> Result<Dataset, DataError> {
    if let Some(key) = ELSEWHERE.iter().find(|key| entry.contains_key(**key))
        && !entry.contains_key("file_name")
    {
        let place = place.key(key).to_string();
        return Err(DataError::NotFollowed {
            place,
            reason: "the data is not in a local file",
            mend: "Download it and set file_name",
        });
    }
    let file_name = place.key("file_name").text(entry.remove("file_name"), "the name of a file")?;
    let ranking = match entry.remove("ranking") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(ranking)) => ranking,
        Some(other) => return Err(place.key("ranking").wrong_type(&other, "true or false")),
    };
    let formatting = place.key("formatting").optional_text(entry.remove("formatting"))?;
    let mut columns = texts(&place.key("columns"), entry.remove("columns"))?;
    let mut tags = texts(&place.key("tags"), entry.remove("tags"))?;
    refuse_columns(place, columns.as_mut())?;
    let chosen = columns.as_mut().and_then(|columns| columns.take("chosen"));
    let rejected = columns.as_mut().and_then(|columns| columns.take("rejected"));
    let layout = match formatting.as_deref().unwrap_or("alpaca") {
        "alpaca" => alpaca_layout(&mut columns, ranking),
        "sharegpt" => Layout::ShareGpt(turn_names(place, columns.as_mut(), tags.as_mut())?),
        "openai" => Layout::OpenAi(turn_names(place, columns.as_mut(), tags.as_mut())?),
        other => {
            let found = Json::String(other.to_owned());
            return Err(place.key("formatting").wrong_type(&found, "\"alpaca\", \"sharegpt\" or \"openai\""));
        }
    };
    let ranking = match (ranking, chosen, rejected) {
        (false, ..) => None,
        (true, Some(chosen), Some(rejected)) => Some((chosen, rejected)),
        (true, ..) => {
            return Err(place
                .key("columns")
                .missing("the names of \"chosen\" and \"rejected\", because of ranking"));
        }
    };
    let mut ignored = Vec::new();
    for (key, value) in &entry {
        let known = NOT_FOLLOWED.iter().find(|(known, _)| known == key);
        let known = known
            .map(|(_, reason)| *reason)
            .or(ELSEWHERE.contains(&key.as_str()).then_some("file_name is used"));
        match known {
            Some(_) if value.is_null() => {}
            Some(reason) => ignored.push(format!("{}: not followed: {reason}", place.key(key))),
            None => ignored.push(format!("{}: unknown key, found {}", place.key(key), describe(value))),
        }
    }
    for (group, rest) in [("columns", &columns), ("tags", &tags)] {
        for (key, _) in rest.iter().flat_map(|texts| &texts.0) {
            ignored.push(format!("{}: unknown key", place.key(group).key(key)));
        }
    }
    Ok(Dataset { name: name.to_owned(), file_name, ignored, layout, ranking })
}

/// Named texts, taken out one by one.
struct Texts(Vec<(String, String)>);

impl Texts {
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }
}

fn texts(place: &Place<'_>, value: Option<Json>) -> Result<Option<Texts>, DataError> {
    let map = match value {
        None | Some(Json::Null) => return Ok(None),
        Some(value) => place.object(value)?,
    };
    let mut texts = Vec::with_capacity(map.len());
    for (key, value) in map {
        let text = place.key(&key).optional_text(Some(value))?;
        texts.extend(text.map(|text| (key, text)));
    }
    Ok(Some(Texts(texts)))
}

/// Columns that would change what a record means, so that reading on without them would be wrong.
fn refuse_columns(place: &Place<'_>, columns: Option<&mut Texts>) -> Result<(), DataError> {
    let Some(columns) = columns else { return Ok(()) };
    let refuse = |key: &str, reason, mend| {
        let place = place.key("columns").key(key).to_string();
        Err(DataError::NotFollowed { place, reason, mend })
    };
    if let Some(media) = MEDIA.into_iter().find(|media| columns.take(media).is_some()) {
        return refuse(media, "only text can be trained on", "Drop the column and the records that need it");
    }
    if columns.take("kto_tag").is_some() {
        return refuse(
            "kto_tag",
            "single answers with a verdict are not read",
            "Write pairs of chosen and rejected",
        );
    }
    Ok(())
}

fn alpaca_layout(columns: &mut Option<Texts>, ranking: bool) -> Layout {
    let Some(columns) = columns else {
        // Without columns, neither system text, history nor tools count.
        let usual = alpaca::Columns::USUAL;
        return Layout::Alpaca(alpaca::Columns { history: None, system: None, tools: None, ..usual });
    };
    let mut name = |key: &str| columns.take(key).map(Cow::Owned);
    let read = alpaca::Columns {
        instruction: name("prompt"),
        input: name("query"),
        output: name("response"),
        history: name("history"),
        system: name("system"),
        tools: name("tools"),
    };
    match &read {
        alpaca::Columns { instruction: Some(text), input: None, output: None, .. } if !ranking => {
            Layout::Text(text.to_string())
        }
        _ => Layout::Alpaca(read),
    }
}

fn turn_names(
    place: &Place<'_>,
    columns: Option<&mut Texts>,
    tags: Option<&mut Texts>,
) -> Result<Names, DataError> {
    let mut names = Names { system: None, tools: None, ..Names::USUAL };
    if let Some(columns) = columns {
        let messages = columns.take("messages");
        names.messages = messages.map(Cow::Owned).ok_or_else(|| {
            place.key("columns").key("messages").missing("the name of the column with the turns")
        })?;
        names.system = columns.take("system").map(Cow::Owned);
        names.tools = columns.take("tools").map(Cow::Owned);
    }
    let Some(tags) = tags else { return Ok(names) };
    let place = place.key("tags");
    let mut required = |key: &str| {
        tags.take(key).ok_or_else(|| place.key(key).missing("a name, because other tags have one"))
    };
    names.role = Cow::Owned(required("role_tag")?);
    names.content = Cow::Owned(required("content_tag")?);
    let speakers = [
        ("user_tag", Speaker::User),
        ("assistant_tag", Speaker::Assistant),
        ("observation_tag", Speaker::Result),
        ("function_tag", Speaker::Call),
        ("system_tag", Speaker::System),
    ];
    let speakers =
        speakers.into_iter().filter_map(|(tag, speaker)| Some((Cow::Owned(tags.take(tag)?), speaker)));
    names.speakers = Cow::Owned(speakers.collect());
    Ok(names)
}

impl Dataset {
    /// Reads a record of this data set.
    pub fn read(&self, record: Json) -> Result<Record, DataError> {
        let Some((chosen, rejected)) = &self.ranking else {
            return match &self.layout {
                Layout::Alpaca(columns) => alpaca::read_named(record, columns).map(Record::Conversation),
                Layout::Text(column) => read_text(record, column),
                Layout::ShareGpt(names) => sharegpt::read_named(record, names).map(Record::Conversation),
                Layout::OpenAi(names) => openai::read_named(record, names).map(Record::Conversation),
            };
        };
        let turns = match &self.layout {
            Layout::ShareGpt(names) | Layout::OpenAi(names) => names,
            Layout::Alpaca(_) | Layout::Text(_) => &Names::USUAL,
        };
        let keys = Keys { chosen, rejected, turns };
        let mut record = Place::Record.object(record)?;
        let answers: JsonMap =
            [chosen, rejected].into_iter().filter_map(|key| record.remove_entry(key)).collect();
        let frame = match &self.layout {
            Layout::Alpaca(columns) => alpaca::read_question(&mut record, columns)?,
            Layout::Text(column) => {
                let columns = alpaca::Columns {
                    instruction: Some(Cow::Owned(column.clone())),
                    ..alpaca::Columns::USUAL
                };
                alpaca::read_question(&mut record, &columns)?
            }
            Layout::ShareGpt(names) => sharegpt::read_named(Json::Object(record), names)?,
            Layout::OpenAi(names) => openai::read_named(Json::Object(record), names)?,
        };
        preference::read_answers(answers, frame, &keys).map(Record::Preference)
    }
}
