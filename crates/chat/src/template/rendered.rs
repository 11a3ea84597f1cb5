//! What rendering yields: one text, cut into pieces.
//!
//! In: what a renderer writes. Out: [`Rendered`]. Text, ids, labels and coloured views all come from the pieces, so the
//! loss mask follows the structure and is never guessed from strings.

use std::ops::Range;

use crate::json::{Json, push_python, push_python_string};

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendered {
    text: String,
    pieces: Vec<Piece>,
}

/// A stretch of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: PieceKind,
    /// Index of the message it belongs to; `None` for what the template adds around messages.
    pub message: Option<usize>,
    /// Whether its tokens are trained.
    pub trained: bool,
    /// What part of an answer it is.
    pub part: Part,
    /// Whether its text is encoded apart from what is before it, so that no token straddles the two.
    pub starts_run: bool,
}

impl Piece {
    /// Where it stands in the text.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// One control token, by name; the tokenizer must have it.
    Control,
    /// Text of the template; the names of added tokens in it are control tokens.
    Structure,
    /// Text of the conversation; nothing in it is ever a control token.
    Content,
}

/// What part of an answer a piece is, so that parts can weigh differently in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Part {
    /// Anything else: control tokens and punctuation.
    #[default]
    Other,
    /// Text and thoughts; also what is no answer.
    Prose,
    /// The name of a tool that is called.
    Name,
    /// The name of an argument, quotes included.
    ArgumentKey,
    /// The value of an argument.
    ArgumentValue,
}

impl Rendered {
    /// A text that is all the template's.
    pub(crate) fn of_structure(text: &str) -> Self {
        let mut out = Writer::with_capacity(text.len(), 1);
        out.structure(text);
        out.finish()
    }

    /// What the family's chat template prints.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pieces, in order; together they are the text.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text of one piece.
    pub fn piece_text(&self, piece: &Piece) -> &str {
        &self.text[piece.range()]
    }

    /// Whether anything is trained.
    pub fn has_trained_piece(&self) -> bool {
        self.pieces.iter().any(|piece| piece.trained)
    }
}

/// Writes pieces; each renderer sets message and training state as it goes.
pub(super) struct Writer {
    rendered: Rendered,
    pub(super) message: Option<usize>,
    pub(super) trained: bool,
    pub(super) part: Part,
    starts_run: bool,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize, pieces: usize) -> Self {
        let rendered = Rendered { text: String::with_capacity(bytes), pieces: Vec::with_capacity(pieces) };
        Self { rendered, message: None, trained: false, part: Part::Prose, starts_run: false }
    }

    /// What is written next is encoded apart from what is before it.
    pub(super) fn start_run(&mut self) {
        self.starts_run = true;
    }

    pub(super) fn control(&mut self, name: &str) {
        self.write(PieceKind::Control, |text| text.push_str(name));
    }

    pub(super) fn structure(&mut self, part: &str) {
        self.write(PieceKind::Structure, |text| text.push_str(part));
    }

    pub(super) fn content(&mut self, part: &str) {
        self.write(PieceKind::Content, |text| text.push_str(part));
    }

    /// Text of the conversation that is this part of an answer.
    pub(super) fn content_part(&mut self, part: Part, text: &str) {
        self.as_part(part, |out| out.content(text));
    }

    /// Arguments as `json.dumps(arguments, ensure_ascii=False)` prints them, keys and values apart.
    pub(super) fn arguments(&mut self, arguments: &Json) {
        let Json::Object(arguments) = arguments else {
            let write = |text: &mut String| push_python(text, arguments);
            return self.as_part(Part::ArgumentValue, |out| out.write(PieceKind::Content, write));
        };
        self.structure("{");
        for (index, (key, value)) in arguments.iter().enumerate() {
            if index > 0 {
                self.structure(", ");
            }
            let write = |text: &mut String| push_python_string(text, key);
            self.as_part(Part::ArgumentKey, |out| out.write(PieceKind::Content, write));
            self.structure(": ");
            let write = |text: &mut String| push_python(text, value);
            self.as_part(Part::ArgumentValue, |out| out.write(PieceKind::Content, write));
        }
        self.structure("}");
    }

    /// Writes content that is this part of an answer.
    pub(super) fn as_part(&mut self, part: Part, write: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.part, part);
        write(self);
        self.part = before;
    }

    /// Writes one piece; neighbours that differ in nothing become one, except control tokens.
    pub(super) fn write(&mut self, kind: PieceKind, write: impl FnOnce(&mut String)) {
        let Self { rendered: Rendered { text, pieces }, message, trained, part, starts_run } = self;
        let part = if kind == PieceKind::Content { *part } else { Part::Other };
        let start = text.len();
        write(text);
        let end = text.len();
        if start == end {
            return;
        }
        let starts_run = std::mem::take(starts_run);
        if let Some(last) = pieces.last_mut()
            && kind != PieceKind::Control
            && !starts_run
            && (last.kind, last.message, last.trained, last.part) == (kind, *message, *trained, part)
        {
            last.end = end;
            return;
        }
        pieces.push(Piece { start, end, kind, message: *message, trained: *trained, part, starts_run });
    }

    pub(super) fn finish(self) -> Rendered {
        self.rendered
    }
}
