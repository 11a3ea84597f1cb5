//! Rules about all the conversations together: which tools are called, and whether any question needs none.

use std::collections::BTreeMap;

use super::{Code, Finding};
use crate::data::{Conversation, Role, ToolSpec};

/// Conversations from which on it means something that none of them does a thing.
const ENOUGH: usize = 10;

/// Tools that are named in one finding.
const NAMED: usize = 12;

/// What was counted over conversations; counts of parts can be put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Conversations that offer tools.
    pub offering: usize,
    /// Conversations in which a tool is called.
    pub calling: usize,
    /// Conversations whose last answer has thoughts.
    pub thinking: usize,
    /// Conversations whose last answer has none.
    pub unthinking: usize,
    /// In how many conversations each tool is offered, and how often it is called.
    pub tools: BTreeMap<String, ToolUse>,
}

/// How a tool is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolUse {
    /// Conversations that offer it.
    pub offered: usize,
    /// Calls of it.
    pub called: usize,
}

impl DatasetFacts {
    /// Counts one more conversation.
    pub fn count(&mut self, conversation: &Conversation) {
        for name in conversation.tools().iter().filter_map(ToolSpec::name) {
            self.tool(name).offered += 1;
        }
        let mut calls = false;
        for call in conversation.messages.iter().flat_map(|message| &message.tool_calls) {
            self.tool(&call.name).called += 1;
            calls = true;
        }
        self.offering += usize::from(!conversation.tools().is_empty());
        self.calling += usize::from(calls);
        let answers = conversation.messages.iter().rev();
        if let Some(last) = answers.into_iter().find(|message| message.role == Role::Assistant) {
            let thinks = last.reasoning.as_ref().is_some_and(|thoughts| !thoughts.trim().is_empty())
                || last.text().contains("<think>");
            self.thinking += usize::from(thinks);
            self.unthinking += usize::from(!thinks);
        }
    }

    fn tool(&mut self, name: &str) -> &mut ToolUse {
        if !self.tools.contains_key(name) {
            self.tools.insert(name.to_owned(), ToolUse::default());
        }
        self.tools.entry(name.to_owned()).or_default()
    }

    /// Counts those of another part.
    pub fn merge(&mut self, other: Self) {
        self.offering += other.offering;
        self.calling += other.calling;
        self.thinking += other.thinking;
        self.unthinking += other.unthinking;
        for (name, used) in other.tools {
            let tool = self.tools.entry(name).or_default();
            tool.offered += used.offered;
            tool.called += used.called;
        }
    }

    /// What is wrong with the whole.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.never_called());
        let called: Vec<_> = self.tools.iter().filter(|(_, tool)| tool.called > 0).collect();
        if let [(name, tool)] = called.as_slice()
            && self.calling >= ENOUGH
        {
            let text = format!("all {} calls are of one tool, {name:?}", tool.called);
            findings.push(Finding::new(Code::OneTool, text));
        }
        if self.calling >= ENOUGH && self.calling >= self.offering {
            let text =
                format!("a tool is called in each of the {} conversations that offer tools", self.offering);
            findings.push(Finding::new(Code::NoNegatives, text));
        }
        if self.thinking > 0 && self.unthinking > 0 {
            let text = format!(
                "the last answer has thoughts in {} conversations and none in {}",
                self.thinking, self.unthinking
            );
            findings.push(Finding::new(Code::MixedThoughts, text));
        }
        findings
    }

    fn never_called(&self) -> Option<Finding> {
        let mut never: Vec<_> = self.tools.iter().filter(|(_, tool)| tool.called == 0).collect();
        if never.is_empty() || self.calling == 0 {
            return None;
        }
        never.sort_by_key(|(name, tool)| (std::cmp::Reverse(tool.offered), name.as_str()));
        let named: Vec<_> = never
            .iter()
            .take(NAMED)
            .map(|(name, tool)| format!("{name} (offered in {})", tool.offered))
            .collect();
        let more = match never.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (all, never) = (self.tools.len(), never.len());
        let text = format!("{never} of {all} tools are offered and never called: {}{more}", named.join(", "));
        Some(Finding::new(Code::ToolNeverCalled, text))
    }
}
