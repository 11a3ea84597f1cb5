//! Which JSON types a tool's schema allows for an argument, as far as it says so plainly.
//!
//! In: the schema of a tool's parameters. Out: the types of each property. It does not follow references and checks
//! nothing: it only tells a text from a value where a format writes both alike.

use crate::json::Json;

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    const STRING: Self = Self(1);

    fn of(value: &Json) -> Self {
        Self::named(match value {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        })
    }

    fn named(name: &str) -> Self {
        Self(match name {
            "string" | "str" => 1,
            "number" | "integer" | "int" | "float" => 2,
            "boolean" | "bool" => 4,
            "null" => 8,
            "array" | "list" => 16,
            "object" | "dict" => 32,
            _ => 0,
        })
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The types of each property of a schema; those of which it does not tell are left out.
pub(super) fn types_of_properties(schema: &Json) -> Vec<(String, Types)> {
    let properties = schema.get("properties").and_then(Json::as_object);
    let told = properties.into_iter().flatten().filter_map(|(key, property)| {
        let types = types_of(property, 0);
        (types != Types(0)).then(|| (key.clone(), types))
    });
    told.collect()
}

fn types_of(schema: &Json, depth: usize) -> Types {
    const DEEPEST: usize = 8;
    let all = |items: &[Json], each: &dyn Fn(&Json) -> Types| {
        let types: Vec<_> = items.iter().map(each).collect();
        // Where one of them may be anything, nothing is told.
        if types.contains(&Types(0)) { Types(0) } else { types.into_iter().fold(Types(0), Types::or) }
    };
    match schema.get("type") {
        Some(Json::String(name)) => return Types::named(name),
        Some(Json::Array(names)) => {
            return all(names, &|name| Types::named(name.as_str().unwrap_or_default()));
        }
        _ => {}
    }
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return all(values, &Types::of);
    }
    if let Some(value) = schema.get("const") {
        return Types::of(value);
    }
    match ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        Some(choices) if depth < DEEPEST => all(choices, &|choice| types_of(choice, depth + 1)),
        _ => Types(0),
    }
}

/// The value that a bare text stands for: JSON or itself.
///
/// Where the types are told, they decide: a text stays one if only texts are allowed, JSON of an allowed type is that,
/// and what is neither is a text if those are allowed. Where nothing is told, JSON is JSON. JSON between quotes is never
/// written so, and is a text with quotes; and so is a value with white space around it where texts are allowed.
pub(super) fn bare_value(text: &str, types: Option<Types>) -> Json {
    let as_text = || Json::String(text.to_owned());
    if types == Some(Types::STRING) {
        return as_text();
    }
    let texts_allowed = types.is_none_or(|types| types.has(Types::STRING));
    let bare = if texts_allowed { text } else { text.trim() };
    let starts = bare.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '[' | '{'));
    let ends = !bare.ends_with(|c: char| c.is_ascii_whitespace());
    let value = if starts && ends { crate::json::parse(bare).ok() } else { None };
    match (value, types) {
        (Some(value), Some(types)) if texts_allowed && !types.has(Types::of(&value)) => as_text(),
        (Some(value), _) => value,
        (None, _) => as_text(),
    }
}
