use proptest::prelude::*;

use super::*;

fn options(max_tokens: usize, min_shared_tokens: usize) -> LayoutOptions {
    LayoutOptions { max_tokens, share_prefixes: true, min_shared_tokens }
}

fn all_trained(ids: &[u32]) -> Sample {
    Sample::new(ids.to_vec(), ids.iter().map(|&id| i32::try_from(id).unwrap()).collect()).unwrap()
}

fn step_of(data: &[(Vec<u32>, Vec<i32>)]) -> Vec<Sample> {
    data.iter().map(|(ids, labels)| Sample::new(ids.clone(), labels.clone()).unwrap()).collect()
}

fn lay(samples: &[Sample], options: &LayoutOptions) -> Result<Vec<TokenRun>, BatchError> {
    lay_out(&samples.iter().collect::<Vec<_>>(), options)
}

#[test]
fn a_shared_prefix_stands_once_and_samples_branch_from_it() {
    // The last id is only ever a target, so each sample needs one row less than it has ids.
    let samples =
        [all_trained(&[1, 2, 3, 4, 9]), all_trained(&[1, 2, 3, 5, 6, 9]), all_trained(&[1, 2, 7, 9])];
    let runs = lay(&samples, &options(100, 1)).unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!(run.input_ids, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(run.position_ids, [0, 1, 2, 3, 3, 4, 2]);
    let segments: Vec<_> = run.segments.iter().map(|s| (s.start, s.len, s.parent)).collect();
    assert_eq!(segments, [(0, 2, None), (2, 1, Some(0)), (3, 1, Some(1)), (4, 2, Some(1)), (6, 1, Some(0))]);
    // The first token of each branch is a target of the last row of the parent.
    let at_row_two: Vec<_> = run.targets.iter().filter(|t| t.row == 2).map(|t| (t.token, t.sample)).collect();
    assert_eq!(at_row_two, [(4, 0), (5, 1)]);
}

#[test]
fn a_segment_is_not_split_for_a_few_tokens() {
    let samples = [all_trained(&[1, 2, 3, 4, 5, 6]), all_trained(&[1, 2, 3, 7, 8, 9])];
    let run = |min| lay(&samples, &options(100, min)).unwrap().remove(0);
    assert_eq!(run(3).segments.len(), 3);
    assert_eq!(run(3).input_ids.len(), 7);
    assert_eq!(run(4).segments.len(), 2);
    assert_eq!(run(4).input_ids.len(), 10);
}

#[test]
fn what_trains_nothing_is_not_computed() {
    let nothing = [IGNORE_INDEX; 5];
    let only_first = [1, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX];
    let middle = [IGNORE_INDEX, IGNORE_INDEX, 3, IGNORE_INDEX, IGNORE_INDEX];
    let runs = |labels: [i32; 5]| {
        let sample = Sample::new(vec![1, 2, 3, 4, 5], labels.to_vec()).unwrap();
        lay(&[sample], &options(100, 1)).unwrap()
    };
    assert!(runs(nothing).is_empty());
    assert!(runs(only_first).is_empty());
    assert_eq!(runs(middle)[0].input_ids, [1, 2]);
}

#[test]
fn a_sample_longer_than_a_run_is_refused() {
    let samples = [all_trained(&[1, 2, 3, 4, 5])];
    assert!(lay(&samples, &options(4, 1)).is_ok());
    let error = lay(&samples, &options(3, 1)).unwrap_err();
    assert_eq!(error, BatchError::TooLong { sample: 0, tokens: 4, max_tokens: 3 });
}

#[test]
fn labels_are_checked_at_the_door() {
    assert!(matches!(
        Sample::new(vec![1, 2], vec![1]),
        Err(BatchError::LengthMismatch { input_ids: 2, labels: 1 })
    ));
    assert!(matches!(
        Sample::new(vec![1, 2], vec![1, -1]),
        Err(BatchError::BadLabel { position: 1, label: -1 })
    ));
}

/// Samples that share prefixes often: short sequences over three ids, cut from a few stems.
fn samples() -> impl Strategy<Value = Vec<(Vec<u32>, Vec<i32>)>> {
    let ids = proptest::collection::vec(0_u32..3, 1..24);
    let sample = ids.prop_flat_map(|ids| {
        let len = ids.len();
        // A label may differ from its id: some recipes train another token at a position.
        let labels = proptest::collection::vec(prop_oneof![Just(IGNORE_INDEX), 0_i32..4], len);
        (Just(ids), labels)
    });
    proptest::collection::vec(sample, 0..12)
}

proptest! {
    #[test]
    fn unfolding_gives_back_every_sample(
        data in samples(), max_tokens in 23_usize..80, min_shared_tokens in 0_usize..6, share_prefixes: bool,
    ) {
        let step = step_of(&data);
        let runs = lay(&step, &LayoutOptions { max_tokens, share_prefixes, min_shared_tokens }).unwrap();
        let mut seen = vec![0; step.len()];
        for run in &runs {
            prop_assert!(run.input_ids.len() <= max_tokens);
            prop_assert_eq!(run.input_ids.len(), run.position_ids.len());
            // The segments cover the run in order, none empty, each after its parent.
            let mut next = 0;
            for (index, segment) in run.segments.iter().enumerate() {
                prop_assert_eq!(segment.start, next);
                prop_assert!(segment.len > 0);
                prop_assert!(segment.parent.is_none_or(|parent| parent < index));
                next += segment.len;
            }
            prop_assert_eq!(next, run.input_ids.len());
            let mut targets = 0;
            for branch in &run.branches {
                seen[branch.sample] += 1;
                let rows = run.rows(branch);
                let ids: Vec<u32> = rows.iter().map(|&row| run.input_ids[row]).collect();
                prop_assert_eq!(&ids, step[branch.sample].needed_ids());
                for (position, &row) in rows.iter().enumerate() {
                    prop_assert_eq!(run.position_ids[row] as usize, position);
                }
                let mut found = Vec::new();
                for target in run.targets.iter().filter(|target| target.sample == branch.sample) {
                    prop_assert_eq!(rows[target.position - 1], target.row as usize);
                    found.push((target.position - 1, target.token, target.weight));
                }
                let expected: Vec<_> = step[branch.sample].targets().collect();
                prop_assert_eq!(&found, &expected);
                targets += found.len();
            }
            prop_assert_eq!(targets, run.targets.len());
        }
        for (sample, count) in step.iter().zip(seen) {
            prop_assert_eq!(count, usize::from(sample.trained_tokens() > 0));
        }
    }

    #[test]
    fn sharing_computes_each_prefix_once(data in samples()) {
        let step = step_of(&data);
        let runs = lay(&step, &options(10_000, 1)).unwrap();
        let mut prefixes = std::collections::BTreeSet::new();
        for sample in step.iter().filter(|sample| sample.trained_tokens() > 0) {
            prefixes.extend((1..=sample.needed_ids().len()).map(|len| &sample.needed_ids()[..len]));
        }
        let computed: usize = runs.iter().map(|run| run.input_ids.len()).sum();
        prop_assert_eq!(computed, prefixes.len());
    }

    #[test]
    fn the_same_samples_give_the_same_runs(data in samples()) {
        let step = step_of(&data);
        prop_assert_eq!(lay(&step, &options(40, 2)).unwrap(), lay(&step, &options(40, 2)).unwrap());
    }
}
