//! The names that a call may use.

use super::schema_types::{Types, types_of_properties};
use crate::data::ToolSpec;
use crate::json::{Json, JsonMap};
use crate::template::glm_turns::{BuiltIn, is_function};

/// The tools that were offered, as far as a parser needs them.
#[derive(Debug, Clone)]
pub(in crate::template) struct Offered {
    /// `None`: any name will do.
    tools: Option<Vec<OfferedTool>>,
    /// Any name will do, though tools are known.
    any_name: bool,
}

#[derive(Debug, Clone)]
struct OfferedTool {
    name: String,
    /// Whether it takes arguments, and no raw text.
    is_function: bool,
    /// What the schema says of each argument.
    types: Vec<(String, Types)>,
    /// The schemas of its arguments.
    properties: Option<JsonMap>,
}

impl Offered {
    pub(in crate::template) fn new(tools: Option<&[ToolSpec]>) -> Self {
        let offered = |tools: &[ToolSpec]| {
            let offered = |tool: &ToolSpec| {
                let name = tool.name()?.to_owned();
                let is_function = is_function(tool, &name);
                let types = tool.parameters().map(types_of_properties).unwrap_or_default();
                let properties = tool.parameters().and_then(|schema| schema.get("properties")?.as_object());
                Some(OfferedTool { name, is_function, types, properties: properties.cloned() })
            };
            // A tool described by a text has its name somewhere in it: then any name will do.
            tools.iter().map(offered).collect::<Option<Vec<_>>>()
        };
        Self { tools: tools.and_then(offered), any_name: false }
    }

    /// The types that these tools give their arguments, where a call may use any name.
    pub(in crate::template) fn any_of(tools: &[ToolSpec]) -> Self {
        Self { any_name: true, ..Self::new(Some(tools)) }
    }

    /// Whether names are known, so that a call must use one of them.
    pub(super) fn is_listed(&self) -> bool {
        self.tools.is_some() && !self.any_name
    }

    /// Whether a call may use this name.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.any_name || self.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool.name == name))
    }

    /// Whether a listed name starts like this.
    pub(super) fn any_starts_with(&self, start: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.iter().any(|tool| tool.name.starts_with(start)))
    }

    /// The length of the longest listed name.
    pub(super) fn longest_name(&self) -> usize {
        self.tools.iter().flatten().map(|tool| tool.name.len()).max().unwrap_or(0)
    }

    /// The key under which a built-in tool's raw text goes; `None` for tools that take JSON, and those not offered.
    pub(super) fn raw_key(&self, name: &str, built_in: BuiltIn) -> Option<&'static str> {
        let (_, key) = built_in.iter().find(|(known, _)| *known == name)?;
        let is_built_in = match &self.tools {
            Some(tools) => {
                let mut named = tools.iter().filter(|tool| tool.name == name).peekable();
                named.peek().is_some() && named.all(|tool| !tool.is_function)
            }
            None => true,
        };
        is_built_in.then_some(key)
    }

    /// What the schema says of an argument; `None` where it says nothing, or where no tools are known.
    pub(super) fn types(&self, tool: &str, argument: &str) -> Option<Types> {
        let tool = self.tools.as_ref()?.iter().find(|offered| offered.name == tool)?;
        tool.types.iter().find(|(key, _)| key == argument).map(|(_, types)| *types)
    }

    /// The schema of an argument, where a tool is known to have it.
    pub(super) fn schema(&self, name: &str, key: &str) -> Option<&Json> {
        let tool = self.tools.iter().flatten().find(|tool| tool.name == name)?;
        tool.properties.as_ref()?.get(key)
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
