//! How much of the data begins as other data does: the system text and the tools that many samples share.
//!
//! In: the tokens that a sample begins with and does not train. Out: how many of them an earlier sample began with too,
//! counted in blocks. What was seen is kept as hashes in a table of fixed size, which forgets the oldest: of very varied
//! data the count may be too low, never too high.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{IGNORE_INDEX, Row};

/// Tokens of a block, as servers with a prefix cache count them.
pub(crate) const BLOCK_TOKENS: usize = 16;
/// Two to this power hashes, 8 bytes each.
const SEEN_LOG2: u32 = 20;

/// The blocks that a sample begins with, each as the hash of everything up to its end.
pub(crate) fn leading_blocks(row: &Row<'_>, blocks: &mut Vec<u64>) {
    let untrained = row.labels.iter().take_while(|label| **label == IGNORE_INDEX).count();
    let mut bytes = [0; 4 * BLOCK_TOKENS];
    let mut hash = 0;
    for block in row.input_ids[..untrained].chunks_exact(BLOCK_TOKENS) {
        for (to, id) in bytes.chunks_exact_mut(4).zip(block) {
            to.copy_from_slice(&id.to_le_bytes());
        }
        hash = xxh3_64_with_seed(&bytes, hash);
        blocks.push(hash);
    }
}

/// Blocks seen so far.
pub(crate) struct SeenBlocks(Vec<u64>);

impl Default for SeenBlocks {
    fn default() -> Self {
        Self(vec![0; 1 << SEEN_LOG2])
    }
}

impl SeenBlocks {
    /// Notes a sample's blocks; says how many of its tokens an earlier sample began with too.
    pub(crate) fn repeated_tokens(&mut self, blocks: &[u64]) -> usize {
        let mut repeated = 0;
        let mut goes_on = true;
        for &block in blocks {
            let place = &mut self.0[(block >> (u64::BITS - SEEN_LOG2)) as usize];
            goes_on &= *place == block;
            repeated += usize::from(goes_on);
            *place = block;
        }
        repeated * BLOCK_TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, Rows};

    fn blocks(ids: &[u32], untrained: usize) -> Vec<u64> {
        let mut rows = Rows::default();
        let labels: Vec<i32> =
            ids.iter().enumerate().map(|(at, id)| if at < untrained { -100 } else { *id as i32 }).collect();
        rows.push(ids, &labels, Origin { source: 0, index: 0, line: 1 });
        let mut blocks = Vec::new();
        leading_blocks(&rows.get(0).expect("a row"), &mut blocks);
        blocks
    }

    #[test]
    fn what_several_samples_begin_with_is_counted_from_the_second_on() {
        let first: Vec<u32> = (0..50).collect();
        let mut other = first.clone();
        other[40] = 999;
        let mut seen = SeenBlocks::default();
        assert_eq!(blocks(&first, 50).len(), 3);
        assert_eq!(seen.repeated_tokens(&blocks(&first, 50)), 0);
        assert_eq!(seen.repeated_tokens(&blocks(&other, 50)), 32);
        assert_eq!(seen.repeated_tokens(&blocks(&first, 20)), 16);
        assert_eq!(seen.repeated_tokens(&blocks(&first, 15)), 0);
    }

    #[test]
    fn the_same_block_elsewhere_is_no_prefix() {
        let mut seen = SeenBlocks::default();
        seen.repeated_tokens(&blocks(&(0..32).collect::<Vec<_>>(), 32));
        let moved: Vec<u32> = (16..32).chain(0..16).collect();
        assert_eq!(seen.repeated_tokens(&blocks(&moved, 32)), 0);
    }
}
