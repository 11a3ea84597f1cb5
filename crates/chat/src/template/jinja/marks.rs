//! Which bytes of a render are the conversation's own text.
//!
//! A template is a program: what it does with a text can only be seen by running it. So it is run a second time on texts
//! with marks inside, single characters of the private planes that the conversation does not hold. Where a mark comes
//! out, its text stands. Marks go where programs do not look: inside the white space at the edges (templates strip), and
//! not into a string that the template's source holds (it may be searched for). Without its marks the second render must
//! be the first, byte for byte; if it is not, marks are set elsewhere, and in the end the conversation is refused.

use std::collections::HashSet;
use std::ops::Range;

use minijinja::value::Value;

use super::context::{Kind, Texts};
use crate::json::push_python_string;

/// Characters for marks: the two private planes without their last ones, which mark generated stretches.
const FIRST: u32 = 0xf_0000;
const LAST: u32 = 0x10_fff0;

/// How many texts carry marks, from most to fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// All that was said, the names of calls, and whatever could be taken for a control token.
    Thorough,
    /// Only what could be taken for a control token.
    Needed,
    /// The same, even where the template holds the same string.
    Bold,
}

impl Effort {
    pub(super) const ALL: [Self; 3] = [Self::Thorough, Self::Needed, Self::Bold];
}

/// What a template and a tokenizer hold that decides where marks go.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Strings of the template's source that it may look for.
    literals: Vec<String>,
    /// Characters at the edges of control tokens.
    edges: HashSet<char>,
    /// Control tokens that are mere words.
    words: Vec<String>,
}

impl Surroundings {
    pub(super) fn new(source: &str, added_tokens: &[String]) -> Self {
        let is_word = |c: char| c.is_alphanumeric();
        let mut edges: HashSet<char> = "<>[]|".chars().collect();
        let mut words = Vec::new();
        for token in added_tokens {
            let ends: Vec<char> = token.chars().next().into_iter().chain(token.chars().next_back()).collect();
            if ends.iter().all(|c| is_word(*c)) {
                words.push(token.clone());
            }
            edges.extend(ends.into_iter().filter(|c| !is_word(*c)));
        }
        Self { literals: literals(source), edges, words }
    }

    /// Whether no control token can be in this text or come about at its edges.
    fn is_harmless(&self, text: &str) -> bool {
        !text.contains(|c| self.edges.contains(&c)) && !self.words.iter().any(|word| text.contains(word))
    }

    /// Stretches without marks: strings that the template may look for.
    fn blocked(&self, text: &str) -> Vec<Range<usize>> {
        let mut blocked = Vec::new();
        for literal in &self.literals {
            if literal.contains(['<', '>', '[', ']', '|']) {
                blocked.extend(text.match_indices(literal.as_str()).map(|(at, _)| at..at + literal.len()));
                continue;
            }
            if text.starts_with(literal.as_str()) {
                blocked.push(0..literal.len());
            }
            if text.ends_with(literal.as_str()) {
                blocked.push(text.len() - literal.len()..text.len());
            }
        }
        blocked.sort_by_key(|range| (range.start, range.end));
        blocked
    }
}

/// The quoted strings in a template's tags, without white space around them.
fn literals(source: &str) -> Vec<String> {
    let mut found = HashSet::new();
    let mut rest = source;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        rest = &rest[at + 2..];
        let mut chars = rest.char_indices();
        let mut quoted: Option<(char, String)> = None;
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match &mut quoted {
                None if c == '\'' || c == '"' => quoted = Some((c, String::new())),
                None if rest[at..].starts_with("%}") || rest[at..].starts_with("}}") => {
                    end = at;
                    break;
                }
                None => {}
                Some((quote, text)) if c == *quote => {
                    found.insert(text.trim().to_owned());
                    quoted = None;
                }
                Some((_, text)) if c == '\\' => text.extend(chars.next().map(|(_, c)| match c {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })),
                Some((_, text)) => text.push(c),
            }
        }
        rest = &rest[end..];
    }
    let mut literals: Vec<_> = found.into_iter().filter(|text| text.len() > 1).collect();
    literals.sort();
    literals
}

/// A stretch of the render that is the conversation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    /// Index of the message; `None` for tools.
    pub(super) message: Option<usize>,
    pub(super) kind: Kind,
}

/// Sets marks, and finds them again.
pub(super) struct Marker<'a> {
    surroundings: &'a Surroundings,
    effort: Effort,
    /// Characters that the conversation itself holds.
    taken: HashSet<char>,
    next: u32,
    texts: Vec<(String, Option<usize>, Kind)>,
    /// For the marks in order: index of the text, place in it, and whether the next mark ends the same stretch.
    marks: Vec<Mark>,
    /// Whether a text stayed unmarked for want of characters.
    pub(super) exhausted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    text: usize,
    offset: usize,
    /// Whether everything up to the next mark is the text, whatever the template made of it.
    opens: bool,
}

impl<'a> Marker<'a> {
    /// `plain` is the render without marks.
    pub(super) fn new(surroundings: &'a Surroundings, effort: Effort, plain: &str) -> Self {
        let private = |c: &char| u32::from(*c) >= FIRST;
        let taken = plain.chars().filter(private).collect();
        Self {
            surroundings,
            effort,
            taken,
            next: FIRST,
            texts: Vec::new(),
            marks: Vec::new(),
            exhausted: false,
        }
    }

    /// The next free character; `None` where all are used up.
    fn mark(&mut self, mark: Mark) -> Option<char> {
        loop {
            let c = char::from_u32(self.next)?;
            if self.next >= LAST {
                return None;
            }
            self.next += 1;
            // Free characters keep their place in the list, so that a mark's number is its character.
            if self.taken.contains(&c) {
                self.marks.push(Mark { text: usize::MAX, offset: 0, opens: false });
                continue;
            }
            self.marks.push(mark);
            return Some(c);
        }
    }

    /// What marks go around, and whether the template leaves it in one piece for sure.
    fn stretches_to_mark(&self, text: &str) -> (Vec<Range<usize>>, bool) {
        let core = text.len() - text.trim_start().len();
        let end = core + text.trim().len();
        let whole = core..end;
        if self.effort == Effort::Bold {
            return (vec![whole], false);
        }
        let mut stretches = Vec::new();
        let mut at = core;
        let blocked = self.surroundings.blocked(&text[whole.clone()]);
        let blocked = blocked.iter().map(|range| core + range.start..core + range.end);
        for range in blocked.chain(std::iter::once(end..end)) {
            if range.start > at {
                let part = &text[at..range.start];
                let start = at + part.len() - part.trim_start().len();
                stretches.push(start..start + part.trim().len());
            }
            at = at.max(range.end);
        }
        stretches.retain(|stretch| !stretch.is_empty());
        // All of it is what the template holds too; unmarked it could not be told from that.
        if stretches.is_empty() { (vec![whole], false) } else { (stretches, true) }
    }

    /// The text with marks in it; `None` where all characters are used up.
    fn marked(&mut self, text: &str, message: Option<usize>, kind: Kind) -> Option<String> {
        let (stretches, whole) = self.stretches_to_mark(text);
        let index = self.texts.len();
        let mut out = String::with_capacity(text.len() + 8 * stretches.len());
        let mut written = 0;
        for stretch in stretches {
            for (offset, opens) in [(stretch.start, whole), (stretch.end, false)] {
                let mark = self.mark(Mark { text: index, offset, opens })?;
                out.push_str(&text[written..offset]);
                out.push(mark);
                written = offset;
            }
        }
        out.push_str(&text[written..]);
        self.texts.push((text.to_owned(), message, kind));
        Some(out)
    }

    /// The conversation's stretches in `plain`, told by the render with marks; `None` where the two differ.
    pub(super) fn find(&self, plain: &str, marked: &str) -> Option<Vec<Found>> {
        let mut hits: Vec<(usize, Mark)> = Vec::new();
        let mut at = 0;
        let mut rest = marked;
        loop {
            let same = rest.find(|c| u32::from(c) >= FIRST).unwrap_or(rest.len());
            if plain.as_bytes().get(at..at + same) != Some(&rest.as_bytes()[..same]) {
                return None;
            }
            at += same;
            rest = &rest[same..];
            let Some(c) = rest.chars().next() else { break };
            rest = &rest[c.len_utf8()..];
            let mark = self.marks.get((u32::from(c) - FIRST) as usize).filter(|_| !self.taken.contains(&c));
            match mark {
                Some(mark) => hits.push((at, *mark)),
                // The conversation's own.
                None if plain[at..].starts_with(c) => at += c.len_utf8(),
                None => return None,
            }
        }
        (at == plain.len()).then(|| self.stretches(plain, &hits))
    }

    fn stretches(&self, plain: &str, hits: &[(usize, Mark)]) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let mut next = 0;
        while next < hits.len() {
            let (first_at, first) = hits[next];
            let mut last = next;
            while let (Some((from, a)), Some((to, b))) = (hits.get(last), hits.get(last + 1))
                && a.text == b.text
                && a.offset < b.offset
                && (a.opens || self.stands(plain, *from..*to, a.text, a.offset..b.offset))
            {
                last += 1;
            }
            let (last_at, ends) = hits[last];
            let (text, message, kind) = &self.texts[first.text];
            let floor = found.last().map_or(0, |found| found.range.end);
            let ceiling = hits.get(last + 1).map_or(plain.len(), |hit| hit.0);
            let start = first_at - common_end(&plain[floor..first_at], &text[..first.offset]);
            let end = last_at + common_start(&plain[last_at..ceiling], &text[ends.offset..]);
            if start < end {
                found.push(Found { range: start..end, message: *message, kind: *kind });
            }
            next = last + 1;
        }
        found
    }

    /// Whether this part of the render is this part of the text, as it is or as a JSON string shows it.
    fn stands(&self, plain: &str, range: Range<usize>, text: usize, part: Range<usize>) -> bool {
        let (part, shown) = (&self.texts[text].0[part], &plain[range]);
        part == shown || json_string(part) == shown
    }
}

/// A text as it stands inside the quotes of JSON.
fn json_string(text: &str) -> String {
    let mut out = String::new();
    push_python_string(&mut out, text);
    out[1..out.len() - 1].to_owned()
}

/// How many bytes of a render go on as the text does, as it is or as a JSON string shows it.
fn common_start(render: &str, text: &str) -> usize {
    let as_is: usize =
        render.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    if as_is == text.len() {
        return as_is;
    }
    let shown = json_string(text);
    let as_json: usize =
        render.chars().zip(shown.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    as_is.max(as_json)
}

/// The same before a place.
fn common_end(render: &str, text: &str) -> usize {
    let same = |text: &str| -> usize {
        let pairs = render.chars().rev().zip(text.chars().rev());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let as_is = same(text);
    if as_is == text.len() { as_is } else { as_is.max(same(&json_string(text))) }
}

impl Texts for Marker<'_> {
    fn text(&mut self, text: &str, message: Option<usize>, kind: Kind) -> Value {
        let harmless = self.surroundings.is_harmless(text);
        let wanted = !harmless || (self.effort == Effort::Thorough && kind != Kind::Other);
        if !wanted || text.trim().is_empty() {
            return Value::from(text);
        }
        match self.marked(text, message, kind) {
            Some(marked) => Value::from(marked),
            None => {
                self.exhausted |= !harmless;
                Value::from(text)
            }
        }
    }
}
