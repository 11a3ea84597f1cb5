//! GLM-4 9B chat, with the tools text of its Jinja template. `⏎` is a newline; nothing separates messages.
//!
//! ```text
//! [gMASK]<sop>
//! <|system|>⏎{preamble}⏎⏎# 可用工具⏎## {name}⏎⏎{function, indented by 4}⏎在调用上述函数时，请使用 Json 格式表示调用的参数。⏎## …
//! <|system|>⏎{content}<|user|>⏎{content}
//! <|assistant|>⏎{thought}<|assistant|>{name}⏎{arguments}<|observation|>⏎{result}<|assistant|>⏎{answer}
//! <|assistant|>                                                             ← the generation prompt
//! ```
//!
//! Each call is a segment of its own. Nobody owns a stop token: the next role does its work, `<|observation|>` after a
//! call, else `<|user|>`; it is trained with the turn before it, as is an `<|assistant|>` that goes on. Trained: from
//! after `<|assistant|>`, the name and the newline included. The built-in tools `python`, `simple_browser` and
//! `cogview` have texts of their own and take raw text instead of JSON.
//!
//! What it cannot say: a message without text (it vanishes, role and all), thoughts, ids of calls, tools whose type is
//! neither `function` nor built in (only the header tells of them).

use super::family::Family;
use super::parse::Grammar;
use super::rendered::{PieceKind, Writer};
use super::{RenderError, RenderOptions, Rendered, Template};
use crate::data::{Conversation, Message, Role, ToolCall, ToolSpec};
use crate::json::{self, Json, push_python, push_python_indented};

pub(crate) const SYSTEM: &str = "<|system|>";
pub(crate) const USER: &str = "<|user|>";
pub(crate) const ASSISTANT: &str = "<|assistant|>";
pub(super) const OBSERVATION: &str = "<|observation|>";
pub(crate) const PREAMBLE: &str = "\n\
    你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\
    \n\
    # 可用工具";
pub(crate) const PYTHON: &str = "\n\
    ## python\n\
    \n\
    当你向 `python` 发送包含 Python 代码的消息时，该代码将会在一个有状态的 Jupyter notebook 环境中执行。\n\
    `python` 返回代码执行的输出，或在执行 60 秒后返回超时。\n\
    `/mnt/data` 将会持久化存储你的文件。在此会话中，`python` 无法访问互联网。不要使用 `python` 进行任何网络请求或者在线 API 调用，这些在线内容的访问将不会成功。";
pub(crate) const BROWSER: &str = "\n\
    ## simple_browser\n\
    \n\
    你可以使用 `simple_browser` 工具。该工具支持以下函数：\n\
    `search(query: str, recency_days: int)`：使用搜索引擎进行查询并显示结果，可以使用 `recency_days` 参数控制搜索内容的时效性。\n\
    `mclick(ids: list[int])`：获取一系列指定 id 的页面内容。每次调用时，须选择3-10个页面。选择多个角度的页面，同时尽可能选择可信任的信息来源。考虑到部分页面是无法加载的，你也可以多打开一些可能有用的页面而不用担心内容过多。\n\
    `open_url(url: str)`：打开指定的 URL。\n\
    \n\
    使用 `【{引用 id}†{引用文本}】` 来引用内容。\n\
    \n\
    操作步骤：1. 使用 `search` 来获得信息列表; 2. 使用 `mclick` 来获取指定 ID 页面的内容; 3. 根据获得的内容进行回复。在回复中应当引用信息来源。\n\
    \x20如果用户提供了 URL，也可以用 `open_url` 直接打开页面。\n\
    如果初次搜索结果没有找到合适的信息，也可以再次使用 `search` 进行搜索。";
pub(crate) const COGVIEW: &str = "\n\
    ## cogview\n\
    \n\
    如果用户的请求中包含了对图像的描述，你可以使用 `cogview` 来生成图像并展示给用户。你需要向 `cogview` 发送图像描述，规则：\n\
    - 发送给 `cogview` 的消息必须使用英语。用户的中文描述必须完全翻译为英语。\n\
    - 应当尽可能详细地描述图像生成的需求，需求描述约 100 英文单词。\n\
    - 保持用户原始描述的意图。不要虚构内容或者没见过的人物。\n\
    - 如无特殊说明，所在地为中国，持有中国立场并遵循中国社会主义价值观。";
pub(crate) const AFTER_FUNCTION: &str = "\n在调用上述函数时，请使用 Json 格式表示调用的参数。";

pub(super) const FAMILY: Family = Family {
    name: "glm4",
    render,
    grammar: || Grammar::NameLine(Default::default()),
    stop_tokens: &[USER, OBSERVATION, "<|endoftext|>"],
    marks_calls: false,
    thinks: false,
    rewrites_history: false,
};

fn render(conversation: &Conversation, options: &RenderOptions) -> Result<Rendered, RenderError> {
    let messages = &conversation.messages;
    if messages.is_empty() {
        return Err(RenderError::NoMessages);
    }
    let size: usize = messages.iter().map(|message| message.text().len() + 64).sum();
    let writer =
        Writer::with_capacity(size + 1024 * (1 + conversation.tools().len()), 4 * messages.len() + 16);
    let mut renderer = Renderer { out: writer, answer: None };
    renderer.out.control("[gMASK]");
    renderer.out.control("<sop>");
    if let Some(tools) = &conversation.tools {
        renderer.out.message = (messages[0].role == Role::System).then_some(0);
        renderer.tools(tools);
    }
    for (index, message) in messages.iter().enumerate() {
        renderer.out.message = Some(index);
        match message.role {
            Role::System => renderer.text(SYSTEM, message),
            Role::User => renderer.text(USER, message),
            Role::Tool => renderer.text(OBSERVATION, message),
            Role::Assistant => {
                renderer.text(ASSISTANT, message);
                for (call_index, call) in message.tool_calls.iter().enumerate() {
                    let raw_key = raw_argument(&call.name, conversation.tools());
                    renderer.call(message, index, call, call_index, raw_key)?;
                }
            }
        }
    }
    if options.add_generation_prompt {
        renderer.out.message = None;
        renderer.role(ASSISTANT);
    } else if options.for_training
        && let Some(answer) = renderer.answer.take()
    {
        renderer.out.trained = answer.trained;
        renderer.out.control(answer.stop);
    }
    Ok(renderer.out.finish())
}

/// The key of a built-in tool's sole argument, which is written raw; `None` for tools that take JSON.
pub(super) fn raw_argument(name: &str, tools: &[ToolSpec]) -> Option<&'static str> {
    let key = match name {
        "python" | "simple_browser" => "code",
        "cogview" => "prompt",
        _ => return None,
    };
    let is_function = tools
        .iter()
        .any(|tool| tool.name() == Some(name) && !matches!(tool.kind(), Some(kind) if kind == name));
    (!is_function).then_some(key)
}

/// An assistant segment that was written last: the next role token ends it.
struct Answer {
    trained: bool,
    stop: &'static str,
}

struct Renderer {
    out: Writer,
    answer: Option<Answer>,
}

impl Renderer {
    /// A role token; it is trained where it ends a trained answer as the model should end it, or goes on.
    fn role(&mut self, role: &'static str) {
        let ends = self.answer.take();
        self.out.trained =
            ends.is_some_and(|answer| answer.trained && (role == answer.stop || role == ASSISTANT));
        self.out.control(role);
        self.out.trained = false;
    }

    fn tools(&mut self, tools: &[ToolSpec]) {
        self.role(SYSTEM);
        self.out.structure(PREAMBLE);
        for tool in tools {
            match tool.kind() {
                Some("function") => {
                    let function = tool.definition().get("function").unwrap_or(&Json::Null);
                    self.out.structure("\n## ");
                    self.out.content(function.get("name").and_then(Json::as_str).unwrap_or_default());
                    self.out.structure("\n\n");
                    self.out.write(PieceKind::Content, |text| push_python_indented(text, function, 4));
                    self.out.structure(AFTER_FUNCTION);
                }
                Some("python") => self.out.structure(PYTHON),
                Some("simple_browser") => self.out.structure(BROWSER),
                Some("cogview") => self.out.structure(COGVIEW),
                _ => {}
            }
        }
    }

    fn text(&mut self, role: &'static str, message: &Message) {
        if message.text().is_empty() {
            return;
        }
        self.role(role);
        self.out.trained = message.is_trained();
        self.out.structure("\n");
        self.out.content(message.text());
        if role == ASSISTANT {
            self.answer = Some(Answer { trained: message.is_trained(), stop: USER });
        }
    }

    fn call(
        &mut self,
        message: &Message,
        message_index: usize,
        call: &ToolCall,
        call_index: usize,
        raw_key: Option<&'static str>,
    ) -> Result<(), RenderError> {
        if let Some(reason) = unwritable(&call.name) {
            return Err(RenderError::UnwritableName {
                message: message_index,
                call: call_index,
                name: call.name.clone(),
                template: Template::Glm4,
                reason,
            });
        }
        self.role(ASSISTANT);
        self.out.trained = message.is_trained();
        self.out.content(&call.name);
        self.out.structure("\n");
        match raw_key {
            None => self.out.write(PieceKind::Content, |text| push_python(text, &call.arguments)),
            Some(key) => {
                let arguments = call.arguments.as_object().filter(|arguments| arguments.len() == 1);
                let raw = arguments.and_then(|arguments| arguments.get(key)).and_then(Json::as_str);
                let raw = raw.ok_or_else(|| RenderError::BuiltInArguments {
                    message: message_index,
                    call: call_index,
                    name: call.name.clone(),
                    template: Template::Glm4,
                    key,
                    found: json::to_python(&call.arguments),
                })?;
                self.out.content(raw);
            }
        }
        self.answer = Some(Answer { trained: message.is_trained(), stop: OBSERVATION });
        Ok(())
    }
}

fn unwritable(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("a call without a name reads as text")
    } else if name != name.trim() {
        Some("white space around it is lost when the call is read back")
    } else if name.contains(['\n', '\r']) {
        Some("it stands on a line of its own")
    } else {
        None
    }
}
