//! Tools that exist only in the base model's corpus, put together at random from plain words and
//! words that no language has; never one of the demo's tool or parameter names.
//!
//! In: a random source. Out: [`Tool`]s. It does not know which documents use them.

use std::collections::BTreeSet;

use crate::domains::{DOMAINS, Domain};
use crate::kind::{Kind, Pool, ValueType};
use crate::rng::Rng;
use crate::tool::{Param, Tool};
use crate::words::{ATTRIBUTES, NOUNS, TITLE_WORDS, VERBS, pseudo_word};

/// The words to build from, and the names to stay away from.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    verbs: Vec<String>,
    nouns: Vec<String>,
    words: Vec<String>,
    forbidden: BTreeSet<String>,
}

impl Vocabulary {
    /// Every word of the lexicon, with the demo's names forbidden.
    pub(crate) fn new() -> Self {
        let mut verbs: BTreeSet<&str> = VERBS.iter().copied().collect();
        let mut nouns: BTreeSet<&str> = NOUNS.iter().copied().collect();
        let mut words: BTreeSet<&str> = ATTRIBUTES.iter().chain(TITLE_WORDS).copied().collect();
        let mut forbidden = BTreeSet::new();
        for domain in DOMAINS {
            verbs.extend(domain.verbs);
            nouns.extend(domain.nouns);
            words.extend(domain.place.split(' ').filter(|word| word.len() > 3));
            for verb in domain.verbs {
                forbidden.extend(domain.nouns.iter().map(|noun| format!("{verb}_{noun}")));
            }
            for (name, kind) in domain.params {
                add_names(name, kind, &mut words, &mut forbidden);
            }
        }
        let owned = |set: BTreeSet<&str>| set.iter().map(ToString::to_string).collect();
        Self { verbs: owned(verbs), nouns: owned(nouns), words: owned(words), forbidden }
    }

    /// Whether the demo has a tool of this name.
    pub(crate) fn is_forbidden(&self, tool: &Tool) -> bool {
        tool.verb == tool.noun || self.is_name_forbidden(&tool.name())
    }

    /// Whether the demo has a tool or parameter of this name.
    pub(crate) fn is_name_forbidden(&self, name: &str) -> bool {
        self.forbidden.contains(name)
    }

    /// Any word: plain ones mostly, else one that no language has.
    pub(crate) fn word(&self, rng: &mut Rng) -> String {
        match rng.below(100) {
            0..=69 => rng.pick(&self.words).clone(),
            70..=84 => rng.pick(&self.nouns).clone(),
            85..=93 => rng.pick(&self.verbs).clone(),
            _ => pseudo_word(rng),
        }
    }

    /// A tool with up to four parameters.
    pub(crate) fn tool(&self, rng: &mut Rng) -> Tool {
        loop {
            let verb = rng.pick(&self.verbs).clone();
            let noun = if rng.chance(8) { pseudo_word(rng) } else { rng.pick(&self.nouns).clone() };
            let place = if rng.chance(40) {
                let domain: &Domain = rng.pick::<Domain>(DOMAINS);
                domain.place.to_string()
            } else {
                format!("{} the {}", rng.pick(&["in", "for", "at", "of"]), self.word(rng))
            };
            let count = rng.weighted(&[6, 24, 36, 24, 10]);
            let params = self.params(count, rng);
            let tool = Tool { verb, noun, place, params };
            if !self.is_forbidden(&tool) {
                return tool;
            }
        }
    }

    /// `count` parameters of different names.
    pub(crate) fn params(&self, count: usize, rng: &mut Rng) -> Vec<Param> {
        let mut params: Vec<Param> = Vec::new();
        while params.len() < count {
            let name = self.name(rng);
            if params.iter().all(|param| param.name != name) {
                params.push(Param { name, values: self.values(true, rng), required: rng.chance(65) });
            }
        }
        params
    }

    /// A parameter name of one to three words.
    fn name(&self, rng: &mut Rng) -> String {
        loop {
            let count = 1 + rng.weighted(&[14, 78, 8]);
            let words: Vec<String> = (0..count).map(|_| self.word(rng)).collect();
            let name = words.join("_");
            if !self.forbidden.contains(&name) && words.first() != words.get(1) {
                return name;
            }
        }
    }

    /// What a parameter holds.
    fn values(&self, nest: bool, rng: &mut Rng) -> ValueType {
        let limit = *rng.pick(&[9, 30, 99, 400, 2000, 9000]);
        let low = if rng.chance(25) { -limit } else { 0 };
        match rng.weighted(&[34, 16, 14, 12, 9, 6, 5, if nest { 4 } else { 0 }]) {
            0 => ValueType::Text(*rng.pick(&[
                Pool::Person,
                Pool::City,
                Pool::Date,
                Pool::Time,
                Pool::Code,
                Pool::Title,
                Pool::Title,
                Pool::Pseudo,
            ])),
            1 => ValueType::Integer(low, limit),
            2 => ValueType::Number(low, limit),
            3 => ValueType::Flag,
            4 => ValueType::Choice((0..3).map(|_| self.word(rng)).collect()),
            5 => ValueType::Words((0..4).map(|_| self.word(rng)).collect()),
            6 => ValueType::Integers(0, limit),
            _ => ValueType::Object((0..2).map(|_| (self.name(rng), self.values(false, rng))).collect()),
        }
    }
}

fn add_names(name: &'static str, kind: &Kind, words: &mut BTreeSet<&str>, forbidden: &mut BTreeSet<String>) {
    forbidden.insert(name.to_string());
    words.extend(name.split('_'));
    match kind {
        Kind::Choice(options) | Kind::Words(options) => words.extend(*options),
        Kind::Object(fields) => {
            for (name, kind) in *fields {
                add_names(name, kind, words, forbidden);
            }
        }
        _ => {}
    }
}
