//! Tools and calls: a tool's definition as OpenAI's `tools` hold it, and a call drawn for it.
//!
//! In: a domain (or invented words) and a random source. Out: [`Tool`] and [`Call`]. It does not
//! know how a request words them.

use serde_json::{Map, Value as Json, json};

use crate::domains::Domain;
use crate::kind::{Value, ValueType, spoken_name};
use crate::rng::Rng;

/// A parameter of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) values: ValueType,
    pub(crate) required: bool,
}

/// A tool: a verb applied to a thing.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) verb: String,
    pub(crate) noun: String,
    pub(crate) place: String,
    pub(crate) params: Vec<Param>,
}

/// A call that a request asks for: parameters by index, in the order they are said.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) tool: Tool,
    pub(crate) values: Vec<(usize, Value)>,
}

/// Things that take no indefinite article.
const MASS_NOUNS: &[&str] = &[
    "wheat", "barley", "honey", "milk", "rainfall", "surgery", "therapy", "homework", "treasure", "powder",
    "paper",
];

/// `table` as `a table`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if MASS_NOUNS.contains(&noun) {
        "the"
    } else if noun.starts_with(['a', 'e', 'i', 'o']) || noun == "umbrella" || noun == "upgrade" {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

/// The text with its first letter in upper case (ASCII).
pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), chars.as_str()))
}

impl Tool {
    /// A tool of `domain` with up to four of its parameters.
    pub(crate) fn of_domain(domain: &Domain, rng: &mut Rng) -> Self {
        let count = rng.weighted(&[6, 22, 36, 26, 10]);
        let mut chosen: Vec<usize> = (0..domain.params.len()).collect();
        rng.shuffle(&mut chosen);
        chosen.truncate(count);
        // Few calls should be right when every value is written as a string (see docs/base-model.md).
        let typed = |&index: &usize| !ValueType::from(domain.params[index].1).is_string();
        if !chosen.is_empty() && !chosen.iter().any(typed) && rng.chance(75) {
            let others: Vec<usize> = (0..domain.params.len()).filter(typed).collect();
            chosen[0] = *rng.pick(&others);
        }
        let params = chosen
            .iter()
            .map(|&index| Param {
                name: domain.params[index].0.to_string(),
                values: domain.params[index].1.into(),
                required: rng.chance(65),
            })
            .collect();
        Self {
            verb: (*rng.pick(domain.verbs)).to_string(),
            noun: (*rng.pick(domain.nouns)).to_string(),
            place: domain.place.to_string(),
            params,
        }
    }

    /// `book_table`
    pub(crate) fn name(&self) -> String {
        format!("{}_{}", self.verb, self.noun)
    }

    /// `book a table`
    pub(crate) fn task(&self) -> String {
        format!("{} {}", self.verb, with_article(&self.noun))
    }

    /// The definition as an OpenAI `tools` entry.
    pub(crate) fn definition(&self) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for param in &self.params {
            let mut schema = param.values.schema();
            let description = format!("The {}.", spoken_name(&param.name));
            schema.insert("description".to_string(), Json::String(description));
            properties.insert(param.name.clone(), Json::Object(schema));
            if param.required {
                required.push(param.name.clone());
            }
        }
        json!({"type": "function", "function": {
            "name": self.name(),
            "description": format!("{} {}.", capitalised(&self.task()), self.place),
            "parameters": {"type": "object", "properties": properties, "required": required},
        }})
    }

    /// A call with every required parameter and some of the optional ones.
    pub(crate) fn draw_call(&self, rng: &mut Rng) -> Call {
        let mut said: Vec<usize> =
            (0..self.params.len()).filter(|&index| self.params[index].required || rng.chance(55)).collect();
        if rng.chance(15) {
            rng.shuffle(&mut said);
        }
        let values = said.into_iter().map(|index| (index, self.params[index].values.draw(rng))).collect();
        Call { tool: self.clone(), values }
    }
}

impl Call {
    /// The arguments with the types that the schema asks for.
    pub(crate) fn arguments(&self) -> Map<String, Json> {
        self.values
            .iter()
            .map(|(index, value)| (self.tool.params[*index].name.clone(), value.typed.clone()))
            .collect()
    }

    /// The arguments in the older convention: every value a string.
    pub(crate) fn string_arguments(&self) -> Map<String, Json> {
        self.values
            .iter()
            .map(|(index, value)| (self.tool.params[*index].name.clone(), json!(value.stringly)))
            .collect()
    }
}
