//! The plain device: f64, one thread, each operation the loop that its definition says. The oracle of every test.
//!
//! In and out: vectors of f64. Not known: speed.

mod attention;

use crate::blocks::PackedMatrix;
use crate::device::{
    AdamWStep, AttentionShape, Device, Direction, HeadRows, Matrix, RopeShape, RopeStyle, Transpose, View,
    ViewMut,
};
use crate::moment::{DynamicMap, MOMENT_BLOCK, Moment8};
use crate::random::CounterRng;
use crate::tree::QuerySpan;

/// The oracle.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceDevice;

impl ReferenceDevice {
    /// The oracle.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Numbers in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceBuffer {
    /// The numbers, in full precision.
    pub values: Vec<f64>,
}

type Read<'a> = View<'a, ReferenceBuffer>;
type Write<'a> = ViewMut<'a, ReferenceBuffer>;

fn index(at: Matrix, r: usize, c: usize) -> usize {
    assert!(r < at.rows && c < at.cols, "element ({r}, {c}) of {at:?}");
    at.offset + r * at.stride + c
}

impl Read<'_> {
    fn get(&self, r: usize, c: usize) -> f64 {
        self.buffer.values[index(self.at, r, c)]
    }
}

impl Write<'_> {
    fn cell(&mut self, r: usize, c: usize) -> &mut f64 {
        &mut self.buffer.values[index(self.at, r, c)]
    }
}

fn cells(at: Matrix) -> impl Iterator<Item = (usize, usize)> {
    (0..at.rows).flat_map(move |r| (0..at.cols).map(move |c| (r, c)))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Whether dropout keeps an element; the same draw on every device.
fn kept(rate: f32, seed: u64, at: Matrix, r: usize, c: usize) -> bool {
    let draw = CounterRng::new(seed).bits((r * at.cols + c) as u64) >> 32;
    draw >= (f64::from(rate) * (1u64 << 32) as f64) as u64
}

impl Device for ReferenceDevice {
    type Buffer = ReferenceBuffer;
    type Ids = Vec<u32>;
    type Spans = Vec<QuerySpan>;
    type Packed = PackedMatrix;
    type Moment8 = Moment8;

    fn zeros(&self, len: usize) -> ReferenceBuffer {
        ReferenceBuffer { values: vec![0.0; len] }
    }

    fn upload(&self, values: &[f32]) -> ReferenceBuffer {
        ReferenceBuffer { values: values.iter().map(|&value| f64::from(value)).collect() }
    }

    fn upload_ids(&self, ids: &[u32]) -> Vec<u32> {
        ids.to_vec()
    }

    fn upload_spans(&self, spans: &[QuerySpan]) -> Vec<QuerySpan> {
        spans.to_vec()
    }

    fn upload_packed(&self, matrix: PackedMatrix) -> PackedMatrix {
        matrix
    }

    fn read_packed(&self, packed: &PackedMatrix, first_row: usize, out: &mut [f32]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = packed.element(first_row + i / packed.cols(), i % packed.cols());
        }
    }

    fn len(&self, buffer: &ReferenceBuffer) -> usize {
        buffer.values.len()
    }

    fn read(&self, buffer: &ReferenceBuffer, offset: usize, out: &mut [f32]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = buffer.values[offset + i] as f32;
        }
    }

    fn write(&self, buffer: &mut ReferenceBuffer, offset: usize, values: &[f32]) {
        for (i, &value) in values.iter().enumerate() {
            buffer.values[offset + i] = f64::from(value);
        }
    }

    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn fill(&self, buffer: &mut ReferenceBuffer, offset: usize, len: usize, value: f32) {
        buffer.values[offset..offset + len].fill(f64::from(value));
    }

    fn copy(&self, from: Read<'_>, mut to: Write<'_>) {
        for (r, c) in cells(to.at) {
            *to.cell(r, c) = from.get(r, c);
        }
    }

    fn add(&self, factor: f32, from: Read<'_>, mut to: Write<'_>) {
        for (r, c) in cells(to.at) {
            *to.cell(r, c) += f64::from(factor) * from.get(r, c);
        }
    }

    fn scale(&self, buffer: &mut ReferenceBuffer, factor: f32) {
        buffer.values.iter_mut().for_each(|value| *value *= f64::from(factor));
    }

    fn sum_of_squares(&self, buffer: &ReferenceBuffer) -> f64 {
        buffer.values.iter().map(|value| value * value).sum()
    }

    fn matmul(
        &self,
        alpha: f32,
        a: Read<'_>,
        transpose_a: Transpose,
        b: Read<'_>,
        transpose_b: Transpose,
        beta: f32,
        mut c: Write<'_>,
    ) {
        let of = |view: Read<'_>, transpose, r, c| match transpose {
            Transpose::No => view.get(r, c),
            Transpose::Yes => view.get(c, r),
        };
        let inner = if transpose_a == Transpose::No { a.at.cols } else { a.at.rows };
        assert_eq!(
            inner,
            if transpose_b == Transpose::No { b.at.rows } else { b.at.cols },
            "inner sizes differ"
        );
        for (row, col) in cells(c.at) {
            let sum: f64 = (0..inner).map(|k| of(a, transpose_a, row, k) * of(b, transpose_b, k, col)).sum();
            let before = if beta == 0.0 { 0.0 } else { f64::from(beta) * *c.cell(row, col) };
            *c.cell(row, col) = before + f64::from(alpha) * sum;
        }
    }

    fn matmul_packed(
        &self,
        alpha: f32,
        a: Read<'_>,
        packed: &PackedMatrix,
        transpose: Transpose,
        beta: f32,
        c: Write<'_>,
    ) {
        let at = Matrix::dense(packed.rows(), packed.cols());
        let values = cells(at).map(|(r, c)| f64::from(packed.element(r, c))).collect();
        let weights = ReferenceBuffer { values };
        self.matmul(alpha, a, Transpose::No, View::new(&weights, at), transpose, beta, c);
    }

    fn gather_packed_rows(&self, table: &PackedMatrix, ids: &Vec<u32>, mut out: Write<'_>) {
        for (r, c) in cells(out.at) {
            *out.cell(r, c) = f64::from(table.element(ids[r] as usize, c));
        }
    }

    fn gather_rows(&self, table: Read<'_>, ids: &Vec<u32>, mut out: Write<'_>) {
        for (r, c) in cells(out.at) {
            *out.cell(r, c) = table.get(ids[r] as usize, c);
        }
    }

    fn scatter_add_rows(&self, rows: Read<'_>, ids: &Vec<u32>, mut table: Write<'_>) {
        for (r, c) in cells(rows.at) {
            *table.cell(ids[r] as usize, c) += rows.get(r, c);
        }
    }

    fn scatter_rows(&self, rows: Read<'_>, ids: &Vec<u32>, mut table: Write<'_>) {
        for (r, c) in cells(rows.at) {
            *table.cell(ids[r] as usize, c) = rows.get(r, c);
        }
    }

    fn rms_norm(
        &self,
        epsilon: f32,
        x: Read<'_>,
        weight: &ReferenceBuffer,
        mut y: Write<'_>,
        inverse_rms: &mut ReferenceBuffer,
    ) {
        let width = weight.values.len();
        let groups = x.at.cols / width;
        for (r, group) in (0..x.at.rows).flat_map(|r| (0..groups).map(move |group| (r, group))) {
            let square: f64 = (0..width).map(|c| x.get(r, group * width + c).powi(2)).sum();
            let inverse = 1.0 / (square / width as f64 + f64::from(epsilon)).sqrt();
            inverse_rms.values[r * groups + group] = inverse;
            for c in 0..width {
                *y.cell(r, group * width + c) = x.get(r, group * width + c) * inverse * weight.values[c];
            }
        }
    }

    fn rms_norm_backward(
        &self,
        x: Read<'_>,
        weight: &ReferenceBuffer,
        inverse_rms: &ReferenceBuffer,
        d_y: Read<'_>,
        mut d_x: Write<'_>,
        d_weight: Option<&mut ReferenceBuffer>,
    ) {
        let width = weight.values.len();
        let groups = x.at.cols / width;
        for (r, group) in (0..x.at.rows).flat_map(|r| (0..groups).map(move |group| (r, group))) {
            let inverse = inverse_rms.values[r * groups + group];
            let columns = || (0..width).map(|c| (c, group * width + c));
            let sum: f64 = columns().map(|(w, c)| d_y.get(r, c) * weight.values[w] * x.get(r, c)).sum();
            for (w, c) in columns() {
                let through_rms = x.get(r, c) * inverse.powi(3) * sum / width as f64;
                *d_x.cell(r, c) += d_y.get(r, c) * weight.values[w] * inverse - through_rms;
            }
        }
        if let Some(d_weight) = d_weight {
            for (r, c) in cells(x.at) {
                let inverse = inverse_rms.values[r * groups + c / width];
                d_weight.values[c % width] += d_y.get(r, c) * x.get(r, c) * inverse;
            }
        }
    }

    fn add_bias(&self, bias: &ReferenceBuffer, mut y: Write<'_>) {
        for (r, c) in cells(y.at) {
            *y.cell(r, c) += bias.values[c];
        }
    }

    fn add_bias_backward(&self, d_y: Read<'_>, d_bias: &mut ReferenceBuffer) {
        for (r, c) in cells(d_y.at) {
            d_bias.values[c] += d_y.get(r, c);
        }
    }

    fn row_norms(&self, x: Read<'_>, norms: &mut ReferenceBuffer) {
        for r in 0..x.at.rows {
            norms.values[r] = (0..x.at.cols).map(|c| x.get(r, c).powi(2)).sum::<f64>().sqrt();
        }
    }

    fn scale_rows(&self, numerators: &ReferenceBuffer, denominators: &ReferenceBuffer, mut x: Write<'_>) {
        for (r, c) in cells(x.at) {
            *x.cell(r, c) *= numerators.values[r] / denominators.values[r];
        }
    }

    fn scale_columns(
        &self,
        numerators: &ReferenceBuffer,
        denominators: &ReferenceBuffer,
        x: Read<'_>,
        beta: f32,
        mut y: Write<'_>,
    ) {
        for (r, c) in cells(y.at) {
            let before = if beta == 0.0 { 0.0 } else { f64::from(beta) * *y.cell(r, c) };
            *y.cell(r, c) = before + x.get(r, c) * numerators.values[c] / denominators.values[c];
        }
    }

    fn scale_columns_backward(
        &self,
        denominators: &ReferenceBuffer,
        x: Read<'_>,
        d_y: Read<'_>,
        d_numerators: &mut ReferenceBuffer,
    ) {
        for (r, c) in cells(x.at) {
            d_numerators.values[c] += x.get(r, c) * d_y.get(r, c) / denominators.values[c];
        }
    }

    fn rope(
        &self,
        shape: RopeShape,
        direction: Direction,
        positions: &Vec<u32>,
        cos: &ReferenceBuffer,
        sin: &ReferenceBuffer,
        mut x: Write<'_>,
    ) {
        let half = shape.rotary_dim / 2;
        assert!(
            x.at.cols == shape.heads * shape.head_dim && positions.len() == x.at.rows,
            "rope: {:?}",
            x.at
        );
        for (r, &position) in positions.iter().enumerate() {
            for head in 0..shape.heads {
                for i in 0..half {
                    let (first, second) = match shape.style {
                        RopeStyle::Half => (i, i + half),
                        RopeStyle::Interleaved => (2 * i, 2 * i + 1),
                    };
                    let (first, second) = (head * shape.head_dim + first, head * shape.head_dim + second);
                    let angle = position as usize * half + i;
                    let cos = cos.values[angle];
                    let sin = match direction {
                        Direction::Forward => sin.values[angle],
                        Direction::Backward => -sin.values[angle],
                    };
                    let (a, b) = (*x.cell(r, first), *x.cell(r, second));
                    *x.cell(r, first) = a * cos - b * sin;
                    *x.cell(r, second) = b * cos + a * sin;
                }
            }
        }
    }

    fn attention(
        &self,
        shape: AttentionShape,
        spans: &Vec<QuerySpan>,
        q: Read<'_>,
        k: Read<'_>,
        v: Read<'_>,
        out: Write<'_>,
        log_sum_exp: &mut ReferenceBuffer,
    ) {
        attention::forward(shape, spans, q, k, v, out, log_sum_exp);
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        spans: &Vec<QuerySpan>,
        q: Read<'_>,
        k: Read<'_>,
        v: Read<'_>,
        _out: Read<'_>,
        log_sum_exp: &ReferenceBuffer,
        d_out: Read<'_>,
        d_qkv: &mut ReferenceBuffer,
        d_q: Matrix,
        d_k: Matrix,
        d_v: Matrix,
    ) {
        attention::backward(shape, spans, [q, k, v, d_out], log_sum_exp, d_qkv, [d_q, d_k, d_v]);
    }

    fn swiglu(&self, gate: Read<'_>, up: Read<'_>, mut out: Write<'_>) {
        for (r, c) in cells(out.at) {
            *out.cell(r, c) = gate.get(r, c) * sigmoid(gate.get(r, c)) * up.get(r, c);
        }
    }

    fn swiglu_backward(&self, d_out: Read<'_>, gate_up: &mut ReferenceBuffer, gate: Matrix, up: Matrix) {
        for (r, c) in cells(gate) {
            let (g, u, d) =
                (gate_up.values[index(gate, r, c)], gate_up.values[index(up, r, c)], d_out.get(r, c));
            let s = sigmoid(g);
            gate_up.values[index(gate, r, c)] = d * u * (s + g * s * (1.0 - s));
            gate_up.values[index(up, r, c)] = d * g * s;
        }
    }

    fn tanh(&self, x: &mut ReferenceBuffer) {
        x.values.iter_mut().for_each(|x| *x = x.tanh());
    }

    fn tanh_backward(&self, y: &ReferenceBuffer, d_y: &mut ReferenceBuffer) {
        d_y.values.iter_mut().zip(&y.values).for_each(|(d_y, y)| *d_y *= 1.0 - y * y);
    }

    fn dropout(&self, rate: f32, seed: u64, x: Read<'_>, beta: f32, mut out: Write<'_>) {
        for (r, c) in cells(out.at) {
            let before = if beta == 0.0 { 0.0 } else { f64::from(beta) * *out.cell(r, c) };
            let value =
                if kept(rate, seed, x.at, r, c) { x.get(r, c) / (1.0 - f64::from(rate)) } else { 0.0 };
            *out.cell(r, c) = before + value;
        }
    }

    fn log_probabilities(
        &self,
        rows: HeadRows<'_, Vec<u32>>,
        logits: Read<'_>,
        logprobs: &mut ReferenceBuffer,
        log_sum_exp: &mut ReferenceBuffer,
    ) {
        for r in 0..logits.at.rows {
            let row = rows.first_row + r;
            let largest = (0..logits.at.cols).map(|c| logits.get(r, c)).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..logits.at.cols).map(|c| (logits.get(r, c) - largest).exp()).sum();
            log_sum_exp.values[row] = largest + sum.ln();
            for target in rows.offsets[row] as usize..rows.offsets[row + 1] as usize {
                logprobs.values[target] =
                    logits.get(r, rows.tokens[target] as usize) - log_sum_exp.values[row];
            }
        }
    }

    fn log_probabilities_backward(
        &self,
        rows: HeadRows<'_, Vec<u32>>,
        weights: &ReferenceBuffer,
        log_sum_exp: &ReferenceBuffer,
        mut logits: Write<'_>,
    ) {
        for r in 0..logits.at.rows {
            let row = rows.first_row + r;
            let targets = rows.offsets[row] as usize..rows.offsets[row + 1] as usize;
            let total: f64 = targets.clone().map(|target| weights.values[target]).sum();
            for c in 0..logits.at.cols {
                *logits.cell(r, c) = total * (*logits.cell(r, c) - log_sum_exp.values[row]).exp();
            }
            for target in targets {
                *logits.cell(r, rows.tokens[target] as usize) -= weights.values[target];
            }
        }
    }

    fn adamw(
        &self,
        step: &AdamWStep,
        value: &mut ReferenceBuffer,
        grad: &ReferenceBuffer,
        moment1: &mut ReferenceBuffer,
        moment2: &mut ReferenceBuffer,
    ) {
        let [rate, beta1, beta2, epsilon, decay, factor] =
            [step.learning_rate, step.beta1, step.beta2, step.epsilon, step.weight_decay, step.grad_scale]
                .map(f64::from);
        for i in 0..value.values.len() {
            let grad = grad.values[i] * factor;
            let (m, v) = (&mut moment1.values[i], &mut moment2.values[i]);
            *m = beta1 * *m + (1.0 - beta1) * grad;
            *v = beta2 * *v + (1.0 - beta2) * grad * grad;
            let m = *m / (1.0 - beta1.powf(step.step as f64));
            let v = *v / (1.0 - beta2.powf(step.step as f64));
            value.values[i] -= rate * (decay * value.values[i] + m / (v.sqrt() + epsilon));
        }
    }

    fn upload_moment8(&self, moment: Moment8) -> Moment8 {
        moment
    }

    fn read_moment8(&self, moment: &Moment8) -> Moment8 {
        moment.clone()
    }

    fn adamw_8bit(
        &self,
        step: &AdamWStep,
        value: &mut ReferenceBuffer,
        grad: &ReferenceBuffer,
        moment1: &mut Moment8,
        moment2: &mut Moment8,
    ) {
        let (mut first, mut second) = (self.upload(&moment1.values()), self.upload(&moment2.values()));
        self.adamw(step, value, grad, &mut first, &mut second);
        pack(moment1, &first.values);
        pack(moment2, &second.values);
    }
}

/// Each element's nearest code, found by looking at all of them.
fn pack(moment: &mut Moment8, numbers: &[f64]) {
    let map = moment.map();
    let values = map.book().values;
    let (codes, scales) = moment.parts_mut();
    let blocks = codes.chunks_mut(MOMENT_BLOCK).zip(scales).zip(numbers.chunks(MOMENT_BLOCK));
    for ((codes, scale), numbers) in blocks {
        let largest = numbers.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
        *scale = largest as f32;
        for (code, &number) in codes.iter_mut().zip(numbers) {
            let x = if largest == 0.0 { 0.0 } else { number / largest };
            let distance = |code: u8| (f64::from(values[usize::from(code)]) - x).abs();
            // What is divided by does not become 0.
            let least = u8::from(map == DynamicMap::Unsigned && x > 0.0);
            *code = (least..=255).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(least);
        }
    }
}
