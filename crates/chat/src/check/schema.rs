//! Whether a call's arguments are what its tool takes.
//!
//! In: a tool's parameters and the arguments of a call. Out: a [`Verdict`]. Schemas are read as JSON Schema by the
//! `jsonschema` crate, which fetches nothing; compiled ones are kept, since a data set calls the same tools again and
//! again.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::{DefaultHashBuilder, HashMap};
use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};

use super::Code;
use crate::json::{self, Json, JsonMap};

/// Schemas that are kept compiled; with more, they are compiled anew.
const KEPT: usize = 4096;

/// Violations of one call that are told.
const TOLD: usize = 16;

/// What a schema says about arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It accepts them.
    Valid,
    /// It refuses them.
    Invalid(Vec<Violation>),
    /// It is itself no JSON Schema, and this is why; nothing can be said.
    Unknown(String),
}

/// Why a schema refuses arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule it breaks.
    pub code: Code,
    /// Where inside the arguments, as a JSON pointer.
    pub pointer: String,
    /// The same for people, as `.days` or `.stops[2]`; empty for the whole.
    pub place: String,
    /// What was found, and what the schema asks for.
    pub text: String,
}

/// Compiled schemas; can be shared between threads.
#[derive(Default)]
pub struct Schemas {
    compiled: RwLock<HashMap<u64, Vec<Entry>>>,
    hasher: DefaultHashBuilder,
}

struct Entry {
    parameters: Json,
    compiled: Arc<Result<Validator, String>>,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl Schemas {
    /// What a tool's `parameters` say about arguments. A tool without parameters takes any object.
    pub fn verdict(&self, parameters: Option<&Json>, arguments: &Json) -> Verdict {
        let invalid = |text: String| {
            let (pointer, place) = (String::new(), String::new());
            Verdict::Invalid(vec![Violation { code: Code::ArgumentsNotObject, pointer, place, text }])
        };
        if !arguments.is_object() {
            return invalid(format!("found {}, expected an object", json::to_python(arguments)));
        }
        let Some(parameters) = parameters.filter(|parameters| !parameters.is_null()) else {
            return Verdict::Valid;
        };
        match self.compiled(parameters).as_ref() {
            Err(reason) => Verdict::Unknown(reason.clone()),
            Ok(validator) if validator.is_valid(arguments) => Verdict::Valid,
            Ok(validator) => {
                Verdict::Invalid(validator.iter_errors(arguments).take(TOLD).map(violation).collect())
            }
        }
    }

    /// Why these parameters are no JSON Schema, if they are none.
    pub fn why_invalid(&self, parameters: &Json) -> Option<String> {
        self.compiled(parameters).as_ref().as_ref().err().cloned()
    }

    fn compiled(&self, parameters: &Json) -> Arc<Result<Validator, String>> {
        let mut hasher = self.hasher.build_hasher();
        hash(parameters, &mut hasher);
        let key = hasher.finish();
        let known = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
        let same = |entry: &&Entry| entry.parameters == *parameters;
        if let Some(entry) = known.get(&key).and_then(|entries| entries.iter().find(same)) {
            return Arc::clone(&entry.compiled);
        }
        drop(known);
        let compiled = Arc::new(compile(parameters));
        let mut known = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        let entry = Entry { parameters: parameters.clone(), compiled: Arc::clone(&compiled) };
        known.entry(key).or_default().push(entry);
        compiled
    }
}

fn compile(parameters: &Json) -> Result<Validator, String> {
    if !parameters.is_object() && !parameters.is_boolean() {
        return Err(format!("found {}, expected an object", json::to_python(parameters)));
    }
    jsonschema::validator_for(parameters).map_err(|error| {
        let place = error.instance_path().to_string();
        let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
        format!("{error}{at}")
    })
}

fn hash(value: &Json, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Json::Null => {}
        Json::Bool(value) => value.hash(hasher),
        Json::Number(number) => number.as_str().hash(hasher),
        Json::String(text) => text.hash(hasher),
        Json::Array(items) => items.iter().for_each(|item| hash(item, hasher)),
        Json::Object(map) => map.iter().for_each(|(key, item)| {
            key.hash(hasher);
            hash(item, hasher);
        }),
    }
}

fn violation(error: ValidationError<'_>) -> Violation {
    let pointer = error.instance_path().as_str().to_owned();
    let place = dotted(&pointer);
    let found = shorten(&json::to_python(error.instance()));
    let (code, text) = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().map_or_else(|| property.to_string(), str::to_owned);
            (Code::MissingArgument, format!("the required argument {name:?} is missing"))
        }
        ValidationErrorKind::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => {
                    kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            (Code::WrongType, format!("found {found}, expected {}", with_article(&expected)))
        }
        ValidationErrorKind::Enum { options } => (
            Code::NotInEnum,
            format!("found {found}, expected one of {}", shorten(&json::to_python(options))),
        ),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let names: Vec<_> = unexpected.iter().map(|name| format!("{name:?}")).collect();
            (Code::UnknownArgument, format!("the schema has no {}", names.join(", ")))
        }
        _ => (Code::ArgumentsInvalid, format!("found {found}; {}", shorten(&error.to_string()))),
    };
    Violation { code, pointer, place, text }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// `/stops/2/name` as `.stops[2].name`.
fn dotted(pointer: &str) -> String {
    let mut place = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{part}]"));
        } else {
            place.push_str(&format!(".{part}"));
        }
    }
    place
}

/// Keys of `arguments` that the schema does not name, where it does not say what becomes of such keys.
pub(super) fn unnamed<'a>(parameters: &Json, arguments: &'a JsonMap) -> Vec<&'a str> {
    let says = [
        "additionalProperties",
        "patternProperties",
        "unevaluatedProperties",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
    ];
    match parameters.get("properties").and_then(Json::as_object) {
        Some(named) if !says.iter().any(|key| parameters.get(key).is_some()) => {
            arguments.keys().filter(|key| !named.contains_key(*key)).map(String::as_str).collect()
        }
        _ => Vec::new(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
