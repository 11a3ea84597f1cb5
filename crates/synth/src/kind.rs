//! What a parameter's values look like: the kinds, their JSON Schema, and drawing a value.
//!
//! In: a kind and a random source. Out: a [`Value`], once as typed JSON and once as a person would
//! say it in a request. It does not know which tool a parameter belongs to.

use serde_json::{Map, Number, Value as Json, json};

use crate::rng::Rng;
use crate::words::{CITIES, FIRST_NAMES, LAST_NAMES, TITLE_WORDS, pseudo_word};

/// Where the text of a string parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    Person,
    City,
    /// `2025-03-14`
    Date,
    /// `19:30`
    Time,
    /// `KX-482`
    Code,
    /// One to three plain words.
    Title,
    /// A word that no language has.
    Pseudo,
}

/// A parameter's kind as the hand-written domains state it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text(Pool),
    Integer(i64, i64),
    /// Bounds in tenths.
    Number(i64, i64),
    Flag,
    Choice(&'static [&'static str]),
    /// An array of strings drawn from these.
    Words(&'static [&'static str]),
    /// An array of integers.
    Integers(i64, i64),
    Object(&'static [(&'static str, Kind)]),
}

/// The same, owned, so that generated parameters can have it too.
#[derive(Debug, Clone)]
pub(crate) enum ValueType {
    Text(Pool),
    Integer(i64, i64),
    Number(i64, i64),
    Flag,
    Choice(Vec<String>),
    Words(Vec<String>),
    Integers(i64, i64),
    Object(Vec<(String, ValueType)>),
}

impl From<Kind> for ValueType {
    fn from(kind: Kind) -> Self {
        let owned = |items: &[&str]| items.iter().map(ToString::to_string).collect();
        match kind {
            Kind::Text(pool) => Self::Text(pool),
            Kind::Integer(low, high) => Self::Integer(low, high),
            Kind::Number(low, high) => Self::Number(low, high),
            Kind::Flag => Self::Flag,
            Kind::Choice(options) => Self::Choice(owned(options)),
            Kind::Words(options) => Self::Words(owned(options)),
            Kind::Integers(low, high) => Self::Integers(low, high),
            Kind::Object(fields) => Self::Object(
                fields.iter().map(|(name, kind)| ((*name).to_string(), Self::from(*kind))).collect(),
            ),
        }
    }
}

/// One drawn value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// As the schema asks for it.
    pub(crate) typed: Json,
    /// As a request says it: `cheese, olives and basil`, `on`, `-3.5`.
    pub(crate) spoken: String,
    /// As the older all-strings convention wrote it: what was said, but `true`/`false` for a flag.
    pub(crate) stringly: String,
}

impl Value {
    fn new(typed: Json, spoken: String) -> Self {
        let stringly = match &typed {
            Json::Bool(flag) => flag.to_string(),
            _ => spoken.clone(),
        };
        Self { typed, spoken, stringly }
    }
}

/// `snake_case` as words.
pub(crate) fn spoken_name(name: &str) -> String {
    name.replace('_', " ")
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn enumerate(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

impl ValueType {
    /// The JSON Schema of this kind, without a description.
    pub(crate) fn schema(&self) -> Map<String, Json> {
        let schema = match self {
            Self::Text(_) => json!({"type": "string"}),
            Self::Integer(..) => json!({"type": "integer"}),
            Self::Number(..) => json!({"type": "number"}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Choice(options) => json!({"type": "string", "enum": options}),
            Self::Words(_) => json!({"type": "array", "items": {"type": "string"}}),
            Self::Integers(..) => json!({"type": "array", "items": {"type": "integer"}}),
            Self::Object(fields) => {
                let properties: Map<String, Json> =
                    fields.iter().map(|(name, kind)| (name.clone(), Json::Object(kind.schema()))).collect();
                json!({"type": "object", "properties": properties})
            }
        };
        match schema {
            Json::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Whether the all-strings convention writes this kind as the schema asks.
    pub(crate) fn is_string(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Choice(_))
    }

    /// Draws a value.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Value {
        match self {
            Self::Text(pool) => {
                let text = pool.draw(rng);
                Value::new(json!(text), text)
            }
            Self::Integer(low, high) => {
                let number = rng.range(*low, *high);
                Value::new(json!(number), number.to_string())
            }
            Self::Number(low, high) => {
                let text = decimal(rng.range(*low, *high));
                Value::new(number(&text), text)
            }
            Self::Flag => {
                let flag = rng.chance(50);
                Value::new(json!(flag), if flag { "on" } else { "off" }.to_string())
            }
            Self::Choice(options) => {
                let text = rng.pick(options).clone();
                Value::new(json!(text), text)
            }
            Self::Words(options) => {
                let count = 2 + rng.below(2);
                let items = rng.sample(options, count);
                Value::new(json!(items), enumerate(&items))
            }
            Self::Integers(low, high) => {
                let count = 2 + rng.below(2);
                let items: Vec<i64> = (0..count).map(|_| rng.range(*low, *high)).collect();
                let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
                Value::new(json!(items), enumerate(&texts))
            }
            Self::Object(fields) => {
                let mut typed = Map::new();
                let mut spoken = Vec::new();
                for (name, kind) in fields {
                    let value = kind.draw(rng);
                    spoken.push(format!("{} {}", spoken_name(name), value.spoken));
                    typed.insert(name.clone(), value.typed);
                }
                Value::new(Json::Object(typed), enumerate(&spoken))
            }
        }
    }
}

/// Tenths as a decimal with one digit that is never 0 (`12.0` would print differently elsewhere).
fn decimal(tenths: i64) -> String {
    let tenths = if tenths % 10 == 0 { tenths + 5 } else { tenths };
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
}

/// A decimal text as a JSON number, digit for digit.
fn number(text: &str) -> Json {
    text.parse::<Number>().map_or(Json::Null, Json::Number)
}

impl Pool {
    /// Draws a text.
    pub(crate) fn draw(self, rng: &mut Rng) -> String {
        match self {
            Self::Person if rng.chance(30) => {
                format!("{} {}", rng.pick(FIRST_NAMES), rng.pick(LAST_NAMES))
            }
            Self::Person => (*rng.pick(FIRST_NAMES)).to_string(),
            Self::City => (*rng.pick(CITIES)).to_string(),
            Self::Date => {
                format!("20{:02}-{:02}-{:02}", rng.range(24, 29), rng.range(1, 12), rng.range(1, 28))
            }
            Self::Time => format!("{:02}:{:02}", rng.range(6, 23), 5 * rng.range(0, 11)),
            Self::Code => {
                let mut letter = || char::from(b'A' + rng.below(26) as u8);
                let letters: String = [letter(), letter()].iter().collect();
                format!("{letters}-{}", rng.range(100, 999))
            }
            Self::Title => {
                let count = 1 + rng.weighted(&[40, 45, 15]);
                rng.sample(TITLE_WORDS, count).join(" ")
            }
            Self::Pseudo => pseudo_word(rng),
        }
    }
}
