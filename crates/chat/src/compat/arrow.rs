//! What a record looks like after it went through an Arrow table, as the `datasets` library keeps it.
//!
//! In: all records of a file, one after another. Out: each record with every key that any record has at that place, null
//! where it had none: tools of one message give `"tools": null` to all others, and a property that one schema has and
//! another lacks is null there. A reference that loads its data so prints some of these nulls.

use super::CompatError;
use super::python::describe;
use crate::json::{Json, JsonMap};

/// The columns of a table, as far as records were added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArrowSchema {
    root: Column,
}

/// The type of a value at one place.
#[derive(Debug, Clone, PartialEq, Default)]
enum Column {
    #[default]
    Null,
    Bool,
    Integer,
    Float,
    Text,
    List(Box<Column>),
    /// In the order in which the keys were first seen.
    Struct(Vec<(String, Column)>),
}

impl ArrowSchema {
    /// A schema without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a record has. Values of different types at one place are an error, as they are for Arrow.
    pub fn add(&mut self, record: &Json) -> Result<(), CompatError> {
        self.root.add("record", record)
    }

    /// The record as it comes back from the table.
    #[must_use]
    pub fn fill(&self, record: Json) -> Json {
        self.root.fill(record)
    }
}

impl Column {
    fn add(&mut self, place: &str, value: &Json) -> Result<(), CompatError> {
        if value.is_null() {
            return Ok(());
        }
        if *self == Self::Null {
            *self = Self::of(value);
        }
        match (&mut *self, value) {
            (Self::List(column), Json::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    column.add(&format!("{place}[{index}]"), item)?;
                }
            }
            (Self::Struct(fields), Json::Object(map)) => {
                for (key, value) in map {
                    let place = format!("{place}.{key}");
                    match fields.iter_mut().find(|(name, _)| name == key) {
                        Some((_, column)) => column.add(&place, value)?,
                        None => {
                            let mut column = Self::Null;
                            column.add(&place, value)?;
                            fields.push((key.clone(), column));
                        }
                    }
                }
            }
            (Self::Integer, Json::Number(_)) if Self::of(value) == Self::Float => *self = Self::Float,
            (Self::Float, Json::Number(_)) => {}
            (column, value) if *column == Self::of(value) => {}
            (column, value) => {
                return Err(CompatError::refused(
                    place,
                    format!("found {} where {} stood before", describe(Some(value)), column.name()),
                    "Arrow cannot hold both in one column, and the reference stops while it loads the data",
                    "Make them one type, or leave --arrow out",
                ));
            }
        }
        Ok(())
    }

    /// The type of a value, without what is inside.
    fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(number) if number.as_str().contains(['.', 'e', 'E']) => Self::Float,
            Json::Number(_) => Self::Integer,
            Json::String(_) => Self::Text,
            Json::Array(_) => Self::List(Box::default()),
            Json::Object(_) => Self::Struct(Vec::new()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Integer => "an integer",
            Self::Float => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Struct(_) => "an object",
        }
    }

    fn fill(&self, value: Json) -> Json {
        match (self, value) {
            (Self::List(column), Json::Array(items)) => {
                Json::Array(items.into_iter().map(|item| column.fill(item)).collect())
            }
            (Self::Struct(fields), Json::Object(mut map)) => {
                let mut filled = JsonMap::new();
                for (name, column) in fields {
                    let value = map.get_mut(name).map(Json::take).unwrap_or_default();
                    filled.insert(name.clone(), column.fill(value));
                }
                Json::Object(filled)
            }
            (Self::Float, Json::Number(number))
                if Self::of(&Json::Number(number.clone())) == Self::Integer =>
            {
                let text = format!("{}.0", number.as_str());
                crate::json::parse(&text).unwrap_or(Json::Number(number))
            }
            (_, value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_get_each_others_keys() {
        let records = [
            crate::json::parse(r#"{"m": [{"a": 1}, {"b": "x", "c": []}]}"#).unwrap(),
            crate::json::parse(r#"{"m": [{"c": [2.5], "a": 1.5}], "n": null}"#).unwrap(),
        ];
        let mut schema = ArrowSchema::new();
        for record in &records {
            schema.add(record).unwrap();
        }
        let filled = records.map(|record| schema.fill(record).to_string());
        assert_eq!(
            filled,
            [
                r#"{"m":[{"a":1.0,"b":null,"c":null},{"a":null,"b":"x","c":[]}],"n":null}"#,
                r#"{"m":[{"a":1.5,"b":null,"c":[2.5]}],"n":null}"#,
            ]
        );
        let error = schema.add(&serde_json::json!({"m": ["text"]})).unwrap_err().to_string();
        assert!(
            error.starts_with("record.m[0]: found the text 'text' where an object stood before;"),
            "{error}"
        );
    }
}
