//! Why a conversation cannot be written in a family's format.

use thiserror::Error;

use super::Template;
use crate::data::Role;

/// Why a conversation cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A template name that is not known.
    #[error("unknown template {name:?}, expected one of: {expected}")]
    UnknownTemplate {
        /// The name given.
        name: String,
        /// The names there are.
        expected: String,
    },
    /// A message without text where the template writes one.
    #[error(
        "messages[{message}]: the {role} message has no content, and {template} cannot write that; set content to a text (\"\" for an empty one), or drop the message"
    )]
    NoContent {
        /// Index of the message.
        message: usize,
        /// Its role.
        role: Role,
        /// The template.
        template: Template,
    },
    /// A tool name that the format cannot hold.
    #[error(
        "messages[{message}].tool_calls[{call}]: {template} cannot write the tool name {name:?}; {reason}. Rename the tool"
    )]
    UnwritableName {
        /// Index of the message.
        message: usize,
        /// Index of the call.
        call: usize,
        /// The name.
        name: String,
        /// The template.
        template: Template,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A built-in tool takes raw text, and the call has other arguments.
    #[error(
        "messages[{message}].tool_calls[{call}]: {name} is a built-in tool of {template} that takes raw text; expected the arguments {{\"{key}\": \"…\"}}, found {found}"
    )]
    BuiltInArguments {
        /// Index of the message.
        message: usize,
        /// Index of the call.
        call: usize,
        /// The tool.
        name: String,
        /// The template.
        template: Template,
        /// The key of its sole argument.
        key: &'static str,
        /// The arguments found.
        found: String,
    },
    /// An argument that the format cannot hold.
    #[error(
        "messages[{message}].tool_calls[{call}]: {template} cannot write the argument {key:?}; {reason}. Change it, or drop the call"
    )]
    UnwritableArgument {
        /// Index of the message.
        message: usize,
        /// Index of the call.
        call: usize,
        /// The argument's key.
        key: String,
        /// The template.
        template: Template,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Several calls where the format has room for one.
    #[error(
        "messages[{message}]: {template} writes one call a message, found {found}; give each call a message of its own with its result behind it"
    )]
    SeveralCalls {
        /// Index of the message.
        message: usize,
        /// How many calls it makes.
        found: usize,
        /// The template.
        template: Template,
    },
    /// A result that answers no call, where the format names the call.
    #[error(
        "messages[{message}]: {template} writes the id of the call beside its result, and this result answers none; set tool_call_id to an earlier call's id, or drop the message"
    )]
    ResultWithoutCall {
        /// Index of the message.
        message: usize,
        /// The template.
        template: Template,
    },
    /// A message where the template's own check wants another role.
    #[error(
        "messages[{message}]: {template} cannot write a message of the {role} here; it takes {expected}. Reorder, join or drop messages"
    )]
    RoleOutOfTurn {
        /// Index of the message.
        message: usize,
        /// Its role.
        role: Role,
        /// The template.
        template: Template,
        /// What it takes here.
        expected: &'static str,
    },
    /// Tools are offered, and there is no message of the user to put them into.
    #[error(
        "{template} puts the tools into the first message after the system message, and there is none; add the user's message"
    )]
    NoUserMessage {
        /// The template.
        template: Template,
    },
    /// A tool definition that the template cannot describe.
    #[error("tools[{tool}]: {template} cannot describe this tool; {reason}. Change its definition")]
    UnwritableTool {
        /// Index of the tool.
        tool: usize,
        /// The template.
        template: Template,
        /// What is wrong with it.
        reason: String,
    },
    /// A tool defined by a text, where the template takes objects.
    #[error(
        "tools[{tool}]: {template} takes tools defined by JSON objects; found a text. Write it as {{\"type\": \"function\", \"function\": {{\"name\": …}}}}"
    )]
    TextTool {
        /// Index of the tool.
        tool: usize,
        /// The template.
        template: Template,
    },
    /// Arguments that are no object, where the format writes them one by one.
    #[error(
        "messages[{message}].tool_calls[{call}].arguments: {template} writes arguments one by one; expected an object, found {found}. Write {{}} where there are none"
    )]
    ArgumentsNotObject {
        /// Index of the message.
        message: usize,
        /// Index of the call.
        call: usize,
        /// The template.
        template: Template,
        /// The arguments found.
        found: String,
    },
    /// The conversation has no messages.
    #[error("the conversation has no messages; expected at least one")]
    NoMessages,
    /// A tool defined by a text, which no chat template of a model takes.
    #[error(
        "tools[{tool}]: chat templates take tools defined by JSON objects; found a text. Write it as {{\"type\": \"function\", \"function\": {{\"name\": …}}}}"
    )]
    TextToolOfModel {
        /// Index of the tool.
        tool: usize,
    },
    /// The model has no chat template.
    #[error(
        "the model has no chat template: neither chat_template.jinja nor chat_template in tokenizer_config.json. Name one by --template, or add the file"
    )]
    NoChatTemplate,
    /// The model's chat template is no Jinja.
    #[error(
        "the model's chat template: line {line}: {reason}. Expected a Jinja template as transformers runs it"
    )]
    TemplateSyntax {
        /// Line of the template, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The model's chat template does not take this conversation, and says why.
    #[error("the model's chat template refuses the conversation: {reason}")]
    TemplateRefuses {
        /// What it says.
        reason: String,
    },
    /// The model's chat template fails on this conversation.
    #[error(
        "the model's chat template fails on the conversation, in its line {line}: {reason}. Mend the record or the template"
    )]
    TemplateFailed {
        /// Line of the template, from 1.
        line: usize,
        /// What went wrong.
        reason: String,
    },
    /// The texts of the conversation cannot be told from those of the template.
    #[error(
        "the model's chat template changes texts of the conversation in a way that cannot be followed, so what they hold could become control tokens. Take out of them what looks like a control token, or mend the template"
    )]
    NotFollowed,
    /// An answer is written in another place than where the generation prompt ends.
    #[error(
        "messages[{message}]: the model's chat template does not write this answer after its own generation prompt, so it cannot be trained as it would be served. Set train: false on it, or mend the template"
    )]
    NotServedSo {
        /// Index of the message.
        message: usize,
    },
    /// Nothing ends an answer.
    #[error(
        "messages[{message}]: the model's chat template writes no control token after this answer, so where it ends cannot be told. Set train: false on it, or mend the template"
    )]
    NoStopToken {
        /// Index of the message.
        message: usize,
    },
}
