//! Pieces by their beginnings.
//!
//! In: texts with values. Out: a [`Trie`] that finds every one of them that another text begins with.

/// A node is numbered as the edge that leads to it, plus one; the root is node 0.
#[derive(Debug)]
pub(super) struct Trie<T> {
    nodes: Vec<Node<T>>,
    /// The byte of each edge; the edges of a node are neighbours, in order of their bytes.
    edges: Vec<u8>,
}

#[derive(Debug)]
struct Node<T> {
    edges: std::ops::Range<u32>,
    value: Option<T>,
}

impl<T: Copy> Trie<T> {
    pub(super) fn new(mut entries: Vec<(&[u8], T)>) -> Self {
        entries.sort_by_key(|(text, _)| *text);
        let mut trie = Self { nodes: Vec::new(), edges: Vec::new() };
        // Nodes that are to be made, in the order of their numbers: the entries below each, and how deep it is.
        let mut below = std::collections::VecDeque::from([(0..entries.len(), 0)]);
        while let Some((mut range, depth)) = below.pop_front() {
            let mut value = None;
            while range.start < range.end && entries[range.start].0.len() == depth {
                value = Some(entries[range.start].1);
                range.start += 1;
            }
            let first = trie.edges.len();
            while range.start < range.end {
                let byte = entries[range.start].0[depth];
                let same = entries[range.clone()].iter().take_while(|(text, _)| text[depth] == byte).count();
                trie.edges.push(byte);
                below.push_back((range.start..range.start + same, depth + 1));
                range.start += same;
            }
            trie.nodes.push(Node { edges: first as u32..trie.edges.len() as u32, value });
        }
        trie
    }

    /// Calls `found` with the length and value of every entry that `text` begins with, the shortest first.
    pub(super) fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, T)) {
        let mut node = 0;
        for (depth, byte) in text.iter().enumerate() {
            let edges = self.nodes[node].edges.start as usize..self.nodes[node].edges.end as usize;
            let Ok(at) = self.edges[edges.clone()].binary_search(byte) else { return };
            node = edges.start + at + 1;
            if let Some(value) = self.nodes[node].value {
                found(depth + 1, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_found() {
        let entries: [(&[u8], u32); 5] = [(b"a", 1), (b"abc", 2), (b"b", 3), (b"ab\xff", 4), (b"abd", 5)];
        let trie = Trie::new(entries.to_vec());
        let prefixes = |text: &[u8]| {
            let mut found = Vec::new();
            trie.prefixes(text, |length, value| found.push((length, value)));
            found
        };
        assert_eq!(prefixes(b"abcd"), [(1, 1), (3, 2)]);
        assert_eq!(prefixes(b"ab\xff"), [(1, 1), (3, 4)]);
        assert_eq!(prefixes(b"cab"), []);
        assert_eq!(prefixes(b""), []);
        Trie::<u32>::new(Vec::new()).prefixes(b"a", |_, _| panic!("nothing is there"));
    }
}
