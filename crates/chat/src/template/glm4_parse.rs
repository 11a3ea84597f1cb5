//! (being written)
use super::parse::{Offered, ParseEvent};

#[derive(Debug, Clone)]
pub(super) struct Glm4Parser {
    buffer: String,
}

impl Glm4Parser {
    pub(super) fn new(_offered: Offered) -> Self {
        Self { buffer: String::new() }
    }
    pub(super) fn push(&mut self, text: &str) -> Vec<ParseEvent> {
        self.buffer.push_str(text);
        Vec::new()
    }
    pub(super) fn finish(self) -> Vec<ParseEvent> {
        vec![ParseEvent::Content(self.buffer)]
    }
}
