//! One turn, scored.
//!
//! In: the calls a turn should make and what was generated. Out: a [`TurnScore`].

use serde::Serialize;
use toolsmith_chat::data::{ToolCall, ToolSpec};
use toolsmith_chat::json::equal_by_value;
use toolsmith_chat::template::AssistantTurn;

use crate::schema::{Validity, validate};

/// How one generated turn compares with its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TurnScore {
    /// Calls that the reference makes.
    pub expected_calls: usize,
    /// Well-formed calls that were generated.
    pub made_calls: usize,
    /// Whether the names called are those of the reference, each as often, in any order, and nothing was malformed.
    pub names_right: bool,
    /// Whether the calls are those of the reference: names, and arguments compared as JSON with numbers by value.
    pub exactly_right: bool,
    /// Generated calls that fit the schema of an offered tool.
    pub valid_calls: usize,
    /// Generated calls whose tool has a schema that is no JSON Schema.
    pub unknown_calls: usize,
    /// What looked like a call but could not be read.
    pub malformed_calls: usize,
}

impl TurnScore {
    /// Whether a call was made though none was expected.
    pub fn is_spurious(&self) -> bool {
        self.expected_calls == 0 && self.made_calls > 0
    }

    /// Whether no call was made though one was expected.
    pub fn is_missed(&self) -> bool {
        self.expected_calls > 0 && self.made_calls == 0
    }
}

/// Compares a generated turn with the calls its reference makes.
pub fn score_turn(reference: &[ToolCall], generated: &AssistantTurn, tools: &[ToolSpec]) -> TurnScore {
    let made = &generated.tool_calls;
    let clean = generated.malformed.is_empty();
    let same_name = |a: &ToolCall, b: &ToolCall| a.name == b.name;
    let same_call =
        |a: &ToolCall, b: &ToolCall| same_name(a, b) && equal_by_value(&a.arguments, &b.arguments);
    let verdicts: Vec<_> = made.iter().map(|call| validate(call, tools)).collect();
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    TurnScore {
        expected_calls: reference.len(),
        made_calls: made.len(),
        names_right: clean && same_multiset(reference, made, same_name),
        exactly_right: clean && same_multiset(reference, made, same_call),
        valid_calls: count(Validity::Valid),
        unknown_calls: count(Validity::Unknown),
        malformed_calls: generated.malformed.len(),
    }
}

/// Whether each call of one list has a partner of its own in the other.
fn same_multiset(a: &[ToolCall], b: &[ToolCall], same: impl Fn(&ToolCall, &ToolCall) -> bool) -> bool {
    let mut left: Vec<&ToolCall> = b.iter().collect();
    a.len() == b.len()
        && a.iter().all(|call| {
            let partner = left.iter().position(|other| same(call, other));
            partner.map(|at| left.swap_remove(at)).is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use toolsmith_chat::template::MalformedToolCall;

    fn call(name: &str, arguments: Value) -> ToolCall {
        ToolCall::new(name, arguments)
    }

    fn turn(tool_calls: Vec<ToolCall>) -> AssistantTurn {
        AssistantTurn { tool_calls, ..AssistantTurn::default() }
    }

    #[test]
    fn order_does_not_count_but_multiplicity_does() {
        let (a, b) = (call("f", json!({"x": 1})), call("g", json!({})));
        let reference = [a.clone(), b.clone(), a.clone()];
        let score = |made: Vec<ToolCall>| score_turn(&reference, &turn(made), &[]);
        assert!(score(vec![b.clone(), a.clone(), a.clone()]).exactly_right);
        let twice_g = score(vec![b.clone(), a.clone(), b.clone()]);
        assert!(!twice_g.exactly_right && !twice_g.names_right);
        assert!(!score(vec![a.clone(), b.clone()]).names_right);
        let other_arguments = score(vec![a.clone(), b, call("f", json!({"x": 2}))]);
        assert!(other_arguments.names_right && !other_arguments.exactly_right);
    }

    #[test]
    fn arguments_are_compared_as_json() {
        let reference = [call("f", json!({"x": 1, "y": [1.5, null]}))];
        let exact = |arguments| score_turn(&reference, &turn(vec![call("f", arguments)]), &[]).exactly_right;
        assert!(exact(json!({"y": [1.5, null], "x": 1.0})));
        assert!(!exact(json!({"y": [null, 1.5], "x": 1})));
        assert!(!exact(json!({"y": [1.5, null], "x": "1"})));
        assert!(!exact(json!({"y": [1.5, null], "x": 1, "z": null})));
    }

    #[test]
    fn a_malformed_call_beside_the_right_one_spoils_the_turn() {
        let reference = [call("f", json!({}))];
        let mut generated = turn(reference.to_vec());
        generated.malformed.push(MalformedToolCall { raw_text: "<tool_call>".into(), error: "".into() });
        let score = score_turn(&reference, &generated, &[]);
        assert!(!score.names_right && !score.exactly_right);
        assert_eq!(score.malformed_calls, 1);
    }

    #[test]
    fn spurious_and_missed_are_told_apart() {
        let one = [call("f", json!({}))];
        assert!(score_turn(&[], &turn(one.to_vec()), &[]).is_spurious());
        assert!(score_turn(&one, &turn(Vec::new()), &[]).is_missed());
        let quiet = score_turn(&[], &turn(Vec::new()), &[]);
        assert!(!quiet.is_spurious() && !quiet.is_missed());
    }
}
