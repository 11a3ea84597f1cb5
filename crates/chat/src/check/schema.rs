//! Whether a call's arguments are what its tool takes.
//!
//! In: a tool's parameters and the arguments of a call. Out: a [`Verdict`]. Schemas are read as JSON Schema by the `boon`
//! crate, without fetching anything; compiled ones are kept, since a data set calls the same tools again and again.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use boon::{Compiler, ErrorKind, SchemaIndex, SchemeUrlLoader, ValidationError};
use hashbrown::{DefaultHashBuilder, HashMap};

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
    compiled: Arc<Result<Compiled, String>>,
}

/// A schema, ready to judge.
struct Compiled {
    schemas: boon::Schemas,
    index: SchemaIndex,
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
            Ok(compiled) => match compiled.schemas.validate(arguments, compiled.index) {
                Ok(()) => Verdict::Valid,
                Err(error) => {
                    let mut violations = Vec::new();
                    collect(&error, arguments, &mut violations);
                    Verdict::Invalid(violations)
                }
            },
        }
    }

    /// Why these parameters are no JSON Schema, if they are none.
    pub fn why_invalid(&self, parameters: &Json) -> Option<String> {
        self.compiled(parameters).as_ref().as_ref().err().cloned()
    }

    fn compiled(&self, parameters: &Json) -> Arc<Result<Compiled, String>> {
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

fn compile(parameters: &Json) -> Result<Compiled, String> {
    if !parameters.is_object() && !parameters.is_boolean() {
        return Err(format!("found {}, expected an object", json::to_python(parameters)));
    }
    const NAME: &str = "tool:///parameters";
    let mut compiler = Compiler::new();
    // Nothing is fetched, neither over the network nor from a disk.
    compiler.use_loader(Box::new(SchemeUrlLoader::new()));
    let mut schemas = boon::Schemas::new();
    compiler.add_resource(NAME, parameters.clone()).map_err(|error| error.to_string())?;
    match compiler.compile(NAME, &mut schemas) {
        Ok(index) => Ok(Compiled { schemas, index }),
        Err(boon::CompileError::ValidationError { src, .. }) => Err(why(&src)),
        Err(error) => Err(error.to_string().replace(NAME, "the parameters")),
    }
}

/// What the meta-schema has against a schema, and where.
fn why(error: &ValidationError<'_, '_>) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.causes.first() {
        innermost = cause;
    }
    let place = dotted(&innermost.instance_location.to_string());
    let at = if place.is_empty() { String::new() } else { format!(" at {}", place.trim_start_matches('.')) };
    shorten(&format!("{}{at}", innermost.kind))
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

/// The violations that an error consists of; the ways in which alternatives fail are one violation together.
fn collect(error: &ValidationError<'_, '_>, arguments: &Json, violations: &mut Vec<Violation>) {
    let parts = matches!(
        error.kind,
        ErrorKind::Group | ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::AllOf
    );
    if parts && !error.causes.is_empty() {
        error.causes.iter().for_each(|cause| collect(cause, arguments, violations));
    } else if violations.len() < TOLD {
        violation(error, arguments, violations);
    }
}

fn violation(error: &ValidationError<'_, '_>, arguments: &Json, violations: &mut Vec<Violation>) {
    let pointer = error.instance_location.to_string();
    let found =
        arguments.pointer(&pointer).map_or_else(String::new, |value| shorten(&json::to_python(value)));
    let mut add = |code, text| {
        violations.push(Violation { code, pointer: pointer.clone(), place: dotted(&pointer), text });
    };
    match &error.kind {
        ErrorKind::Required { want } => want.iter().for_each(|name| {
            add(Code::MissingArgument, format!("the required argument {name:?} is missing"));
        }),
        ErrorKind::Type { want, .. } => {
            let kinds: Vec<_> = want.iter().map(|kind| kind.to_string()).collect();
            add(Code::WrongType, format!("found {found}, expected {}", with_article(&kinds.join(" or "))));
        }
        ErrorKind::Enum { want } => {
            let values = shorten(&json::to_python(&Json::Array((*want).clone())));
            add(Code::NotInEnum, format!("found {found}, expected one of {values}"));
        }
        ErrorKind::AdditionalProperties { got } => got.iter().for_each(|name| {
            add(Code::UnknownArgument, format!("the schema has no argument {name:?}"));
        }),
        kind => add(Code::ArgumentsInvalid, format!("found {found}; {}", shorten(&kind.to_string()))),
    }
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
