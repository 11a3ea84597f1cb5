//! A linear layer, its bias and its LoRA adapter: forward and backward.
//!
//! In: rows of inputs (or gradients). Out: rows of outputs (or gradients), added to what is there where asked. Not
//! known: which layer of the decoder this is.

use toolsmith_kernels::{Device, Matrix, Transpose, View, ViewMut};

use crate::parameter::{Parameter, Tensor};
use crate::weight::Weight;
use crate::workspace::AdapterShape;

/// Weights that are measured at a time: few enough for the cache.
const MEASURED: usize = 1 << 20;

/// `y = x · Wᵀ + b`, and with an adapter `+ scale * dropout(x) · Aᵀ · Bᵀ` (Hu et al., 2021), its columns perhaps scaled.
pub(crate) struct Linear<D: Device> {
    /// Name in the checkpoint, without `.weight`.
    pub(crate) name: String,
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    /// `[out, in]`.
    pub(crate) weight: Weight<D>,
    /// `[out]`.
    pub(crate) bias: Option<Tensor<D>>,
    pub(crate) adapter: Option<LoraWeights<D>>,
}

/// The two factors of an adapter.
pub(crate) struct LoraWeights<D: Device> {
    /// `[r, in]`.
    pub(crate) a: Tensor<D>,
    /// `[out, r]`.
    pub(crate) b: Tensor<D>,
    /// Trained lengths of each output's weights, where those are apart from their direction (DoRA).
    pub(crate) magnitude: Option<Magnitude<D>>,
    pub(crate) rank: usize,
    /// What the product of the factors is multiplied by.
    pub(crate) scale: f32,
    pub(crate) dropout: f32,
    /// Number of this adapter in its model: no two share a dropout mask.
    pub(crate) index: u64,
}

/// `y = (x · (W + scale * B · A)ᵀ) * magnitude / norm`, the norm of each row of that sum counting as constant
/// (Liu et al., 2024, §4.3).
pub(crate) struct Magnitude<D: Device> {
    /// `[out]`
    pub(crate) lengths: Tensor<D>,
    /// `[out]`, of the weights as they were at [`Linear::refresh`].
    pub(crate) norms: D::Buffer,
}

/// What an adapter keeps from its forward to its backward pass.
pub(crate) struct AdapterActivations<D: Device> {
    /// `dropout(x) · Aᵀ`: `[tokens, r]`
    pub(crate) low: D::Buffer,
    /// The output before its columns are scaled, for an adapter with magnitudes: `[tokens, out]`
    pub(crate) unscaled: D::Buffer,
}

/// What the layers of a pass share: the device, the number of tokens and the dropout of this pass.
pub(crate) struct Pass<'a, D: Device> {
    pub(crate) device: &'a D,
    pub(crate) tokens: usize,
    /// `None`: no dropout (evaluation).
    pub(crate) dropout_seed: Option<u64>,
}

impl<D: Device> Pass<'_, D> {
    fn mask(&self, lora: &LoraWeights<D>) -> Option<u64> {
        let seed = self.dropout_seed.filter(|_| lora.dropout > 0.0)?;
        Some(toolsmith_kernels::CounterRng::new(seed).bits(lora.index))
    }
}

/// Buffers that adapters work in.
pub(crate) struct LoraScratch<D: Device> {
    /// `[tokens, widest input]`
    pub(crate) wide: D::Buffer,
    /// `[tokens, rank]`
    pub(crate) narrow: D::Buffer,
    /// `[tokens, widest output]`, for adapters with magnitudes.
    pub(crate) scaled: D::Buffer,
}

impl<D: Device> Linear<D> {
    fn weight_at(&self) -> Matrix {
        Matrix::dense(self.out_features, self.in_features)
    }

    /// `y = beta * y + layer(x)`; `kept` receives what the backward pass reads.
    ///
    /// # Shapes
    /// `x`: `[tokens, in]`; `y`: `[tokens, out]`.
    pub(crate) fn forward(
        &self,
        pass: &Pass<'_, D>,
        x: View<'_, D::Buffer>,
        beta: f32,
        y: ViewMut<'_, D::Buffer>,
        kept: &mut AdapterActivations<D>,
        scratch: &mut LoraScratch<D>,
    ) {
        let (device, y_at) = (pass.device, y.at);
        let y = y.buffer;
        match self.adapter.as_ref().and_then(|lora| lora.magnitude.as_ref()) {
            None => self.directions(pass, x, beta, ViewMut::new(y, y_at), &mut kept.low, scratch),
            Some(Magnitude { lengths, norms }) => {
                let at = Matrix::dense(pass.tokens, self.out_features);
                let to = ViewMut::new(&mut kept.unscaled, at);
                self.directions(pass, x, 0.0, to, &mut kept.low, scratch);
                let unscaled = View::new(&kept.unscaled, at);
                device.scale_columns(&lengths.value, norms, unscaled, beta, ViewMut::new(y, y_at));
            }
        }
        if let Some(bias) = &self.bias {
            device.add_bias(&bias.value, ViewMut::new(y, y_at));
        }
    }

    /// `y = beta * y + x · Wᵀ + scale * dropout(x) · Aᵀ · Bᵀ`.
    fn directions(
        &self,
        pass: &Pass<'_, D>,
        x: View<'_, D::Buffer>,
        beta: f32,
        y: ViewMut<'_, D::Buffer>,
        low: &mut D::Buffer,
        scratch: &mut LoraScratch<D>,
    ) {
        let (device, y_at) = (pass.device, y.at);
        self.weight.matmul(device, x, Transpose::Yes, beta, ViewMut::new(y.buffer, y_at));
        let Some(lora) = &self.adapter else { return };
        let x = lora.dropped(pass, x, &mut scratch.wide);
        let low_at = Matrix::dense(pass.tokens, lora.rank);
        let (a, b) = lora.views();
        device.matmul(1.0, x, Transpose::No, a, Transpose::Yes, 0.0, ViewMut::new(low, low_at));
        let (low, y) = (View::new(low, low_at), ViewMut::new(y.buffer, y_at));
        device.matmul(lora.scale, low, Transpose::No, b, Transpose::Yes, 1.0, y);
    }

    /// What its adapter needs in a pass.
    pub(crate) fn adapter_shape(&self) -> AdapterShape {
        self.adapter.as_ref().map_or_else(AdapterShape::default, |lora| AdapterShape {
            rank: lora.rank,
            scaled: if lora.magnitude.is_some() { self.out_features } else { 0 },
        })
    }

    /// Measures again how long the rows of `W + scale * B · A` are, a piece of rows at a time: the sum never lies in
    /// memory as a whole.
    pub(crate) fn refresh(&mut self, device: &D) {
        let Some(lora) = &mut self.adapter else { return };
        let Some(Magnitude { norms, .. }) = &mut lora.magnitude else { return };
        let at = |tensor: &Tensor<D>| Matrix::dense(tensor.shape[0], tensor.shape[1]);
        let (a, b) = (View::new(&lora.a.value, at(&lora.a)), at(&lora.b));
        let most = (MEASURED / self.in_features).clamp(1, self.out_features);
        let (mut sum, mut measured) = (device.zeros(most * self.in_features), device.zeros(most));
        for first in (0..self.out_features).step_by(most) {
            let rows = most.min(self.out_features - first);
            let piece = Matrix::dense(rows, self.in_features);
            self.weight.copy_rows(device, first, ViewMut::new(&mut sum, piece));
            let (b, to) = (View::new(&lora.b.value, b.rows(first, rows)), ViewMut::new(&mut sum, piece));
            device.matmul(lora.scale, b, Transpose::No, a, Transpose::No, 1.0, to);
            device.row_norms(View::new(&sum, piece), &mut measured);
            let (from, to) = (Matrix::dense(1, rows), Matrix { offset: first, ..Matrix::dense(1, rows) });
            device.copy(View::new(&measured, from), ViewMut::new(norms, to));
        }
    }

    /// Whether the backward pass reads the layer's input.
    pub(crate) fn needs_input(&self) -> bool {
        self.weight.is_trained() || self.adapter.as_ref().is_some_and(|lora| lora.a.grad.is_some())
    }

    /// Adds to the gradients of trained weights; with `d_x`, `d_x = beta * d_x +` the gradient of the input.
    pub(crate) fn backward(
        &mut self,
        pass: &Pass<'_, D>,
        x: View<'_, D::Buffer>,
        d_y: View<'_, D::Buffer>,
        d_x: Option<(f32, ViewMut<'_, D::Buffer>)>,
        kept: &AdapterActivations<D>,
        scratch: &mut LoraScratch<D>,
    ) {
        let (device, weight_at) = (pass.device, self.weight_at());
        if let Some(grad) = self.bias.as_mut().and_then(|bias| bias.grad.as_mut()) {
            device.add_bias_backward(d_y, grad);
        }
        let LoraScratch { wide, narrow, scaled } = scratch;
        let mut d_y = d_y;
        if let Some(Magnitude { lengths, norms }) =
            self.adapter.as_mut().and_then(|lora| lora.magnitude.as_mut())
        {
            let at = Matrix::dense(pass.tokens, self.out_features);
            if let Some(grad) = &mut lengths.grad {
                device.scale_columns_backward(norms, View::new(&kept.unscaled, at), d_y, grad);
            }
            device.scale_columns(&lengths.value, norms, d_y, 0.0, ViewMut::new(scaled, at));
            d_y = View::new(scaled, at);
        }
        if let Some(grad) = self.weight.grad_mut() {
            device.matmul(1.0, d_y, Transpose::Yes, x, Transpose::No, 1.0, ViewMut::new(grad, weight_at));
        }
        let mut d_x = d_x;
        if let Some((beta, d_x)) = &mut d_x {
            self.weight.matmul(device, d_y, Transpose::No, *beta, ViewMut::new(d_x.buffer, d_x.at));
        }
        let Some(lora) = &mut self.adapter else { return };
        let low_at = Matrix::dense(pass.tokens, lora.rank);
        let (a_at, b_at) =
            (Matrix::dense(lora.rank, self.in_features), Matrix::dense(self.out_features, lora.rank));
        let low = &kept.low;
        let d_low = &mut *narrow;
        let b = View::new(&lora.b.value, b_at);
        device.matmul(lora.scale, d_y, Transpose::No, b, Transpose::No, 0.0, ViewMut::new(d_low, low_at));
        if let Some(grad) = &mut lora.b.grad {
            let low = View::new(low, low_at);
            device.matmul(lora.scale, d_y, Transpose::Yes, low, Transpose::No, 1.0, ViewMut::new(grad, b_at));
        }
        let d_low = View::new(&*narrow, low_at);
        if lora.a.grad.is_some() {
            let x = lora.dropped(pass, x, wide);
            if let Some(grad) = &mut lora.a.grad {
                device.matmul(1.0, d_low, Transpose::Yes, x, Transpose::No, 1.0, ViewMut::new(grad, a_at));
            }
        }
        let Some((_, d_x)) = d_x else { return };
        let a = View::new(&lora.a.value, a_at);
        match pass.mask(lora) {
            None => device.matmul(1.0, d_low, Transpose::No, a, Transpose::No, 1.0, d_x),
            Some(seed) => {
                let wide_at = Matrix::dense(pass.tokens, self.in_features);
                device.matmul(1.0, d_low, Transpose::No, a, Transpose::No, 0.0, ViewMut::new(wide, wide_at));
                device.dropout(lora.dropout, seed, View::new(wide, wide_at), 1.0, d_x);
            }
        }
    }

    /// Adds the adapter into the weight and removes it; a packed weight becomes plain.
    pub(crate) fn merge(&mut self, device: &D) {
        let at = self.weight_at();
        let Some(lora) = self.adapter.take() else { return };
        let (a, b) = lora.views();
        self.weight.make_plain(device, |weight| {
            let to = ViewMut::new(&mut weight.value, at);
            device.matmul(lora.scale, b, Transpose::No, a, Transpose::No, 1.0, to);
            if let Some(Magnitude { lengths, norms }) = &lora.magnitude {
                device.scale_rows(&lengths.value, norms, ViewMut::new(&mut weight.value, at));
            }
        });
    }

    /// The trained tensors.
    pub(crate) fn parameters(&mut self) -> impl Iterator<Item = Parameter<'_, D>> {
        let weight = self.weight.plain_mut().into_iter();
        weight
            .chain(self.bias.as_mut())
            .chain(self.adapter.iter_mut().flat_map(LoraWeights::tensors_mut))
            .filter_map(Tensor::parameter)
    }
}

impl<D: Device> LoraWeights<D> {
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<D>> {
        [&self.a, &self.b].into_iter().chain(self.magnitude.as_ref().map(|magnitude| &magnitude.lengths))
    }

    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<D>> {
        let Self { a, b, magnitude, .. } = self;
        [a, b].into_iter().chain(magnitude.as_mut().map(|magnitude| &mut magnitude.lengths))
    }

    fn views(&self) -> (View<'_, D::Buffer>, View<'_, D::Buffer>) {
        let at = |tensor: &Tensor<D>| Matrix::dense(tensor.shape[0], tensor.shape[1]);
        (View::new(&self.a.value, at(&self.a)), View::new(&self.b.value, at(&self.b)))
    }

    /// The input with this pass's dropout (the input itself where there is none).
    fn dropped<'a>(
        &self,
        pass: &Pass<'_, D>,
        x: View<'a, D::Buffer>,
        wide: &'a mut D::Buffer,
    ) -> View<'a, D::Buffer> {
        let Some(seed) = pass.mask(self) else { return x };
        let at = Matrix::dense(x.at.rows, x.at.cols);
        pass.device.dropout(self.dropout, seed, x, 0.0, ViewMut::new(wide, at));
        View::new(wide, at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use toolsmith_kernels::{BlockFormat, CpuDevice, PackedMatrix};

    use super::*;
    use crate::weight::Loaded;

    #[test]
    fn norms_measured_in_pieces_are_those_of_the_whole() {
        // Two pieces, the second of another size.
        let (rows, cols, rank) = (700, 2048, 2);
        let device = CpuDevice::new();
        let wave = |len: usize, step: f32| (0..len).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let plain = wave(rows * cols, 0.37);
        let packed = PackedMatrix::pack(BlockFormat::Q8_0, rows, cols, &plain).unwrap();
        let (a, b) = (wave(rank * cols, 0.71), wave(rows * rank, 0.53));
        for loaded in [Loaded::Plain(plain), Loaded::Packed(packed)] {
            let weight = Weight::new(&device, "w.weight".to_owned(), [rows, cols], loaded);
            let mut expected = Vec::new();
            for (row, weights) in weight.as_ref().read(&device).chunks_exact(cols).enumerate() {
                let sum = |(col, w): (usize, &f32)| {
                    let product: f32 = (0..rank).map(|r| b[row * rank + r] * a[r * cols + col]).sum();
                    f64::from(w + 0.5 * product).powi(2)
                };
                expected.push(weights.iter().enumerate().map(sum).sum::<f64>().sqrt());
            }
            let tensor = |values: &[f32], shape: &[usize]| Tensor {
                name: String::new(),
                shape: shape.to_vec(),
                value: device.upload(values),
                grad: None,
            };
            let lengths = tensor(&vec![1.0; rows], &[rows]);
            let mut linear = Linear {
                name: "w".to_owned(),
                in_features: cols,
                out_features: rows,
                weight,
                bias: None,
                adapter: Some(LoraWeights {
                    a: tensor(&a, &[rank, cols]),
                    b: tensor(&b, &[rows, rank]),
                    magnitude: Some(Magnitude { lengths, norms: device.zeros(rows) }),
                    rank,
                    scale: 0.5,
                    dropout: 0.0,
                    index: 0,
                }),
            };
            linear.refresh(&device);
            let norms = &linear.adapter.unwrap().magnitude.unwrap().norms;
            for (row, (found, expected)) in norms.as_slice().iter().zip(expected).enumerate() {
                assert!((f64::from(*found) - expected).abs() < 1e-5 * expected, "{row}: {found} {expected}");
            }
        }
    }
}
