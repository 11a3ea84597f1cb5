//! Softmax attention in blocks: a block of queries meets a block of keys at a time, so that no more than one block of
//! scores exists per thread (Dao et al., 2022). Query heads that share a key head are stacked into one product.
//!
//! Work is cut by query block and key head; each cut writes its own part of the output.

use std::cell::RefCell;

use rayon::prelude::*;

use super::matmul::{Factor, Threads, product};
use super::panels::Engine;
use super::simd::{exp_in_place, max, vectorised};
use super::{Read, Write};
use crate::device::{AttentionShape, Matrix, Transpose};
use crate::tree::QuerySpan;

/// Queries of a block (times the query heads that share a key head).
pub(super) const QUERY_BLOCK: usize = 64;
/// Keys of a block.
pub(super) const KEY_BLOCK: usize = 256;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's scratch memory, `sizes` floats a part; what it holds is left over from earlier.
pub(super) fn with_scratch<const N: usize>(sizes: [usize; N], work: impl FnOnce([&mut [f32]; N])) {
    SCRATCH.with_borrow_mut(|scratch| {
        let total = sizes.iter().sum();
        if scratch.len() < total {
            scratch.resize(total, 0.0);
        }
        let mut rest = &mut scratch[..total];
        work(sizes.map(|size| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(size);
            rest = tail;
            part
        }));
    });
}

/// A pointer that several threads write disjoint parts through.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

// SAFETY: the users of this module hand out disjoint rows or columns to different threads.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(super) fn new(values: &mut [f32]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// What begins `offset` elements further on.
    pub(super) fn from(self, offset: usize) -> Self {
        Self(self.at(offset))
    }

    pub(super) fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// An attention pattern, cut into blocks of queries.
#[derive(Debug, Clone)]
pub struct CpuSpans {
    pub(super) spans: Vec<QuerySpan>,
    /// Span and first query of each block.
    blocks: Vec<(usize, usize)>,
}

impl CpuSpans {
    pub(super) fn new(spans: &[QuerySpan]) -> Self {
        let blocks = spans
            .iter()
            .enumerate()
            .flat_map(|(index, span)| (0..span.len).step_by(QUERY_BLOCK).map(move |first| (index, first)))
            .collect();
        Self { spans: spans.to_vec(), blocks }
    }
}

/// The blocks of keys that the queries `first..first + rows` of a span see: start row, number, and for the causal part
/// the number of leading keys that the block's first query sees (`None`: all are seen by all).
pub(super) fn key_blocks(
    span: &QuerySpan,
    first: usize,
    rows: usize,
) -> impl Iterator<Item = (usize, usize, Option<isize>)> + '_ {
    let cut = |start: usize, len: usize| {
        (0..len).step_by(KEY_BLOCK).map(move |from| (start + from, KEY_BLOCK.min(len - from), from))
    };
    let context = span
        .context
        .iter()
        .flat_map(move |&(start, len)| cut(start, len))
        .map(|(at, len, _)| (at, len, None));
    let own = cut(span.key_start, first + rows).map(move |(at, len, from)| {
        let seen = first as isize + 1 - from as isize;
        (at, len, (seen < len as isize).then_some(seen))
    });
    context.chain(own)
}

/// How many keys of a block the query `i` of its block sees.
#[inline(always)]
pub(super) fn visible(causal: Option<isize>, i: usize, keys: usize) -> usize {
    causal.map_or(keys, |seen| (seen + i as isize).clamp(0, keys as isize) as usize)
}

#[expect(clippy::too_many_arguments, reason = "three inputs, two outputs, their shape and what multiplies")]
pub(super) fn forward(
    engine: Option<Engine>,
    shape: AttentionShape,
    spans: &CpuSpans,
    q: Read<'_>,
    k: Read<'_>,
    v: Read<'_>,
    out: Write<'_>,
    log_sum_exp: &mut [f32],
) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    check(shape, spans, q.at, k.at, v.at);
    assert!(out.at.rows == q.at.rows && out.at.cols == heads * head_dim, "attention: output {:?}", out.at);
    assert!(
        out.at.end() <= out.buffer.values.len() && out.at.cols <= out.at.stride,
        "attention: output {:?}",
        out.at
    );
    assert!(
        log_sum_exp.len() >= q.at.rows * heads,
        "attention: log_sum_exp has {} elements",
        log_sum_exp.len()
    );
    let (out_at, out, log_sum_exp) = (out.at, Shared::new(&mut out.buffer.values), Shared::new(log_sum_exp));
    let tasks: Vec<_> =
        spans.blocks.iter().flat_map(|&block| (0..kv_heads).map(move |head| (block, head))).collect();
    let task = |&((span, first), kv_head): &((usize, usize), usize)| {
        let span = &spans.spans[span];
        let rows = QUERY_BLOCK.min(span.len - first);
        forward_block(engine, shape, span, first, rows, kv_head, [q, k, v], out_at, out, log_sum_exp);
    };
    // Blocks of one query (decoding) are too small to wake another thread for a few of them.
    if tasks.len() <= 1 || q.at.rows * heads * head_dim < 1 << 10 {
        tasks.iter().for_each(task);
    } else {
        tasks.par_iter().with_max_len(4).for_each(task);
    }
}

/// Refuses spans that leave the matrices.
pub(super) fn check(shape: AttentionShape, spans: &CpuSpans, q: Matrix, k: Matrix, v: Matrix) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    assert!(heads.is_multiple_of(kv_heads), "attention: {heads} heads over {kv_heads}");
    assert!(
        q.cols == heads * head_dim && k.cols == kv_heads * head_dim && v.cols == k.cols,
        "attention: columns"
    );
    let mut next = 0;
    for span in &spans.spans {
        assert!(
            span.query_start >= next && span.query_start + span.len <= q.rows,
            "attention: queries of {span:?}"
        );
        next = span.query_start + span.len;
        let keys = k.rows.min(v.rows);
        assert!(span.key_start + span.len <= keys, "attention: keys of {span:?} in {keys}");
        assert!(
            span.context.iter().all(|range| range.0 + range.1 <= keys),
            "attention: context of {span:?} in {keys}"
        );
    }
}

/// Copies the stacked heads of a block of rows: row `g * rows + i` is head `g` of token `i`.
pub(super) fn stack_heads(
    x: Read<'_>,
    first_row: usize,
    rows: usize,
    columns: [usize; 3],
    factor: f32,
    to: &mut [f32],
) {
    let [first_column, group, head_dim] = columns;
    for g in 0..group {
        for i in 0..rows {
            let start = x.at.offset + (first_row + i) * x.at.stride + first_column + g * head_dim;
            let from = &x.buffer.values[start..start + head_dim];
            let to = &mut to[(g * rows + i) * head_dim..][..head_dim];
            to.iter_mut().zip(from).for_each(|(to, from)| *to = factor * from);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one block of the loop above, all of its coordinates")]
fn forward_block(
    engine: Option<Engine>,
    shape: AttentionShape,
    span: &QuerySpan,
    first: usize,
    rows: usize,
    kv_head: usize,
    [q, k, v]: [Read<'_>; 3],
    out_at: Matrix,
    out: Shared,
    log_sum_exp: Shared,
) {
    let AttentionShape { heads, kv_heads, head_dim, scale } = shape;
    let group = heads / kv_heads;
    let stacked = group * rows;
    let columns = [kv_head * group * head_dim, group, head_dim];
    let sizes = [stacked * head_dim, stacked * KEY_BLOCK, stacked * head_dim, stacked, stacked];
    with_scratch(sizes, |[queries, scores, sums, largest, total]| {
        stack_heads(q, span.query_start + first, rows, columns, scale, queries);
        sums.fill(0.0);
        largest.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        let wide = Matrix::dense(stacked, head_dim);
        for (start, keys, causal) in key_blocks(span, first, rows) {
            let score_at = Matrix::dense(stacked, keys);
            let part = |x: Read<'_>| x.at.rows(start, keys).columns(kv_head * head_dim, head_dim);
            let keys_factor = Factor::new(&k.buffer.values, part(k), Transpose::Yes);
            let queries = Factor::new(queries, wide, Transpose::No);
            // SAFETY: `scores` is this thread's own and holds `stacked * KEY_BLOCK` numbers.
            let to = Shared::new(scores);
            unsafe { product(engine, 1.0, queries, keys_factor, 0.0, to, score_at, Threads::One) };
            vectorised(
                #[inline(always)]
                || {
                    for (row, scores) in scores[..stacked * keys].chunks_exact_mut(keys).enumerate() {
                        let seen = visible(causal, row % rows, keys);
                        scores[seen..].fill(0.0);
                        if seen == 0 {
                            continue;
                        }
                        let scores = &mut scores[..seen];
                        let new = max(scores).max(largest[row]);
                        let shrink = (largest[row] - new).exp();
                        total[row] = total[row] * shrink + exp_in_place(scores, new);
                        if shrink != 1.0 {
                            sums[row * head_dim..][..head_dim].iter_mut().for_each(|sum| *sum *= shrink);
                        }
                        largest[row] = new;
                    }
                },
            );
            let values = Factor::new(&v.buffer.values, part(v), Transpose::No);
            let weights = Factor::new(scores, score_at, Transpose::No);
            // SAFETY: `sums` is this thread's own and holds `stacked * head_dim` numbers.
            unsafe { product(engine, 1.0, weights, values, 1.0, Shared::new(sums), wide, Threads::One) };
        }
        for g in 0..group {
            for i in 0..rows {
                let (row, token, head) = (g * rows + i, span.query_start + first + i, kv_head * group + g);
                let inverse = 1.0 / total[row];
                let to = out.at(out_at.offset + token * out_at.stride + head * head_dim);
                // SAFETY: this token and head belong to this block alone; `forward` has checked that the row lies
                // inside the output.
                let to = unsafe { std::slice::from_raw_parts_mut(to, head_dim) };
                to.iter_mut().zip(&sums[row * head_dim..]).for_each(|(to, sum)| *to = sum * inverse);
                // SAFETY: as above; `log_sum_exp` holds `tokens * heads` numbers.
                unsafe { *log_sum_exp.at(token * heads + head) = largest[row] + total[row].ln() };
            }
        }
    });
}
