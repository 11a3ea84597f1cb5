//! Any other model, through its own chat template.
//!
//! In: the source of a Jinja template and what the model's files say about its tokens. Out: a [`ModelTemplate`], which
//! renders and parses as the native families do. A template tells nothing but text; what in it is the conversation's
//! own, and what is trained, is found by running it more than once (see `marks` and `trained`), and checked: a
//! conversation for which that cannot be done is refused, never written wrongly.
//!
//! What it does not know: which control tokens exist beyond those named, and how calls are written where the template
//! shows it in no way that `grammar` lists.

mod context;
mod dumps;
mod engine;
mod grammar;
mod habits;
mod marks;
mod time;
mod trained;

use std::ops::Range;

use minijinja::value::Value;

use super::parse::{Offered, StreamParser};
use super::rendered::{Part, PieceKind, Rendered, Writer};
use super::{AssistantTurn, ModelFacts, RenderError, RenderOptions, TrainingSample, samples};
use crate::data::{Conversation, ToolSpec};
use crate::json::Json;
use context::{Kind, Plain, Variables, variables};
use engine::{Engine, GENERATION};
use habits::Habits;
use marks::{Effort, Found, Marker, Surroundings};
pub use time::LocalTime;
use trained::{Render, Span};

/// A model's own chat template, compiled.
#[derive(Debug)]
pub struct ModelTemplate {
    engine: Engine,
    source: String,
    /// Variables of every render: special tokens, and what the caller adds.
    fixed: Vec<(String, Value)>,
    surroundings: Surroundings,
    habits: Habits,
    marks_generation: bool,
    stop_tokens: Vec<String>,
}

impl ModelTemplate {
    /// Compiles the chat template among a model's facts.
    ///
    /// `now` is what the template prints where it asks for the date; without it, a template that asks is refused.
    /// `variables` are further variables that the template reads, as an object (`chat_template_kwargs`).
    pub fn new(
        facts: &ModelFacts,
        now: Option<LocalTime>,
        variables: Option<&Json>,
    ) -> Result<Self, RenderError> {
        let source = facts.chat_template.as_deref().ok_or(RenderError::NoChatTemplate)?;
        // Jinja knows one way to end a line.
        let source = source.replace("\r\n", "\n").replace('\r', "\n");
        let mut engine = Engine::compile(&source, now)?;
        let special = &facts.special_tokens;
        let mut fixed: Vec<_> =
            special.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str()))).collect();
        fixed.extend(variables.map(context::entries).unwrap_or_default());
        let eos = special.iter().find(|(name, _)| name == "eos_token").map(|(_, token)| token.as_str());
        let habits = habits::habits(&engine, &source, &fixed, &facts.added_tokens, eos);
        engine.allow_long_conversations();
        let mut stop_tokens: Vec<String> = Vec::new();
        let stops = [habits.stop.as_deref(), habits.stop_after_call.as_deref(), eos];
        for stop in stops.into_iter().flatten() {
            if !stop_tokens.iter().any(|known| known == stop) {
                stop_tokens.push(stop.to_owned());
            }
        }
        let surroundings = Surroundings::new(&source, &facts.added_tokens);
        let marks_generation = engine::marks_generation(&source);
        Ok(Self { engine, source, fixed, surroundings, habits, marks_generation, stop_tokens })
    }

    /// The text that the template prints, and nothing else: what transformers' `apply_chat_template` gives.
    pub fn text(&self, conversation: &Conversation, options: &RenderOptions) -> Result<String, RenderError> {
        Ok(text_of(&self.run(conversation, options)?.1))
    }

    /// Renders a conversation.
    pub fn render(
        &self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<Rendered, RenderError> {
        let (variables, raw) = self.run(conversation, options)?;
        let (text, generated) = take_generated(&raw);
        let found = self.find(conversation, options, &text)?;
        let render = Render { conversation, text: &text, found: &found, habits: &self.habits };
        let spans = if self.marks_generation {
            render.marked_spans(&generated)
        } else {
            self.spans(&render, &variables, options)?
        };
        let mut writer = Writer::with_capacity(text.len() + 16, 2 * (found.len() + spans.len()) + 2);
        write(&mut writer, &text, &found, &spans);
        if options.for_training
            && !options.add_generation_prompt
            && !self.marks_generation
            && let Some(last) = spans.last()
            && last.1 + 1 == conversation.messages.len()
            && last.0.end == text.len()
            && let Some(stop) = render.lacks_stop(last)
        {
            writer.message = Some(last.1);
            writer.trained = true;
            writer.write(PieceKind::Structure, |text| text.push_str(stop));
        }
        Ok(writer.finish())
    }

    /// The samples to train a conversation by, see [`super::Template::samples`].
    pub fn samples<'a>(
        &self,
        conversation: &'a Conversation,
        options: &RenderOptions,
    ) -> Result<Vec<TrainingSample<'a>>, RenderError> {
        let render = |conversation: &Conversation| self.render(conversation, options);
        if self.habits.rewrites_history && !self.marks_generation && !options.add_generation_prompt {
            return samples::by_turns(conversation, false, &render);
        }
        samples::whole(conversation, &render)
    }

    /// A parser for an answer that is still being written.
    pub fn stream_parser(&self, tools: Option<&[ToolSpec]>) -> StreamParser {
        self.parser(Offered::new(tools))
    }

    fn parser(&self, offered: Offered) -> StreamParser {
        let thinks = ["<think>", "reasoning_content"].iter().any(|part| self.source.contains(part));
        let row = grammar::choose(&self.source, self.habits.shape);
        let mut parser = StreamParser::new((row.grammar)(), thinks, offered);
        if self.habits.opens_thoughts {
            parser.push("<think>\n");
        }
        parser
    }

    /// Reads a whole answer, see [`super::Template::parse`].
    pub fn parse(&self, text: &str, tools: Option<&[ToolSpec]>) -> AssistantTurn {
        self.stream_parser(tools).read_whole(text)
    }

    /// Reads a whole answer to score it, see [`super::Template::parse_to_score`].
    pub fn parse_to_score(&self, text: &str, tools: &[ToolSpec]) -> AssistantTurn {
        match self.marks_calls() {
            true => self.parser(Offered::any_of(tools)).read_whole(text),
            false => self.parse(text, Some(tools)),
        }
    }

    /// The control tokens that end an answer, the one that training teaches first.
    pub fn stop_tokens(&self) -> &[String] {
        &self.stop_tokens
    }

    /// Whether calls stand between marks, so that no text can be taken for one.
    pub fn marks_calls(&self) -> bool {
        grammar::choose(&self.source, self.habits.shape).marks_calls
    }

    fn run(
        &self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<(Variables, String), RenderError> {
        if conversation.messages.is_empty() {
            return Err(RenderError::NoMessages);
        }
        let variables = variables(conversation, self.habits.shape, &mut Plain)?;
        let context = bind(&variables.messages, &variables.tools, options, &self.fixed);
        let raw = self.engine.render(context).map_err(|error| name_the_gap(error, conversation))?;
        Ok((variables, raw))
    }

    /// Where the conversation's own texts stand.
    fn find(
        &self,
        conversation: &Conversation,
        options: &RenderOptions,
        text: &str,
    ) -> Result<Vec<Found>, RenderError> {
        for effort in Effort::ALL {
            let mut marker = Marker::new(&self.surroundings, effort, text);
            let variables = variables(conversation, self.habits.shape, &mut marker)?;
            if marker.exhausted {
                continue;
            }
            let marked = bind(&variables.messages, &variables.tools, options, &self.fixed);
            let Ok(marked) = self.engine.render(marked) else { continue };
            if let Some(found) = marker.find(text, &text_of(&marked)) {
                return Ok(found);
            }
        }
        Err(RenderError::NotFollowed)
    }

    fn spans(
        &self,
        render: &Render<'_>,
        variables: &Variables,
        options: &RenderOptions,
    ) -> Result<Vec<Span>, RenderError> {
        let prompt_options = RenderOptions { add_generation_prompt: true, for_training: false, ..*options };
        let mut spans = Vec::new();
        for (index, message) in render.conversation.messages.iter().enumerate() {
            if !message.is_trained() {
                continue;
            }
            if message.role != crate::data::Role::Assistant {
                spans.extend(render.other(index));
                continue;
            }
            let before = &variables.messages[..variables.counts[index]];
            let span = if before.is_empty() {
                render.answer_after_header(index)
            } else {
                let prompt = bind(before, &variables.tools, &prompt_options, &self.fixed);
                self.engine.render(prompt).and_then(|prompt| render.answer(index, &text_of(&prompt)))
            };
            match span {
                Ok(span) => spans.push(span),
                // What a template prints is printed; what is trained must be as it is served.
                Err(_) if !options.for_training => {}
                Err(error) => return Err(error),
            }
        }
        Ok(spans)
    }
}

/// Most templates that fail do so on a message without content, which in the end is the data's to mend.
fn name_the_gap(error: RenderError, conversation: &Conversation) -> RenderError {
    let gap = conversation.messages.iter().position(|message| message.content.is_none());
    match (error, gap) {
        (RenderError::TemplateFailed { line, reason }, Some(message)) => {
            let reason = format!("{reason}; messages[{message}] has no content: set it to \"\"");
            RenderError::TemplateFailed { line, reason }
        }
        (error, _) => error,
    }
}

/// The context of one render.
fn bind(messages: &[Value], tools: &Value, options: &RenderOptions, fixed: &[(String, Value)]) -> Value {
    let own = [
        ("messages", Value::from(messages.to_vec())),
        ("tools", tools.clone()),
        ("documents", Value::from(())),
        ("add_generation_prompt", Value::from(options.add_generation_prompt)),
    ];
    // Thinking is every template's default, by whatever name it goes.
    let thinking = (!options.enable_thinking).then_some(("enable_thinking", Value::from(false)));
    let fixed = fixed.iter().map(|(name, value)| (name.as_str(), value.clone()));
    Value::from_pairs(fixed.chain(own).chain(thinking))
}

/// The text of a render without the marks of generated stretches.
fn text_of(raw: &str) -> String {
    if raw.contains(GENERATION) { raw.replace(GENERATION, "") } else { raw.to_owned() }
}

/// The text of a render, and the stretches that the template marks as generated.
fn take_generated(raw: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(raw.len());
    let mut open = Vec::new();
    let mut spans = Vec::new();
    for part in raw.split_inclusive(GENERATION) {
        let mark = part.chars().next_back().filter(|c| GENERATION.contains(c));
        text.push_str(&part[..part.len() - mark.map_or(0, char::len_utf8)]);
        match mark {
            Some(mark) if mark == GENERATION[0] => open.push(text.len()),
            Some(_) => spans.extend(open.pop().map(|start| start..text.len())),
            None => {}
        }
    }
    spans.retain(|span| !span.is_empty());
    (text, spans)
}

/// Cuts a text into pieces where content, message or training state changes.
fn write(writer: &mut Writer, text: &str, found: &[Found], spans: &[Span]) {
    let mut places: Vec<usize> = [0, text.len()].into();
    places.extend(found.iter().flat_map(|found| [found.range.start, found.range.end]));
    places.extend(spans.iter().flat_map(|(range, _)| [range.start, range.end]));
    places.sort_unstable();
    places.dedup();
    let (mut content, mut span) = (0, 0);
    for pair in places.windows(2) {
        let [start, end] = [pair[0], pair[1]];
        while found.get(content).is_some_and(|found| found.range.end <= start) {
            content += 1;
        }
        while spans.get(span).is_some_and(|(range, _)| range.end <= start) {
            span += 1;
        }
        let content = found.get(content).filter(|found| found.range.start <= start);
        let span = spans.get(span).filter(|(range, _)| range.start <= start);
        writer.message = content.and_then(|found| found.message).or(span.map(|(_, message)| *message));
        writer.trained = span.is_some();
        writer.part = match content.map(|found| found.kind) {
            Some(Kind::Name) => Part::Name,
            // Of a call, only the name is sure to be found.
            Some(Kind::Other) => Part::Other,
            Some(Kind::Said) | None => Part::Prose,
        };
        let kind = if content.is_some() { PieceKind::Content } else { PieceKind::Structure };
        writer.write(kind, |out| out.push_str(&text[start..end]));
    }
}
