//! The fast device against the reference device, operation by operation, and the same result for any number of threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common;

use common::{Case, compare, normal, read};
use toolsmith_kernels::{
    AdamWStep, AttentionShape, CpuDevice, Device, Direction, DynamicMap, HeadRows, Matrix, Moment8,
    QuerySpan, ReferenceDevice, RopeShape, RopeStyle, Segment, TokenTree, Transpose, View, ViewMut,
};

struct Matmul(usize, usize, usize, Transpose, Transpose, f32);

impl Case for Matmul {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let Self(m, n, k, ta, tb, beta) = *self;
        // Factors and destination inside wider matrices.
        let at = |t, rows, cols| {
            let (rows, cols) = if t == Transpose::No { (rows, cols) } else { (cols, rows) };
            Matrix::dense(rows + 1, cols + 3).columns(2, cols).rows(1, rows)
        };
        let (a_at, b_at, c_at) = (at(ta, m, k), at(tb, k, n), at(Transpose::No, m, n));
        let a = device.upload(&normal(1, a_at.end() + 1));
        let b = device.upload(&normal(2, b_at.end() + 1));
        let mut c = device.upload(&normal(3, c_at.end() + 1));
        device.matmul(
            0.3,
            View::new(&a, a_at),
            ta,
            View::new(&b, b_at),
            tb,
            beta,
            ViewMut::new(&mut c, c_at),
        );
        vec![read(device, &c)]
    }
}

#[test]
fn matmul() {
    let ways = [
        (Transpose::No, Transpose::Yes),
        (Transpose::No, Transpose::No),
        (Transpose::Yes, Transpose::No),
        (Transpose::Yes, Transpose::Yes),
    ];
    for (ta, tb) in ways {
        for beta in [0.0, 1.0, 0.5] {
            for (m, n, k) in
                [(1, 1, 1), (7, 5, 3), (1, 40, 16), (33, 1, 20), (130, 70, 90), (3, 4, 0), (200, 128, 64)]
            {
                compare(&format!("matmul {m} {n} {k} {ta:?} {tb:?} {beta}"), &Matmul(m, n, k, ta, tb, beta));
            }
        }
    }
}

#[test]
fn rows_outside_a_matrix_stop_the_program() {
    let device = toolsmith_kernels::CpuDevice::new();
    let (a, mut c) = (device.zeros(6), device.zeros(3));
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (x, to) = (View::new(&a, Matrix::dense(2, 3)), ViewMut::new(&mut c, Matrix::dense(2, 2)));
        device.matmul(1.0, x, Transpose::No, x, Transpose::Yes, 0.0, to);
    }));
    assert!(attempt.is_err());
}

struct Pointwise;

impl Case for Pointwise {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, cols) = (301, 67);
        let at = Matrix::dense(rows, cols);
        let both = Matrix::dense(rows, 2 * cols);
        let (gate, up) = (both.columns(0, cols), both.columns(cols, cols));
        let mut gate_up = device.upload(&normal(1, 2 * rows * cols));
        let x = device.upload(&normal(2, rows * cols));
        let bias = device.upload(&normal(3, cols));
        let mut y = device.zeros(rows * cols);
        device.swiglu(View::new(&gate_up, gate), View::new(&gate_up, up), ViewMut::new(&mut y, at));
        device.add_bias(&bias, ViewMut::new(&mut y, at));
        device.add(0.5, View::new(&x, at), ViewMut::new(&mut y, at));
        device.scale(&mut y, 1.5);
        device.swiglu_backward(View::new(&y, at), &mut gate_up, gate, up);
        let mut d_bias = device.upload(&normal(4, cols));
        device.add_bias_backward(View::new(&gate_up, gate), &mut d_bias);
        let mut dropped = device.upload(&normal(5, rows * cols));
        device.dropout(0.4, 9, View::new(&x, at), 0.5, ViewMut::new(&mut dropped, at));
        let mut copied = device.zeros(2 * rows * cols);
        device.copy(View::new(&x, at), ViewMut::new(&mut copied, up));
        device.fill(&mut copied, 1, 5, 7.0);
        let squares = device.sum_of_squares(&y) as f32;
        let mut turned = device.upload(&normal(6, rows * cols));
        device.tanh(&mut turned);
        device.tanh_backward(&y, &mut turned);
        let buffers = [&y, &gate_up, &d_bias, &dropped, &copied, &turned].map(|buffer| read(device, buffer));
        buffers.into_iter().chain([vec![squares]]).collect()
    }
}

struct Rows;

impl Case for Rows {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, cols, table_rows) = (400, 48, 90);
        let at = Matrix::dense(rows, cols);
        let table_at = Matrix::dense(table_rows, cols);
        let ids: Vec<u32> = (0..rows as u32).map(|i| (i * 37) % 23).collect();
        let ids = device.upload_ids(&ids);
        let mut table = device.upload(&normal(1, table_rows * cols));
        let mut out = device.zeros(rows * cols);
        device.gather_rows(View::new(&table, table_at), &ids, ViewMut::new(&mut out, at));
        device.scatter_add_rows(View::new(&out, at), &ids, ViewMut::new(&mut table, table_at));
        let distinct = device.upload_ids(&[89, 0, 17]);
        device.scatter_rows(View::new(&out, at.rows(0, 3)), &distinct, ViewMut::new(&mut table, table_at));
        vec![read(device, &out), read(device, &table)]
    }
}

/// Rows, groups of a row, width of a group.
struct Norm(usize, usize, usize);

impl Case for Norm {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, groups, width) = (self.0, self.1, self.2);
        let cols = groups * width;
        let at = Matrix::dense(rows, cols);
        let [x, d_y] = [1, 2].map(|seed| device.upload(&normal(seed, rows * cols)));
        let weight = device.upload(&normal(3, width));
        let (mut y, mut inverse) = (device.zeros(rows * cols), device.zeros(rows * groups));
        device.rms_norm(1e-5, View::new(&x, at), &weight, ViewMut::new(&mut y, at), &mut inverse);
        let (mut d_x, mut d_weight) =
            (device.upload(&normal(4, rows * cols)), device.upload(&normal(5, width)));
        let to = ViewMut::new(&mut d_x, at);
        device.rms_norm_backward(
            View::new(&x, at),
            &weight,
            &inverse,
            View::new(&d_y, at),
            to,
            Some(&mut d_weight),
        );
        [&y, &inverse, &d_x, &d_weight].map(|buffer| read(device, buffer)).to_vec()
    }
}

struct Columns;

impl Case for Columns {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, cols) = (701, 90);
        let at = Matrix::dense(rows, cols + 4).columns(3, cols);
        let [x, mut y] = [1, 2].map(|seed| device.upload(&normal(seed, at.end())));
        let numerators = device.upload(&normal(3, cols));
        let mut denominators = device.zeros(cols);
        let weight = device.upload(&normal(4, cols * 33));
        device.row_norms(View::new(&weight, Matrix::dense(cols, 33)), &mut denominators);
        device.scale_columns(&numerators, &denominators, View::new(&x, at), 0.5, ViewMut::new(&mut y, at));
        let mut d_numerators = device.upload(&normal(5, cols));
        device.scale_rows(&numerators, &denominators, ViewMut::new(&mut y, at.rows(5, cols)));
        let (x, d_y) = (View::new(&x, at), View::new(&y, at));
        device.scale_columns_backward(&denominators, x, d_y, &mut d_numerators);
        [&denominators, &y, &d_numerators].map(|buffer| read(device, buffer)).to_vec()
    }
}

#[test]
fn pointwise_rows_and_norm() {
    compare("columns", &Columns);
    compare("pointwise", &Pointwise);
    compare("rows", &Rows);
    compare("norm", &Norm(500, 1, 100));
    compare("norm of a narrow row", &Norm(3, 1, 5));
    compare("norm of heads", &Norm(300, 6, 20));
}

struct Rope(RopeStyle);

impl Case for Rope {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, shape) = (200, RopeShape { heads: 3, head_dim: 20, rotary_dim: 12, style: self.0 });
        let at = Matrix::dense(rows, 70).columns(4, 60);
        let angles: Vec<f32> = normal(1, 40 * 6);
        let cos = device.upload(&angles.iter().map(|a| a.cos()).collect::<Vec<_>>());
        let sin = device.upload(&angles.iter().map(|a| a.sin()).collect::<Vec<_>>());
        let positions = device.upload_ids(&(0..rows as u32).map(|i| i * 7 % 40).collect::<Vec<_>>());
        let mut x = device.upload(&normal(2, rows * 70));
        device.rope(shape, Direction::Forward, &positions, &cos, &sin, ViewMut::new(&mut x, at));
        let turned = read(device, &x);
        device.rope(shape, Direction::Backward, &positions, &cos, &sin, ViewMut::new(&mut x, at));
        vec![turned, read(device, &x)]
    }
}

#[test]
fn rope() {
    compare("rope, halves", &Rope(RopeStyle::Half));
    compare("rope, pairs", &Rope(RopeStyle::Interleaved));
}

struct Attention {
    segments: Vec<Segment>,
    shape: AttentionShape,
    /// Keys that belong to no token and that every token sees.
    prefix: usize,
}

impl Case for Attention {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let tree = TokenTree::new(self.segments.clone()).unwrap();
        let tokens = tree.token_count();
        let keys = tokens + self.prefix;
        let AttentionShape { heads, kv_heads, head_dim, .. } = self.shape;
        let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
        let all = Matrix::dense(keys, wide + 2 * narrow);
        let q = all.columns(0, wide).rows(0, tokens);
        let (k, v) = (all.columns(wide, narrow), all.columns(wide + narrow, narrow));
        let out_at = Matrix::dense(tokens, wide);
        let qkv = device.upload(&normal(1, keys * all.cols));
        let d_out = device.upload(&normal(2, tokens * wide));
        let (mut out, mut log_sum_exp) = (device.zeros(tokens * wide), device.zeros(tokens * heads));
        let mut spans = tree.spans();
        if self.prefix > 0 {
            spans.iter_mut().for_each(|span| span.context.insert(0, (tokens, self.prefix)));
        }
        let spans = device.upload_spans(&spans);
        let of = |at| View::new(&qkv, at);
        device.attention(
            self.shape,
            &spans,
            of(q),
            of(k),
            of(v),
            ViewMut::new(&mut out, out_at),
            &mut log_sum_exp,
        );
        let mut d_qkv = device.upload(&normal(3, keys * all.cols));
        let (kept, d) = (View::new(&out, out_at), View::new(&d_out, out_at));
        device.attention_backward(
            self.shape,
            &spans,
            of(q),
            of(k),
            of(v),
            kept,
            &log_sum_exp,
            d,
            &mut d_qkv,
            q,
            k,
            v,
        );
        [&out, &log_sum_exp, &d_qkv].map(|buffer| read(device, buffer)).to_vec()
    }
}

#[test]
fn attention_over_trees() {
    let segment = |start, len, parent| Segment { start, len, parent };
    let small = vec![
        segment(0, 1, None),
        segment(1, 5, Some(0)),
        segment(6, 3, Some(1)),
        segment(9, 4, Some(0)),
        segment(13, 2, None),
    ];
    // Longer than a block of queries and a block of keys, with a context that is cut in two.
    let large = vec![
        segment(0, 90, None),
        segment(90, 180, Some(0)),
        segment(270, 30, Some(0)),
        segment(300, 70, Some(1)),
        segment(370, 0, Some(1)),
        segment(370, 65, None),
    ];
    // A prefix longer than a block of keys.
    let shape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 6, scale: 0.4 };
    // More trees than there are groups that gather the prefix's gradient.
    let many = (0..45).map(|i| segment(i / 3 * 6 + i % 3 * (i % 3 + 1) / 2, i % 3 + 1, None)).collect();
    compare("attention, prefix of many trees", &Attention { segments: many, shape, prefix: 5 });
    compare("attention, long prefix", &Attention { segments: small.clone(), shape, prefix: 300 });
    for segments in [small, large] {
        for (heads, kv_heads, head_dim) in [(4, 2, 16), (3, 3, 8), (6, 1, 20)] {
            let shape = AttentionShape { heads, kv_heads, head_dim, scale: 0.5 };
            for prefix in [0, 7] {
                compare(
                    &format!("attention {heads} {kv_heads}, prefix of {prefix}"),
                    &Attention { segments: segments.clone(), shape, prefix },
                );
            }
        }
    }
}

/// Queries in one place, keys in another, as a cache has them.
struct Cached;

impl Case for Cached {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let shape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 8, scale: 0.3 };
        let spans = [
            QuerySpan { query_start: 0, len: 1, key_start: 300, context: vec![(0, 280), (290, 3)] },
            QuerySpan { query_start: 1, len: 1, key_start: 293, context: vec![(5, 1)] },
            QuerySpan { query_start: 2, len: 3, key_start: 310, context: vec![] },
        ];
        let (queries, keys) = (5, 320);
        let q = device.upload(&normal(1, queries * 32));
        let [k, v] = [2, 3].map(|seed| device.upload(&normal(seed, keys * 16)));
        let (q_at, k_at) = (Matrix::dense(queries, 32), Matrix::dense(keys, 16));
        let (mut out, mut log_sum_exp) = (device.zeros(queries * 32), device.zeros(queries * 4));
        let spans = device.upload_spans(&spans);
        let (q, k, v) = (View::new(&q, q_at), View::new(&k, k_at), View::new(&v, k_at));
        device.attention(shape, &spans, q, k, v, ViewMut::new(&mut out, q_at), &mut log_sum_exp);
        vec![read(device, &out), read(device, &log_sum_exp)]
    }
}

#[test]
fn attention_over_a_cache() {
    compare("attention over a cache", &Cached);
}

struct HeadCase;

impl Case for HeadCase {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let (rows, vocab, first_row) = (90, 333, 2);
        let at = Matrix::dense(rows, vocab);
        let offsets: Vec<u32> = (0..=(first_row + rows) as u32).map(|row| row / 2 * 3).collect();
        let count = *offsets.last().unwrap() as usize;
        let tokens: Vec<u32> = (0..count as u32).map(|i| i * 41 % vocab as u32).collect();
        let (offsets, tokens) = (device.upload_ids(&offsets), device.upload_ids(&tokens));
        let rows_of = || HeadRows { offsets: &offsets, tokens: &tokens, first_row };
        let large: Vec<f32> = normal(1, rows * vocab).iter().map(|x| x * 20.0).collect();
        let mut logits = device.upload(&large);
        let (mut logprobs, mut log_sum_exp) = (device.zeros(count), device.zeros(first_row + rows));
        device.log_probabilities(rows_of(), View::new(&logits, at), &mut logprobs, &mut log_sum_exp);
        let weights = device.upload(&normal(2, count));
        device.log_probabilities_backward(rows_of(), &weights, &log_sum_exp, ViewMut::new(&mut logits, at));
        [&logprobs, &log_sum_exp, &logits].map(|buffer| read(device, buffer)).to_vec()
    }
}

struct Optimizer;

impl Case for Optimizer {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let len = 40_000;
        let mut value = device.upload(&normal(1, len));
        let (mut m, mut v) = (device.zeros(len), device.zeros(len));
        for step in 1..=3 {
            let grad = device.upload(&normal(10 + step, len));
            let step = AdamWStep {
                learning_rate: 0.1,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-8,
                weight_decay: 0.1,
                step,
                grad_scale: 0.5,
            };
            device.adamw(&step, &mut value, &grad, &mut m, &mut v);
        }
        [&value, &m, &v].map(|buffer| read(device, buffer)).to_vec()
    }
}

#[test]
fn head_and_optimizer() {
    compare("head", &HeadCase);
    compare("adamw", &Optimizer);
}

/// One step of AdamW with 8-bit moments, from the same moments on every device.
fn adamw_8bit<D: Device>(device: &D, len: usize) -> (Vec<f32>, Moment8, Moment8) {
    let mut value = device.upload(&normal(1, len));
    let mut first = device.upload_moment8(Moment8::zeros(DynamicMap::Signed, len));
    let mut second = device.upload_moment8(Moment8::zeros(DynamicMap::Unsigned, len));
    for step in 1..=2 {
        let grad = device.upload(&normal(10 + step, len));
        let step = AdamWStep {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            grad_scale: 0.5,
        };
        device.adamw_8bit(&step, &mut value, &grad, &mut first, &mut second);
    }
    (read(device, &value), device.read_moment8(&first), device.read_moment8(&second))
}

#[test]
fn adamw_with_8_bit_moments() {
    let len = 20_100;
    let one = CpuDevice::with_threads(1).unwrap();
    let found = one.scope(|| adamw_8bit(&one, len));
    let three = CpuDevice::with_threads(3).unwrap();
    assert!(found == three.scope(|| adamw_8bit(&three, len)), "threads change the result");
    let expected = adamw_8bit(&ReferenceDevice::new(), len);
    // A number in the middle between two codes may take either: few do, and they are neighbours.
    let mut different = 0;
    for (found, expected) in [(&found.1, &expected.1), (&found.2, &expected.2)] {
        for (a, b) in found.codes().iter().zip(expected.codes()) {
            assert!(a.abs_diff(*b) <= 1, "{a} {b}");
            different += usize::from(a != b);
        }
        for (a, b) in found.scales().iter().zip(expected.scales()) {
            assert!((a - b).abs() <= 1e-5 * b, "{a} {b}");
        }
    }
    assert!(different < len / 1000, "{different} codes differ");
    let far = found.0.iter().zip(&expected.0).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
    assert!(far <= different, "{far} weights differ, but only {different} codes");
}

#[test]
fn adamw_equals_pytorch() {
    // p = torch.nn.Parameter(torch.tensor([1., -2.])); o = torch.optim.AdamW([p], lr=0.1, weight_decay=0.1)
    // for g in ([.5, -1.], [.25, 3.]): p.grad = torch.tensor(g); o.step()     (torch 2.15.0)
    let device = toolsmith_kernels::CpuDevice::new();
    let mut value = device.upload(&[1.0, -2.0]);
    let (mut m, mut v) = (device.zeros(2), device.zeros(2));
    for (step, grad) in [(1, [0.5, -1.0]), (2, [0.25, 3.0])] {
        let step = AdamWStep {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            grad_scale: 1.0,
        };
        device.adamw(&step, &mut value, &device.upload(&grad), &mut m, &mut v);
    }
    let found = read(&device, &value);
    for (found, expected) in found.iter().zip(ADAMW) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

const ADAMW: [f32; 2] = [0.7878821, -1.9106189];
