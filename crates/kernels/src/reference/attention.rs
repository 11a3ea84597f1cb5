//! Softmax attention, one query and one head at a time.

use super::{Read, ReferenceBuffer, Write, index};
use crate::device::{AttentionShape, Matrix};
use crate::tree::QuerySpan;

/// Row of every query, with the rows of the keys that it sees.
fn queries(spans: &[QuerySpan]) -> impl Iterator<Item = (usize, Vec<usize>)> + '_ {
    spans.iter().flat_map(|span| {
        (0..span.len).map(move |i| {
            let context = span.context.iter().flat_map(|&(start, len)| start..start + len);
            (span.query_start + i, context.chain(span.key_start..=span.key_start + i).collect())
        })
    })
}

fn score(shape: AttentionShape, q: Read<'_>, k: Read<'_>, query: usize, key: usize, head: usize) -> f64 {
    let kv_head = head / (shape.heads / shape.kv_heads);
    let products = (0..shape.head_dim)
        .map(|d| q.get(query, head * shape.head_dim + d) * k.get(key, kv_head * shape.head_dim + d));
    f64::from(shape.scale) * products.sum::<f64>()
}

pub(super) fn forward(
    shape: AttentionShape,
    spans: &[QuerySpan],
    q: Read<'_>,
    k: Read<'_>,
    v: Read<'_>,
    mut out: Write<'_>,
    log_sum_exp: &mut ReferenceBuffer,
) {
    for (query, keys) in queries(spans) {
        for head in 0..shape.heads {
            let kv_head = head / (shape.heads / shape.kv_heads);
            let scores: Vec<f64> = keys.iter().map(|&key| score(shape, q, k, query, key, head)).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = largest + scores.iter().map(|score| (score - largest).exp()).sum::<f64>().ln();
            log_sum_exp.values[query * shape.heads + head] = log_sum;
            for d in 0..shape.head_dim {
                let column = kv_head * shape.head_dim + d;
                let weighted = keys
                    .iter()
                    .zip(&scores)
                    .map(|(&key, score)| (score - log_sum).exp() * v.get(key, column));
                *out.cell(query, head * shape.head_dim + d) = weighted.sum();
            }
        }
    }
}

pub(super) fn backward(
    shape: AttentionShape,
    spans: &[QuerySpan],
    [q, k, v, d_out]: [Read<'_>; 4],
    log_sum_exp: &ReferenceBuffer,
    d_qkv: &mut ReferenceBuffer,
    [d_q, d_k, d_v]: [Matrix; 3],
) {
    for at in [d_q, d_k, d_v] {
        for r in 0..at.rows {
            d_qkv.values[index(at, r, 0)..=index(at, r, at.cols - 1)].fill(0.0);
        }
    }
    let head_dim = shape.head_dim;
    for (query, keys) in queries(spans) {
        for head in 0..shape.heads {
            let kv_head = head / (shape.heads / shape.kv_heads);
            let (own, shared) = (head * head_dim, kv_head * head_dim);
            let log_sum = log_sum_exp.values[query * shape.heads + head];
            let weight = |key| (score(shape, q, k, query, key, head) - log_sum).exp();
            let d_weight =
                |key| (0..head_dim).map(|d| d_out.get(query, own + d) * v.get(key, shared + d)).sum::<f64>();
            let weights: Vec<(f64, f64)> = keys.iter().map(|&key| (weight(key), d_weight(key))).collect();
            let mean: f64 = weights.iter().map(|(weight, d_weight)| weight * d_weight).sum();
            for (&key, (weight, d_weight)) in keys.iter().zip(&weights) {
                let d_score = f64::from(shape.scale) * weight * (d_weight - mean);
                for d in 0..head_dim {
                    d_qkv.values[index(d_v, key, shared + d)] += weight * d_out.get(query, own + d);
                    d_qkv.values[index(d_q, query, own + d)] += d_score * k.get(key, shared + d);
                    d_qkv.values[index(d_k, key, shared + d)] += d_score * q.get(query, own + d);
                }
            }
        }
    }
}
