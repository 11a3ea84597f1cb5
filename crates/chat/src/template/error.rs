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
