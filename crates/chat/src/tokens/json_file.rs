//! `tokenizer.json`, read without copying it.
//!
//! In: the file's bytes. Out: a [`JsonFile`]: vocabulary and merges as slices of the bytes, everything small as JSON.
//! It does not judge what it reads beyond its shape.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// The parts of a `tokenizer.json`.
pub(super) struct JsonFile<'a> {
    /// Everything but the model.
    pub(super) rest: Map<String, Json>,
    pub(super) model: Option<Model<'a>>,
}

/// The `"model"`.
#[derive(Default)]
pub(super) struct Model<'a> {
    /// Everything but what follows.
    pub(super) rest: Map<String, Json>,
    pub(super) vocab: Option<Vocab<'a>>,
    pub(super) merges: Option<Vec<Merge<'a>>>,
}

/// Pieces with ids (BPE), or with scores, the id being the place (Unigram).
pub(super) enum Vocab<'a> {
    Ids(Vec<(Cow<'a, str>, u32)>),
    Scores(Vec<(Cow<'a, str>, f64)>),
}

/// What is merged, left and right.
pub(super) type Merge<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonFile<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct File;
        impl<'de> Visitor<'de> for File {
            type Value = JsonFile<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the JSON object of a tokenizer.json")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut file = JsonFile { rest: Map::new(), model: None };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "model" => file.model = Some(map.next_value()?),
                        _ => drop(file.rest.insert(key, map.next_value()?)),
                    }
                }
                Ok(file)
            }
        }
        deserializer.deserialize_map(File)
    }
}

impl<'de> Deserialize<'de> for Model<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Model<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the JSON object of a model")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut model = Model::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "vocab" => model.vocab = Some(map.next_value()?),
                        "merges" => {
                            model.merges = map.next_value::<Option<Merges<'_>>>()?.map(|merges| merges.0)
                        }
                        _ => drop(model.rest.insert(key, map.next_value()?)),
                    }
                }
                Ok(model)
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

impl<'de> Deserialize<'de> for Vocab<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pieces;
        impl<'de> Visitor<'de> for Pieces {
            type Value = Vocab<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary: an object of piece and id, or a list of [piece, score]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pieces = Vec::new();
                while let Some((Text(piece), id)) = map.next_entry()? {
                    pieces.push((piece, id));
                }
                Ok(Vocab::Ids(pieces))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut pieces = Vec::new();
                while let Some((Text(piece), score)) = list.next_element::<(Text<'_>, Number)>()? {
                    pieces.push((
                        piece,
                        as_the_reference_reads(&score)
                            .ok_or_else(|| de::Error::custom(format!("{score} is no score")))?,
                    ));
                }
                Ok(Vocab::Scores(pieces))
            }
        }
        deserializer.deserialize_any(Pieces)
    }
}

/// Hugging Face's reader is off by one last bit for some literals, and scores decide ties: so this takes its arithmetic.
fn as_the_reference_reads(score: &Number) -> Option<f64> {
    tokenizers::json::Json::parse(&score.to_string()).ok()?.as_f64()
}

struct Merges<'a>(Vec<Merge<'a>>);

impl<'de> Deserialize<'de> for Merges<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Merges<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut merges = Vec::new();
                while let Some(OneMerge(merge)) = list.next_element()? {
                    merges.extend(merge);
                }
                Ok(Merges(merges))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// `["a", "b"]` or `"a b"`; none for the `#version` line of an old file.
struct OneMerge<'a>(Option<Merge<'a>>);

impl<'de> Deserialize<'de> for OneMerge<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = OneMerge<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: [\"left\", \"right\"] or \"left right\"")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                split_merge(text).map(OneMerge)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let merge = split_merge::<E>(text)?;
                let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
                Ok(OneMerge(merge.map(|(left, right)| (owned(left), owned(right)))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Self::Value, A::Error> {
                let (left, right) = (pair.next_element()?, pair.next_element()?);
                let more = pair.next_element::<de::IgnoredAny>()?.is_some();
                match (left, right) {
                    (Some(Text(left)), Some(Text(right))) if !more => Ok(OneMerge(Some((left, right)))),
                    _ => Err(de::Error::custom("a merge that is not a pair")),
                }
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

fn split_merge<E: de::Error>(text: &str) -> Result<Option<Merge<'_>>, E> {
    if text.starts_with("#version") {
        return Ok(None);
    }
    // With more than one space, where to cut would be a guess.
    match text.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok(Some((left.into(), right.into()))),
        _ => Err(E::custom(format!("the merge {text:?} is not two pieces with a space between"))),
    }
}

/// A string, borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a piece as a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowed)
    }
}
