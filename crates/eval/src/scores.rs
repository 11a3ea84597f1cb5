//! Many turns, added up.
//!
//! In: [`TurnScore`]s. Out: [`Scores`], which serialize to the command line's `eval` object.

use serde::Serialize;
use toolsmith_chat::data::{ToolCall, ToolSpec};
use toolsmith_chat::template::AssistantTurn;

use crate::score::{TurnScore, score_turn};

/// Adds up turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scorer {
    turns: usize,
    turns_with_calls: usize,
    names_right: usize,
    exactly_right: usize,
    made_calls: usize,
    valid_calls: usize,
    unknown_calls: usize,
    spurious_calls: usize,
    missed_calls: usize,
    malformed_calls: usize,
}

/// The scores of many turns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Scores {
    /// Turns scored.
    pub turns: usize,
    /// Those whose reference makes calls.
    pub turns_with_calls: usize,
    /// Of the turns whose reference makes calls, the share whose names are right; null where there are none.
    pub name_accuracy: Option<f64>,
    /// Of the turns whose reference makes calls, the share whose calls are exactly right; null where there are none.
    pub exact_accuracy: Option<f64>,
    /// Of the generated calls, the share whose arguments fit the schema of an offered tool; null where there are none.
    /// Calls of a tool whose schema cannot be read are left out.
    pub schema_valid: Option<f64>,
    /// Turns that make a call where the reference makes none.
    pub spurious_calls: usize,
    /// Turns that make no call where the reference makes one.
    pub missed_calls: usize,
    /// Generated calls that could not be read.
    pub malformed_calls: usize,
    /// Generated calls that could be read.
    pub made_calls: usize,
    /// Generated calls of a tool whose schema is no JSON Schema.
    pub unknown_calls: usize,
}

impl Scorer {
    /// Scores a turn and adds it.
    pub fn score(
        &mut self,
        reference: &[ToolCall],
        generated: &AssistantTurn,
        tools: &[ToolSpec],
    ) -> TurnScore {
        let score = score_turn(reference, generated, tools);
        self.add(&score);
        score
    }

    /// Adds a scored turn.
    pub fn add(&mut self, turn: &TurnScore) {
        let expected = turn.expected_calls > 0;
        self.turns += 1;
        self.turns_with_calls += usize::from(expected);
        self.names_right += usize::from(expected && turn.names_right);
        self.exactly_right += usize::from(expected && turn.exactly_right);
        self.made_calls += turn.made_calls;
        self.valid_calls += turn.valid_calls;
        self.unknown_calls += turn.unknown_calls;
        self.spurious_calls += usize::from(turn.is_spurious());
        self.missed_calls += usize::from(turn.is_missed());
        self.malformed_calls += turn.malformed_calls;
    }

    /// Adds what another scorer counted.
    pub fn merge(&mut self, other: &Self) {
        self.turns += other.turns;
        self.turns_with_calls += other.turns_with_calls;
        self.names_right += other.names_right;
        self.exactly_right += other.exactly_right;
        self.made_calls += other.made_calls;
        self.valid_calls += other.valid_calls;
        self.unknown_calls += other.unknown_calls;
        self.spurious_calls += other.spurious_calls;
        self.missed_calls += other.missed_calls;
        self.malformed_calls += other.malformed_calls;
    }

    /// The scores so far.
    pub fn scores(&self) -> Scores {
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        Scores {
            turns: self.turns,
            turns_with_calls: self.turns_with_calls,
            name_accuracy: share(self.names_right, self.turns_with_calls),
            exact_accuracy: share(self.exactly_right, self.turns_with_calls),
            schema_valid: share(self.valid_calls, self.made_calls - self.unknown_calls),
            spurious_calls: self.spurious_calls,
            missed_calls: self.missed_calls,
            malformed_calls: self.malformed_calls,
            made_calls: self.made_calls,
            unknown_calls: self.unknown_calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_over_the_turns_that_should_call() {
        let tools = [ToolSpec::function("f", "", json!({"type": "object", "required": ["x"]}))];
        let turn = |arguments: Option<toolsmith_chat::Json>| AssistantTurn {
            tool_calls: arguments.into_iter().map(|a| ToolCall::new("f", a)).collect(),
            ..AssistantTurn::default()
        };
        let reference = [ToolCall::new("f", json!({"x": 1}))];
        let mut scorer = Scorer::default();
        scorer.score(&reference, &turn(Some(json!({"x": 1}))), &tools);
        scorer.score(&reference, &turn(Some(json!({}))), &tools);
        scorer.score(&reference, &turn(None), &tools);
        scorer.score(&[], &turn(None), &tools);
        let mut other = Scorer::default();
        other.score(&[], &turn(Some(json!({"x": 2}))), &tools);
        scorer.merge(&other);
        let expected = json!({
            "turns": 5, "turns_with_calls": 3, "name_accuracy": 2.0 / 3.0, "exact_accuracy": 1.0 / 3.0,
            "schema_valid": 2.0 / 3.0, "spurious_calls": 1, "missed_calls": 1, "malformed_calls": 0,
            "made_calls": 3, "unknown_calls": 0,
        });
        assert_eq!(serde_json::to_value(scorer.scores()).unwrap(), expected);
    }

    #[test]
    fn nothing_scored_has_no_shares() {
        let scores = Scorer::default().scores();
        assert_eq!((scores.name_accuracy, scores.exact_accuracy, scores.schema_valid), (None, None, None));
    }
}
