//! The seam between a decoder and the hardware that runs it.
//!
//! A [`Device`] owns buffers that its caller cannot look into, and offers a small set of operations on them. Shapes
//! are passed with every call as a [`Matrix`]: a rectangle inside a buffer. Nothing is copied to the host unless
//! [`Device::read`] says so, and no operation keeps a pointer after it returns, so that a device with its own memory
//! can take this seat.
//!
//! Shapes that do not fit are a mistake of the caller's program, never of its user, and end in a panic that names them.

use crate::blocks::PackedMatrix;
use crate::moment::Moment8;
use crate::tree::QuerySpan;

/// A row-major rectangle inside a buffer: element `(r, c)` lies at `offset + r * stride + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Position of element `(0, 0)`, in elements.
    pub offset: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Distance between the starts of two rows, in elements.
    pub stride: usize,
}

impl Matrix {
    /// A matrix that fills its buffer from the start, row after row.
    #[must_use]
    pub const fn dense(rows: usize, cols: usize) -> Self {
        Self { offset: 0, rows, cols, stride: cols }
    }

    /// The columns `start..start + cols` of this matrix.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub const fn columns(self, start: usize, cols: usize) -> Self {
        assert!(start + cols <= self.cols, "columns outside the matrix");
        Self { offset: self.offset + start, cols, ..self }
    }

    /// The rows `start..start + rows` of this matrix.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[must_use]
    pub const fn rows(self, start: usize, rows: usize) -> Self {
        assert!(start + rows <= self.rows, "rows outside the matrix");
        Self { offset: self.offset + start * self.stride, rows, ..self }
    }

    /// One past the last element that the matrix touches.
    #[must_use]
    pub const fn end(self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            self.offset
        } else {
            self.offset + (self.rows - 1) * self.stride + self.cols
        }
    }
}

/// A matrix that is read.
#[derive(Debug)]
pub struct View<'a, B> {
    /// Where it lies.
    pub buffer: &'a B,
    /// Which part.
    pub at: Matrix,
}

impl<B> Clone for View<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for View<'_, B> {}

impl<'a, B> View<'a, B> {
    /// The part `at` of `buffer`, to read.
    pub fn new(buffer: &'a B, at: Matrix) -> Self {
        Self { buffer, at }
    }
}

/// A matrix that is written.
#[derive(Debug)]
pub struct ViewMut<'a, B> {
    /// Where it lies.
    pub buffer: &'a mut B,
    /// Which part.
    pub at: Matrix,
}

impl<'a, B> ViewMut<'a, B> {
    /// The part `at` of `buffer`, to write.
    pub fn new(buffer: &'a mut B, at: Matrix) -> Self {
        Self { buffer, at }
    }
}

/// Whether a factor of a product is used as it lies or transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transpose {
    /// As it lies.
    No,
    /// Rows and columns exchanged.
    Yes,
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Element `i` with `i + rotary_dim / 2` (Llama, Qwen).
    Half,
    /// Element `2i` with `2i + 1` (GLM).
    Interleaved,
}

/// Which way to rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// By the position's angle.
    Forward,
    /// Back by the same angle: the gradient of [`Direction::Forward`].
    Backward,
}

/// The heads that a rotary embedding turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RopeShape {
    /// Heads that lie side by side in a row.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Leading elements of a head that turn; the rest stay.
    pub rotary_dim: usize,
    /// Which elements pair up.
    pub style: RopeStyle,
}

/// Sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// What scores are multiplied by before the softmax, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

/// One update of AdamW (Loshchilov and Hutter, 2019), as PyTorch's `torch.optim.AdamW` does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay (0 for none).
    pub weight_decay: f32,
    /// Number of this step, from 1: corrects the moments' bias.
    pub step: u64,
    /// What the gradient is multiplied by first (clipping, averaging); 1 leaves it.
    pub grad_scale: f32,
}

impl AdamWStep {
    /// The learning rate with the first moment's bias taken out, and what the second moment's root is multiplied by.
    pub(crate) fn corrections(&self) -> (f32, f32) {
        let correct = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        let step_size = f64::from(self.learning_rate) / correct(self.beta1);
        (step_size as f32, (1.0 / correct(self.beta2).sqrt()) as f32)
    }
}

/// The supervised rows of one chunk of logits, and which of their tokens are asked for.
#[derive(Debug)]
pub struct HeadRows<'a, I> {
    /// `offsets[r]..offsets[r + 1]` are the targets of row `r`, for all rows of the step.
    pub offsets: &'a I,
    /// The token of each target.
    pub tokens: &'a I,
    /// The row of the step that row 0 of this chunk is.
    pub first_row: usize,
}

/// Hardware that runs a decoder.
///
/// # Shapes
/// Matrices are row-major, one token a row. Operations named `…_backward` receive the gradient of their output and
/// *add* to the gradients of parameters; what they do to the gradient of the input is said at each.
pub trait Device: Clone + Send + Sync + 'static {
    /// Numbers in the device's memory.
    type Buffer: Send + Sync;
    /// Token ids, positions or row numbers in the device's memory.
    type Ids: Send + Sync;
    /// An attention pattern, prepared for the device.
    type Spans: Send + Sync;
    /// Weights that stay packed in the device's memory.
    type Packed: Send + Sync;
    /// A moment in 8 bits in the device's memory.
    type Moment8: Send + Sync;

    /// A buffer of zeros.
    fn zeros(&self, len: usize) -> Self::Buffer;
    /// A buffer holding `values`.
    fn upload(&self, values: &[f32]) -> Self::Buffer;
    /// Ids on the device.
    fn upload_ids(&self, ids: &[u32]) -> Self::Ids;
    /// An attention pattern on the device.
    fn upload_spans(&self, spans: &[QuerySpan]) -> Self::Spans;
    /// Packed weights on the device.
    fn upload_packed(&self, matrix: PackedMatrix) -> Self::Packed;
    /// Unpacks whole rows from `first_row` on to the host.
    fn read_packed(&self, packed: &Self::Packed, first_row: usize, out: &mut [f32]);
    /// Number of elements of a buffer.
    fn len(&self, buffer: &Self::Buffer) -> usize;
    /// Copies elements from `offset` on to the host.
    fn read(&self, buffer: &Self::Buffer, offset: usize, out: &mut [f32]);
    /// Copies elements from the host to `offset` on.
    fn write(&self, buffer: &mut Self::Buffer, offset: usize, values: &[f32]);
    /// Runs `work` where this device's operations start fastest (for a CPU: on one of its own threads).
    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;

    /// Sets `len` elements from `offset` on.
    fn fill(&self, buffer: &mut Self::Buffer, offset: usize, len: usize, value: f32);
    /// `to = from`.
    fn copy(&self, from: View<'_, Self::Buffer>, to: ViewMut<'_, Self::Buffer>);
    /// `to += factor * from`.
    fn add(&self, factor: f32, from: View<'_, Self::Buffer>, to: ViewMut<'_, Self::Buffer>);
    /// Multiplies every element of the buffer.
    fn scale(&self, buffer: &mut Self::Buffer, factor: f32);
    /// Sum of the squares of all elements, in an order that does not depend on the number of threads.
    fn sum_of_squares(&self, buffer: &Self::Buffer) -> f64;

    /// `c = beta * c + alpha * op(a) · op(b)`; with `beta` 0, what `c` held is not read.
    #[expect(clippy::too_many_arguments, reason = "the BLAS signature, which every reader knows")]
    fn matmul(
        &self,
        alpha: f32,
        a: View<'_, Self::Buffer>,
        transpose_a: Transpose,
        b: View<'_, Self::Buffer>,
        transpose_b: Transpose,
        beta: f32,
        c: ViewMut<'_, Self::Buffer>,
    );

    /// [`Device::matmul`] with packed weights `[rows, cols]` as the second factor. They are unpacked piece by piece and
    /// never lie unpacked as a whole.
    fn matmul_packed(
        &self,
        alpha: f32,
        a: View<'_, Self::Buffer>,
        packed: &Self::Packed,
        transpose: Transpose,
        beta: f32,
        c: ViewMut<'_, Self::Buffer>,
    );
    /// [`Device::gather_rows`] from a packed table.
    fn gather_packed_rows(&self, table: &Self::Packed, ids: &Self::Ids, out: ViewMut<'_, Self::Buffer>);

    /// `out[i] = table[ids[i]]`: an embedding, or a choice of rows.
    fn gather_rows(&self, table: View<'_, Self::Buffer>, ids: &Self::Ids, out: ViewMut<'_, Self::Buffer>);
    /// `table[ids[i]] += rows[i]`: the gradient of [`Device::gather_rows`].
    fn scatter_add_rows(
        &self,
        rows: View<'_, Self::Buffer>,
        ids: &Self::Ids,
        table: ViewMut<'_, Self::Buffer>,
    );
    /// `table[ids[i]] = rows[i]`; the ids are distinct.
    fn scatter_rows(&self, rows: View<'_, Self::Buffer>, ids: &Self::Ids, table: ViewMut<'_, Self::Buffer>);

    /// `y = x / rms(x) * weight` (Zhang and Sennrich, 2019). A row is normalised in groups as wide as `weight`: one group
    /// for a layer's norm, a group a head for the norm of queries and keys (Dehghani et al., 2023).
    ///
    /// # Shapes
    /// `x`, `y`: `[tokens, groups * width]`; `weight`: `[width]`; `inverse_rms`, kept for the backward pass: `[tokens, groups]`.
    fn rms_norm(
        &self,
        epsilon: f32,
        x: View<'_, Self::Buffer>,
        weight: &Self::Buffer,
        y: ViewMut<'_, Self::Buffer>,
        inverse_rms: &mut Self::Buffer,
    );
    /// Adds the gradient to `d_x` (which may hold the residual's), and to `d_weight` where that is trained.
    fn rms_norm_backward(
        &self,
        x: View<'_, Self::Buffer>,
        weight: &Self::Buffer,
        inverse_rms: &Self::Buffer,
        d_y: View<'_, Self::Buffer>,
        d_x: ViewMut<'_, Self::Buffer>,
        d_weight: Option<&mut Self::Buffer>,
    );

    /// `y[r] += bias` for every row.
    fn add_bias(&self, bias: &Self::Buffer, y: ViewMut<'_, Self::Buffer>);
    /// `d_bias += ` the sum of the rows of `d_y`.
    fn add_bias_backward(&self, d_y: View<'_, Self::Buffer>, d_bias: &mut Self::Buffer);

    /// `norms[r]` = the 2-norm of row `r`.
    fn row_norms(&self, x: View<'_, Self::Buffer>, norms: &mut Self::Buffer);
    /// `x[r] *= numerators[r] / denominators[r]` for every row.
    fn scale_rows(
        &self,
        numerators: &Self::Buffer,
        denominators: &Self::Buffer,
        x: ViewMut<'_, Self::Buffer>,
    );
    /// `y[:, c] = beta * y[:, c] + x[:, c] * numerators[c] / denominators[c]`.
    fn scale_columns(
        &self,
        numerators: &Self::Buffer,
        denominators: &Self::Buffer,
        x: View<'_, Self::Buffer>,
        beta: f32,
        y: ViewMut<'_, Self::Buffer>,
    );
    /// `d_numerators[c] += sum(x[:, c] * d_y[:, c]) / denominators[c]`: the gradient of [`Device::scale_columns`], whose
    /// denominators count as constant.
    fn scale_columns_backward(
        &self,
        denominators: &Self::Buffer,
        x: View<'_, Self::Buffer>,
        d_y: View<'_, Self::Buffer>,
        d_numerators: &mut Self::Buffer,
    );

    /// Turns the heads of each row in place by the angles of its position (Su et al., 2021).
    ///
    /// # Shapes
    /// `x`: `[tokens, heads * head_dim]`; `cos`, `sin`: `[positions, rotary_dim / 2]`.
    fn rope(
        &self,
        shape: RopeShape,
        direction: Direction,
        positions: &Self::Ids,
        cos: &Self::Buffer,
        sin: &Self::Buffer,
        x: ViewMut<'_, Self::Buffer>,
    );

    /// Softmax attention of the queries of each span over the keys of its ranges.
    ///
    /// # Shapes
    /// `q`, `out`: `[queries, heads * head_dim]`; `k`, `v`: `[keys, kv_heads * head_dim]`;
    /// `log_sum_exp`: `[queries, heads]`, kept for the backward pass.
    #[expect(clippy::too_many_arguments, reason = "three inputs, two outputs and their shape")]
    fn attention(
        &self,
        shape: AttentionShape,
        spans: &Self::Spans,
        q: View<'_, Self::Buffer>,
        k: View<'_, Self::Buffer>,
        v: View<'_, Self::Buffer>,
        out: ViewMut<'_, Self::Buffer>,
        log_sum_exp: &mut Self::Buffer,
    );
    /// Writes (does not add) the gradients of queries, keys and values into three matrices of one buffer `d_qkv`.
    /// Queries and keys are those of one run of tokens: query `i` and key `i` belong to the same token. Keys beyond the
    /// queries belong to no token: a trained prefix.
    #[expect(clippy::too_many_arguments, reason = "the forward pass's arguments and their gradients")]
    fn attention_backward(
        &self,
        shape: AttentionShape,
        spans: &Self::Spans,
        q: View<'_, Self::Buffer>,
        k: View<'_, Self::Buffer>,
        v: View<'_, Self::Buffer>,
        out: View<'_, Self::Buffer>,
        log_sum_exp: &Self::Buffer,
        d_out: View<'_, Self::Buffer>,
        d_qkv: &mut Self::Buffer,
        d_q: Matrix,
        d_k: Matrix,
        d_v: Matrix,
    );

    /// `out = silu(gate) * up`.
    fn swiglu(
        &self,
        gate: View<'_, Self::Buffer>,
        up: View<'_, Self::Buffer>,
        out: ViewMut<'_, Self::Buffer>,
    );
    /// Replaces gate and up, which lie in one buffer, by their gradients.
    fn swiglu_backward(
        &self,
        d_out: View<'_, Self::Buffer>,
        gate_up: &mut Self::Buffer,
        gate: Matrix,
        up: Matrix,
    );

    /// Replaces every element by its hyperbolic tangent.
    fn tanh(&self, x: &mut Self::Buffer);
    /// Replaces the gradient of [`Device::tanh`]'s output `y` by that of its input.
    fn tanh_backward(&self, y: &Self::Buffer, d_y: &mut Self::Buffer);

    /// `out = beta * out + mask * x / (1 - rate)`, the mask drawn from `seed` and the element's place: the same call on
    /// a gradient is the backward pass.
    fn dropout(
        &self,
        rate: f32,
        seed: u64,
        x: View<'_, Self::Buffer>,
        beta: f32,
        out: ViewMut<'_, Self::Buffer>,
    );

    /// Log-probabilities of the targets of a chunk of rows, and each row's log-sum-exp.
    ///
    /// # Shapes
    /// `logits`: `[chunk, vocabulary]`; `logprobs`: `[all targets]`; `log_sum_exp`: `[all rows]`.
    fn log_probabilities(
        &self,
        rows: HeadRows<'_, Self::Ids>,
        logits: View<'_, Self::Buffer>,
        logprobs: &mut Self::Buffer,
        log_sum_exp: &mut Self::Buffer,
    );
    /// Replaces the logits by the gradient of `sum(weights[i] * -logprobs[i])` over the chunk's targets.
    fn log_probabilities_backward(
        &self,
        rows: HeadRows<'_, Self::Ids>,
        weights: &Self::Buffer,
        log_sum_exp: &Self::Buffer,
        logits: ViewMut<'_, Self::Buffer>,
    );

    /// One optimizer step over a whole parameter; `moment1` and `moment2` are as long as it.
    fn adamw(
        &self,
        step: &AdamWStep,
        value: &mut Self::Buffer,
        grad: &Self::Buffer,
        moment1: &mut Self::Buffer,
        moment2: &mut Self::Buffer,
    );

    /// A moment in 8 bits on the device.
    fn upload_moment8(&self, moment: Moment8) -> Self::Moment8;
    /// Copies a moment in 8 bits to the host.
    fn read_moment8(&self, moment: &Self::Moment8) -> Moment8;
    /// [`Device::adamw`] with moments in 8 bits: they are unpacked, updated, used, and packed again.
    fn adamw_8bit(
        &self,
        step: &AdamWStep,
        value: &mut Self::Buffer,
        grad: &Self::Buffer,
        moment1: &mut Self::Moment8,
        moment2: &mut Self::Moment8,
    );
}
