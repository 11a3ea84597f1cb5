//! One decoder block: attention and SwiGLU, each behind a norm and beside a residual. Forward and backward by hand.
//!
//! In: the residual stream. Out: the residual stream after the block; backward, its gradient, in place. The families
//! differ in which linear layers a block has and how its heads rotate, never in this code.

use toolsmith_kernels::{AttentionShape, Device, Direction, Matrix, RopeShape, View, ViewMut};

use crate::DecoderConfig;
use crate::linear::{Linear, LoraScratch, Pass};
use crate::parameter::{Parameter, Tensor};
use crate::rope::RopeTable;
use crate::workspace::{BlockActivations, Scratch, SideScratch};

/// The weights of a block.
pub(crate) struct Block<D: Device> {
    pub(crate) input_norm: Tensor<D>,
    /// Projections whose outputs, side by side, are queries, keys and values.
    pub(crate) qkv: Vec<Linear<D>>,
    pub(crate) output: Linear<D>,
    pub(crate) middle_norm: Tensor<D>,
    /// Projections whose outputs, side by side, are gate and up.
    pub(crate) gate_up: Vec<Linear<D>>,
    pub(crate) down: Linear<D>,
}

/// Where keys and values of a cache lie: this block's buffers and the row of each token.
pub(crate) struct CacheRows<'a, D: Device> {
    /// `[capacity, kv_heads * head_dim]`
    pub(crate) keys: &'a mut D::Buffer,
    /// `[capacity, kv_heads * head_dim]`
    pub(crate) values: &'a mut D::Buffer,
    pub(crate) capacity: usize,
    pub(crate) rows: &'a D::Ids,
}

/// What all blocks of a pass share.
pub(crate) struct BlockContext<'a, D: Device> {
    pub(crate) pass: Pass<'a, D>,
    pub(crate) config: &'a DecoderConfig,
    pub(crate) spans: &'a D::Spans,
    pub(crate) positions: &'a D::Ids,
    pub(crate) rope: &'a RopeTable<D>,
}

impl<D: Device> BlockContext<'_, D> {
    fn attention(&self) -> AttentionShape {
        let head_dim = self.config.head_dim;
        AttentionShape {
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim,
            scale: (1.0 / (head_dim as f64).sqrt()) as f32,
        }
    }

    fn matrix(&self, cols: usize) -> Matrix {
        Matrix::dense(self.pass.tokens, cols)
    }

    /// Queries, keys and values in their common rows.
    fn qkv(&self) -> [Matrix; 3] {
        let (query, key) = (self.config.query_size(), self.config.key_value_size());
        let all = self.matrix(self.config.qkv_size());
        [all.columns(0, query), all.columns(query, key), all.columns(query + key, key)]
    }

    fn gate_up(&self) -> [Matrix; 2] {
        let inner = self.config.intermediate_size;
        let both = self.matrix(2 * inner);
        [both.columns(0, inner), both.columns(inner, inner)]
    }

    /// Turns queries and keys, which lie side by side.
    fn rotate(&self, direction: Direction, qkv: &mut D::Buffer) {
        let DecoderConfig { head_dim, rotary_dim, rope_style, .. } = *self.config;
        let heads = self.config.num_attention_heads + self.config.num_key_value_heads;
        let shape = RopeShape { heads, head_dim, rotary_dim, style: rope_style };
        let at = self.matrix(self.config.qkv_size()).columns(0, heads * head_dim);
        let (cos, sin) = (&self.rope.cos, &self.rope.sin);
        self.pass.device.rope(shape, direction, self.positions, cos, sin, ViewMut::new(qkv, at));
    }
}

impl<D: Device> Block<D> {
    pub(crate) fn forward(
        &self,
        context: &BlockContext<'_, D>,
        input: &D::Buffer,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        cache: Option<CacheRows<'_, D>>,
        output: &mut D::Buffer,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        let epsilon = config.rms_norm_eps;

        let normed = ViewMut::new(&mut scratch.sides.normed, stream);
        device.rms_norm(
            epsilon,
            View::new(input, stream),
            &self.input_norm.value,
            normed,
            &mut kept.input_inverse_rms,
        );
        let mut low = kept.low.iter_mut();
        let normed = View::new(&scratch.sides.normed, stream);
        side_by_side(&self.qkv, pass, normed, &mut kept.qkv, &mut low, &mut scratch.sides.lora);
        context.rotate(Direction::Forward, &mut kept.qkv);

        let [q, k, v] = context.qkv();
        let (q, k, v) = (View::new(&kept.qkv, q), View::new(&kept.qkv, k), View::new(&kept.qkv, v));
        let attended = context.matrix(config.query_size());
        let out = ViewMut::new(&mut kept.attention, attended);
        let (shape, spans) = (context.attention(), context.spans);
        match cache {
            None => device.attention(shape, spans, q, k, v, out, &mut kept.log_sum_exp),
            Some(CacheRows { keys, values, capacity, rows }) => {
                let at = Matrix::dense(capacity, config.key_value_size());
                device.scatter_rows(k, rows, ViewMut::new(keys, at));
                device.scatter_rows(v, rows, ViewMut::new(values, at));
                let (k, v) = (View::new(keys, at), View::new(values, at));
                device.attention(shape, spans, q, k, v, out, &mut kept.log_sum_exp);
            }
        }
        device.copy(View::new(input, stream), ViewMut::new(&mut kept.middle, stream));
        let attended = View::new(&kept.attention, attended);
        let middle = ViewMut::new(&mut kept.middle, stream);
        next(&mut low, |low| self.output.forward(pass, attended, 1.0, middle, low, &mut scratch.sides.lora));

        let normed = ViewMut::new(&mut scratch.sides.normed, stream);
        let middle = View::new(&kept.middle, stream);
        device.rms_norm(epsilon, middle, &self.middle_norm.value, normed, &mut kept.middle_inverse_rms);
        let normed = View::new(&scratch.sides.normed, stream);
        side_by_side(&self.gate_up, pass, normed, &mut kept.gate_up, &mut low, &mut scratch.sides.lora);
        let [gate, up] = context.gate_up();
        let inner = context.matrix(config.intermediate_size);
        let (gate, up) = (View::new(&kept.gate_up, gate), View::new(&kept.gate_up, up));
        device.swiglu(gate, up, ViewMut::new(&mut scratch.inner, inner));
        device.copy(middle, ViewMut::new(output, stream));
        let inner = View::new(&scratch.inner, inner);
        let output = ViewMut::new(output, stream);
        next(&mut low, |low| self.down.forward(pass, inner, 1.0, output, low, &mut scratch.sides.lora));
    }

    /// Turns the gradient of the block's output into that of its input, in place. Without `to_input` it stops once the
    /// block's own gradients are complete. The kept gate and up are consumed.
    pub(crate) fn backward(
        &mut self,
        context: &BlockContext<'_, D>,
        input: &D::Buffer,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        gradient: &mut D::Buffer,
        to_input: bool,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        let epsilon = config.rms_norm_eps;
        let first_mlp = self.qkv.len() + 1;
        let last = first_mlp + self.gate_up.len();

        let [gate, up] = context.gate_up();
        let inner = context.matrix(config.intermediate_size);
        if self.down.needs_input() {
            let (gate, up) = (View::new(&kept.gate_up, gate), View::new(&kept.gate_up, up));
            device.swiglu(gate, up, ViewMut::new(&mut scratch.inner, inner));
        }
        let (x, d_y) = (View::new(&scratch.inner, inner), View::new(gradient, stream));
        let d_x = Some((0.0, ViewMut::new(&mut scratch.d_inner, inner)));
        self.down.backward(pass, x, d_y, d_x, &kept.low[last], &mut scratch.sides.lora);
        device.swiglu_backward(View::new(&scratch.d_inner, inner), &mut kept.gate_up, gate, up);
        if self.gate_up.iter().any(Linear::needs_input) {
            let (x, y) = (View::new(&kept.middle, stream), ViewMut::new(&mut scratch.sides.normed, stream));
            device.rms_norm(epsilon, x, &self.middle_norm.value, y, &mut kept.middle_inverse_rms);
        }
        let low = &kept.low[first_mlp..last];
        side_by_side_backward(&mut self.gate_up, pass, &kept.gate_up, stream, true, low, &mut scratch.sides);
        device.rms_norm_backward(
            View::new(&kept.middle, stream),
            &self.middle_norm.value,
            &kept.middle_inverse_rms,
            View::new(&scratch.sides.d_normed, stream),
            ViewMut::new(gradient, stream),
            self.middle_norm.grad.as_mut(),
        );

        let attended = context.matrix(config.query_size());
        let (x, d_y) = (View::new(&kept.attention, attended), View::new(gradient, stream));
        let reaches_attention =
            to_input || self.input_norm.grad.is_some() || self.qkv.iter_mut().any(is_trained);
        let d_x = reaches_attention.then(|| (0.0, ViewMut::new(&mut scratch.d_attention, attended)));
        self.output.backward(pass, x, d_y, d_x, &kept.low[first_mlp - 1], &mut scratch.sides.lora);
        if !reaches_attention {
            return;
        }
        let [q, k, v] = context.qkv();
        device.attention_backward(
            context.attention(),
            context.spans,
            View::new(&kept.qkv, q),
            View::new(&kept.qkv, k),
            View::new(&kept.qkv, v),
            View::new(&kept.attention, attended),
            &kept.log_sum_exp,
            View::new(&scratch.d_attention, attended),
            &mut scratch.d_qkv,
            q,
            k,
            v,
        );
        context.rotate(Direction::Backward, &mut scratch.d_qkv);
        if self.qkv.iter().any(Linear::needs_input) {
            let (x, y) = (View::new(input, stream), ViewMut::new(&mut scratch.sides.normed, stream));
            device.rms_norm(epsilon, x, &self.input_norm.value, y, &mut kept.input_inverse_rms);
        }
        let to_norm = to_input || self.input_norm.grad.is_some();
        let low = &kept.low[..first_mlp - 1];
        side_by_side_backward(&mut self.qkv, pass, &scratch.d_qkv, stream, to_norm, low, &mut scratch.sides);
        if to_norm {
            device.rms_norm_backward(
                View::new(input, stream),
                &self.input_norm.value,
                &kept.input_inverse_rms,
                View::new(&scratch.sides.d_normed, stream),
                ViewMut::new(gradient, stream),
                self.input_norm.grad.as_mut(),
            );
        }
    }

    /// The linear layers in the order in which they run.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear<D>> {
        self.qkv.iter().chain([&self.output]).chain(&self.gate_up).chain([&self.down])
    }

    /// The linear layers in the order in which they run.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear<D>> {
        self.qkv.iter_mut().chain([&mut self.output]).chain(&mut self.gate_up).chain([&mut self.down])
    }

    /// All plain weights (adapters are not among them).
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<D>> {
        [&self.input_norm, &self.middle_norm].into_iter().chain(
            self.linears().flat_map(|linear| std::iter::once(&linear.weight).chain(linear.bias.as_ref())),
        )
    }

    /// All plain weights (adapters are not among them).
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<D>> {
        let linears =
            self.qkv.iter_mut().chain([&mut self.output]).chain(&mut self.gate_up).chain([&mut self.down]);
        [&mut self.input_norm, &mut self.middle_norm]
            .into_iter()
            .chain(linears.flat_map(|linear| std::iter::once(&mut linear.weight).chain(linear.bias.as_mut())))
    }

    /// The trained tensors.
    pub(crate) fn parameters(&mut self) -> impl Iterator<Item = Parameter<'_, D>> {
        let linears =
            self.qkv.iter_mut().chain([&mut self.output]).chain(&mut self.gate_up).chain([&mut self.down]);
        [&mut self.input_norm, &mut self.middle_norm]
            .into_iter()
            .filter_map(Tensor::parameter)
            .chain(linears.flat_map(Linear::parameters))
    }

    /// Whether any of its weights is trained.
    pub(crate) fn is_trained(&mut self) -> bool {
        self.parameters().next().is_some()
    }
}

fn is_trained<D: Device>(linear: &mut Linear<D>) -> bool {
    linear.parameters().next().is_some()
}

type LowBuffers<'a, B> = std::slice::IterMut<'a, B>;

/// Lends the next layer its buffer for the adapter's inner product.
fn next<B>(low: &mut LowBuffers<'_, B>, run: impl FnOnce(&mut B)) {
    if let Some(low) = low.next() {
        run(low);
    }
}

/// Runs layers on the same input, their outputs side by side.
fn side_by_side<D: Device>(
    linears: &[Linear<D>],
    pass: &Pass<'_, D>,
    x: View<'_, D::Buffer>,
    y: &mut D::Buffer,
    low: &mut LowBuffers<'_, D::Buffer>,
    scratch: &mut LoraScratch<D>,
) {
    let width = linears.iter().map(|linear| linear.out_features).sum();
    let mut column = 0;
    for linear in linears {
        let at = Matrix::dense(pass.tokens, width).columns(column, linear.out_features);
        next(low, |low| linear.forward(pass, x, 0.0, ViewMut::new(y, at), low, scratch));
        column += linear.out_features;
    }
}

/// The gradients of [`side_by_side`]: of the layers' weights, and (with `to_input`) of the input in `d_normed`.
fn side_by_side_backward<D: Device>(
    linears: &mut [Linear<D>],
    pass: &Pass<'_, D>,
    d_y: &D::Buffer,
    stream: Matrix,
    to_input: bool,
    low: &[D::Buffer],
    scratch: &mut SideScratch<D>,
) {
    let width = linears.iter().map(|linear| linear.out_features).sum();
    let (mut column, mut beta) = (0, 0.0);
    for (linear, low) in linears.iter_mut().zip(low) {
        let at = Matrix::dense(pass.tokens, width).columns(column, linear.out_features);
        let x = View::new(&scratch.normed, stream);
        let d_x = to_input.then(|| (beta, ViewMut::new(&mut scratch.d_normed, stream)));
        linear.backward(pass, x, View::new(d_y, at), d_x, low, &mut scratch.lora);
        column += linear.out_features;
        beta = 1.0;
    }
}
