//! From samples to runs: sort, pack, branch.
//!
//! In: the samples of one step and a token budget. Out: [`TokenRun`]s. In each run, sorted by their ids, samples with a common
//! prefix stand together, and the longest prefix that a sample shares with any earlier one is the one it shares with
//! its predecessor; so one pass with a path of open segments builds the tree.

use super::pack::Sorted;
use super::sample::{BatchError, Sample};

/// How samples are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutOptions {
    /// Most tokens in one run; what bounds a step's memory.
    pub max_tokens: usize,
    /// Whether a prefix that several samples share is computed once.
    pub share_prefixes: bool,
    /// A segment is split only where at least this many of its tokens are shared: a segment of a few tokens costs
    /// more than it saves.
    pub min_shared_tokens: usize,
}

impl LayoutOptions {
    /// Sharing prefixes of at least 16 tokens.
    pub fn new(max_tokens: usize) -> Self {
        Self { max_tokens, share_prefixes: true, min_shared_tokens: 16 }
    }
}

/// A stretch of a run whose tokens follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Row of its first token.
    pub start: usize,
    /// Number of tokens, at least 1.
    pub len: usize,
    /// The segment it continues; its index is smaller than this one's.
    pub parent: Option<usize>,
}

/// One supervised prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The row that predicts.
    pub row: u32,
    /// The token to predict.
    pub token: u32,
    /// How much it counts in the loss.
    pub weight: f32,
    /// Which sample asks for it, as an index into the step's samples.
    pub sample: usize,
    /// Where its label stands in that sample.
    pub position: usize,
}

/// Where one sample lies in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// Index into the step's samples.
    pub sample: usize,
    /// The segment it ends in.
    pub segment: usize,
    /// Number of its tokens in the run (its [`Sample::needed_ids`]).
    pub len: usize,
}

/// A flat run of tokens: a tree of segments, without padding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenRun {
    /// `[tokens]`
    pub input_ids: Vec<u32>,
    /// `[tokens]`, the depth of each token in its sample.
    pub position_ids: Vec<u32>,
    /// In the order of their rows; together they cover the run.
    pub segments: Vec<Segment>,
    /// In the order of their rows; a row may have several.
    pub targets: Vec<Target>,
    /// The samples of this run.
    pub branches: Vec<Branch>,
}

impl TokenRun {
    /// The rows of a sample, first token first.
    pub fn rows(&self, branch: &Branch) -> Vec<usize> {
        let mut path = Vec::new();
        let mut next = Some(branch.segment);
        while let Some(index) = next {
            path.push(index);
            next = self.segments[index].parent;
        }
        let rows = path.iter().rev().flat_map(|&index| {
            let segment = self.segments[index];
            segment.start..segment.start + segment.len
        });
        rows.take(branch.len).collect()
    }
}

/// Lays out the samples of one optimizer step. A sample that trains nothing appears in no run.
///
/// # Errors
/// A sample that needs more tokens than a run may have.
pub fn lay_out(samples: &[&Sample], options: &LayoutOptions) -> Result<Vec<TokenRun>, BatchError> {
    let mut order: Vec<usize> =
        (0..samples.len()).filter(|&index| samples[index].trained_tokens() > 0).collect();
    if options.share_prefixes {
        order.sort_by_key(|&index| (samples[index].needed_ids(), index));
    }
    let ids = |index: usize| samples[index].needed_ids();
    let max_tokens = options.max_tokens;
    if let Some(&sample) = order.iter().find(|&&index| ids(index).len() > max_tokens) {
        return Err(BatchError::TooLong { sample, tokens: ids(sample).len(), max_tokens });
    }
    let common = |a, b| if options.share_prefixes { common_prefix(ids(a), ids(b)) } else { 0 };
    let sorted = Sorted {
        lengths: order.iter().map(|&index| ids(index).len()).collect(),
        common: std::iter::once(0).chain(order.windows(2).map(|pair| common(pair[0], pair[1]))).collect(),
    };
    let mut runs = Vec::new();
    for members in sorted.pack(options) {
        let mut open = OpenRun::default();
        let mut previous: Option<usize> = None;
        for index in members.into_iter().map(|position| order[position]) {
            let common = previous.map_or(0, |previous| common(previous, index));
            let branch_at = open.branch_point(common, options.min_shared_tokens);
            open.add(index, ids(index), branch_at);
            previous = Some(index);
        }
        debug_assert!(open.input_ids.len() <= max_tokens, "packing and layout branch differently");
        runs.push(open.close(samples));
    }
    Ok(runs)
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A segment while its run is still growing. Its id stays when it is split: the id goes with the lower part.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: usize,
    len: usize,
    /// Depth of its first token.
    depth: usize,
    parent: Option<usize>,
}

#[derive(Default)]
struct OpenRun {
    input_ids: Vec<u32>,
    position_ids: Vec<u32>,
    nodes: Vec<Node>,
    /// The nodes of the sample added last, root first.
    path: Vec<usize>,
    branches: Vec<Branch>,
}

impl OpenRun {
    /// The depth at which a sample that has `common` tokens in common with the last one leaves it.
    fn branch_point(&self, common: usize, min_shared_tokens: usize) -> usize {
        let inside = self.path.iter().map(|&id| self.nodes[id]).find(|node| common < node.depth + node.len);
        match inside {
            Some(node) if common < node.depth + min_shared_tokens => node.depth,
            _ => common,
        }
    }

    fn add(&mut self, sample: usize, ids: &[u32], branch_at: usize) {
        while self.path.last().is_some_and(|&id| self.nodes[id].depth >= branch_at) {
            self.path.pop();
        }
        if let Some(&id) = self.path.last() {
            self.split(id, branch_at);
        }
        let rest = &ids[branch_at..];
        if !rest.is_empty() {
            self.append(rest, branch_at);
        }
        // `ids` is not empty, so the path has a last node: what it shares, or what was appended.
        let segment = self.path.last().copied().unwrap_or_default();
        self.branches.push(Branch { sample, segment, len: ids.len() });
    }

    /// Cuts the last node of the path so that it ends at `depth`; nothing to do where it ends there already.
    fn split(&mut self, id: usize, depth: usize) {
        let node = self.nodes[id];
        let len = depth - node.depth;
        if len == node.len {
            return;
        }
        let upper = self.nodes.len();
        self.nodes.push(Node { len, ..node });
        self.nodes[id] = Node { start: node.start + len, len: node.len - len, depth, parent: Some(upper) };
        self.path.pop();
        self.path.push(upper);
    }

    fn append(&mut self, ids: &[u32], depth: usize) {
        let start = self.input_ids.len();
        self.input_ids.extend_from_slice(ids);
        self.position_ids.extend((depth..depth + ids.len()).map(row_number));
        match self.path.last() {
            // The last sample was a prefix of this one: the same segment goes on.
            Some(&id) if self.nodes[id].start + self.nodes[id].len == start => {
                self.nodes[id].len += ids.len()
            }
            parent => {
                let parent = parent.copied();
                self.path.push(self.nodes.len());
                self.nodes.push(Node { start, len: ids.len(), depth, parent });
            }
        }
    }

    fn close(self, samples: &[&Sample]) -> TokenRun {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&id| self.nodes[id].start);
        let mut index_of = vec![0; order.len()];
        for (index, &id) in order.iter().enumerate() {
            index_of[id] = index;
        }
        let segment = |&id: &usize| {
            let Node { start, len, parent, .. } = self.nodes[id];
            Segment { start, len, parent: parent.map(|id| index_of[id]) }
        };
        let branch = |branch: &Branch| Branch { segment: index_of[branch.segment], ..*branch };
        let mut run = TokenRun {
            input_ids: self.input_ids,
            position_ids: self.position_ids,
            segments: order.iter().map(segment).collect(),
            targets: Vec::new(),
            branches: self.branches.iter().map(branch).collect(),
        };
        for branch in &run.branches {
            let rows = run.rows(branch);
            run.targets.extend(samples[branch.sample].targets().map(|(position, token, weight)| Target {
                row: row_number(rows[position]),
                token,
                weight,
                sample: branch.sample,
                position: position + 1,
            }));
        }
        run.targets.sort_by_key(|target| (target.row, target.sample));
        run
    }
}

/// Rows and positions fit: the ids of a run of 2^32 tokens alone would take 16 GiB.
fn row_number(row: usize) -> u32 {
    row as u32
}
