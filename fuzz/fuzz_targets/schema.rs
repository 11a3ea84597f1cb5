//! Calls checked against the schema of their tool, whatever it says; and scored.
//!
//! Input: the schema as JSON text, a zero byte, the arguments.
#![no_main]

use toolsmith_chat::data::{ToolCall, ToolSpec};
use toolsmith_chat::template::AssistantTurn;
use toolsmith_eval::{score_turn, validate};
use toolsmith_fuzz::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let mut part = || serde_json::from_slice(parts.next().unwrap_or_default()).ok();
    let Some(schema) = part() else { return };
    let arguments = part().unwrap_or_else(|| serde_json::json!({}));
    let call = ToolCall::new("f", arguments);
    let tools = [ToolSpec::function("f", "", schema)];
    let _validity = validate(&call, &tools);
    let turn = AssistantTurn { tool_calls: vec![call.clone()], ..AssistantTurn::default() };
    let _score = score_turn(&[call], &turn, &tools);
});
