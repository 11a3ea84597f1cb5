//! P-Tuning v2 (Liu et al., 2022), also prefix tuning (Li and Liang, 2021): keys and values, trained at every layer,
//! that every token sees before its own. A projection may stand between what is trained and what is seen.
//!
//! In: settings, a seed or a folder's numbers. Out: the keys and values of each block, and their gradients. Not known:
//! attention, and how files are laid out (`adapter/prefix.rs`).

use toolsmith_kernels::{CounterRng, Device, Matrix, Transpose, View, ViewMut};

use crate::parameter::{Parameter, Tensor};
use crate::{DecoderConfig, ModelError};

/// Where the positions of a sample's own tokens begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixPositions {
    /// After the prefix, as in PEFT.
    AfterPrefix,
    /// At 0, as in ChatGLM's own code.
    FromZero,
}

impl PrefixPositions {
    /// Its name in configurations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterPrefix => "after_prefix",
            Self::FromZero => "from_zero",
        }
    }

    /// What the tensor of keys and values is called in a folder.
    pub(crate) fn tensor_name(self) -> &'static str {
        match self {
            Self::AfterPrefix => "prompt_embeddings",
            Self::FromZero => "transformer.prefix_encoder.embedding.weight",
        }
    }
}

/// A trained prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixConfig {
    /// Keys (and values) at each layer.
    pub num_virtual_tokens: usize,
    /// Width inside the projection MLP of PEFT's `prefix_projection`; none: keys and values are trained themselves.
    pub encoder_hidden_size: Option<usize>,
    /// Where positions begin.
    pub positions: PrefixPositions,
}

impl PrefixConfig {
    /// Most virtual tokens, and the greatest width inside the projection.
    pub(crate) const LARGEST: usize = 1 << 20;

    /// Position of a sample's first token.
    pub(crate) fn first_position(&self) -> usize {
        match self.positions {
            PrefixPositions::AfterPrefix => self.num_virtual_tokens,
            PrefixPositions::FromZero => 0,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("num_virtual_tokens", Some(self.num_virtual_tokens)),
            ("encoder_hidden_size", self.encoder_hidden_size),
        ];
        for (key, size) in sizes {
            let Some(size) = size.filter(|size| !(1..=Self::LARGEST).contains(size)) else { continue };
            return Err(ModelError::Adapter {
                key: key.to_owned(),
                detail: format!("found {size}, expected a whole number from 1 to {}", Self::LARGEST),
            });
        }
        Ok(())
    }
}

/// Keys and values of all blocks, to read.
pub(crate) struct PrefixKeys<'a, D: Device> {
    /// `[rows, layers * 2 * kv]`
    pub(crate) values: &'a D::Buffer,
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

impl<D: Device> PrefixKeys<'_, D> {
    /// Where the keys and the values of a block lie.
    pub(crate) fn of_block(&self, index: usize, key_value_size: usize) -> [Matrix; 2] {
        let all = Matrix::dense(self.rows, self.width);
        [2 * index, 2 * index + 1].map(|part| all.columns(part * key_value_size, key_value_size))
    }
}

/// A prefix on a device.
pub(crate) struct PrefixAdapter<D: Device> {
    pub(crate) config: PrefixConfig,
    /// Keys and values of all blocks, layer by layer, keys before values: `[virtual tokens, layers * 2 * kv]`.
    pub(crate) embeddings: Tensor<D>,
    /// What the embeddings are computed from, in training.
    projection: Option<Projection<D>>,
}

/// `tanh(E · W1ᵀ + b1) · W2ᵀ + b2`.
struct Projection<D: Device> {
    /// `[virtual tokens, kv]`
    embedding: Tensor<D>,
    /// `[inner, kv]` and `[inner]`
    first: [Tensor<D>; 2],
    /// `[layers * 2 * kv, inner]` and `[layers * 2 * kv]`
    second: [Tensor<D>; 2],
    /// `[virtual tokens, inner]`
    activated: D::Buffer,
    /// `[virtual tokens, inner]`
    d_activated: D::Buffer,
}

/// Columns of all keys and values of a prefix.
pub(crate) fn width(config: &DecoderConfig) -> usize {
    config.num_hidden_layers * 2 * config.key_value_size()
}

impl<D: Device> PrefixAdapter<D> {
    /// A prefix whose keys and values are given.
    pub(crate) fn given(config: PrefixConfig, width: usize, values: D::Buffer) -> Self {
        let shape = vec![config.num_virtual_tokens, width];
        let name = config.positions.tensor_name().to_owned();
        let embeddings = Tensor { name, shape, value: values, grad: None };
        Self { config, embeddings, projection: None }
    }

    /// A new prefix to train: embeddings normal and layers uniform, as `torch.nn.Embedding` and `torch.nn.Linear` draw them.
    pub(crate) fn new(config: PrefixConfig, decoder: &DecoderConfig, device: &D, rng: CounterRng) -> Self {
        let (rows, narrow, wide) = (config.num_virtual_tokens, decoder.key_value_size(), width(decoder));
        let mut stream = 0;
        let mut drawn = |name: &str, shape: &[usize], draw: &dyn Fn(CounterRng, u64) -> f64| {
            stream += 1;
            let (rng, len) = (rng.stream(stream), shape.iter().product::<usize>() as u64);
            let values: Vec<f32> = (0..len).map(|i| draw(rng, i) as f32).collect();
            let name = format!("prefix_encoder.{name}");
            let mut tensor =
                Tensor { name, shape: shape.to_vec(), value: device.upload(&values), grad: None };
            tensor.train(device);
            tensor
        };
        let normal = |rng: CounterRng, i| rng.normal(i);
        let Some(inner) = config.encoder_hidden_size else {
            let mut embeddings = drawn("", &[rows, wide], &normal);
            embeddings.name = config.positions.tensor_name().to_owned();
            return Self { config, embeddings, projection: None };
        };
        let embedding = drawn("embedding.weight", &[rows, narrow], &normal);
        let mut linear = |name: &str, out: usize, input: usize| {
            let bound = 1.0 / (input as f64).sqrt();
            let uniform = move |rng: CounterRng, i| bound * (2.0 * rng.uniform(i) - 1.0);
            [
                drawn(&format!("{name}.weight"), &[out, input], &uniform),
                drawn(&format!("{name}.bias"), &[out], &uniform),
            ]
        };
        let (first, second) = (linear("transform.0", inner, narrow), linear("transform.2", wide, inner));
        let mut adapter = Self::given(config, wide, device.zeros(rows * wide));
        adapter.embeddings.train(device);
        let [activated, d_activated] = [0; 2].map(|_| device.zeros(rows * inner));
        adapter.projection = Some(Projection { embedding, first, second, activated, d_activated });
        adapter.project(device);
        adapter
    }

    /// The keys and values.
    pub(crate) fn keys(&self) -> PrefixKeys<'_, D> {
        let [rows, width] = [self.embeddings.shape[0], self.embeddings.shape[1]];
        PrefixKeys { values: &self.embeddings.value, rows, width }
    }

    /// The keys and values to read, and where their gradient goes.
    pub(crate) fn keys_and_gradient(&mut self) -> (PrefixKeys<'_, D>, Option<&mut D::Buffer>) {
        let Tensor { shape, value, grad, .. } = &mut self.embeddings;
        (PrefixKeys { values: value, rows: shape[0], width: shape[1] }, grad.as_mut())
    }

    /// Computes keys and values from what is trained, where a projection stands between.
    pub(crate) fn project(&mut self, device: &D) {
        let Some(projection) = &mut self.projection else { return };
        let Projection { embedding, first: [w1, b1], second: [w2, b2], activated, .. } = projection;
        let at = |tensor: &Tensor<D>| Matrix::dense(tensor.shape[0], tensor.shape[1]);
        let (rows, inner, wide) = (embedding.shape[0], w1.shape[0], w2.shape[0]);
        let (narrow, hidden) = (at(embedding), Matrix::dense(rows, inner));
        affine(device, View::new(&embedding.value, narrow), w1, b1, ViewMut::new(activated, hidden));
        device.tanh(activated);
        let to = ViewMut::new(&mut self.embeddings.value, Matrix::dense(rows, wide));
        affine(device, View::new(activated, hidden), w2, b2, to);
    }

    /// Hands the gradient of keys and values on to what is trained, where a projection stands between.
    pub(crate) fn project_backward(&mut self, device: &D) {
        let (Some(projection), Some(d_wide)) = (&mut self.projection, &mut self.embeddings.grad) else {
            return;
        };
        let Projection { embedding, first: [w1, b1], second: [w2, b2], activated, d_activated } = projection;
        let (rows, inner, wide) = (embedding.shape[0], w1.shape[0], w2.shape[0]);
        let hidden = Matrix::dense(rows, inner);
        let d_y = View::new(&*d_wide, Matrix::dense(rows, wide));
        let x = View::new(&*activated, hidden);
        affine_backward(device, x, d_y, w2, b2, (0.0, ViewMut::new(d_activated, hidden)));
        device.tanh_backward(activated, d_activated);
        let narrow = Matrix::dense(rows, embedding.shape[1]);
        if let Some(d_embedding) = &mut embedding.grad {
            let (x, d_y) = (View::new(&embedding.value, narrow), View::new(&*d_activated, hidden));
            affine_backward(device, x, d_y, w1, b1, (1.0, ViewMut::new(d_embedding, narrow)));
        }
        device.fill(d_wide, 0, rows * wide, 0.0);
    }

    /// The trained tensors.
    pub(crate) fn parameters(&mut self) -> Vec<Parameter<'_, D>> {
        match &mut self.projection {
            None => self.embeddings.parameter().into_iter().collect(),
            Some(Projection { embedding, first, second, .. }) => std::iter::once(embedding)
                .chain(first)
                .chain(second)
                .filter_map(Tensor::parameter)
                .map(|parameter| Parameter { saved: false, ..parameter })
                .collect(),
        }
    }
}

fn weight_at<D: Device>(weight: &Tensor<D>) -> Matrix {
    Matrix::dense(weight.shape[0], weight.shape[1])
}

fn affine<D: Device>(
    device: &D,
    x: View<'_, D::Buffer>,
    weight: &Tensor<D>,
    bias: &Tensor<D>,
    y: ViewMut<'_, D::Buffer>,
) {
    let matrix = View::new(&weight.value, weight_at(weight));
    let at = y.at;
    device.matmul(1.0, x, Transpose::No, matrix, Transpose::Yes, 0.0, ViewMut::new(y.buffer, at));
    device.add_bias(&bias.value, ViewMut::new(y.buffer, at));
}

fn affine_backward<D: Device>(
    device: &D,
    x: View<'_, D::Buffer>,
    d_y: View<'_, D::Buffer>,
    weight: &mut Tensor<D>,
    bias: &mut Tensor<D>,
    (beta, d_x): (f32, ViewMut<'_, D::Buffer>),
) {
    let at = weight_at(weight);
    if let Some(grad) = &mut weight.grad {
        device.matmul(1.0, d_y, Transpose::Yes, x, Transpose::No, 1.0, ViewMut::new(grad, at));
    }
    if let Some(grad) = &mut bias.grad {
        device.add_bias_backward(d_y, grad);
    }
    device.matmul(1.0, d_y, Transpose::No, View::new(&weight.value, at), Transpose::No, beta, d_x);
}
