//! The head: log-probabilities at the supervised rows only, in chunks; the full logits never exist.
//!
//! In: the residual stream after the last block. Out: log-probabilities in the order of the targets; backward, the
//! gradient of the residual stream. Not known: what the weights of the targets mean.

use toolsmith_kernels::{Device, HeadRows, Matrix, Transpose, View, ViewMut};

use crate::batch::Target;
use crate::linear::Pass;
use crate::parameter::Tensor;
use crate::weight::Weight;
use crate::workspace::HeadBuffers;
use crate::{DecoderConfig, ModelError, TokenWeights};

/// Targets of a batch, sorted by row.
pub(crate) struct HeadTargets<D: Device> {
    /// The supervised rows, each once.
    rows: D::Ids,
    /// `offsets[r]..offsets[r + 1]` are the targets of supervised row `r`.
    offsets: D::Ids,
    tokens: D::Ids,
    /// Position in the batch's list of each sorted target.
    order: Vec<usize>,
    count: usize,
}

impl<D: Device> HeadTargets<D> {
    pub(crate) fn new(device: &D, targets: &[Target]) -> Self {
        let mut order: Vec<usize> = (0..targets.len()).collect();
        order.sort_by_key(|&index| targets[index].row);
        let (mut rows, mut offsets): (Vec<u32>, Vec<u32>) = (Vec::new(), vec![0]);
        for (sorted, &index) in order.iter().enumerate() {
            if rows.last() != Some(&targets[index].row) {
                if !rows.is_empty() {
                    offsets.push(sorted as u32);
                }
                rows.push(targets[index].row);
            }
        }
        if !rows.is_empty() {
            offsets.push(targets.len() as u32);
        }
        let tokens: Vec<u32> = order.iter().map(|&index| targets[index].token).collect();
        Self {
            count: rows.len(),
            rows: device.upload_ids(&rows),
            offsets: device.upload_ids(&offsets),
            tokens: device.upload_ids(&tokens),
            order,
        }
    }

    /// Number of supervised rows.
    pub(crate) fn rows(&self) -> usize {
        self.count
    }

    fn chunk(&self, first_row: usize) -> HeadRows<'_, D::Ids> {
        HeadRows { offsets: &self.offsets, tokens: &self.tokens, first_row }
    }
}

/// The head's weights, lent for a pass.
pub(crate) struct Head<'a, D: Device> {
    pub(crate) config: &'a DecoderConfig,
    pub(crate) norm: &'a mut Tensor<D>,
    /// The head's matrix, or the embedding's where they are tied: `[vocabulary, hidden]`.
    pub(crate) matrix: &'a mut Weight<D>,
}

impl<D: Device> Head<'_, D> {
    fn at(&self) -> Matrix {
        Matrix::dense(self.config.vocab_size, self.config.hidden_size)
    }

    /// Chooses and normalises the supervised rows of `hidden`.
    fn choose(
        &self,
        pass: &Pass<'_, D>,
        hidden: &D::Buffer,
        targets: &HeadTargets<D>,
        buffers: &mut HeadBuffers<D>,
    ) {
        let (device, size) = (pass.device, self.config.hidden_size);
        let rows = Matrix::dense(targets.count, size);
        let stream = View::new(hidden, Matrix::dense(pass.tokens, size));
        device.gather_rows(stream, &targets.rows, ViewMut::new(&mut buffers.chosen, rows));
        let (x, y) = (View::new(&buffers.chosen, rows), ViewMut::new(&mut buffers.normed, rows));
        device.rms_norm(self.config.rms_norm_eps, x, &self.norm.value, y, &mut buffers.inverse_rms);
    }

    fn logits(&self, device: &D, first_row: usize, rows: usize, buffers: &mut HeadBuffers<D>) -> Matrix {
        let at = Matrix::dense(rows, self.config.vocab_size);
        let x = Matrix::dense(first_row + rows, self.config.hidden_size).rows(first_row, rows);
        let (x, logits) = (View::new(&buffers.normed, x), ViewMut::new(&mut buffers.logits, at));
        self.matrix.matmul(device, x, Transpose::Yes, 0.0, logits);
        at
    }

    /// Replaces the chunk's logits by their gradient and hands it on to the rows and (where trained) the matrix.
    fn chunk_backward(
        &mut self,
        device: &D,
        chunk: HeadRows<'_, D::Ids>,
        logits: Matrix,
        weights: &D::Buffer,
        buffers: &mut HeadBuffers<D>,
    ) {
        let at = self.at();
        let rows = Matrix::dense(chunk.first_row + logits.rows, self.config.hidden_size);
        let rows = rows.rows(chunk.first_row, logits.rows);
        let d_logits = ViewMut::new(&mut buffers.logits, logits);
        device.log_probabilities_backward(chunk, weights, &buffers.log_sum_exp, d_logits);
        let d_logits = View::new(&buffers.logits, logits);
        let d_rows = ViewMut::new(&mut buffers.d_normed, rows);
        self.matrix.matmul(device, d_logits, Transpose::No, 0.0, d_rows);
        if let Some(grad) = self.matrix.grad_mut() {
            let x = View::new(&buffers.normed, rows);
            device.matmul(1.0, d_logits, Transpose::Yes, x, Transpose::No, 1.0, ViewMut::new(grad, at));
        }
    }

    /// Log-probabilities of all targets, on the device and sorted by row.
    pub(crate) fn forward(
        &self,
        pass: &Pass<'_, D>,
        hidden: &D::Buffer,
        targets: &HeadTargets<D>,
        buffers: &mut HeadBuffers<D>,
    ) -> D::Buffer {
        self.choose(pass, hidden, targets, buffers);
        let mut logprobs = pass.device.zeros(targets.order.len());
        for (first_row, rows) in chunks(targets.count, buffers.chunk) {
            let logits = self.logits(pass.device, first_row, rows, buffers);
            let logits = View::new(&buffers.logits, logits);
            pass.device.log_probabilities(
                targets.chunk(first_row),
                logits,
                &mut logprobs,
                &mut buffers.log_sum_exp,
            );
        }
        logprobs
    }

    /// Log-probabilities of all targets and, in `d_hidden`, the gradient of their weighted sum.
    pub(crate) fn forward_backward(
        &mut self,
        pass: &Pass<'_, D>,
        hidden: &D::Buffer,
        targets: &HeadTargets<D>,
        weights: &TokenWeights<'_>,
        buffers: &mut HeadBuffers<D>,
        d_hidden: &mut D::Buffer,
    ) -> Result<Vec<f32>, ModelError> {
        let device = pass.device;
        let (logprobs, computed) = match weights {
            TokenWeights::Fixed(weights) => {
                let weights = sorted_weights(device, targets, weights)?;
                self.choose(pass, hidden, targets, buffers);
                let mut logprobs = device.zeros(targets.order.len());
                for (first_row, rows) in chunks(targets.count, buffers.chunk) {
                    let at = self.logits(device, first_row, rows, buffers);
                    let logits = View::new(&buffers.logits, at);
                    let chunk = || targets.chunk(first_row);
                    device.log_probabilities(chunk(), logits, &mut logprobs, &mut buffers.log_sum_exp);
                    self.chunk_backward(device, chunk(), at, &weights, buffers);
                }
                (targets.in_order(device, &logprobs), None)
            }
            TokenWeights::FromLogprobs(objective) => {
                let logprobs = targets.in_order(device, &self.forward(pass, hidden, targets, buffers));
                let weights = objective(&logprobs);
                (logprobs, Some(sorted_weights(device, targets, &weights)?))
            }
        };
        if let Some(weights) = computed {
            let several = targets.count > buffers.chunk;
            for (first_row, rows) in chunks(targets.count, buffers.chunk) {
                // A single chunk's logits are still there from the forward pass.
                let at = if several {
                    self.logits(device, first_row, rows, buffers)
                } else {
                    Matrix::dense(rows, self.config.vocab_size)
                };
                self.chunk_backward(device, targets.chunk(first_row), at, &weights, buffers);
            }
        }
        self.stream_gradient(pass, targets, buffers, d_hidden);
        Ok(logprobs)
    }

    /// Turns the gradient of the normalised rows into that of the residual stream.
    fn stream_gradient(
        &mut self,
        pass: &Pass<'_, D>,
        targets: &HeadTargets<D>,
        buffers: &mut HeadBuffers<D>,
        d_hidden: &mut D::Buffer,
    ) {
        let (device, size) = (pass.device, self.config.hidden_size);
        let rows = Matrix::dense(targets.count, size);
        device.fill(&mut buffers.d_chosen, 0, targets.count * size, 0.0);
        device.rms_norm_backward(
            View::new(&buffers.chosen, rows),
            &self.norm.value,
            &buffers.inverse_rms,
            View::new(&buffers.d_normed, rows),
            ViewMut::new(&mut buffers.d_chosen, rows),
            self.norm.grad.as_mut(),
        );
        device.fill(d_hidden, 0, pass.tokens * size, 0.0);
        let stream = ViewMut::new(d_hidden, Matrix::dense(pass.tokens, size));
        device.scatter_rows(View::new(&buffers.d_chosen, rows), &targets.rows, stream);
    }
}

impl<D: Device> HeadTargets<D> {
    /// Brings sorted log-probabilities to the host, in the order of the batch.
    pub(crate) fn in_order(&self, device: &D, sorted: &D::Buffer) -> Vec<f32> {
        let mut values = vec![0.0; self.order.len()];
        device.read(sorted, 0, &mut values);
        let mut logprobs = vec![0.0; values.len()];
        for (value, &index) in values.into_iter().zip(&self.order) {
            logprobs[index] = value;
        }
        logprobs
    }
}

fn sorted_weights<D: Device>(
    device: &D,
    targets: &HeadTargets<D>,
    weights: &[f32],
) -> Result<D::Buffer, ModelError> {
    if weights.len() != targets.order.len() {
        let (found, expected) = (weights.len(), targets.order.len());
        return Err(ModelError::Batch(format!(
            "{found} token weights for {expected} targets; give one for each"
        )));
    }
    let sorted: Vec<f32> = targets.order.iter().map(|&index| weights[index]).collect();
    Ok(device.upload(&sorted))
}

fn chunks(rows: usize, chunk: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(chunk.max(1)).map(move |first| (first, chunk.min(rows - first)))
}
