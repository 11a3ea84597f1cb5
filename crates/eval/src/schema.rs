//! Whether a call's arguments are what its tool takes.
//!
//! In: a call and the tools offered. Out: a [`Validity`]. Schemas are read as JSON Schema; nothing is fetched.

use toolsmith_chat::check::{Schemas, Verdict};
use toolsmith_chat::data::{ToolCall, ToolSpec};

/// What the schema says about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// The tool is offered and its schema accepts the arguments.
    Valid,
    /// The tool is not offered, or its schema refuses the arguments.
    Invalid,
    /// The tool's schema is itself no JSON Schema, so that nothing can be said.
    Unknown,
}

/// Checks a call against the schema of its tool. A tool without a schema takes any object.
pub fn validate(call: &ToolCall, tools: &[ToolSpec]) -> Validity {
    let Some(tool) = tools.iter().find(|tool| tool.name() == Some(call.name.as_str())) else {
        return Validity::Invalid;
    };
    match Schemas::default().verdict(tool.parameters(), &call.arguments) {
        Verdict::Valid => Validity::Valid,
        Verdict::Invalid(_) => Validity::Invalid,
        Verdict::Unknown(_) => Validity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tools() -> Vec<ToolSpec> {
        let parameters = json!({
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
        });
        vec![
            ToolSpec::function("weather", "", parameters),
            ToolSpec::new(json!({"name": "now"})),
            ToolSpec::function("broken", "", json!({"type": "no such type"})),
            ToolSpec::function("remote", "", json!({"$ref": "https://example.invalid/schema.json"})),
        ]
    }

    #[test]
    fn arguments_are_checked_against_the_tool_that_is_called() {
        use Validity::{Invalid, Unknown, Valid};
        let cases = [
            ("weather", json!({"city": "Oslo", "days": 2}), Valid),
            ("weather", json!({"city": "Oslo", "days": 2.0}), Valid),
            ("weather", json!({"city": "Oslo", "days": 0}), Invalid),
            ("weather", json!({"days": 2}), Invalid),
            ("weather", json!("Oslo"), Invalid),
            ("now", json!({}), Valid),
            ("now", json!([]), Invalid),
            ("other", json!({}), Invalid),
            ("broken", json!({}), Unknown),
            ("remote", json!({}), Unknown),
        ];
        for (name, arguments, expected) in cases {
            assert_eq!(
                validate(&ToolCall::new(name, arguments.clone()), &tools()),
                expected,
                "{name} {arguments}"
            );
        }
    }
}
