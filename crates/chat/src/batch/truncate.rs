//! Making a conversation fit, without breaking what it teaches.
//!
//! In: a conversation, a limit, and a measure of its length. Out: the conversation with as little left out as will do, and
//! every [`Cut`] by name. First whole old turns go, then tools that nobody calls, then the middle of tool results. The
//! system message, the last turn, calls and everything that is trained in what remains stay as they are. It knows no
//! template and no tokenizer: the caller measures.

use std::fmt;

use crate::check::Code;
use crate::data::{Conversation, Message, Role};

/// What a too long sample comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Truncation {
    /// Loses whole parts, as [`fit`] chooses them; refused where that does not suffice.
    #[default]
    Structured,
    /// Loses every token past the limit, whatever it is.
    Right,
    /// Is refused.
    Refuse,
}

impl Truncation {
    /// Every way, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Structured, Self::Right, Self::Refuse];

    /// The name that configurations and `--truncate` take.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Right => "right",
            Self::Refuse => "refuse",
        }
    }
}

/// Something left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Whole turns from the beginning.
    Turns {
        /// How many questions went, with all that followed each.
        turns: usize,
        /// How many trained answers went with them.
        trained_answers: usize,
    },
    /// Tools that no remaining message calls, by name.
    Tools(Vec<String>),
    /// The middle of a tool's result.
    Result {
        /// Index of the message in the record.
        message: usize,
        /// How many characters went.
        characters: usize,
    },
}

impl Cut {
    /// The rule under which it is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Turns { .. } => Code::CutTurns,
            Self::Tools(_) => Code::CutTools,
            Self::Result { .. } => Code::CutResult,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turns { turns, trained_answers } => {
                write!(f, "left out the first {turns} turns, with {trained_answers} trained answers")
            }
            Self::Tools(names) => write!(f, "left out tools that are not called: {}", names.join(", ")),
            Self::Result { message, characters } => {
                write!(f, "messages[{message}]: left out {characters} characters in the middle of the result")
            }
        }
    }
}

/// How [`fit`] ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Fit {
    /// It is short enough as it is.
    Whole,
    /// It is short enough now.
    Cut(Conversation, Vec<Cut>),
    /// It is too long even with everything left out that may be; its length then.
    TooLong(usize),
}

/// A result is not cut to fewer characters than this.
const SHORTEST_RESULT: usize = 200;

/// Makes a conversation fit into `limit`, as `measure` measures.
///
/// `measure` must not grow when something is left out. It is called a number of times that grows with the logarithm of the
/// numbers of turns, tools and characters.
///
/// # Errors
/// Whatever `measure` returns.
pub fn fit<E>(
    conversation: &Conversation,
    limit: usize,
    measure: &mut dyn FnMut(&Conversation) -> Result<usize, E>,
) -> Result<Fit, E> {
    if measure(conversation)? <= limit {
        return Ok(Fit::Whole);
    }
    let mut cuts = Vec::new();
    let mut current = conversation.clone();
    let starts = turn_starts(&conversation.messages);

    // Whole turns: as few as will do, or all but the last.
    let droppable = starts.len().saturating_sub(1);
    if droppable > 0 {
        let drop = fewest(droppable, &mut |turns| {
            Ok(measure(&without_turns(conversation, &starts, turns))? <= limit)
        })?;
        current = without_turns(conversation, &starts, drop);
        let gone = &conversation.messages[starts[0]..starts[drop]];
        let trained_answers =
            gone.iter().filter(|message| message.role == Role::Assistant && message.is_trained()).count();
        cuts.push(Cut::Turns { turns: drop, trained_answers });
        if measure(&current)? <= limit {
            return Ok(Fit::Cut(current, cuts));
        }
    }
    // Where each remaining message stood in the record.
    let offset = conversation.messages.len() - current.messages.len();
    let kept_before = starts.first().copied().unwrap_or(0);

    let unused = unused_tools(&current);
    if !unused.is_empty() {
        let drop = fewest(unused.len(), &mut |count| {
            Ok(measure(&without_tools(&current, &unused[unused.len() - count..]))? <= limit)
        })?;
        let gone = &unused[unused.len() - drop..];
        let name = |index: &usize| current.tools()[*index].name().unwrap_or("(unnamed)").to_owned();
        cuts.push(Cut::Tools(gone.iter().map(name).collect()));
        current = without_tools(&current, gone);
        if measure(&current)? <= limit {
            return Ok(Fit::Cut(current, cuts));
        }
    }

    // Results share what must go: none keeps more than `keep` characters.
    let longest = cuttable(&current).map(|(_, length)| length).max().unwrap_or(0);
    if longest > SHORTEST_RESULT {
        let steps = longest - SHORTEST_RESULT;
        let less = fewest(steps, &mut |less| Ok(measure(&with_results(&current, longest - less))? <= limit))?;
        let keep = longest - less;
        for (index, length) in cuttable(&current).filter(|(_, length)| *length > keep) {
            let message = if index < kept_before { index } else { index + offset };
            cuts.push(Cut::Result { message, characters: length - keep });
        }
        current = with_results(&current, keep);
    }
    let length = measure(&current)?;
    Ok(if length <= limit { Fit::Cut(current, cuts) } else { Fit::TooLong(length) })
}

/// The least count from 1 to `most` for which it fits; `most` where none does.
fn fewest<E>(most: usize, fits: &mut dyn FnMut(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// Where each user turn begins: at the first question, and at each question that follows an answer.
fn turn_starts(messages: &[Message]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut answered = true;
    for (index, message) in messages.iter().enumerate() {
        match message.role {
            Role::User if answered => {
                starts.push(index);
                answered = false;
            }
            Role::Assistant => answered = true,
            _ => {}
        }
    }
    starts
}

fn without_turns(conversation: &Conversation, starts: &[usize], turns: usize) -> Conversation {
    let messages = &conversation.messages;
    let kept = messages[..starts[0]].iter().chain(&messages[starts[turns]..]).cloned().collect();
    Conversation { tools: conversation.tools.clone(), messages: kept }
}

/// Indices of the tools that no message calls.
fn unused_tools(conversation: &Conversation) -> Vec<usize> {
    let called = |name: Option<&str>| {
        let calls = conversation.messages.iter().flat_map(|message| &message.tool_calls);
        name.is_none_or(|name| calls.into_iter().any(|call| call.name == name))
    };
    let tools = conversation.tools().iter().enumerate();
    tools.filter(|(_, tool)| !called(tool.name())).map(|(index, _)| index).collect()
}

fn without_tools(conversation: &Conversation, gone: &[usize]) -> Conversation {
    let tools = conversation.tools().iter().enumerate();
    let kept: Vec<_> =
        tools.filter(|(index, _)| !gone.contains(index)).map(|(_, tool)| tool.clone()).collect();
    let tools = (!kept.is_empty()).then_some(kept);
    Conversation { tools, messages: conversation.messages.clone() }
}

/// The results that may be cut, with their lengths in characters.
fn cuttable(conversation: &Conversation) -> impl Iterator<Item = (usize, usize)> + '_ {
    let messages = conversation.messages.iter().enumerate();
    messages
        .filter(|(_, message)| message.role == Role::Tool && !message.is_trained())
        .map(|(index, message)| (index, message.text().chars().count()))
}

fn with_results(conversation: &Conversation, keep: usize) -> Conversation {
    let mut cut = conversation.clone();
    for message in &mut cut.messages {
        if message.role == Role::Tool
            && !message.is_trained()
            && let Some(text) = &mut message.content
        {
            without_middle(text, keep);
        }
    }
    cut
}

/// Keeps `keep` characters, two thirds of them at the beginning, and says what is gone.
fn without_middle(text: &mut String, keep: usize) {
    let length = text.chars().count();
    if length <= keep {
        return;
    }
    let place = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let head = keep - keep / 3;
    let (from, to) = (place(head), place(length - keep / 3));
    let gone = format!(" …[{} characters left out]… ", length - keep);
    text.replace_range(from..to, &gone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ToolCall, ToolSpec};

    fn tool(name: &str) -> ToolSpec {
        ToolSpec::function(name, "d".repeat(50), serde_json::json!({"type": "object"}))
    }

    fn conversation() -> Conversation {
        let call = ToolCall::new("look", serde_json::json!({"at": "x".repeat(40)}));
        Conversation::with_tools(
            vec![tool("look"), tool("listen"), tool("smell")],
            vec![
                Message::system("Be brief."),
                Message::user("a".repeat(100)),
                Message::new(Role::Assistant, "b".repeat(100)),
                Message::user("c".repeat(100)),
                Message::new(Role::Assistant, "d".repeat(100)),
                Message::user("what is there?"),
                Message::calls(vec![call]),
                Message::tool_result(None, "r".repeat(1000)),
                Message::new(Role::Assistant, "a wall"),
            ],
        )
    }

    fn size(conversation: &Conversation) -> usize {
        let texts = conversation.messages.iter().map(|message| {
            let calls = message.tool_calls.iter().map(|call| call.arguments.to_string().len());
            message.text().chars().count() + calls.sum::<usize>()
        });
        let tools = conversation.tools().iter().map(|tool| tool.definition().to_string().len());
        texts.sum::<usize>() + tools.sum::<usize>()
    }

    fn fitted(limit: usize) -> Fit {
        fit(&conversation(), limit, &mut |conversation| Ok::<_, ()>(size(conversation))).unwrap()
    }

    fn cuts(limit: usize) -> Vec<Cut> {
        match fitted(limit) {
            Fit::Cut(cut, cuts) => {
                assert!(size(&cut) <= limit);
                assert_eq!(cut.messages[0], conversation().messages[0]);
                let tail = |conversation: &Conversation| {
                    let messages = &conversation.messages;
                    let at = messages.len();
                    (messages[at - 4..at - 2].to_vec(), messages[at - 1].clone())
                };
                assert_eq!(tail(&cut), tail(&conversation()));
                cuts
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(fitted(size(&conversation())), Fit::Whole);
    }

    #[test]
    fn turns_go_first_then_tools_then_the_middle_of_results() {
        let whole = size(&conversation());
        assert_eq!(cuts(whole - 1), [Cut::Turns { turns: 1, trained_answers: 1 }]);
        assert_eq!(cuts(whole - 201), [Cut::Turns { turns: 2, trained_answers: 2 }]);
        let turns = Cut::Turns { turns: 2, trained_answers: 2 };
        assert_eq!(cuts(whole - 401), [turns.clone(), Cut::Tools(vec!["smell".into()])]);
        let tools = Cut::Tools(vec!["listen".into(), "smell".into()]);
        let tool_size = tool("smell").definition().to_string().len();
        let [.., Cut::Result { message: 7, characters }] = &cuts(whole - 400 - 3 * tool_size)[..] else {
            panic!("{:?}", cuts(whole - 400 - 3 * tool_size));
        };
        assert!((tool_size..tool_size + 60).contains(characters), "{characters} {tool_size}");
        assert_eq!(cuts(whole - 400 - 3 * tool_size)[..2], [turns, tools]);
    }

    #[test]
    fn what_is_trained_is_never_cut() {
        assert!(matches!(fitted(100), Fit::TooLong(length) if length > 100));
        let mut trained = conversation();
        trained.messages[7].train = Some(true);
        let fit = fit(&trained, 600, &mut |conversation| Ok::<_, ()>(size(conversation))).unwrap();
        assert!(matches!(fit, Fit::TooLong(_)), "{fit:?}");
    }

    #[test]
    fn the_middle_goes_at_character_borders() {
        let mut text = "语".repeat(300) + "言";
        without_middle(&mut text, 9);
        assert_eq!(text, format!("{} …[292 characters left out]… 语语言", "语".repeat(6)));
    }
}
