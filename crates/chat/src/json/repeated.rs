//! Keys that an object has twice.
//!
//! In: text. Out: its value, in which the last of equal keys counts, as everywhere; and the place of each key that was
//! there before. JSON allows such objects, but no two readers need agree on what they say.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;

use super::{Json, JsonMap};

/// Where a key stands that its object already has, as `messages[3].content`.
pub type RepeatedKey = String;

/// Reads one JSON value, with nothing after it but white space, and names the keys that are there twice.
pub fn parse_noting_repeats(text: &str) -> Result<(Json, Vec<RepeatedKey>), serde_json::Error> {
    let repeated = RefCell::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Value { place: Place::Root, repeated: &repeated }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, repeated.into_inner()))
}

/// The key under which serde_json hands a number's digits over.
const NUMBER: &str = "$serde_json::private::Number";

/// A path that is only written out where it is wanted.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Key(Place::Root, key) => f.write_str(key),
            Place::Key(parent, key) => write!(f, "{parent}.{key}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The value that stands there.
struct Value<'a> {
    place: Place<'a>,
    repeated: &'a RefCell<Vec<RepeatedKey>>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        loop {
            let place = Place::Item(&self.place, items.len());
            match list.next_element_seed(Value { place, repeated: self.repeated })? {
                Some(item) => items.push(item),
                None => return Ok(Json::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = JsonMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == NUMBER {
                let digits: String = entries.next_value()?;
                return digits.parse().map(Json::Number).map_err(A::Error::custom);
            }
            let place = Place::Key(&self.place, &key);
            let value = entries.next_value_seed(Value { place, repeated: self.repeated })?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    let place = Place::Key(&self.place, entry.key());
                    self.repeated.borrow_mut().push(place.to_string());
                    entry.insert(value);
                }
            }
        }
        Ok(Json::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(text: &str) -> Vec<RepeatedKey> {
        parse_noting_repeats(text).unwrap().1
    }

    #[test]
    fn a_key_that_is_there_twice_is_named_and_the_last_counts() {
        let (value, repeated) = parse_noting_repeats(r#"{"a": 1, "b": {"a": 2}, "a": 3}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"a":3,"b":{"a":2}}"#);
        assert_eq!(repeated, ["a"]);
        let deep = r#"{"messages": [{}, {"content": "x", "role": "user", "content": {"k": 1, "k": 2}}]}"#;
        assert_eq!(repeats(deep), ["messages[1].content.k", "messages[1].content"]);
        assert_eq!(repeats(r#"[{"a": 1}, {"a": 1}, {"b": {"a": 1}}]"#), [""; 0]);
    }

    #[test]
    fn values_are_those_of_the_usual_reader() {
        for text in [
            r#"{"z": [1, -0, 1E5, 1e400, 123456789012345678901234567890, 1.0, -2.5e-7], "a": {}, "b": []}"#,
            r#"["\u00e9\n", "中", true, false, null, "", {"": ""}]"#,
            "3",
            r#"{"a": 1, "a": [2]}"#,
        ] {
            let usual: Json = serde_json::from_str(text).unwrap();
            let ours = parse_noting_repeats(text).unwrap().0;
            assert_eq!(ours, usual);
            assert_eq!(ours.to_string(), usual.to_string());
        }
    }

    #[test]
    fn errors_are_those_of_the_usual_reader() {
        for text in ["", "{", "{\"a\": }", "[1,]", "{\"a\": NaN}", "1 2", "{\"a\": 1}}", &"[".repeat(1000)] {
            let usual = serde_json::from_str::<Json>(text).unwrap_err().to_string();
            assert_eq!(parse_noting_repeats(text).unwrap_err().to_string(), usual, "{text}");
        }
    }
}
