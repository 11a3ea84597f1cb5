//! What the base model reads first: lines of words, said again. From them it learns to copy, which everything after needs.
//!
//! In: a seed and a count. Out: `{"text": ...}` records. A model this small begins to copy within minutes when few words
//! recur often, and takes that to all words afterwards; from varied text alone it had not begun when it was stopped. The
//! words of the second stage must mostly be several tokens long: with words of one token its copying never formed.

use serde_json::{Value as Json, json};

use crate::invented::Vocabulary;
use crate::rng::Rng;
use crate::words::pseudo_word;

/// How many different words the lines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyWords {
    /// A hundred and twenty: how copying begins.
    Few,
    /// Words that no language has, some of the corpus, and numbers: copying anything, over several tokens.
    Many,
}

const FEW: usize = 120;

/// `count` documents in which a line of `words` is said two to four times.
pub fn copying_corpus(seed: u64, words: CopyWords, count: usize) -> impl Iterator<Item = Json> {
    let vocabulary = Vocabulary::new();
    let few: Vec<String> = {
        let mut rng = Rng::new(seed, 900);
        (0..FEW).map(|_| vocabulary.word(&mut rng)).collect()
    };
    let stream = match words {
        CopyWords::Few => 10_000_000,
        CopyWords::Many => 20_000_000,
    };
    (0..count).map(move |index| {
        let mut rng = Rng::new(seed, stream + index as u64);
        let text = match words {
            CopyWords::Few => few_words(&few, &mut rng),
            CopyWords::Many => many_words(&vocabulary, &mut rng),
        };
        json!({"text": text})
    })
}

fn few_words(words: &[String], rng: &mut Rng) -> String {
    let count = 5 + rng.below(10);
    let line: Vec<&str> = (0..count).map(|_| rng.pick(words).as_str()).collect();
    let line = line.join(" ") + "\n";
    line.repeat(2 + rng.below(3))
}

fn many_words(vocabulary: &Vocabulary, rng: &mut Rng) -> String {
    let count = 4 + rng.below(17);
    let items: Vec<String> = (0..count)
        .map(|_| match rng.weighted(&[15, 70, 15]) {
            0 => rng.range(0, 9999).to_string(),
            1 => pseudo_word(rng),
            _ => vocabulary.word(rng),
        })
        .collect();
    let line = items.join(rng.pick::<&str>(&[", ", " ", "; ", "\n", "\": \""]));
    format!("List: {line}\n{}", format!("Again: {line}\n").repeat(1 + rng.below(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_said_again() {
        for record in copying_corpus(3, CopyWords::Few, 50) {
            let lines: Vec<&str> = record["text"].as_str().unwrap_or_default().lines().collect();
            assert!(lines.len() >= 2 && lines.iter().all(|line| *line == lines[0]), "{record}");
        }
        for record in copying_corpus(3, CopyWords::Many, 50) {
            let text = record["text"].as_str().unwrap_or_default();
            let (first, rest) = text.split_once("\nAgain: ").unwrap_or_default();
            let again = rest.split("\nAgain: ").map(|line| line.strip_suffix('\n').unwrap_or(line));
            assert!(again.into_iter().all(|line| Some(line) == first.strip_prefix("List: ")), "{text}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_documents() {
        let documents = |seed| copying_corpus(seed, CopyWords::Many, 20).collect::<Vec<_>>();
        assert_eq!(documents(1), documents(1));
        assert_ne!(documents(1), documents(2));
    }
}
