//! The body of a ChatGLM3 call: a fenced block of Python that calls `tool_call`, read as data and never run.
//!
//! In: the text behind a name. Out: where the arguments are, and what they say. The fence may be missing, or name no
//! language.

use crate::json::{Json, parse_keywords};

const FENCE: &str = "```";
const LANGUAGE: &str = "python";
const FUNCTION: &str = "tool_call";

/// Where the arguments begin.
pub(super) enum Code {
    /// More text is needed.
    Wait,
    /// At this byte stands the opening parenthesis.
    Begins(usize),
    /// There is no call.
    None,
}

/// Looks for the arguments of the call that a text starts with.
pub(super) fn arguments(text: &str, last: bool) -> Code {
    /// White space between the fence and the call; more is no block.
    const MOST_SPACE: usize = 64;
    let mut at = 0;
    for part in [FENCE, LANGUAGE, FUNCTION, "("] {
        let rest = &text[at..];
        let space = rest.bytes().take(MOST_SPACE).take_while(u8::is_ascii_whitespace).count();
        let rest = &rest[space..];
        if rest.starts_with(part) {
            at += space + part.len();
        } else if part.starts_with(rest) {
            // Here the text ends, in the middle of what should stand here or before it.
            return if last { Code::None } else { Code::Wait };
        } else if part == FUNCTION || part == "(" {
            return Code::None;
        }
    }
    Code::Begins(at - 1)
}

/// How many bytes of a text are the end of the fence; `None` where more text is needed to tell.
pub(super) fn fence_end(text: &str, last: bool) -> Option<usize> {
    match text.strip_prefix(FENCE) {
        Some(_) => Some(FENCE.len()),
        None if !last && FENCE.starts_with(text) => None,
        None => Some(0),
    }
}

/// The arguments, from the opening parenthesis to the closing one.
pub(super) fn read(text: &str) -> Result<Json, String> {
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    match parse_keywords(inside) {
        Ok(arguments) => Ok(Json::Object(arguments)),
        Err(error) => Err(format!("the arguments are no Python literals: {error}")),
    }
}

/// The code inside a fence; the text itself where there is none.
pub(super) fn without_fence(text: &str) -> &str {
    let code = text.trim().strip_prefix(FENCE).and_then(|code| code.strip_suffix(FENCE));
    let Some(code) = code else { return text };
    let code = code.strip_prefix(LANGUAGE).unwrap_or(code);
    let code = code.strip_prefix('\n').unwrap_or(code);
    code.strip_suffix('\n').unwrap_or(code)
}
