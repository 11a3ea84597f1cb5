//! The names that a call may use.

use crate::data::ToolSpec;
use crate::template::glm4;

/// The tools that were offered, as far as a parser needs them.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    /// `None`: any name will do.
    tools: Option<Vec<OfferedTool>>,
}

#[derive(Debug, Clone)]
struct OfferedTool {
    name: String,
    raw_key: Option<&'static str>,
}

impl Offered {
    pub(super) fn new(tools: Option<&[ToolSpec]>) -> Self {
        let offered = |tools: &[ToolSpec]| {
            let offered = |tool: &ToolSpec| {
                let name = tool.name()?.to_owned();
                let raw_key = glm4::raw_argument(&name, tools);
                Some(OfferedTool { name, raw_key })
            };
            // A tool described by a text has its name somewhere in it: then any name will do.
            tools.iter().map(offered).collect::<Option<Vec<_>>>()
        };
        Self { tools: tools.and_then(offered) }
    }
    /// Whether names are known, so that a call must use one of them.
    pub(super) fn is_listed(&self) -> bool {
        self.tools.is_some()
    }

    /// Whether a call may use this name.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool.name == name))
    }

    /// Whether a listed name starts like this.
    pub(super) fn any_starts_with(&self, start: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.iter().any(|tool| tool.name.starts_with(start)))
    }

    /// The length of the longest listed name.
    pub(super) fn longest_name(&self) -> usize {
        self.tools.iter().flatten().map(|tool| tool.name.len()).max().unwrap_or(0)
    }

    /// The key under which a built-in tool's raw text goes; `None` for tools that take JSON.
    pub(super) fn raw_key(&self, name: &str) -> Option<&'static str> {
        match &self.tools {
            Some(tools) => tools.iter().find(|tool| tool.name == name)?.raw_key,
            None => glm4::raw_argument(name, &[]),
        }
    }

    /// Why a name cannot be called.
    pub(super) fn refusal(&self, name: &str) -> String {
        let names: Vec<_> = self.tools.iter().flatten().map(|tool| tool.name.as_str()).collect();
        if names.is_empty() {
            return format!("the tool {name:?} is not offered; no tools are");
        }
        format!("the tool {name:?} is not offered; offered are: {}", names.join(", "))
    }
}
