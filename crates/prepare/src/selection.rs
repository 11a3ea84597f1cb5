//! Which records are taken, how often, and for which side.
//!
//! In: a record's bytes and the index of its file. Out: how often it is taken, and whether it is kept apart to measure
//! with. Both follow from the bytes alone, so equal records go the same way in every run, wherever they stand.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How sources are mixed, and what is kept apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The share of all records that is kept apart to measure with, from 0 to 1.
    pub validation_share: f64,
    /// How often the records of each source are taken; 1, where there is none for it.
    pub weights: Vec<f64>,
}

/// What becomes of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) times: usize,
    pub(crate) validation: bool,
}

/// What two questions about one record are asked with, so that the answers have nothing to do with each other.
const VALIDATION_SEED: u64 = 1;
const WEIGHT_SEED: u64 = 2;

impl Selection {
    /// How often the records of a source are taken.
    pub fn weight(&self, source: usize) -> f64 {
        self.weights.get(source).copied().unwrap_or(1.0)
    }

    pub(crate) fn choose(&self, source: usize, record: &[u8]) -> Choice {
        let record = record.trim_ascii();
        let weight = self.weight(source);
        let more = weight.fract() > 0.0 && share_of(record, WEIGHT_SEED) < weight.fract();
        let times = weight as usize + usize::from(more);
        let validation =
            self.validation_share > 0.0 && share_of(record, VALIDATION_SEED) < self.validation_share;
        // To measure with, once is enough.
        Choice { times: if validation { times.min(1) } else { times }, validation }
    }
}

/// A number from 0 up to 1 that looks drawn by chance.
fn share_of(record: &[u8], seed: u64) -> f64 {
    xxh3_64_with_seed(record, seed) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(selection: &Selection, source: usize) -> Vec<Choice> {
        (0..10_000).map(|number: u32| selection.choose(source, format!("{{{number}}}").as_bytes())).collect()
    }

    fn share(choices: &[Choice], wanted: impl Fn(&Choice) -> bool) -> f64 {
        choices.iter().filter(|choice| wanted(choice)).count() as f64 / choices.len() as f64
    }

    #[test]
    fn without_a_wish_all_is_taken_once() {
        assert!(
            choices(&Selection::default(), 0)
                .iter()
                .all(|choice| (choice.times, choice.validation) == (1, false))
        );
    }

    #[test]
    fn shares_are_met_and_have_nothing_to_do_with_each_other() {
        let selection = Selection { validation_share: 0.1, weights: vec![1.0, 0.5, 2.25, 0.0] };
        for source in 0..4 {
            let validation = share(&choices(&selection, source), |choice| choice.validation);
            assert!((validation - 0.1).abs() < 0.02, "{validation}");
        }
        let half = choices(&selection, 1);
        assert!((share(&half, |choice| choice.times == 1) - 0.5).abs() < 0.03);
        let kept = half.iter().filter(|choice| choice.validation && choice.times == 1).count() as f64;
        assert!((kept / 10_000.0 - 0.05).abs() < 0.01, "{kept}");
        let more = choices(&selection, 2);
        assert!(more.iter().filter(|choice| !choice.validation).all(|choice| matches!(choice.times, 2 | 3)));
        assert!(more.iter().filter(|choice| choice.validation).all(|choice| choice.times == 1));
        assert!((share(&more, |choice| choice.times == 3) - 0.9 * 0.25).abs() < 0.03);
        assert!(choices(&selection, 3).iter().all(|choice| choice.times == 0));
    }

    #[test]
    fn equal_records_go_the_same_way() {
        let selection = Selection { validation_share: 0.5, weights: vec![0.5; 2] };
        for number in 0..100 {
            let record = format!("{{\"n\": {number}}}");
            let again = format!("  {record}\r\n");
            assert_eq!(selection.choose(0, record.as_bytes()), selection.choose(1, again.as_bytes()));
        }
    }
}
