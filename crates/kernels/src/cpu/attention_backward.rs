//! The gradient of attention in blocks: scores are computed again from queries, keys and the kept log-sum-exp.
//!
//! Work is cut by tree of segments and key head: keys and values of one tree gather gradients from all its queries,
//! in the order of the queries, on one thread. Keys that all trees see gather them from a few groups of trees.

use rayon::prelude::*;

use super::Read;
use super::attention::{
    CpuSpans, KEY_BLOCK, QUERY_BLOCK, Shared, check, key_blocks, stack_heads, visible, with_scratch,
};
use super::matmul::{Factor, Threads, product};
use super::panels::Engine;
use super::simd::{dot, exp, vectorised};
use crate::device::{AttentionShape, Matrix, Transpose};
use crate::tree::QuerySpan;

/// Groups of trees that gather the gradient of a prefix, each for itself: enough for many threads, few enough that their
/// partial sums stay small.
const PREFIX_GROUPS: usize = 16;

/// What the forward pass saw and kept, and the gradient of its output.
pub(super) struct Inputs<'a> {
    pub(super) q: Read<'a>,
    pub(super) k: Read<'a>,
    pub(super) v: Read<'a>,
    pub(super) out: Read<'a>,
    pub(super) log_sum_exp: &'a [f32],
    pub(super) d_out: Read<'a>,
}

pub(super) fn backward(
    engine: Option<Engine>,
    shape: AttentionShape,
    spans: &CpuSpans,
    inputs: &Inputs<'_>,
    d_qkv: &mut [f32],
    [d_q, d_k, d_v]: [Matrix; 3],
) {
    check(shape, spans, inputs.q.at, inputs.k.at, inputs.v.at);
    for (gradient, of) in [(d_q, inputs.q.at), (d_k, inputs.k.at), (d_v, inputs.v.at)] {
        assert!(gradient.rows == of.rows && gradient.cols == of.cols, "attention: {gradient:?} for {of:?}");
        assert!(gradient.end() <= d_qkv.len() && gradient.cols <= gradient.stride, "attention: {gradient:?}");
    }
    let disjoint = |a: Matrix, b: Matrix| {
        a.stride == b.stride && (a.offset + a.cols <= b.offset || b.offset + b.cols <= a.offset)
    };
    assert!(disjoint(d_q, d_k) && disjoint(d_k, d_v) && disjoint(d_q, d_v), "attention: gradients overlap");
    assert!(
        inputs.out.at.rows == inputs.d_out.at.rows && inputs.d_out.at.rows == inputs.q.at.rows,
        "attention: d_out"
    );
    let queries = inputs.q.at.rows;
    let trees = trees(&spans.spans, queries);
    let prefix = Matrix::dense(d_k.rows.max(d_v.rows) - queries, shape.head_dim);
    // The groups follow from the shapes alone, so that the number of threads changes no sum.
    let groups = if prefix.rows == 0 { trees.len() } else { trees.len().min(PREFIX_GROUPS) };
    let tasks: Vec<(usize, usize)> =
        (0..groups).flat_map(|group| (0..shape.kv_heads).map(move |head| (group, head))).collect();
    let mut prefixes = vec![0.0; tasks.len() * 2 * prefix.end()];
    let (shared, shared_prefixes) = (Shared::new(d_qkv), Shared::new(&mut prefixes));
    tasks.par_iter().with_max_len(1).enumerate().for_each(|(task, &(group, kv_head))| {
        let d_qkv = shared;
        let gradients = KeyGradients {
            d_k,
            d_v,
            prefix,
            d_prefix: shared_prefixes.from(task * 2 * prefix.end()),
            first_of_prefix: queries,
        };
        let trees = trees.iter().skip(group).step_by(groups);
        for span in trees.clone().flatten().map(|&span| &spans.spans[span]) {
            // SAFETY: rows of these trees and columns of this head are this task's alone, inside the checked matrices.
            unsafe { clear(d_qkv, d_k, d_v, span, kv_head * shape.head_dim, shape.head_dim) };
        }
        for span in trees.flatten().map(|&span| &spans.spans[span]) {
            for first in (0..span.len).step_by(QUERY_BLOCK) {
                // SAFETY: as above.
                unsafe {
                    backward_block(engine, shape, span, first, kv_head, inputs, d_qkv, d_q, &gradients)
                };
            }
        }
    });
    add_prefixes(&prefixes, prefix, &tasks, d_qkv, [d_k, d_v].map(|at| at.rows(queries, at.rows - queries)));
}

/// Sums what each group of trees adds to the gradients of keys that belong to no token, in the order of the tasks.
fn add_prefixes(
    prefixes: &[f32],
    prefix: Matrix,
    tasks: &[(usize, usize)],
    d_qkv: &mut [f32],
    gradients: [Matrix; 2],
) {
    for at in gradients {
        for r in 0..at.rows {
            d_qkv[at.offset + r * at.stride..][..at.cols].fill(0.0);
        }
    }
    if prefix.rows == 0 {
        return;
    }
    for ((_, kv_head), both) in tasks.iter().zip(prefixes.chunks_exact(2 * prefix.end())) {
        for (at, part) in gradients.into_iter().zip(both.chunks_exact(prefix.end())) {
            for (r, part) in part.chunks_exact(prefix.cols).enumerate() {
                let to = &mut d_qkv[at.offset + r * at.stride + kv_head * prefix.cols..][..prefix.cols];
                to.iter_mut().zip(part).for_each(|(to, part)| *to += part);
            }
        }
    }
}

/// Where a task adds the gradients of keys and values: those of its own tokens in place, those of a prefix that other
/// tasks see too in a part of its own.
struct KeyGradients {
    d_k: Matrix,
    d_v: Matrix,
    /// Shape of each of the two parts that begin at `d_prefix`: keys, then values.
    prefix: Matrix,
    d_prefix: Shared,
    first_of_prefix: usize,
}

impl KeyGradients {
    /// Where the rows `start..start + keys` lie: keys, then values.
    fn places(&self, d_qkv: Shared, start: usize, keys: usize, column: usize) -> [(Shared, Matrix); 2] {
        if let Some(row) = start.checked_sub(self.first_of_prefix) {
            let at = self.prefix.rows(row, keys);
            return [0, self.prefix.end()].map(|part| (self.d_prefix.from(part + at.offset), at));
        }
        [self.d_k, self.d_v].map(|at| {
            let at = at.rows(start, keys).columns(column, self.prefix.cols);
            (d_qkv.from(at.offset), at)
        })
    }
}

/// Spans that share keys of tokens, together; each list in order, the longest tree first.
fn trees(spans: &[QuerySpan], queries: usize) -> Vec<Vec<usize>> {
    let mut tree_of: Vec<usize> = Vec::with_capacity(spans.len());
    let mut trees: Vec<Vec<usize>> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        assert!(
            span.key_start == span.query_start,
            "attention: training needs each query's own key in its row: {span:?}"
        );
        let owner = span.context.iter().find(|range| range.0 < queries).map(|&(start, _)| {
            let owner = spans[..index].partition_point(|earlier| earlier.query_start <= start).checked_sub(1);
            owner.unwrap_or_else(|| unreachable!("context of {span:?} lies before all spans"))
        });
        let tree = owner.map_or(trees.len(), |owner| tree_of[owner]);
        if tree == trees.len() {
            trees.push(Vec::new());
        }
        trees[tree].push(index);
        tree_of.push(tree);
    }
    trees.sort_by_key(|tree| std::cmp::Reverse(tree.iter().map(|&span| spans[span].len).sum::<usize>()));
    trees
}

/// # Safety
/// The rows of `span` and the columns of this head lie inside `d_k` and `d_v` and are touched by no other thread.
unsafe fn clear(d_qkv: Shared, d_k: Matrix, d_v: Matrix, span: &QuerySpan, column: usize, head_dim: usize) {
    for row in span.key_start..span.key_start + span.len {
        for at in [d_k, d_v] {
            let start = d_qkv.at(at.offset + row * at.stride + column);
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(start, head_dim) }.fill(0.0);
        }
    }
}

/// # Safety
/// As for [`clear`], for all spans that this one's context reaches into; `gradients.d_prefix` is this thread's alone.
#[expect(clippy::too_many_arguments, reason = "one block of the loop above, all of its coordinates")]
unsafe fn backward_block(
    engine: Option<Engine>,
    shape: AttentionShape,
    span: &QuerySpan,
    first: usize,
    kv_head: usize,
    inputs: &Inputs<'_>,
    d_qkv: Shared,
    d_q: Matrix,
    gradients: &KeyGradients,
) {
    let AttentionShape { heads, kv_heads, head_dim, scale } = shape;
    let (group, rows) = (heads / kv_heads, QUERY_BLOCK.min(span.len - first));
    let (stacked, first_row) = (group * rows, span.query_start + first);
    let columns = [kv_head * group * head_dim, group, head_dim];
    let wide = stacked * head_dim;
    let sizes = [wide, wide, wide, stacked * KEY_BLOCK, stacked * KEY_BLOCK, stacked, stacked];
    with_scratch(sizes, |[queries, d_outs, d_queries, scores, d_scores, log_sum_exp, delta]| {
        // The output is needed only for its product with its gradient; the place of the query gradients holds it.
        stack_heads(inputs.out, first_row, rows, columns, 1.0, d_queries);
        stack_heads(inputs.d_out, first_row, rows, columns, 1.0, d_outs);
        vectorised(
            #[inline(always)]
            || {
                for (row, delta) in delta.iter_mut().enumerate() {
                    let part = row * head_dim..(row + 1) * head_dim;
                    *delta = dot(&d_queries[part.clone()], &d_outs[part]);
                }
            },
        );
        stack_heads(inputs.q, first_row, rows, columns, scale, queries);
        d_queries.fill(0.0);
        for g in 0..group {
            for i in 0..rows {
                log_sum_exp[g * rows + i] = inputs.log_sum_exp[(first_row + i) * heads + kv_head * group + g];
            }
        }
        let wide = Matrix::dense(stacked, head_dim);
        for (start, keys, causal) in key_blocks(span, first, rows) {
            let score_at = Matrix::dense(stacked, keys);
            let part = |at: Matrix| at.rows(start, keys).columns(kv_head * head_dim, head_dim);
            let (k, v) = (&inputs.k.buffer.values, &inputs.v.buffer.values);
            let by_rows = |values, at| Factor::new(values, at, Transpose::No);
            let by_columns = |values, at| Factor::new(values, at, Transpose::Yes);
            let one = Threads::One;
            // SAFETY: the scratch parts are this thread's own and large enough; the parts of `d_k` and `d_v` are the
            // caller's promise.
            unsafe {
                let (q, d_out) = (by_rows(queries, wide), by_rows(d_outs, wide));
                product(
                    engine,
                    1.0,
                    q,
                    by_columns(k, part(inputs.k.at)),
                    0.0,
                    Shared::new(scores),
                    score_at,
                    one,
                );
                product(
                    engine,
                    1.0,
                    d_out,
                    by_columns(v, part(inputs.v.at)),
                    0.0,
                    Shared::new(d_scores),
                    score_at,
                    one,
                );
            }
            vectorised(
                #[inline(always)]
                || {
                    let scores = scores[..stacked * keys].chunks_exact_mut(keys);
                    for (row, (scores, d_scores)) in scores.zip(d_scores.chunks_exact_mut(keys)).enumerate() {
                        let seen = visible(causal, row % rows, keys);
                        scores[seen..].fill(0.0);
                        d_scores[seen..].fill(0.0);
                        let (shift, delta) = (log_sum_exp[row], delta[row]);
                        for (score, d_score) in scores[..seen].iter_mut().zip(&mut d_scores[..seen]) {
                            *score = exp(*score - shift);
                            *d_score = *score * (*d_score - delta);
                        }
                    }
                },
            );
            let [to_k, to_v] = gradients.places(d_qkv, start, keys, kv_head * head_dim);
            // SAFETY: as above.
            unsafe {
                let (q, d_out) = (by_rows(queries, wide), by_rows(d_outs, wide));
                product(engine, 1.0, by_columns(scores, score_at), d_out, 1.0, to_v.0, to_v.1, one);
                product(engine, 1.0, by_columns(d_scores, score_at), q, 1.0, to_k.0, to_k.1, one);
                let (d_scores, k) = (by_rows(d_scores, score_at), by_rows(k, part(inputs.k.at)));
                product(engine, scale, d_scores, k, 1.0, Shared::new(d_queries), wide, one);
            }
        }
        for g in 0..group {
            for i in 0..rows {
                let column = (kv_head * group + g) * head_dim;
                let to = d_qkv.at(d_q.offset + (first_row + i) * d_q.stride + column);
                // SAFETY: this token and head belong to this block alone, inside the checked `d_q`.
                let to = unsafe { std::slice::from_raw_parts_mut(to, head_dim) };
                to.copy_from_slice(&d_queries[(g * rows + i) * head_dim..][..head_dim]);
            }
        }
    });
}
