//! Raw data sets of the field to records of the source formats, as ChatGLM3's own scripts convert them.
//!
//! In: one raw record. Out: the records it gives, each as those scripts write it, and why the rest was dropped.
//!
//! - ToolAlpaca: an API with its `NLDocumentation` and `Instances`; each instance becomes a `chatglm3` record whose
//!   tools are the documentation, one text (`format_tool_alpaca.py`).
//! - AdvertiseGen: `content` becomes the prompt and `summary` the response of an `input-output` record
//!   (`format_advertise_gen.py`).
//!
//! What those scripts take is taken, whatever its JSON type, so that the files are equal; reading them checks it.

use std::fmt;
use std::str::FromStr;

use super::DataError;
use super::shape::Place;
use crate::json::{self, Json, JsonMap};

/// The raw data sets that can be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawFormat {
    /// ToolAlpaca: APIs with instances.
    ToolAlpaca,
    /// AdvertiseGen: attributes of a product and its advertisement.
    AdvertiseGen,
}

impl RawFormat {
    /// Every raw format.
    pub const ALL: [Self; 2] = [Self::ToolAlpaca, Self::AdvertiseGen];

    /// The name that `convert` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolAlpaca => "toolalpaca",
            Self::AdvertiseGen => "advertisegen",
        }
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RawFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL.into_iter().find(|format| format.as_str() == name).ok_or_else(|| DataError::UnknownFormat {
            name: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// What stands behind one raw record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Converted {
    /// The records, in order.
    pub records: Vec<Json>,
    /// Why the others were dropped.
    pub dropped: Vec<DataError>,
}

/// Converts one raw record.
pub fn convert(raw: Json, format: RawFormat) -> Converted {
    let mut converted = Converted::default();
    let outcome = match format {
        RawFormat::ToolAlpaca => tool_alpaca(raw, &mut converted),
        RawFormat::AdvertiseGen => advertise_gen(raw).map(|record| converted.records.push(record)),
    };
    converted.dropped.extend(outcome.err());
    converted
}

fn advertise_gen(raw: Json) -> Result<Json, DataError> {
    let mut raw = Place::Record.object(raw)?;
    let prompt = take(&Place::Record.key("content"), raw.remove("content"))?;
    let response = take(&Place::Record.key("summary"), raw.remove("summary"))?;
    Ok(object([("prompt", prompt), ("response", response)]))
}

fn tool_alpaca(raw: Json, converted: &mut Converted) -> Result<(), DataError> {
    let root = Place::Record;
    let mut raw = root.object(raw)?;
    let documentation = take(&root.key("NLDocumentation"), raw.remove("NLDocumentation"))?;
    let tools = Json::Array(vec![documentation]);
    let place = root.key("Instances");
    let instances = place.array(raw.remove("Instances"), "a list of instances")?;
    for (index, instance) in instances.into_iter().enumerate() {
        let place = place.item(index);
        match place.object(instance).and_then(|instance| read_instance(&place, instance)) {
            Ok(conversation) => {
                let conversations = ("conversations", Json::Array(conversation));
                converted.records.push(object([("tools", tools.clone()), conversations]));
            }
            Err(error) => converted.dropped.push(error),
        }
    }
    Ok(())
}

fn read_instance(place: &Place<'_>, mut instance: JsonMap) -> Result<Vec<Json>, DataError> {
    let asked = take(&place.key("input"), instance.remove("input"))?;
    let mut entries = vec![object([("role", text("user")), ("content", asked)])];
    let steps_place = place.key("intermediate_steps");
    let steps = match instance.remove("intermediate_steps") {
        // Python walks over these, and finds nothing.
        Some(Json::Object(map)) if map.is_empty() => Vec::new(),
        Some(Json::String(text)) if text.is_empty() => Vec::new(),
        steps => steps_place.array(steps, "a list of steps")?,
    };
    for (index, step) in steps.into_iter().enumerate() {
        read_step(&steps_place.item(index), step, &mut entries)?;
    }
    let mut part = |key: &str| place.key(key).text(instance.remove(key), "a string");
    let answer = format!("{}\n{}", part("Final Thought")?, part("output")?);
    entries.push(object([("role", text("assistant")), ("content", Json::String(answer))]));
    Ok(entries)
}

/// One step: `[[name, parameters as JSON text, what the model wrote], observation]`.
fn read_step(place: &Place<'_>, step: Json, entries: &mut Vec<Json>) -> Result<(), DataError> {
    let mut step = place.array(Some(step), "[[name, parameters, text], observation]")?.into_iter();
    let call_place = place.item(0);
    let call = call_place.array(step.next(), "[name, parameters, text]")?;
    let [name, parameters, react] = <[Json; 3]>::try_from(call)
        .map_err(|call| call_place.wrong_type(&Json::Array(call), "a list of 3: [name, parameters, text]"))?;
    let react = call_place.item(2).text(Some(react), "what the model wrote, a string")?;
    let observation = take(&place.item(1), step.next())?;
    let parameters_place = call_place.item(1);
    let parameters = parameters_place.text(Some(parameters), "JSON text")?;
    let parameters =
        json::parse(&parameters).map_err(|error| parameters_place.not_json(error, &parameters))?;
    let thought = react.split("Action:").next().unwrap_or_default().trim_matches(is_python_space);
    entries.push(object([("role", text("assistant")), ("content", text(thought))]));
    entries.push(object([
        ("role", text("tool")),
        ("name", name),
        ("parameters", parameters),
        ("observation", observation),
    ]));
    Ok(())
}

/// What Python's `str.strip` takes off: Unicode's white space and four separators below it.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

fn take(place: &Place<'_>, value: Option<Json>) -> Result<Json, DataError> {
    value.ok_or_else(|| place.missing("a value"))
}

fn text(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
