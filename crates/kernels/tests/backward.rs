//! Every backward of the reference device against central differences of its forward, in f64.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common;

use common::{buffer, check_gradients, normal64};
use toolsmith_kernels::{
    AttentionShape, Device, Direction, HeadRows, Matrix, QuerySpan, ReferenceBuffer, ReferenceDevice,
    RopeShape, RopeStyle, Segment, TokenTree, Transpose, View, ViewMut,
};

const DEVICE: ReferenceDevice = ReferenceDevice;

fn dot(a: &ReferenceBuffer, b: &[f64]) -> f64 {
    a.values.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn matmul() {
    // The product rule, for each way to transpose: this is how layers use it.
    let (m, n, k) = (3, 4, 5);
    for (ta, tb) in
        [(Transpose::No, Transpose::Yes), (Transpose::No, Transpose::No), (Transpose::Yes, Transpose::No)]
    {
        let at = |t, rows, cols| {
            if t == Transpose::No { Matrix::dense(rows, cols) } else { Matrix::dense(cols, rows) }
        };
        let (a_at, b_at, c_at) = (at(ta, m, k), at(tb, k, n), Matrix::dense(m, n));
        let inputs = [normal64(1, m * k), normal64(2, k * n)];
        let d_c = normal64(3, m * n);
        let product =
            |a: &ReferenceBuffer, at: Matrix, ta, b: &ReferenceBuffer, bt: Matrix, tb, to: Matrix| {
                let mut c = DEVICE.zeros(to.rows * to.cols);
                DEVICE.matmul(0.5, View::new(a, at), ta, View::new(b, bt), tb, 0.0, ViewMut::new(&mut c, to));
                c
            };
        let loss =
            |x: &[Vec<f64>]| dot(&product(&buffer(&x[0]), a_at, ta, &buffer(&x[1]), b_at, tb, c_at), &d_c);
        let (a, b, d) = (buffer(&inputs[0]), buffer(&inputs[1]), buffer(&d_c));
        let flip = |t| if t == Transpose::No { Transpose::Yes } else { Transpose::No };
        let d_a = match ta {
            Transpose::No => product(&d, c_at, Transpose::No, &b, b_at, flip(tb), a_at),
            Transpose::Yes => product(&b, b_at, tb, &d, c_at, Transpose::Yes, a_at),
        };
        let d_b = match tb {
            Transpose::No => product(&a, a_at, flip(ta), &d, c_at, Transpose::No, b_at),
            Transpose::Yes => product(&d, c_at, Transpose::Yes, &a, a_at, ta, b_at),
        };
        check_gradients("matmul", &inputs, loss, &[d_a.values, d_b.values]);
    }
}

#[test]
fn rms_norm() {
    let at = Matrix::dense(3, 6);
    let inputs = [normal64(1, 18), normal64(2, 6)];
    let d_y = normal64(3, 18);
    let forward = |x: &[Vec<f64>]| {
        let (mut y, mut inverse) = (DEVICE.zeros(18), DEVICE.zeros(3));
        let (input, weight) = (buffer(&x[0]), buffer(&x[1]));
        DEVICE.rms_norm(0.1, View::new(&input, at), &weight, ViewMut::new(&mut y, at), &mut inverse);
        (y, inverse)
    };
    let (_, inverse) = forward(&inputs);
    let (mut d_x, mut d_weight) = (DEVICE.zeros(18), DEVICE.zeros(6));
    let (x, weight, d) = (buffer(&inputs[0]), buffer(&inputs[1]), buffer(&d_y));
    let to = ViewMut::new(&mut d_x, at);
    DEVICE.rms_norm_backward(
        View::new(&x, at),
        &weight,
        &inverse,
        View::new(&d, at),
        to,
        Some(&mut d_weight),
    );
    check_gradients("rms_norm", &inputs, |x| dot(&forward(x).0, &d_y), &[d_x.values, d_weight.values]);
}

#[test]
fn bias_and_rows() {
    let at = Matrix::dense(4, 3);
    let d_y = normal64(5, 12);
    let d = buffer(&d_y);
    let bias = |x: &[Vec<f64>]| {
        let mut y = DEVICE.zeros(12);
        DEVICE.add_bias(&buffer(&x[0]), ViewMut::new(&mut y, at));
        dot(&y, &d_y)
    };
    let mut d_bias = DEVICE.zeros(3);
    DEVICE.add_bias_backward(View::new(&d, at), &mut d_bias);
    check_gradients("bias", &[normal64(6, 3)], bias, &[d_bias.values]);

    let (ids, table) = (vec![2, 0, 2, 1], Matrix::dense(3, 3));
    let gather = |x: &[Vec<f64>]| {
        let mut y = DEVICE.zeros(12);
        DEVICE.gather_rows(View::new(&buffer(&x[0]), table), &ids, ViewMut::new(&mut y, at));
        dot(&y, &d_y)
    };
    let mut d_table = DEVICE.zeros(9);
    DEVICE.scatter_add_rows(View::new(&d, at), &ids, ViewMut::new(&mut d_table, table));
    check_gradients("gather_rows", &[normal64(7, 9)], gather, &[d_table.values]);
}

#[test]
fn rope() {
    let at = Matrix::dense(3, 2 * 6);
    let (cos, sin): (Vec<f64>, Vec<f64>) = (0..8).map(|i| (f64::from(i).cos(), f64::from(i).sin())).unzip();
    let d_y = normal64(1, 36);
    for style in [RopeStyle::Half, RopeStyle::Interleaved] {
        let shape = RopeShape { heads: 2, head_dim: 6, rotary_dim: 4, style };
        let turn = |values: &[f64], direction| {
            let mut x = buffer(values);
            DEVICE.rope(
                shape,
                direction,
                &vec![1, 3, 0],
                &buffer(&cos),
                &buffer(&sin),
                ViewMut::new(&mut x, at),
            );
            x
        };
        let gradient = turn(&d_y, Direction::Backward).values;
        let loss = |x: &[Vec<f64>]| dot(&turn(&x[0], Direction::Forward), &d_y);
        check_gradients("rope", &[normal64(2, 36)], loss, &[gradient]);
    }
}

#[test]
fn attention() {
    let segment = |start, len, parent| Segment { start, len, parent };
    let segments = vec![
        segment(0, 2, None),
        segment(2, 2, Some(0)),
        segment(4, 1, Some(1)),
        segment(5, 2, Some(0)),
        segment(7, 2, None),
    ];
    let tree = TokenTree::new(segments).unwrap();
    let spans: Vec<QuerySpan> = tree.spans();
    let shape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 3, scale: 0.7 };
    let all = Matrix::dense(9, 12 + 6 + 6);
    let (q, k, v) = (all.columns(0, 12), all.columns(12, 6), all.columns(18, 6));
    let out_at = Matrix::dense(9, 12);
    let d_out = normal64(1, 9 * 12);
    let inputs = [normal64(2, 9 * 24)];
    let forward = |x: &[Vec<f64>]| {
        let (mut out, mut log_sum_exp) = (DEVICE.zeros(9 * 12), DEVICE.zeros(9 * 4));
        let x = buffer(&x[0]);
        let [q, k, v] = [q, k, v].map(|at| View::new(&x, at));
        DEVICE.attention(shape, &spans, q, k, v, ViewMut::new(&mut out, out_at), &mut log_sum_exp);
        (out, log_sum_exp)
    };
    let (out, log_sum_exp) = forward(&inputs);
    let (x, d, mut d_qkv) = (buffer(&inputs[0]), buffer(&d_out), buffer(&vec![9.0; 9 * 24]));
    let of = |at| View::new(&x, at);
    let (out, d) = (View::new(&out, out_at), View::new(&d, out_at));
    DEVICE.attention_backward(shape, &spans, of(q), of(k), of(v), out, &log_sum_exp, d, &mut d_qkv, q, k, v);
    check_gradients("attention", &inputs, |x| dot(&forward(x).0, &d_out), &[d_qkv.values]);
}

#[test]
fn swiglu() {
    let both = Matrix::dense(3, 8);
    let (gate, up, out) = (both.columns(0, 4), both.columns(4, 4), Matrix::dense(3, 4));
    let d_out = normal64(1, 12);
    let inputs = [normal64(2, 24)];
    let loss = |x: &[Vec<f64>]| {
        let (x, mut y) = (buffer(&x[0]), DEVICE.zeros(12));
        DEVICE.swiglu(View::new(&x, gate), View::new(&x, up), ViewMut::new(&mut y, out));
        dot(&y, &d_out)
    };
    let mut gradient = buffer(&inputs[0]);
    DEVICE.swiglu_backward(View::new(&buffer(&d_out), out), &mut gradient, gate, up);
    check_gradients("swiglu", &inputs, loss, &[gradient.values]);
}

#[test]
fn scale_columns() {
    let at = Matrix::dense(4, 3);
    let (d_y, x, denominators) = (normal64(1, 12), buffer(&normal64(2, 12)), buffer(&[1.5, 2.0, 0.7]));
    let loss = |numerators: &[Vec<f64>]| {
        let mut y = DEVICE.zeros(12);
        let to = ViewMut::new(&mut y, at);
        DEVICE.scale_columns(&buffer(&numerators[0]), &denominators, View::new(&x, at), 0.0, to);
        dot(&y, &d_y)
    };
    let (mut gradient, d_y) = (DEVICE.zeros(3), buffer(&d_y));
    DEVICE.scale_columns_backward(&denominators, View::new(&x, at), View::new(&d_y, at), &mut gradient);
    check_gradients("scale_columns", &[normal64(3, 3)], loss, &[gradient.values]);
}

#[test]
fn tanh() {
    let d_y = normal64(1, 12);
    let run = |values: &[f64]| {
        let mut y = buffer(values);
        DEVICE.tanh(&mut y);
        y
    };
    let x = normal64(2, 12);
    let mut gradient = buffer(&d_y);
    DEVICE.tanh_backward(&run(&x), &mut gradient);
    check_gradients("tanh", &[x], |x| dot(&run(&x[0]), &d_y), &[gradient.values]);
}

#[test]
fn dropout() {
    let at = Matrix::dense(20, 10);
    let d_y = normal64(1, 200);
    let run = |values: &[f64]| {
        let mut y = DEVICE.zeros(200);
        DEVICE.dropout(0.3, 5, View::new(&buffer(values), at), 0.0, ViewMut::new(&mut y, at));
        y
    };
    let loss = |x: &[Vec<f64>]| dot(&run(&x[0]), &d_y);
    check_gradients("dropout", &[normal64(2, 200)], loss, &[run(&d_y).values]);
    let dropped = run(&[1.0; 200]).values.iter().filter(|&&y| y == 0.0).count();
    assert!((40..80).contains(&dropped), "{dropped} of 200 dropped at rate 0.3");
}

#[test]
fn log_probabilities() {
    let at = Matrix::dense(3, 7);
    let (offsets, tokens) = (vec![0, 1, 1, 4], vec![2, 6, 0, 6]);
    let weights = normal64(1, 4);
    let inputs = [normal64(2, 21)];
    let rows = || HeadRows { offsets: &offsets, tokens: &tokens, first_row: 0 };
    let forward = |x: &[Vec<f64>]| {
        let (x, mut logprobs, mut log_sum_exp) = (buffer(&x[0]), DEVICE.zeros(4), DEVICE.zeros(3));
        DEVICE.log_probabilities(rows(), View::new(&x, at), &mut logprobs, &mut log_sum_exp);
        (logprobs, log_sum_exp)
    };
    let (_, log_sum_exp) = forward(&inputs);
    let mut gradient = buffer(&inputs[0]);
    DEVICE.log_probabilities_backward(
        rows(),
        &buffer(&weights),
        &log_sum_exp,
        ViewMut::new(&mut gradient, at),
    );
    check_gradients("log_probabilities", &inputs, |x| -dot(&forward(x).0, &weights), &[gradient.values]);
}
