//! The demo's dataset: tool-calling conversations in OpenAI's `messages`/`tools` shape.
//!
//! In: a seed and sizes. Out: a training and an evaluation split whose tools come from different
//! domains, so that no tool name, parameter name or description occurs in both. It does not know
//! the base model, chat templates or tokens.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::conversation::{
    assistant, assistant_calls, draw_result, refusal, small_talk, system, tool_result, user,
};
use crate::domains::{DOMAINS, Domain};
use crate::kind::Kind;
use crate::request::word_request;
use crate::rng::Rng;
use crate::tool::{Call, Tool};

/// How many of the domains are kept for evaluation, in percent.
const EVAL_DOMAINS_PERCENT: usize = 30;

/// How many conversations to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoSizes {
    /// Conversations to tune on.
    pub train: usize,
    /// Conversations to score on.
    pub eval: usize,
}

/// The two splits, each a list of records `{"messages": [...], "tools": [...]}`.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoDataset {
    /// Conversations to tune on.
    pub train: Vec<Json>,
    /// Conversations to score on; none of their tools occurs in `train`.
    pub eval: Vec<Json>,
}

/// Makes the demo's dataset. The same seed and sizes give the same bytes everywhere.
#[must_use]
pub fn demo_dataset(seed: u64, sizes: DemoSizes) -> DemoDataset {
    let (train_domains, eval_domains) = split_domains(seed);
    let make = |domains: &[&Domain], count: usize, stream: u64| {
        let mut rng = Rng::new(seed, stream);
        (0..count).map(|_| conversation(domains, &mut rng)).collect()
    };
    DemoDataset { train: make(&train_domains, sizes.train, 2), eval: make(&eval_domains, sizes.eval, 3) }
}

/// Deals the domains out by `seed`; those with a nested object apart, so that both sides have some.
fn split_domains(seed: u64) -> (Vec<&'static Domain>, Vec<&'static Domain>) {
    let mut rng = Rng::new(seed, 1);
    let nested = |domain: &&Domain| domain.params.iter().any(|(_, kind)| matches!(kind, Kind::Object(_)));
    let (mut train, mut eval) = (Vec::new(), Vec::new());
    let (nested, flat): (Vec<_>, Vec<_>) = DOMAINS.iter().partition(nested);
    for mut domains in [nested, flat] {
        rng.shuffle(&mut domains);
        let kept = domains.len() * EVAL_DOMAINS_PERCENT / 100;
        eval.extend(domains.drain(..kept));
        train.append(&mut domains);
    }
    (train, eval)
}

/// One conversation over tools of `domains`.
fn conversation(domains: &[&Domain], rng: &mut Rng) -> Json {
    let count = 1 + rng.weighted(&[34, 41, 22, 3]);
    let tools = offer_tools(domains, count, rng);
    let mut messages = vec![system(rng)];
    match rng.weighted(&[50, 18, 14, 6, 12]) {
        0 => ask(&tools, 1, &mut messages, 1, rng),
        1 => {
            let calls = if rng.chance(80) { 2 } else { 3 };
            ask(&tools, calls, &mut messages, 1, rng);
        }
        2 => {
            let other = unoffered_tool(domains, &tools, rng);
            let request = word_request(&[other.draw_call(rng)], rng);
            messages.push(user(&request));
            messages.push(assistant(&refusal(&other)));
        }
        3 => {
            let (remark, answer) = small_talk(rng);
            messages.push(user(remark));
            messages.push(assistant(answer));
        }
        _ => {
            let calls = if rng.chance(75) { 1 } else { 2 };
            let asked = ask_and_report(&tools, calls, &mut messages, rng);
            if rng.chance(35) {
                ask(&tools, 1, &mut messages, asked + 1, rng);
            }
        }
    }
    let tools: Vec<Json> = tools.iter().map(Tool::definition).collect();
    json!({"messages": messages, "tools": tools})
}

/// `count` tools of different names, now and then two of one domain.
fn offer_tools(domains: &[&Domain], count: usize, rng: &mut Rng) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    let mut names = BTreeSet::new();
    let mut domain = *rng.pick(domains);
    while tools.len() < count {
        if rng.chance(65) {
            domain = *rng.pick(domains);
        }
        let tool = Tool::of_domain(domain, rng);
        if names.insert(tool.name()) {
            tools.push(tool);
        }
    }
    tools
}

/// A tool of `domains` that is not among `tools`.
fn unoffered_tool(domains: &[&Domain], tools: &[Tool], rng: &mut Rng) -> Tool {
    loop {
        let domain = *rng.pick(domains);
        let tool = Tool::of_domain(domain, rng);
        if tools.iter().all(|offered| offered.noun != tool.noun) {
            return tool;
        }
    }
}

/// Draws `count` calls, each of another tool where there are enough.
fn draw_calls(tools: &[Tool], count: usize, rng: &mut Rng) -> Vec<Call> {
    let mut order = rng.sample(tools, tools.len());
    while order.len() < count {
        order.push(rng.pick(tools).clone());
    }
    order.iter().take(count).map(|tool| tool.draw_call(rng)).collect()
}

fn typed(calls: &[Call]) -> Vec<(String, Map<String, Json>)> {
    calls.iter().map(|call| (call.tool.name(), call.arguments())).collect()
}

/// A request for `count` calls, and the turn that makes them.
fn ask(tools: &[Tool], count: usize, messages: &mut Vec<Json>, first_id: usize, rng: &mut Rng) {
    let calls = draw_calls(tools, count, rng);
    messages.push(user(&word_request(&calls, rng)));
    messages.push(assistant_calls(&typed(&calls), first_id));
}

/// The same, with the results and an answer that reports them; returns how many calls were made.
fn ask_and_report(tools: &[Tool], count: usize, messages: &mut Vec<Json>, rng: &mut Rng) -> usize {
    let calls = draw_calls(tools, count, rng);
    messages.push(user(&word_request(&calls, rng)));
    messages.push(assistant_calls(&typed(&calls), 1));
    let mut answers = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let (result, answer) = draw_result(&call.tool, rng);
        messages.push(tool_result(index + 1, &result));
        answers.push(answer);
    }
    messages.push(assistant(&answers.join(" ")));
    calls.len()
}
