//! Conversations in every chat format: calls read back as they were written, content never becomes a control token, labels
//! fit ids, the checks and the samples to train on hold up.
//!
//! Input: draws, the template first.
#![no_main]

use serde_json::Value;
use toolsmith_chat::check::{Checker, check_encoded};
use toolsmith_chat::data::{Conversation, Message, ToolCall, ToolSpec};
use toolsmith_chat::template::{PieceKind, RenderError, RenderOptions, Rendered, Template};
use toolsmith_chat::tokens::IGNORE_INDEX;
use toolsmith_fuzz::arbitrary::{Result, Unstructured};
use toolsmith_fuzz::{TOKENIZER, draw, fuzz_target};

/// These calls, as far as a family can say them: ChatGLM3's keys are identifiers, and nothing tells a text from JSON in
/// GLM-4.5 without a schema.
fn sayable(template: Template, calls: &[ToolCall]) -> Vec<ToolCall> {
    let said = |(index, (key, value)): (usize, (&String, &Value))| match (template, value) {
        (Template::ChatGlm3, _) => (format!("k{index}"), value.clone()),
        (Template::Glm45, Value::String(text)) if serde_json::from_str::<Value>(text).is_ok() => {
            (key.clone(), Value::from(format!("a {text}")))
        }
        _ => (key.clone(), value.clone()),
    };
    let call = |call: &ToolCall| {
        let arguments = call.arguments.as_object().into_iter().flatten().enumerate().map(said).collect();
        ToolCall { arguments: Value::Object(arguments), ..call.clone() }
    };
    calls.iter().map(call).collect()
}

/// What the model would have written to say this; `None` where the family cannot.
fn answer(template: Template, message: Message, tools: &[ToolSpec]) -> Option<String> {
    let mut conversation = Conversation::with_tools(tools.to_vec(), vec![Message::user("?")]);
    let prompt = template.render(&conversation, &RenderOptions::PROMPT).expect("a question is rendered");
    conversation.messages.push(message);
    let whole = match template.render(&conversation, &RenderOptions::TRAINING) {
        Ok(whole) => whole,
        Err(RenderError::SeveralCalls { .. } | RenderError::UnwritableArgument { .. }) => return None,
        Err(error) => panic!("{template}: {error}"),
    };
    Some(whole.text().strip_prefix(prompt.text()).expect("an answer follows its prompt").to_owned())
}

fn calls_read_back(template: Template, u: &mut Unstructured<'_>) -> Result<()> {
    let mut calls = draw::calls(u)?;
    if u.arbitrary()? {
        calls.truncate(1);
    }
    let listed: bool = u.arbitrary()?;
    // These read values by the tool's schema: the one cannot without it, and two calls of one name have one schema.
    let twice = |(at, call): (usize, &ToolCall)| calls[..at].iter().any(|before| before.name == call.name);
    let ambiguous = match template {
        Template::Qwen3Coder => !listed || calls.iter().enumerate().any(twice),
        Template::Glm45 => listed && calls.iter().enumerate().any(twice),
        _ => false,
    };
    if ambiguous {
        return Ok(());
    }
    let tools = draw::tools_of(&calls);
    let calls = sayable(template, &calls);
    let Some(answer) = answer(template, Message::calls(calls.clone()), &tools) else { return Ok(()) };
    let turn = template.parse(&answer, listed.then_some(&tools[..]));
    assert_eq!(turn.tool_calls, calls, "{template} {answer}");
    assert!(turn.content.is_none() && turn.malformed.is_empty(), "{template} {answer} {turn:?}");
    Ok(())
}

fn holds(checker: &Checker<'_>, rendered: &Rendered) {
    let mut end = 0;
    for piece in rendered.pieces() {
        assert_eq!(piece.start, end);
        end = piece.end;
    }
    assert_eq!(end, rendered.text().len());

    let (encoded, origins) = TOKENIZER.encode_with_origins(rendered).expect("the tokenizer has every token");
    assert_eq!(encoded, TOKENIZER.encode(rendered).expect("the tokenizer has every token"));
    assert_eq!(encoded.input_ids.len(), encoded.labels.len());
    assert_eq!(encoded.input_ids.len(), origins.len());
    let mut controls = 0;
    for ((id, label), origin) in encoded.input_ids.iter().zip(&encoded.labels).zip(&origins) {
        let piece = &rendered.pieces()[origin.piece];
        let is_control = TOKENIZER.is_control(*id);
        assert!(piece.kind != PieceKind::Content || !is_control, "content became {id}");
        assert!(*label == IGNORE_INDEX || *label == id.cast_signed() && piece.trained);
        controls += usize::from(is_control);
    }
    let marks = |piece: &_| {
        TOKENIZER.added_tokens().map(|name| rendered.piece_text(piece).matches(name).count()).sum()
    };
    let expected: usize = rendered
        .pieces()
        .iter()
        .map(|piece| match piece.kind {
            PieceKind::Control => 1,
            PieceKind::Content => 0,
            _ => marks(piece),
        })
        .sum();
    assert_eq!(controls, expected);
    let stops = checker.check_stops(&encoded.input_ids, &encoded.labels, false);
    let _findings = (stops, check_encoded(&encoded));
}

fn conversations_hold(template: Template, u: &mut Unstructured<'_>) -> Result<()> {
    let conversation = draw::conversation(u)?;
    let options = RenderOptions {
        add_generation_prompt: u.arbitrary()?,
        for_training: u.arbitrary()?,
        enable_thinking: u.arbitrary()?,
    };
    let checker = Checker::new(Some(template.into()), Some(&TOKENIZER));
    let _findings = checker.check(&conversation);
    if let Ok(rendered) = template.render(&conversation, &options) {
        let _findings = checker.check_rendered(&conversation, &rendered);
        holds(&checker, &rendered);
    }
    for sample in template.samples(&conversation, &options).into_iter().flatten() {
        holds(&checker, &sample.rendered);
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let [template, input @ ..] = input else { return };
    let template = Template::ALL[usize::from(*template) % Template::ALL.len()];
    let mut u = Unstructured::new(input);
    let property = if u.arbitrary().unwrap_or_default() { calls_read_back } else { conversations_hold };
    let _drawn = property(template, &mut u);
});
