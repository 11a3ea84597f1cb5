//! Which token attends to which: a tree of segments over a flat run of tokens.
//!
//! In: segments with parents (a shared prompt, then its branches). Out: [`QuerySpan`]s, the form that attention reads;
//! a key-value cache makes the same spans by itself. Not known here: what the tokens are, how long a model can see.

use thiserror::Error;

/// A run of consecutive tokens that attend causally to each other and to all tokens of their ancestors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First token, counted in the whole run.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
    /// The segment that this one continues; it stands earlier in the list.
    pub parent: Option<usize>,
}

/// What is wrong with a list of segments.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// Segments must follow each other without gap or overlap.
    #[error(
        "segment {index} starts at token {found}, expected {expected}: segments must follow each other without gap or overlap"
    )]
    NotContiguous {
        /// Which segment.
        index: usize,
        /// Its start.
        found: usize,
        /// Where the one before it ends.
        expected: usize,
    },
    /// A parent must come before its child.
    #[error("segment {index} names segment {parent} as its parent; a parent must come earlier in the list")]
    ParentNotEarlier {
        /// Which segment.
        index: usize,
        /// The parent it names.
        parent: usize,
    },
}

/// The segments of one step, checked: contiguous, parents before children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenTree {
    segments: Vec<Segment>,
}

impl TokenTree {
    /// Checks the segments.
    ///
    /// # Errors
    /// A gap, an overlap, or a parent that does not come earlier.
    pub fn new(segments: Vec<Segment>) -> Result<Self, TreeError> {
        let mut expected = 0;
        for (index, segment) in segments.iter().enumerate() {
            if segment.start != expected {
                return Err(TreeError::NotContiguous { index, found: segment.start, expected });
            }
            if let Some(parent) = segment.parent.filter(|&parent| parent >= index) {
                return Err(TreeError::ParentNotEarlier { index, parent });
            }
            expected += segment.len;
        }
        Ok(Self { segments })
    }

    /// Independent samples, one after another.
    #[must_use]
    pub fn packed(lengths: &[usize]) -> Self {
        let mut start = 0;
        let segments = lengths
            .iter()
            .map(|&len| {
                let segment = Segment { start, len, parent: None };
                start += len;
                segment
            })
            .collect();
        Self { segments }
    }

    /// The segments, in token order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Number of tokens.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.start + segment.len)
    }

    /// One span a segment, its ancestors' tokens as context in their order (neighbouring ranges joined).
    #[must_use]
    pub fn spans(&self) -> Vec<QuerySpan> {
        let mut spans: Vec<QuerySpan> = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            let mut context = Vec::new();
            if let Some(parent) = segment.parent {
                context.clone_from(&spans[parent].context);
                let range = (self.segments[parent].start, self.segments[parent].len);
                match context.last_mut() {
                    Some(last) if last.0 + last.1 == range.0 => last.1 += range.1,
                    _ => context.push(range),
                }
            }
            spans.push(QuerySpan {
                query_start: segment.start,
                len: segment.len,
                key_start: segment.start,
                context,
            });
        }
        spans
    }
}

/// Consecutive queries and the keys they see: all of `context`, then causally their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySpan {
    /// Row of the first query.
    pub query_start: usize,
    /// Number of queries.
    pub len: usize,
    /// Row of the first query's own key; query `i` sees the keys `key_start..=key_start + i`.
    pub key_start: usize,
    /// Ranges `(start, len)` of keys that every query of the span sees.
    pub context: Vec<(usize, usize)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_the_ancestors() {
        let segment = |start, len, parent| Segment { start, len, parent };
        let tree = TokenTree::new(vec![
            segment(0, 3, None),
            segment(3, 2, Some(0)),
            segment(5, 1, Some(1)),
            segment(6, 4, Some(0)),
        ])
        .unwrap();
        let spans = tree.spans();
        assert_eq!(spans[0].context, vec![]);
        assert_eq!(spans[2].context, vec![(0, 5)]);
        assert_eq!(spans[3].context, vec![(0, 3)]);
        assert_eq!(tree.token_count(), 10);
    }

    #[test]
    fn gaps_and_late_parents_are_refused() {
        let gap =
            vec![Segment { start: 0, len: 3, parent: None }, Segment { start: 4, len: 1, parent: None }];
        assert_eq!(TokenTree::new(gap), Err(TreeError::NotContiguous { index: 1, found: 4, expected: 3 }));
        let late = vec![Segment { start: 0, len: 3, parent: Some(0) }];
        assert_eq!(TokenTree::new(late), Err(TreeError::ParentNotEarlier { index: 0, parent: 0 }));
    }
}
