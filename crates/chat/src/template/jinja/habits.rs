//! How a template writes turns, told by letting it write a few.
//!
//! In: a compiled template and the names of the control tokens. Out: [`Habits`]: what ends an answer, who writes it,
//! whether earlier turns are written in another way later on, what shape arguments must have.

use super::Engine;
use super::context::{Plain, Shape, variables};
use super::text_of;
use crate::data::{Conversation, Message, ToolCall, ToolSpec};
use crate::json::JsonMap;
use crate::template::RenderOptions;
use minijinja::value::Value;

/// What a template does with every conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Habits {
    pub(super) shape: Shape,
    /// The control token that ends an answer in text, where there is one.
    pub(super) stop: Option<String>,
    /// The one that ends an answer with calls.
    pub(super) stop_after_call: Option<String>,
    /// Whether the template writes it with the answer, and not with what comes next.
    pub(super) writes_stop: bool,
    /// What the generation prompt adds.
    pub(super) prompt: String,
    /// The control token that an answer begins with.
    pub(super) header: Option<String>,
    /// Whether a later user message changes how earlier turns are written.
    pub(super) rewrites_history: bool,
    /// Whether the generation prompt opens the thoughts, so that an answer begins inside them.
    pub(super) opens_thoughts: bool,
}

const ASKED: &str = "Qzx";
const SAID: &str = "Wvj";
const AGAIN: &str = "Kpf";

/// Lets a template write; what it refuses stays `None`.
struct Probe<'a> {
    engine: &'a Engine,
    fixed: &'a [(String, Value)],
    shape: Shape,
}

impl Probe<'_> {
    fn text(&self, conversation: &Conversation, prompt: bool) -> Option<String> {
        let options = RenderOptions { add_generation_prompt: prompt, ..RenderOptions::PLAIN };
        let variables = variables(conversation, self.shape, &mut Plain).ok()?;
        let rendered =
            self.engine.render(super::bind(&variables.messages, &variables.tools, &options, self.fixed));
        Some(text_of(&rendered.ok()?))
    }

    /// The first of these conversations that the template takes.
    fn first<'c>(
        &self,
        conversations: &'c [Conversation],
        prompt: bool,
    ) -> Option<(&'c Conversation, String)> {
        conversations.iter().find_map(|conversation| Some((conversation, self.text(conversation, prompt)?)))
    }
}

/// Tells a template's habits. `fixed` are the variables that every render gets.
pub(super) fn habits(
    engine: &Engine,
    source: &str,
    fixed: &[(String, Value)],
    added_tokens: &[String],
    eos: Option<&str>,
) -> Habits {
    let controls = Controls { names: added_tokens, eos };
    let mut probe = Probe { engine, fixed, shape: Shape::of(source) };
    let tool = ToolSpec::function("lookup", "Looks it up.", crate::json::Json::Object(schema()));
    let with = |messages: Vec<Message>| {
        [Conversation::new(messages.clone()), Conversation::with_tools(vec![tool.clone()], messages)]
    };
    // Some templates need a content beside calls, others none.
    let with_calls = |after: &[Message]| {
        let calls =
            [None, Some(String::new())].map(|content| Message { content, ..Message::calls(vec![call()]) });
        let whole = calls.map(|calls| [&[Message::user(ASKED), calls], after].concat());
        whole.into_iter().flat_map(with).collect::<Vec<_>>()
    };
    let exchange = [Message::user(ASKED), Message::assistant(SAID)];

    if probe.shape == Shape::OpenAi {
        let called = with_calls(&[result()]);
        let as_text = |probe: &Probe<'_>| probe.first(&called, false);
        if as_text(&probe).is_none_or(|(_, text)| text.contains("{'key': 'Wvj'}")) {
            probe.shape = Shape::OpenAiTextArguments;
            if as_text(&probe).is_none() {
                probe.shape = Shape::OpenAi;
            }
        }
    }

    let alone = probe.first(&with(exchange.to_vec()), false).map(|(_, text)| text);
    let own = alone.as_deref().and_then(|text| controls.first(after(text, SAID)));
    let followed = exchange.iter().cloned().chain([Message::user(AGAIN)]).collect::<Vec<_>>();
    let followed = probe.first(&with(followed), false).map(|(_, text)| text);
    let next = followed.as_deref().and_then(|text| controls.first(before(after(text, SAID), AGAIN)));
    let writes_stop = own.is_some();
    let stop = own.or(next).or_else(|| eos.map(str::to_owned));

    let called = with_calls(&[result(), Message::assistant(AGAIN)]);
    let called = probe.first(&called, false).map(|(_, text)| text);
    let tail = called.as_deref().map(|text| before(after(text, SAID), AGAIN));
    let stop_after_call = match (tail, &stop) {
        (Some(tail), Some(stop)) if tail.contains(stop.as_str()) => Some(stop.clone()),
        (Some(tail), _) if tail.len() < called.as_ref().map_or(0, String::len) => controls.first(tail),
        _ => None,
    };

    let asked = with(vec![Message::user(ASKED)]);
    let prompt = match (probe.first(&asked, false), probe.first(&asked, true)) {
        (Some((_, plain)), Some((_, prompt))) => {
            prompt.strip_prefix(plain.as_str()).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    let header = controls.first(&prompt);
    let opens_thoughts = prompt.trim_end().ends_with("<think>");
    let stop_after_call = stop_after_call.or_else(|| stop.clone());
    let rewrites_history = rewrites_history(&probe, &tool);
    Habits {
        shape: probe.shape,
        stop,
        stop_after_call,
        writes_stop,
        prompt,
        header,
        rewrites_history,
        opens_thoughts,
    }
}

/// Whether an answer with thoughts, or a call with them, is written differently once a question follows.
fn rewrites_history(probe: &Probe<'_>, tool: &ToolSpec) -> bool {
    let thought = Message { reasoning: Some("Hmm".to_owned()), ..Message::assistant(SAID) };
    let in_content = Message::assistant("<think>\nHmm\n</think>\n\nWvj");
    let call = Message {
        reasoning: Some("Hmm".to_owned()),
        content: Some(String::new()),
        ..Message::calls(vec![call()])
    };
    let answers = [
        vec![Message::assistant(SAID)],
        vec![thought.clone()],
        vec![in_content],
        vec![call, result(), thought],
    ];
    answers.into_iter().any(|answers| {
        let mut conversation = Conversation::with_tools(vec![tool.clone()], vec![Message::user(ASKED)]);
        conversation.messages.extend(answers);
        let before = probe.text(&conversation, false);
        conversation.messages.push(Message::user(AGAIN));
        match (before, probe.text(&conversation, false)) {
            (Some(before), Some(later)) => !later.starts_with(&before),
            _ => false,
        }
    })
}

fn call() -> ToolCall {
    ToolCall::new("lookup", serde_json::json!({"key": SAID})).with_id("call00001")
}

fn result() -> Message {
    Message { name: Some("lookup".to_owned()), ..Message::tool_result(Some("call00001".to_owned()), "Rtd") }
}

fn schema() -> JsonMap {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {"key": {"type": "string", "description": "The key."}},
        "required": ["key"],
    });
    schema.as_object().cloned().unwrap_or_default()
}

/// The names of control tokens.
struct Controls<'a> {
    names: &'a [String],
    eos: Option<&'a str>,
}

impl Controls<'_> {
    /// The first control token in a text that is no closing mark such as `</tool_call>`.
    fn first(&self, text: &str) -> Option<String> {
        let named = self.names.iter().map(String::as_str).chain(self.eos);
        let closes = |name: &str| {
            Some(name) != self.eos && (name.starts_with("[/") || name.starts_with("</") && name != "</s>")
        };
        // A name may begin with another one: the longest counts.
        let found = named
            .filter(|name| !name.is_empty() && !closes(name) && !name.trim().is_empty())
            .filter_map(|name| Some((text.find(name)?, std::cmp::Reverse(name.len()), name)))
            .min();
        found.map(|(_, _, name)| name.to_owned())
    }
}

fn after<'a>(text: &'a str, part: &str) -> &'a str {
    text.rfind(part).map_or(text, |at| &text[at + part.len()..])
}

fn before<'a>(text: &'a str, part: &str) -> &'a str {
    text.find(part).map_or(text, |at| &text[..at])
}
