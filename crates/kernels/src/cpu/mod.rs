//! The fast device: f32, all cores, vector instructions chosen when the program runs; on request, products in bf16.
//!
//! In and out: slices in memory. Each result is the same for any number of threads: work is cut by shape, never by
//! the number of workers, and sums that cross a cut are added in its order. Not known: the order of operations.

mod attention;
mod attention_backward;
mod buffer;
mod columns;
mod head;
mod matmul;
mod norm;
mod optimizer;
mod packed;
mod panels;
mod pointwise;
mod rope;
mod rows;
mod simd;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod unpack_avx512;

use std::sync::Arc;

use rayon::ThreadPool;

pub use attention::CpuSpans;
use buffer::Values;
use panels::Engine;
pub use panels::{Precision, UnsupportedPrecision};

use crate::blocks::PackedMatrix;
use crate::device::{
    AdamWStep, AttentionShape, Device, Direction, HeadRows, Matrix, RopeShape, Transpose, View, ViewMut,
};
use crate::moment::Moment8;
use crate::tree::QuerySpan;

/// The CPU.
#[derive(Debug, Clone, Default)]
pub struct CpuDevice {
    pool: Option<Arc<ThreadPool>>,
    precision: Precision,
}

impl CpuDevice {
    /// All cores (or as many as `RAYON_NUM_THREADS` says).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A device with its own `threads` threads.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn with_threads(threads: usize) -> std::io::Result<Self> {
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(std::io::Error::other)?;
        Ok(Self { pool: Some(Arc::new(pool)), precision: Precision::F32 })
    }

    /// The same device, its matrix products computed in `precision`.
    ///
    /// In [`Precision::Bf16`], [`Device::matmul`] and the products inside attention round their factors to bf16 and sum
    /// in f32; storage, results and all other operations stay f32, and so do products with fewer than 32 rows, columns
    /// or depth, most of whose panels would be zeros. Numbers below f32's normal range count as zero.
    ///
    /// # Errors
    /// If this machine has no instructions for it: nothing is emulated.
    pub fn with_precision(self, precision: Precision) -> Result<Self, UnsupportedPrecision> {
        if !precision.is_available() {
            return Err(UnsupportedPrecision);
        }
        Ok(Self { precision, ..self })
    }

    /// What matrix products are computed in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Numbers in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuBuffer {
    values: Values,
}

impl CpuBuffer {
    /// The numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }
}

type Read<'a> = View<'a, CpuBuffer>;
type Write<'a> = ViewMut<'a, CpuBuffer>;

impl Device for CpuDevice {
    type Buffer = CpuBuffer;
    type Ids = Vec<u32>;
    type Spans = CpuSpans;
    type Packed = PackedMatrix;
    type Moment8 = Moment8;

    fn zeros(&self, len: usize) -> CpuBuffer {
        CpuBuffer { values: Values::zeros(len) }
    }

    fn upload(&self, values: &[f32]) -> CpuBuffer {
        CpuBuffer { values: values.into() }
    }

    fn upload_ids(&self, ids: &[u32]) -> Vec<u32> {
        ids.to_vec()
    }

    fn upload_spans(&self, spans: &[QuerySpan]) -> CpuSpans {
        CpuSpans::new(spans)
    }

    fn upload_packed(&self, matrix: PackedMatrix) -> PackedMatrix {
        matrix
    }

    fn read_packed(&self, packed: &PackedMatrix, first_row: usize, out: &mut [f32]) {
        self.run(|| packed::read(packed, first_row, out));
    }

    fn len(&self, buffer: &CpuBuffer) -> usize {
        buffer.values.len()
    }

    fn read(&self, buffer: &CpuBuffer, offset: usize, out: &mut [f32]) {
        out.copy_from_slice(&buffer.values[offset..offset + out.len()]);
    }

    fn write(&self, buffer: &mut CpuBuffer, offset: usize, values: &[f32]) {
        buffer.values[offset..offset + values.len()].copy_from_slice(values);
    }

    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => rayon::scope(|_| work()),
        }
    }

    fn fill(&self, buffer: &mut CpuBuffer, offset: usize, len: usize, value: f32) {
        self.run(|| pointwise::fill(&mut buffer.values[offset..offset + len], value));
    }

    fn copy(&self, from: Read<'_>, to: Write<'_>) {
        self.run(|| pointwise::copy(from, to));
    }

    fn add(&self, factor: f32, from: Read<'_>, to: Write<'_>) {
        self.run(|| pointwise::add(factor, from, to));
    }

    fn scale(&self, buffer: &mut CpuBuffer, factor: f32) {
        self.run(|| pointwise::scale(&mut buffer.values, factor));
    }

    fn sum_of_squares(&self, buffer: &CpuBuffer) -> f64 {
        self.run(|| optimizer::sum_of_squares(&buffer.values))
    }

    fn matmul(
        &self,
        alpha: f32,
        a: Read<'_>,
        transpose_a: Transpose,
        b: Read<'_>,
        transpose_b: Transpose,
        beta: f32,
        c: Write<'_>,
    ) {
        self.run(|| {
            matmul::matmul(Engine::of(self.precision), alpha, a, transpose_a, b, transpose_b, beta, c)
        });
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
        let engine = Engine::of(self.precision);
        self.run(|| packed::matmul(engine, alpha, a, packed, transpose, beta, c));
    }

    fn gather_packed_rows(&self, table: &PackedMatrix, ids: &Vec<u32>, out: Write<'_>) {
        self.run(|| packed::gather(table, ids, out));
    }

    fn gather_rows(&self, table: Read<'_>, ids: &Vec<u32>, out: Write<'_>) {
        self.run(|| rows::gather(table, ids, out));
    }

    fn scatter_add_rows(&self, rows: Read<'_>, ids: &Vec<u32>, table: Write<'_>) {
        self.run(|| rows::scatter_add(rows, ids, table));
    }

    fn scatter_rows(&self, rows: Read<'_>, ids: &Vec<u32>, table: Write<'_>) {
        rows::scatter(rows, ids, table);
    }

    fn rms_norm(
        &self,
        epsilon: f32,
        x: Read<'_>,
        weight: &CpuBuffer,
        y: Write<'_>,
        inverse_rms: &mut CpuBuffer,
    ) {
        self.run(|| norm::forward(epsilon, x, &weight.values, y, &mut inverse_rms.values));
    }

    fn rms_norm_backward(
        &self,
        x: Read<'_>,
        weight: &CpuBuffer,
        inverse_rms: &CpuBuffer,
        d_y: Read<'_>,
        d_x: Write<'_>,
        d_weight: Option<&mut CpuBuffer>,
    ) {
        let d_weight = d_weight.map(|buffer| &mut *buffer.values);
        self.run(|| norm::backward(x, &weight.values, &inverse_rms.values, d_y, d_x, d_weight));
    }

    fn add_bias(&self, bias: &CpuBuffer, y: Write<'_>) {
        self.run(|| pointwise::add_bias(&bias.values, y));
    }

    fn add_bias_backward(&self, d_y: Read<'_>, d_bias: &mut CpuBuffer) {
        self.run(|| pointwise::add_bias_backward(d_y, &mut d_bias.values));
    }

    fn row_norms(&self, x: Read<'_>, norms: &mut CpuBuffer) {
        self.run(|| columns::row_norms(x, &mut norms.values));
    }

    fn scale_rows(&self, numerators: &CpuBuffer, denominators: &CpuBuffer, x: Write<'_>) {
        self.run(|| columns::scale_rows(&numerators.values, &denominators.values, x));
    }

    fn scale_columns(
        &self,
        numerators: &CpuBuffer,
        denominators: &CpuBuffer,
        x: Read<'_>,
        beta: f32,
        y: Write<'_>,
    ) {
        self.run(|| columns::scale(&numerators.values, &denominators.values, x, beta, y));
    }

    fn scale_columns_backward(
        &self,
        denominators: &CpuBuffer,
        x: Read<'_>,
        d_y: Read<'_>,
        d_numerators: &mut CpuBuffer,
    ) {
        self.run(|| columns::scale_backward(&denominators.values, x, d_y, &mut d_numerators.values));
    }

    fn rope(
        &self,
        shape: RopeShape,
        direction: Direction,
        positions: &Vec<u32>,
        cos: &CpuBuffer,
        sin: &CpuBuffer,
        x: Write<'_>,
    ) {
        self.run(|| rope::rope(shape, direction, positions, &cos.values, &sin.values, x));
    }

    fn attention(
        &self,
        shape: AttentionShape,
        spans: &CpuSpans,
        q: Read<'_>,
        k: Read<'_>,
        v: Read<'_>,
        out: Write<'_>,
        log_sum_exp: &mut CpuBuffer,
    ) {
        self.run(|| {
            attention::forward(
                Engine::of(self.precision),
                shape,
                spans,
                q,
                k,
                v,
                out,
                &mut log_sum_exp.values,
            )
        });
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        spans: &CpuSpans,
        q: Read<'_>,
        k: Read<'_>,
        v: Read<'_>,
        out: Read<'_>,
        log_sum_exp: &CpuBuffer,
        d_out: Read<'_>,
        d_qkv: &mut CpuBuffer,
        d_q: Matrix,
        d_k: Matrix,
        d_v: Matrix,
    ) {
        let engine = Engine::of(self.precision);
        let inputs = attention_backward::Inputs { q, k, v, out, log_sum_exp: &log_sum_exp.values, d_out };
        self.run(|| {
            attention_backward::backward(engine, shape, spans, &inputs, &mut d_qkv.values, [d_q, d_k, d_v])
        });
    }

    fn swiglu(&self, gate: Read<'_>, up: Read<'_>, out: Write<'_>) {
        self.run(|| pointwise::swiglu(gate, up, out));
    }

    fn swiglu_backward(&self, d_out: Read<'_>, gate_up: &mut CpuBuffer, gate: Matrix, up: Matrix) {
        self.run(|| pointwise::swiglu_backward(d_out, &mut gate_up.values, gate, up));
    }

    fn tanh(&self, x: &mut CpuBuffer) {
        self.run(|| pointwise::tanh(&mut x.values));
    }

    fn tanh_backward(&self, y: &CpuBuffer, d_y: &mut CpuBuffer) {
        self.run(|| pointwise::tanh_backward(&y.values, &mut d_y.values));
    }

    fn dropout(&self, rate: f32, seed: u64, x: Read<'_>, beta: f32, out: Write<'_>) {
        self.run(|| pointwise::dropout(rate, seed, x, beta, out));
    }

    fn log_probabilities(
        &self,
        rows: HeadRows<'_, Vec<u32>>,
        logits: Read<'_>,
        logprobs: &mut CpuBuffer,
        log_sum_exp: &mut CpuBuffer,
    ) {
        self.run(|| head::forward(&rows, logits, &mut logprobs.values, &mut log_sum_exp.values));
    }

    fn log_probabilities_backward(
        &self,
        rows: HeadRows<'_, Vec<u32>>,
        weights: &CpuBuffer,
        log_sum_exp: &CpuBuffer,
        logits: Write<'_>,
    ) {
        self.run(|| head::backward(&rows, &weights.values, &log_sum_exp.values, logits));
    }

    fn adamw(
        &self,
        step: &AdamWStep,
        value: &mut CpuBuffer,
        grad: &CpuBuffer,
        moment1: &mut CpuBuffer,
        moment2: &mut CpuBuffer,
    ) {
        self.run(|| {
            optimizer::adamw(step, &mut value.values, &grad.values, &mut moment1.values, &mut moment2.values);
        });
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
        value: &mut CpuBuffer,
        grad: &CpuBuffer,
        moment1: &mut Moment8,
        moment2: &mut Moment8,
    ) {
        self.run(|| optimizer::adamw_8bit(step, &mut value.values, &grad.values, moment1, moment2));
    }
}
