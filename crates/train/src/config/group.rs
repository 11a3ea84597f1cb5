//! Takes typed values out of a group of keys and notes everything that does not fit.
//!
//! In: an [`Entry`] tree. Out: numbers, texts, paths; and [`Issue`]s. Taking a key makes it known, so that what is
//! left at the end is unknown. It does not know what the keys mean.

use super::document::{Entry, Value};
use super::issue::{Issue, Place};

/// What a number has to be.
pub(super) struct Range {
    /// In words, for the message.
    pub(super) expected: &'static str,
    pub(super) holds: fn(f64) -> bool,
}

/// The keys of one group that have not been taken yet.
pub(super) struct Group<'a> {
    /// `""` at the top, `"lora."` inside.
    prefix: &'static str,
    entries: Vec<(Entry, Entry)>,
    known: Vec<&'static str>,
    issues: &'a mut Vec<Issue>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        prefix: &'static str,
        entries: Vec<(Entry, Entry)>,
        issues: &'a mut Vec<Issue>,
    ) -> Self {
        Self { prefix, entries, known: Vec::new(), issues }
    }

    /// The entry of a key, where the key is there and not empty.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        let wanted = Value::Text(key.to_owned());
        let index = self.entries.iter().position(|(name, _)| name.value == wanted)?;
        let (name, entry) = self.entries.remove(index);
        let entry = Entry { place: name.place, ..entry };
        (entry.value != Value::Null).then_some(entry)
    }

    pub(super) fn refuse(&mut self, key: &str, place: &Place, message: impl std::fmt::Display) {
        self.issues.push(Issue { place: place.clone(), message: format!("{}{key}: {message}", self.prefix) });
    }

    pub(super) fn refuse_missing(&mut self, key: &str, expected: &str) {
        self.refuse(key, &Place::Absent, format_args!("missing; expected {expected}"));
    }

    fn mismatch(&mut self, key: &str, entry: &Entry, expected: &str) {
        self.refuse(key, &entry.place, format_args!("found {}; expected {expected}", entry.value));
    }

    pub(super) fn text(&mut self, key: &'static str, expected: &str) -> Option<String> {
        let entry = self.take(key)?;
        match &entry.value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => {
                self.mismatch(key, &entry, expected);
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &'static str, expected: &str) -> String {
        let before = self.issues.len();
        let found = self.text(key, expected);
        if found.is_none() && self.issues.len() == before {
            self.refuse_missing(key, expected);
        }
        found.unwrap_or_default()
    }

    /// One text or a list of texts.
    pub(super) fn texts(&mut self, key: &'static str, expected: &str) -> Vec<String> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let entries = match &entry.value {
            Value::List(entries) => entries.clone(),
            _ => vec![entry],
        };
        let mut texts = Vec::new();
        for entry in &entries {
            match &entry.value {
                Value::Text(text) if !text.is_empty() => texts.push(text.clone()),
                _ => self.mismatch(key, entry, expected),
            }
        }
        texts
    }

    pub(super) fn required_texts(&mut self, key: &'static str, expected: &str) -> Vec<String> {
        let before = self.issues.len();
        let found = self.texts(key, expected);
        if found.is_empty() && self.issues.len() == before {
            self.refuse_missing(key, expected);
        }
        found
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.take(key) else { return default };
        match entry.value {
            Value::Bool(value) => value,
            _ => {
                self.mismatch(key, &entry, "true or false");
                default
            }
        }
    }

    pub(super) fn number(&mut self, key: &'static str, default: f64, range: &Range) -> f64 {
        let Some(entry) = self.take(key) else { return default };
        match as_number(&entry.value) {
            Some(value) if value.is_finite() && (range.holds)(value) => value,
            _ => {
                self.mismatch(key, &entry, range.expected);
                default
            }
        }
    }

    /// A whole number from `least` up.
    pub(super) fn count(&mut self, key: &'static str, least: u64, unit: &str) -> Option<u64> {
        let entry = self.take(key)?;
        let whole = match entry.value {
            Value::Integer(value) => u64::try_from(value).ok(),
            _ => None,
        };
        match whole {
            Some(value) if value >= least => Some(value),
            _ => {
                self.mismatch(key, &entry, &format!("a whole number{unit}, at least {least}"));
                None
            }
        }
    }

    /// What one of a few names stands for.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let found = self.name(key, &names);
        choices.iter().find(|(name, _)| found.as_deref() == Some(name)).map_or(default, |(_, value)| *value)
    }

    /// One of a few names.
    pub(super) fn name(&mut self, key: &'static str, names: &[&str]) -> Option<String> {
        let entry = self.take(key)?;
        let hint = match &entry.value {
            Value::Text(text) if names.contains(&text.as_str()) => return Some(text.clone()),
            Value::Text(text) => nearest(text, names).map(|name| format!("; did you mean {name}?")),
            _ => None,
        };
        let expected = format!("one of {}{}", names.join(", "), hint.unwrap_or_default());
        self.mismatch(key, &entry, &expected);
        None
    }

    /// The keys of an inner group.
    pub(super) fn inner(&mut self, key: &'static str) -> Option<(Place, Vec<(Entry, Entry)>)> {
        let entry = self.take(key)?;
        match entry.value {
            Value::Map(entries) => Some((entry.place, entries)),
            _ => {
                self.mismatch(key, &entry, "a group of keys, indented below it");
                None
            }
        }
    }

    pub(super) fn issues(&mut self) -> &mut Vec<Issue> {
        self.issues
    }

    /// Reports every key that nobody took. `elsewhere` says what the keys of other trainers are called here.
    pub(super) fn finish(self, elsewhere: &[(&str, &str)]) -> Vec<&'static str> {
        for (name, _) in &self.entries {
            let key = match &name.value {
                Value::Text(text) => text.clone(),
                other => other.to_string(),
            };
            let advice = match elsewhere.iter().find(|(foreign, _)| *foreign == key) {
                Some((_, advice)) => format!("; {advice}"),
                None => nearest(&key, &self.known).map_or_else(
                    || "; docs/training.md lists the keys".to_owned(),
                    |known| format!("; did you mean {}{known}?", self.prefix),
                ),
            };
            let message = format!("unknown key `{}{key}`{advice}", self.prefix);
            self.issues.push(Issue { place: name.place.clone(), message });
        }
        self.known
    }
}

/// YAML reads `1e-4` as a number or as a text, depending on its version; so both do.
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// The known name that is most like `name`: one holds the other, or few letters differ.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase();
    let holds = |long: &str, short: &str| short.len() >= 3 && long.contains(short);
    let distance = |known: &str| match holds(known, &name) || holds(&name, known) {
        true => 1,
        false => edit_distance(&name, known),
    };
    let best = known.iter().map(|known| (distance(known), *known)).min()?;
    (best.0 <= 1 + name.len() / 4).then_some(best.1)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b_char) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a_char != *b_char);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
