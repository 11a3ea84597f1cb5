//! From logits to the next token.
//!
//! In: one row of logits, the options, the tokens so far, one uniform draw. Out: an id. Not known: where they come from.

use crate::GenerationOptions;

/// Chooses a token; `None` if the logits hold no number to choose. `draw` is uniform in `[0, 1)`.
///
/// The order is Transformers': repetition penalty, temperature, top-k, top-p.
pub(crate) fn choose(
    logits: &mut [f32],
    options: &GenerationOptions,
    seen: impl Iterator<Item = u32>,
    draw: f64,
) -> Option<u32> {
    let limit = options.vocab_limit.unwrap_or(logits.len()).min(logits.len());
    let logits = &mut logits[..limit];
    if options.repetition_penalty != 1.0 {
        penalise(logits, options.repetition_penalty, seen);
    }
    // A NaN is larger than every number here, and so is found.
    let (best, largest) =
        logits.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    if !largest.is_finite() {
        return None;
    }
    if options.temperature == 0.0 {
        return Some(best as u32);
    }
    let mut candidates: Vec<(f32, u32)> =
        logits.iter().zip(0..).map(|(&logit, id)| ((logit - largest) / options.temperature, id)).collect();
    let likelier = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if options.top_k > 0 && options.top_k < candidates.len() {
        candidates.select_nth_unstable_by(options.top_k - 1, likelier);
        candidates.truncate(options.top_k);
    }
    if options.top_p < 1.0 {
        candidates.sort_unstable_by(likelier);
        let total: f64 = candidates.iter().map(probability).sum();
        let mut reached = 0.0;
        let kept = candidates.iter().take_while(|candidate| {
            let before = reached;
            reached += probability(candidate) / total;
            before < f64::from(options.top_p)
        });
        let kept = kept.count().max(1);
        candidates.truncate(kept);
    }
    candidates.sort_unstable_by_key(|candidate| candidate.1);
    let total: f64 = candidates.iter().map(probability).sum();
    let mut rest = draw * total;
    let chosen = candidates.iter().find(|candidate| {
        rest -= probability(candidate);
        rest < 0.0
    });
    chosen.or(candidates.last()).map(|candidate| candidate.1)
}

fn probability(candidate: &(f32, u32)) -> f64 {
    f64::from(candidate.0).exp()
}

/// Makes tokens that are already there less likely, each once (Keskar et al., 2019).
fn penalise(logits: &mut [f32], penalty: f32, seen: impl Iterator<Item = u32>) {
    let mut seen: Vec<u32> = seen.filter(|&id| (id as usize) < logits.len()).collect();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        let logit = &mut logits[id as usize];
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(options: &GenerationOptions, seen: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; 5];
        for i in 0..1000 {
            let mut logits = [0.0, 1.0, 2.0, 3.0, -1.0].to_vec();
            let id = choose(&mut logits, options, seen.iter().copied(), f64::from(i) / 1000.0).unwrap();
            counts[id as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_likeliest_and_the_lower_of_equals() {
        let options = GenerationOptions::default();
        assert_eq!(choose(&mut [1.0, 3.0, 3.0], &options, std::iter::empty(), 0.9), Some(1));
        let limited = GenerationOptions { vocab_limit: Some(1), ..options.clone() };
        assert_eq!(choose(&mut [1.0, 3.0, 3.0], &limited, std::iter::empty(), 0.9), Some(0));
        assert_eq!(choose(&mut [1.0, f32::NAN], &options, std::iter::empty(), 0.0), None);
    }

    #[test]
    fn draws_follow_the_softmax() {
        let counts = sampled(&GenerationOptions { temperature: 1.0, ..Default::default() }, &[]);
        // softmax([0, 1, 2, 3, -1]) by NumPy 2.4.6.
        for (count, expected) in counts.iter().zip([31.685, 86.129, 234.122, 636.409, 11.656]) {
            assert!((*count as f64 - expected).abs() <= 1.0, "{counts:?}");
        }
    }

    #[test]
    fn top_k_top_p_and_penalty_cut_what_they_say() {
        let base = GenerationOptions { temperature: 1.0, ..Default::default() };
        let counts = sampled(&GenerationOptions { top_k: 2, ..base.clone() }, &[]);
        assert!(counts[0] == 0 && counts[1] == 0 && counts[2] > 0 && counts[4] == 0, "{counts:?}");
        let counts = sampled(&GenerationOptions { top_p: 0.6, ..base.clone() }, &[]);
        assert_eq!(counts, [0, 0, 0, 1000, 0]);
        let counts = sampled(&GenerationOptions { top_p: 0.64, ..base.clone() }, &[]);
        assert!(counts[2] > 0 && counts[1] == 0, "{counts:?}");
        let penalty = GenerationOptions { repetition_penalty: 2.0, ..GenerationOptions::default() };
        assert_eq!(sampled(&penalty, &[3, 3])[2], 1000);
    }
}
