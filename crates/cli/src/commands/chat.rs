//! `chat`: a conversation in the terminal, streamed; calls are shown as calls and their results are typed in.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use toolsmith_chat::data::{Conversation, Message, Role, ToolCall};
use toolsmith_chat::json::to_python;
use toolsmith_chat::template::ParseEvent;

use super::parse::read_tools;
use crate::args::ChatArgs;
use crate::assistant::{Answer, Assistant};
use crate::terminal::{Styles, painted};

const HELP: &str =
    "/exit leaves, /reset begins anew, /help shows this; a line that ends in \\ goes on in the next";

/// Runs the command.
pub(crate) fn run(
    args: &ChatArgs,
    styles: &Styles,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let tools = args.tools.as_deref().map(read_tools).transpose()?;
    let assistant = Assistant::load(&args.model, args.template)?;
    assistant.template()?;
    let system = args.system.iter().map(Message::system).collect::<Vec<_>>();
    let start = Conversation { tools, messages: system };
    let mut conversation = start.clone();
    let ask = io::stdin().is_terminal();
    if ask {
        writeln!(out, "{}", painted(styles.dim, HELP))?;
    }
    loop {
        match pending_call(&conversation) {
            Some(call) => {
                let question = format!("result of {}> ", call.name);
                let Some(line) = read_line(&question, ask, styles, input, out)? else { break };
                match command(&line) {
                    Command::Exit => break,
                    Command::Reset => conversation = start.clone(),
                    Command::Help => writeln!(out, "{HELP}")?,
                    Command::Say => {
                        let result = Message { name: Some(call.name), ..Message::tool_result(call.id, line) };
                        conversation.messages.push(result);
                    }
                }
            }
            None if answer_is_due(&conversation) => {
                let answer = answer(&assistant, &conversation, args, styles, out)?;
                conversation.messages.push(message_of(answer, conversation.messages.len()));
            }
            None => {
                let Some(line) = read_line("you> ", ask, styles, input, out)? else { break };
                match command(&line) {
                    Command::Exit => break,
                    Command::Reset => conversation = start.clone(),
                    Command::Help => writeln!(out, "{HELP}")?,
                    Command::Say if line.trim().is_empty() => {}
                    Command::Say => conversation.messages.push(Message::user(line)),
                }
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

enum Command {
    Say,
    Exit,
    Reset,
    Help,
}

fn command(line: &str) -> Command {
    match line.trim() {
        "/exit" | "/quit" => Command::Exit,
        "/reset" => Command::Reset,
        "/help" => Command::Help,
        _ => Command::Say,
    }
}

/// The first call of the last turn that has no result yet.
pub(crate) fn pending_call(conversation: &Conversation) -> Option<ToolCall> {
    let messages = &conversation.messages;
    let results = messages.iter().rev().take_while(|message| message.role == Role::Tool).count();
    let turn = messages.get(messages.len().checked_sub(results + 1)?)?;
    turn.tool_calls.get(results).cloned()
}

fn answer_is_due(conversation: &Conversation) -> bool {
    conversation.messages.last().is_some_and(|last| matches!(last.role, Role::User | Role::Tool))
}

fn answer(
    assistant: &Assistant,
    conversation: &Conversation,
    args: &ChatArgs,
    styles: &Styles,
    out: &mut dyn Write,
) -> anyhow::Result<Answer> {
    let mut written = Ok(());
    let mut at_line_start = true;
    let answer = assistant.answer_streamed(conversation, &args.sampling, &mut |event| {
        if written.is_ok() {
            written = show(event, &mut at_line_start, styles, out);
        }
    })?;
    written?;
    if !at_line_start {
        writeln!(out)?;
    }
    if answer.cut_off {
        writeln!(out, "{}", painted(styles.dim, "(cut off: --max-new-tokens allows more)"))?;
    }
    out.flush()?;
    Ok(answer)
}

fn show(
    event: &ParseEvent,
    at_line_start: &mut bool,
    styles: &Styles,
    out: &mut dyn Write,
) -> io::Result<()> {
    let block = match event {
        ParseEvent::Reasoning(text) => {
            write!(out, "{}", painted(styles.dim, text))?;
            *at_line_start = text.ends_with('\n');
            return out.flush();
        }
        ParseEvent::Content(text) => {
            out.write_all(text.as_bytes())?;
            *at_line_start = text.ends_with('\n');
            return out.flush();
        }
        ParseEvent::ToolCall(call) => {
            format!("{} {}({})", painted(styles.control, "call"), call.name, to_python(&call.arguments))
        }
        ParseEvent::Malformed(malformed) => {
            format!("{} {}: {:?}", painted(styles.bad, "malformed call"), malformed.error, malformed.raw_text)
        }
        _ => return Ok(()),
    };
    if !*at_line_start {
        writeln!(out)?;
    }
    *at_line_start = true;
    writeln!(out, "{block}")?;
    out.flush()
}

/// The answer as a message of the conversation; its calls get ids, so that results can refer to them.
pub(crate) fn message_of(answer: Answer, position: usize) -> Message {
    let calls = answer.turn.tool_calls.into_iter().enumerate();
    let tool_calls =
        calls.map(|(index, call)| call.with_id(format!("call_{position}_{index}"))).collect::<Vec<_>>();
    // What could not be read stays in the conversation as the text it was, or the model would not know what it said.
    let malformed: String =
        answer.turn.malformed.iter().map(|malformed| malformed.raw_text.as_str()).collect();
    // Some models' own templates fail on a message that has no content at all.
    let content = Some(answer.turn.content.unwrap_or_default() + &malformed);
    Message { content, reasoning: answer.turn.reasoning, tool_calls, ..Message::empty(Role::Assistant) }
}

/// One line of the user's, continued after `\`; `None` at the end of input.
fn read_line(
    question: &str,
    ask: bool,
    styles: &Styles,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<Option<String>> {
    let mut text = String::new();
    loop {
        if ask {
            write!(out, "{}", painted(styles.heading, question))?;
            out.flush()?;
        }
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok((!text.is_empty()).then_some(text));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        match line.strip_suffix('\\') {
            Some(part) => {
                text.push_str(part);
                text.push('\n');
            }
            None => {
                text.push_str(line);
                return Ok(Some(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_call_waits_for_its_own_result() {
        let calls =
            vec![ToolCall::new("a", json!({})).with_id("1"), ToolCall::new("b", json!({})).with_id("2")];
        let mut conversation = Conversation::new(vec![Message::user("hi"), Message::calls(calls)]);
        assert_eq!(pending_call(&conversation).expect("a").name, "a");
        conversation.messages.push(Message::tool_result(Some("1".into()), "x"));
        assert_eq!(pending_call(&conversation).expect("b").name, "b");
        assert!(!answer_is_due(&Conversation::new(vec![Message::assistant("hi")])));
        conversation.messages.push(Message::tool_result(Some("2".into()), "y"));
        assert!(pending_call(&conversation).is_none());
        assert!(answer_is_due(&conversation));
    }

    #[test]
    fn lines_go_on_after_a_backslash() {
        let mut input = io::Cursor::new(b"one\\\ntwo\nthree".to_vec());
        let mut next =
            || read_line("> ", false, &Styles::default(), &mut input, &mut io::sink()).expect("reads");
        assert_eq!(next().as_deref(), Some("one\ntwo"));
        assert_eq!(next().as_deref(), Some("three"));
        assert_eq!(next(), None);
    }
}
