//! Every objective against TRL's numbers (benches/peers/preference.py) and its weights against differences.

use serde_json::Value;

use super::*;

const GOLDEN: &str = include_str!("../../tests/golden/preference.json");

fn answers(of: &Value) -> Answers {
    let answer = |tokens: &Value| {
        let tokens: Vec<f64> = tokens.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        Answer { logprob: tokens.iter().sum(), tokens: tokens.len() }
    };
    Answers { chosen: answer(&of[0]), rejected: answer(&of[1]) }
}

fn objective(case: &Value) -> Objective {
    let options = &case["options"];
    let beta = options["beta"].as_f64().unwrap();
    if case["objective"] == "orpo" {
        return Objective::Orpo(OrpoOptions { beta });
    }
    let loss_type = if options["loss_type"] == "ipo" { DpoLoss::Ipo } else { DpoLoss::Sigmoid };
    let label_smoothing = options["label_smoothing"].as_f64().unwrap();
    Objective::Dpo(DpoOptions { beta, label_smoothing, loss_type })
}

fn assert_close(found: f64, expected: f64, what: &str, case: &Value) {
    let scale = expected.abs().max(1e-3);
    assert!((found - expected).abs() <= 1e-9 * scale, "{what}: {found} is not {expected}\n{case}");
}

#[test]
fn losses_rewards_and_gradients_are_those_of_trl() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let found = objective(case).pair_loss(&answers(&case["logprobs"]), &answers(&case["reference"]));
        let expected = |key: &str, side: usize| case[key][side].as_f64().unwrap();
        assert_close(found.loss, case["loss"].as_f64().unwrap(), "loss", case);
        assert_close(found.chosen_reward, expected("rewards", 0), "reward", case);
        assert_close(found.rejected_reward, expected("rewards", 1), "reward", case);
        assert_close(-found.chosen_weight, expected("gradients", 0), "gradient", case);
        assert_close(-found.rejected_weight, expected("gradients", 1), "gradient", case);
    }
}

#[test]
fn weights_are_the_slopes_of_the_loss() {
    const STEP: f64 = 1e-6;
    let reference = Answers {
        chosen: Answer { logprob: -7.0, tokens: 4 },
        rejected: Answer { logprob: -5.0, tokens: 3 },
    };
    let dpo =
        |label_smoothing, loss_type| Objective::Dpo(DpoOptions { beta: 0.3, label_smoothing, loss_type });
    let objectives = [
        dpo(0.0, DpoLoss::Sigmoid),
        dpo(0.1, DpoLoss::Sigmoid),
        dpo(0.0, DpoLoss::Ipo),
        Objective::Orpo(OrpoOptions { beta: 0.4 }),
    ];
    for objective in objectives {
        for (chosen, rejected) in [(-6.0, -5.5), (-0.4, -20.0), (-30.0, -0.3)] {
            // One token's log-probability moves the sum as much as its own.
            let at = |chosen, rejected| {
                let policy = Answers {
                    chosen: Answer { logprob: chosen, ..reference.chosen },
                    rejected: Answer { logprob: rejected, ..reference.rejected },
                };
                objective.pair_loss(&policy, &reference)
            };
            let slope = |up: PairLoss, down: PairLoss| (up.loss - down.loss) / (2.0 * STEP);
            let found = at(chosen, rejected);
            let by_chosen = -slope(at(chosen + STEP, rejected), at(chosen - STEP, rejected));
            let by_rejected = -slope(at(chosen, rejected + STEP), at(chosen, rejected - STEP));
            for (weight, difference) in
                [(found.chosen_weight, by_chosen), (found.rejected_weight, by_rejected)]
            {
                let near = (weight - difference).abs() <= 1e-6 * (1.0 + difference.abs());
                assert!(near, "{objective:?} at {chosen}, {rejected}: {weight} is not {difference}");
            }
        }
    }
}

#[test]
fn a_pair_that_moved_nowhere_costs_what_a_coin_does() {
    let same = Answers {
        chosen: Answer { logprob: -3.0, tokens: 2 },
        rejected: Answer { logprob: -9.0, tokens: 4 },
    };
    let found = Objective::Dpo(DpoOptions::default()).pair_loss(&same, &same);
    assert!((found.loss - 2f64.ln()).abs() < 1e-12);
    assert_eq!((found.chosen_reward, found.rejected_reward), (0.0, 0.0));
    assert_eq!((found.chosen_weight, found.rejected_weight), (0.05, -0.05));
}

#[test]
fn answers_that_are_certain_or_far_apart_have_finite_losses() {
    let answer = |logprob| Answer { logprob, tokens: 2 };
    let reference = Answers { chosen: answer(-1.0), rejected: answer(-1.0) };
    for objective in [Objective::Dpo(DpoOptions::default()), Objective::Orpo(OrpoOptions::default())] {
        for (chosen, rejected) in [(0.0, -1.0), (-1.0, -1e-6), (-1e4, -1e4), (-1e5, -1.0), (-1.0, -1e5)] {
            let policy = Answers { chosen: answer(chosen), rejected: answer(rejected) };
            let PairLoss { loss, chosen_weight, rejected_weight, .. } =
                objective.pair_loss(&policy, &reference);
            let finite = [loss, chosen_weight, rejected_weight].iter().all(|x| x.is_finite());
            assert!(
                finite,
                "{objective:?} at {chosen}, {rejected}: {loss} {chosen_weight} {rejected_weight}"
            );
        }
    }
}
