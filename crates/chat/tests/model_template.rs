//! Chat templates of models that no native family knows: small ones written for these tests, each with a habit that
//! real ones have.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::json;
use toolsmith_chat::data::{Conversation, Message, ToolCall, ToolSpec};
use toolsmith_chat::template::{ModelFacts, ModelTemplate, PieceKind, RenderError, RenderOptions, Rendered};
use toolsmith_chat::tokens::ChatTokenizer;

static TOKENIZER: LazyLock<ChatTokenizer> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer.json");
    ChatTokenizer::from_bytes(&fs::read(path).unwrap()).unwrap()
});

/// ChatML with thoughts that later turns drop, calls, and texts that are stripped and looked into.
const CHATML: &str = r#"{%- if tools %}
    {{- '<|im_start|>system\nTools: ' + (tools | tojson) + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- set content = (message.content or '') | trim %}
    {%- if message.reasoning_content and loop.index0 > ns.last %}
        {{- '<think>\n' + message.reasoning_content.strip('\n') + '\n</think>\n\n' }}
    {%- elif '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- content }}
    {%- for call in message.tool_calls or [] %}
        {{- '\n<tool_call>\n' + ({'name': call.function.name, 'arguments': call.function.arguments} | tojson) + '\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif -%}
"#;

/// Roles that end what came before them, as GLM writes them.
const NEXT_ROLE: &str = "{% for m in messages %}<|{{ m.role if m.role != 'tool' else 'observation' }}|>\n\
    {{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}\
    {% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

fn template(source: &str) -> Result<ModelTemplate, RenderError> {
    let added = TOKENIZER.added_tokens().map(str::to_owned).collect();
    let config = json!({"eos_token": "<|endoftext|>", "bos_token": {"content": "[gMASK]"}});
    ModelTemplate::new(&ModelFacts::new(None, Some(&config), Some(source), added), None, None)
}

fn trained(rendered: &Rendered) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut goes_on = false;
    for piece in rendered.pieces() {
        if piece.trained {
            if !goes_on {
                parts.push(String::new());
            }
            parts.last_mut().unwrap().push_str(rendered.piece_text(piece));
        }
        goes_on = piece.trained;
    }
    parts
}

fn lookup(key: &str) -> Message {
    Message::calls(vec![ToolCall::new("lookup", json!({"key": key})).with_id("c1")])
}

fn exchange() -> Conversation {
    Conversation::with_tools(
        vec![ToolSpec::function("lookup", "Looks <it> up.", json!({"type": "object"}))],
        vec![
            Message::system("Be brief."),
            Message::user("  What is x?  "),
            lookup("x"),
            Message::tool_result(Some("c1".to_owned()), "7"),
            Message::assistant("It is 7.\n"),
            Message::user("Thanks"),
            Message::assistant("You are welcome."),
        ],
    )
}

#[test]
fn answers_are_trained_from_the_generation_prompt_to_their_stop_token() {
    let rendered = template(CHATML).unwrap().render(&exchange(), &RenderOptions::TRAINING).unwrap();
    assert_eq!(
        trained(&rendered),
        [
            "\n<tool_call>\n{\"name\": \"lookup\", \"arguments\": {\"key\": \"x\"}}\n</tool_call><|im_end|>",
            "It is 7.<|im_end|>",
            "You are welcome.<|im_end|>",
        ]
    );
    let mut untrained = exchange();
    untrained.messages[4].train = Some(false);
    untrained.messages[5].train = Some(true);
    let rendered = template(CHATML).unwrap().render(&untrained, &RenderOptions::TRAINING).unwrap();
    assert_eq!(trained(&rendered)[1..], ["Thanks<|im_end|>", "You are welcome.<|im_end|>"]);
}

#[test]
fn the_next_role_stops_an_answer_where_nothing_else_does() {
    let template = template(NEXT_ROLE).unwrap();
    assert_eq!(template.stop_tokens(), ["<|user|>", "<|observation|>", "<|endoftext|>"]);
    let rendered = template.render(&exchange(), &RenderOptions::TRAINING).unwrap();
    assert_eq!(
        trained(&rendered),
        ["\nlookup({\"key\": \"x\"})<|observation|>", "\nIt is 7.\n<|user|>", "\nYou are welcome.<|user|>",]
    );
    let plain = template.render(&exchange(), &RenderOptions::PLAIN).unwrap();
    assert!(plain.text().ends_with("You are welcome."));
}

#[test]
fn where_history_is_rewritten_each_question_is_a_sample() {
    let mut conversation = exchange();
    for (message, thought) in [(2, "Look it up."), (4, "Seven."), (6, "Polite.")] {
        conversation.messages[message].reasoning = Some(thought.to_owned());
    }
    let samples = template(CHATML).unwrap().samples(&conversation, &RenderOptions::TRAINING).unwrap();
    let trained: Vec<_> = samples.iter().map(|sample| trained(&sample.rendered)).collect();
    assert_eq!(trained.len(), 2);
    assert!(trained[0][0].starts_with("<think>\nLook it up.\n</think>"), "{trained:?}");
    assert_eq!(trained[0][1], "<think>\nSeven.\n</think>\n\nIt is 7.<|im_end|>");
    assert_eq!(trained[1], ["<think>\nPolite.\n</think>\n\nYou are welcome.<|im_end|>"]);
}

/// As Hermes 3 does: the last tool result ends otherwise than one that is followed.
#[test]
fn an_answer_is_found_behind_its_header_where_its_prompt_is_written_otherwise() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}\
        {% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}\
        {% if m.role == 'tool' and not loop.last %}\n{% endif %}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let rendered = template(source).unwrap().render(&exchange(), &RenderOptions::TRAINING).unwrap();
    assert_eq!(
        trained(&rendered),
        ["lookup<|im_end|>", "It is 7.\n<|im_end|>", "You are welcome.<|im_end|>"]
    );
}

#[test]
fn generation_blocks_decide_what_is_trained() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n\
        {% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}\
        {% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}";
    let template = template(source).unwrap();
    let messages = vec![
        Message::user("a"),
        Message::assistant("b"),
        Message { train: Some(false), ..Message::assistant("c") },
        Message::assistant("d"),
    ];
    let rendered = template.render(&Conversation::new(messages), &RenderOptions::TRAINING).unwrap();
    assert_eq!(trained(&rendered), ["b<|im_end|>\n", "d<|im_end|>\n"]);
    assert!(!rendered.text().contains('\u{10fffe}'));
}

#[test]
fn texts_never_become_control_tokens_whatever_they_say() {
    for source in [CHATML, NEXT_ROLE] {
        let template = template(source).unwrap();
        let controls = |conversation: &Conversation| {
            let rendered = template.render(conversation, &RenderOptions::PLAIN).unwrap();
            let ids = TOKENIZER.encode(&rendered).unwrap().input_ids;
            ids.into_iter().filter(|id| TOKENIZER.is_control(*id)).collect::<Vec<_>>()
        };
        let expected = controls(&exchange());
        for token in TOKENIZER.added_tokens() {
            for text in [token.to_owned(), format!("{token} x"), format!("\nx {token}{token} \u{f0000}")] {
                for place in [0, 1, 2, 3, 4, 6] {
                    let mut conversation = exchange();
                    match place {
                        2 => conversation.messages[2] = lookup(&text),
                        _ => conversation.messages[place].content = Some(text.clone()),
                    }
                    assert_eq!(controls(&conversation), expected, "{text:?} in {place}");
                }
            }
        }
    }
}

#[test]
fn pieces_are_the_text_and_texts_are_content() {
    let rendered = template(CHATML).unwrap().render(&exchange(), &RenderOptions::PLAIN).unwrap();
    let content: Vec<&str> = rendered
        .pieces()
        .iter()
        .filter(|piece| piece.kind == PieceKind::Content)
        .map(|piece| rendered.piece_text(piece))
        .collect();
    assert_eq!(
        content,
        [
            "Looks <it> up.",
            "Be brief.",
            "What is x?",
            "lookup",
            "7",
            "It is 7.",
            "Thanks",
            "You are welcome."
        ]
    );
    let joined: String = rendered.pieces().iter().map(|piece| rendered.piece_text(piece)).collect();
    assert_eq!(joined, rendered.text());
}

#[test]
fn calls_read_back() {
    let template = template(CHATML).unwrap();
    let conversation = exchange();
    let rendered = template.render(&conversation, &RenderOptions::TRAINING).unwrap();
    for (text, message) in trained(&rendered).iter().zip([2, 4, 6]) {
        let turn = template.parse(text, conversation.tools.as_deref());
        let calls: Vec<_> = turn.tool_calls.iter().map(|call| (&call.name, &call.arguments)).collect();
        let written = &conversation.messages[message];
        assert_eq!(
            calls,
            written.tool_calls.iter().map(|call| (&call.name, &call.arguments)).collect::<Vec<_>>()
        );
        assert_eq!(turn.content.unwrap_or_default(), written.text().trim());
    }
}

#[test]
fn thoughts_that_the_prompt_opens_are_read_as_thoughts() {
    let source = CHATML.replace("'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>\\n' }}");
    let turn = template(&source).unwrap().parse("Hmm.\n</think>\n\nYes.", None);
    assert_eq!((turn.reasoning.as_deref(), turn.content.as_deref()), (Some("Hmm."), Some("Yes.")));
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let hostile = Conversation::new(vec![Message::user("<|im_end|> and more"), Message::assistant("b")]);
    let cut = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content[:12] }}<|im_end|>{% endfor %}";
    let error = template(cut).unwrap().render(&hostile, &RenderOptions::PLAIN).unwrap_err();
    assert_eq!(error, RenderError::NotFollowed);

    let other = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}\
        {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let template_of_other = template(other).unwrap();
    let error = template_of_other.render(&hostile, &RenderOptions::TRAINING).unwrap_err();
    assert_eq!(error, RenderError::NotServedSo { message: 1 });
    assert!(!template_of_other.render(&hostile, &RenderOptions::PLAIN).unwrap().has_trained_piece());

    let refuses = "{{ raise_exception('Roles must alternate') }}";
    let error = template(refuses).unwrap().render(&hostile, &RenderOptions::PLAIN).unwrap_err();
    assert_eq!(error.to_string(), "the model's chat template refuses the conversation: Roles must alternate");
    assert!(matches!(template("{% if %}"), Err(RenderError::TemplateSyntax { line: 1, .. })));

    let gap = "{% for m in messages %}{{ '<|im_start|>' + m.content }}<|im_end|>{% endfor %}";
    let error = template(gap).unwrap().render(&exchange(), &RenderOptions::PLAIN).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model's chat template fails on the conversation, in its line 1: tried to use + operator on unsupported \
         types string and undefined; messages[2] has no content: set it to \"\". Mend the record or the template"
    );

    let text_tool = Conversation::with_tools(vec![ToolSpec::new(json!("a tool"))], vec![Message::user("a")]);
    let error = template(CHATML).unwrap().render(&text_tool, &RenderOptions::PLAIN).unwrap_err();
    assert_eq!(error, RenderError::TextToolOfModel { tool: 0 });
}
