//! Prompts as a tree of shared prefixes, so that what prompts begin with alike is computed once.
//!
//! In: prompts. Out: nodes, parents before children, and the node at which each prompt ends. Not known: caches, models.

/// Tokens that follow the parent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrefixNode {
    /// The node before.
    pub(crate) parent: Option<usize>,
    /// A prompt that runs through here, to read the tokens from.
    pub(crate) prompt: usize,
    /// First token in that prompt.
    pub(crate) start: usize,
    /// One past the last token in that prompt.
    pub(crate) end: usize,
}

/// The tree of `prompts` (none empty), and for each prompt the node that holds its last token as the node's last.
pub(crate) fn prefix_tree(prompts: &[Vec<u32>]) -> (Vec<PrefixNode>, Vec<usize>) {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by(|&a, &b| prompts[a].cmp(&prompts[b]));
    let (mut nodes, mut ends) = (Vec::new(), vec![0; prompts.len()]);
    // Groups of sorted prompts that agree on their first `depth` tokens, which `parent` ends.
    let mut groups: Vec<(&[usize], usize, Option<usize>)> = vec![(&order, 0, None)];
    while let Some((group, depth, mut parent)) = groups.pop() {
        let (Some(&first), Some(&last)) = (group.first(), group.last()) else { continue };
        // The first and the last of a sorted group agree on what all of it agrees on.
        let common = common_length(&prompts[first], &prompts[last]);
        if common > depth {
            nodes.push(PrefixNode { parent, prompt: first, start: depth, end: common });
            parent = Some(nodes.len() - 1);
        }
        let ending = group.iter().take_while(|&&prompt| prompts[prompt].len() == common).count();
        for &prompt in &group[..ending] {
            ends[prompt] = parent.unwrap_or(0);
        }
        let branches = group[ending..].chunk_by(|&a, &b| prompts[a][common] == prompts[b][common]);
        let branches: Vec<&[usize]> = branches.collect();
        groups.extend(branches.into_iter().rev().map(|branch| (branch, common, parent)));
    }
    (nodes, ends)
}

fn common_length(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_is_the_path_to_its_node() {
        let prompts: Vec<Vec<u32>> =
            [&[1, 2, 3, 4][..], &[1, 2], &[1, 2, 3, 5], &[9], &[1, 2, 3, 4], &[1, 2, 3, 4, 7]]
                .iter()
                .map(|prompt| prompt.to_vec())
                .collect();
        let (nodes, ends) = prefix_tree(&prompts);
        for (prompt, &end) in prompts.iter().zip(&ends) {
            let (mut path, mut at) = (Vec::new(), Some(end));
            while let Some(index) = at {
                let node = &nodes[index];
                path.splice(0..0, prompts[node.prompt][node.start..node.end].iter().copied());
                assert!(node.parent.is_none_or(|parent| parent < index));
                at = node.parent;
            }
            assert_eq!(&path, prompt);
        }
        // 1 2 | 3 | 4 | 7 | 5 | 9: no token twice.
        assert_eq!(nodes.iter().map(|node| node.end - node.start).sum::<usize>(), 7);
    }
}
