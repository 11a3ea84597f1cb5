//! One decoder block: attention and SwiGLU, each behind a norm and beside a residual. Forward and backward by hand.
//!
//! In: the residual stream. Out: the residual stream after the block; backward, its gradient, in place. The families
//! differ in which layers and norms a block has and how its heads rotate, never in this code.

mod attention;
mod mlp;

use toolsmith_kernels::{AttentionShape, Device, Direction, Matrix, RopeShape, View, ViewMut};

use crate::DecoderConfig;
use crate::linear::{AdapterActivations, Linear, LoraScratch, Pass};
use crate::parameter::{Parameter, Tensor};
use crate::prefix_tuning::PrefixKeys;
use crate::rope::RopeTable;
use crate::weight::WeightRef;
use crate::workspace::{BlockActivations, NormedOutput, Scratch, SideScratch};

/// The weights of a block.
pub(crate) struct Block<D: Device> {
    /// Its number, from 0.
    pub(crate) index: usize,
    pub(crate) input_norm: Tensor<D>,
    /// Projections whose outputs, side by side, are queries, keys and values.
    pub(crate) qkv: Vec<Linear<D>>,
    /// Norms of each head's queries and keys.
    pub(crate) head_norms: Option<[Tensor<D>; 2]>,
    pub(crate) output: Linear<D>,
    pub(crate) middle_norm: Tensor<D>,
    /// Projections whose outputs, side by side, are gate and up.
    pub(crate) gate_up: Vec<Linear<D>>,
    pub(crate) down: Linear<D>,
    /// Norms of what attention and MLP add to the residual stream.
    pub(crate) sandwich_norms: Option<[Tensor<D>; 2]>,
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
    /// Trained keys and values that every token sees, in the rows after the tokens' own.
    pub(crate) prefix: Option<PrefixKeys<'a, D>>,
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

    /// Queries, keys and values in their common rows; keys and values go on through the prefix.
    fn qkv(&self) -> [Matrix; 3] {
        let (query, key) = (self.config.query_size(), self.config.key_value_size());
        let keys = self.pass.tokens + self.prefix.as_ref().map_or(0, |prefix| prefix.rows);
        let all = Matrix::dense(keys, self.config.qkv_size());
        let queries = all.columns(0, query).rows(0, self.pass.tokens);
        [queries, all.columns(query, key), all.columns(query + key, key)]
    }

    /// The columns of queries and of keys, the tokens' rows alone.
    fn heads(&self, stride: usize) -> [Matrix; 2] {
        let (query, key) = (self.config.query_size(), self.config.key_value_size());
        let all = self.matrix(stride);
        [all.columns(0, query), all.columns(query, key)]
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

    /// `y = norm(x)`, row by row.
    fn norm(&self, norm: &Tensor<D>, x: &D::Buffer, y: &mut D::Buffer, inverse_rms: &mut D::Buffer) {
        let stream = self.matrix(self.config.hidden_size);
        let (x, y) = (View::new(x, stream), ViewMut::new(y, stream));
        self.pass.device.rms_norm(self.config.rms_norm_eps, x, &norm.value, y, inverse_rms);
    }

    /// Adds the gradient of [`BlockContext::norm`]'s input to `d_x`.
    fn norm_backward(
        &self,
        norm: &mut Tensor<D>,
        x: &D::Buffer,
        inverse_rms: &D::Buffer,
        d_y: &D::Buffer,
        d_x: &mut D::Buffer,
    ) {
        let stream = self.matrix(self.config.hidden_size);
        let (x, d_y, d_x) = (View::new(x, stream), View::new(d_y, stream), ViewMut::new(d_x, stream));
        self.pass.device.rms_norm_backward(x, &norm.value, inverse_rms, d_y, d_x, norm.grad.as_mut());
    }

    /// `stream = input + norm(output of the layer that ran into normed.value)`.
    fn add_normed(
        &self,
        norm: &Tensor<D>,
        normed: &mut NormedOutput<D>,
        scratch: &mut D::Buffer,
        stream: &mut D::Buffer,
    ) {
        self.norm(norm, &normed.value, scratch, &mut normed.inverse_rms);
        let at = self.matrix(self.config.hidden_size);
        self.pass.device.add(1.0, View::new(scratch, at), ViewMut::new(stream, at));
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
        self.attention_forward(context, input, kept, scratch, cache);
        self.mlp_forward(context, kept, scratch, output);
    }

    /// Turns the gradient of the block's output into that of its input, in place. Without `to_input` it stops once the
    /// block's own gradients are complete. The kept gate and up are consumed. `d_prefix` receives the gradient of the
    /// prefix, where that is trained.
    #[expect(clippy::too_many_arguments, reason = "what the forward pass had, and where gradients go")]
    pub(crate) fn backward(
        &mut self,
        context: &BlockContext<'_, D>,
        input: &D::Buffer,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        gradient: &mut D::Buffer,
        d_prefix: Option<&mut D::Buffer>,
        to_input: bool,
    ) {
        self.mlp_backward(context, kept, scratch, gradient);
        self.attention_backward(context, input, kept, scratch, gradient, d_prefix, to_input);
    }

    /// The linear layers in the order in which they run.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear<D>> {
        self.qkv.iter().chain([&self.output]).chain(&self.gate_up).chain([&self.down])
    }

    /// The linear layers in the order in which they run.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear<D>> {
        self.qkv.iter_mut().chain([&mut self.output]).chain(&mut self.gate_up).chain([&mut self.down])
    }

    /// All weights (adapters are not among them).
    pub(crate) fn tensors(&self) -> impl Iterator<Item = WeightRef<'_, D>> {
        let norms = self.head_norms.iter().chain(&self.sandwich_norms).flatten();
        let linears = self.linears();
        [&self.input_norm, &self.middle_norm].into_iter().chain(norms).map(Tensor::as_ref).chain(
            linears.flat_map(|linear| {
                std::iter::once(linear.weight.as_ref()).chain(linear.bias.as_ref().map(Tensor::as_ref))
            }),
        )
    }

    /// All plain weights, packed ones left out (adapters are not among them).
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<D>> {
        let (norms, linears) = self.parts_mut();
        norms.chain(
            linears.flat_map(|linear| linear.weight.plain_mut().into_iter().chain(linear.bias.as_mut())),
        )
    }

    /// The trained tensors.
    pub(crate) fn parameters(&mut self) -> impl Iterator<Item = Parameter<'_, D>> {
        let (norms, linears) = self.parts_mut();
        norms.filter_map(Tensor::parameter).chain(linears.flat_map(Linear::parameters))
    }

    fn parts_mut(&mut self) -> (impl Iterator<Item = &mut Tensor<D>>, impl Iterator<Item = &mut Linear<D>>) {
        let Self { input_norm, qkv, head_norms, output, middle_norm, gate_up, down, sandwich_norms, .. } =
            self;
        let norms = head_norms.iter_mut().chain(sandwich_norms).flatten();
        let linears = qkv.iter_mut().chain([output]).chain(gate_up).chain([down]);
        ([input_norm, middle_norm].into_iter().chain(norms), linears)
    }

    /// Whether any of its weights is trained.
    pub(crate) fn is_trained(&mut self) -> bool {
        self.parameters().next().is_some()
    }
}

fn is_trained<D: Device>(linear: &mut Linear<D>) -> bool {
    linear.parameters().next().is_some()
}

type Kept<'a, D> = std::slice::IterMut<'a, AdapterActivations<D>>;

/// Lends the next layer what its adapter keeps.
fn next<D: Device>(adapters: &mut Kept<'_, D>, run: impl FnOnce(&mut AdapterActivations<D>)) {
    if let Some(kept) = adapters.next() {
        run(kept);
    }
}

/// Runs layers on the same input, their outputs side by side.
fn side_by_side<D: Device>(
    linears: &[Linear<D>],
    pass: &Pass<'_, D>,
    x: View<'_, D::Buffer>,
    y: &mut D::Buffer,
    adapters: &mut Kept<'_, D>,
    scratch: &mut LoraScratch<D>,
) {
    let width = linears.iter().map(|linear| linear.out_features).sum();
    let mut column = 0;
    for linear in linears {
        let at = Matrix::dense(pass.tokens, width).columns(column, linear.out_features);
        next(adapters, |kept| linear.forward(pass, x, 0.0, ViewMut::new(y, at), kept, scratch));
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
    adapters: &[AdapterActivations<D>],
    scratch: &mut SideScratch<D>,
) {
    let width = linears.iter().map(|linear| linear.out_features).sum();
    let (mut column, mut beta) = (0, 0.0);
    for (linear, kept) in linears.iter_mut().zip(adapters) {
        let at = Matrix::dense(pass.tokens, width).columns(column, linear.out_features);
        let x = View::new(&scratch.normed, stream);
        let d_x = to_input.then(|| (beta, ViewMut::new(&mut scratch.d_normed, stream)));
        linear.backward(pass, x, View::new(d_y, at), d_x, kept, &mut scratch.lora);
        column += linear.out_features;
        beta = 1.0;
    }
}
