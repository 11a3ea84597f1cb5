//! A decoder in training: which weights have gradients, and the pass that fills them.
//!
//! In: batches and token weights. Out: log-probabilities, gradients added up in the parameters. Not known: the
//! optimizer, the schedule, what the weights of the tokens mean.

use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, View, ViewMut};

use crate::block::{Block, BlockContext};
use crate::decoder::{PassInputs, two};
use crate::head::{Head, HeadTargets};
use crate::prefix_tuning::PrefixAdapter;
use crate::workspace::{Purpose, Workspace};
use crate::{
    AdapterConfig, Decoder, LoraConfig, ModelError, Parameter, PrefixConfig, TokenBatch, TokenWeights,
    WeightType, adapter,
};

/// Highest position that a batch may name: beyond it no model was made, and the table of angles would fill the memory.
const POSITIONS: u32 = 1 << 24;

/// Which weights are trained.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainMethod {
    /// All of them.
    Full,
    /// All but those whose name in the checkpoint fits one of these patterns (`*`, `?`, `[…]` as in a shell).
    FullExcept(Vec<String>),
    /// A LoRA adapter, new until one is loaded; everything else stays frozen.
    Lora(LoraConfig),
    /// A prefix of keys and values (P-Tuning v2), new until one is loaded; everything else stays frozen.
    Prefix(PrefixConfig),
}

impl TrainMethod {
    /// Whether what comes out is a whole model, not an adapter.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Full | Self::FullExcept(_))
    }

    /// The method that trains an adapter of these settings further. A prefix goes on without the projection that it may
    /// have been computed by: its folder holds keys and values alone.
    #[must_use]
    pub fn of_adapter(config: AdapterConfig) -> Self {
        match config {
            AdapterConfig::Lora(config) => Self::Lora(config),
            AdapterConfig::Prefix(config) => {
                Self::Prefix(PrefixConfig { encoder_hidden_size: None, ..config })
            }
        }
    }
}

/// How a pass is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// Every block keeps what its backward pass needs.
    #[default]
    Keep,
    /// A block keeps its input alone and runs forward again before it runs backward: less memory, a third more
    /// arithmetic, the same result.
    Recompute,
}

/// A decoder in training.
pub struct TrainableModel<D: Device> {
    decoder: Decoder<D>,
    workspace: Workspace<D>,
    dropout: CounterRng,
    dropout_counter: u64,
}

impl<D: Device> TrainableModel<D> {
    /// Prepares `decoder` for training; `seed` draws a new adapter's weights and all dropout masks.
    ///
    /// # Errors
    /// A LoRA setting that makes no sense or meets no layer, a decoder that has an adapter already, or packed weights
    /// that would have to be trained themselves.
    pub fn new(decoder: Decoder<D>, method: TrainMethod, seed: u64) -> Result<Self, ModelError> {
        Self::with_activations(decoder, method, seed, Activations::Keep)
    }

    /// As [`TrainableModel::new`], with a choice of what passes keep.
    ///
    /// # Errors
    /// As [`TrainableModel::new`].
    pub fn with_activations(
        mut decoder: Decoder<D>,
        method: TrainMethod,
        seed: u64,
        activations: Activations,
    ) -> Result<Self, ModelError> {
        if decoder.adapter.is_some() {
            return Err(ModelError::Adapter {
                key: "model".to_owned(),
                detail: "an adapter is attached already; merge it first, or start from the plain model and load_adapter".to_owned(),
            });
        }
        let rng = CounterRng::new(seed);
        match method {
            TrainMethod::Full => {
                decoder.refuse_packed(|_| true)?;
                let device = decoder.device.clone();
                decoder.tensors_mut().for_each(|tensor| tensor.train(&device));
            }
            TrainMethod::FullExcept(patterns) => train_except(&mut decoder, &patterns)?,
            TrainMethod::Lora(config) => {
                adapter::attach_new(&mut decoder, AdapterConfig::Lora(config), rng.stream(0))?;
            }
            TrainMethod::Prefix(config) => {
                adapter::attach_new(&mut decoder, AdapterConfig::Prefix(config), rng.stream(0))?;
            }
        }
        let workspace = decoder.workspace(match activations {
            Activations::Keep => Purpose::Training,
            Activations::Recompute => Purpose::Recomputing,
        });
        Ok(Self { decoder, workspace, dropout: rng.stream(1), dropout_counter: 0 })
    }

    /// Runs the batch forward and backward, adds into the gradients, and returns the log-probability of each target.
    ///
    /// # Errors
    /// A batch that does not fit itself or the model.
    pub fn forward_backward(
        &mut self,
        batch: &TokenBatch,
        weights: TokenWeights<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let targets = self.prepare(batch)?;
        let seed = self.dropout_seed();
        self.dropout_counter += 1;
        if targets.rows() == 0 {
            return Ok(Vec::new());
        }
        let device = self.decoder.device.clone();
        device.scope(|| self.forward_backward_here(batch, &targets, &weights, seed))
    }

    /// Seed of the next pass's dropout.
    pub(crate) fn dropout_seed(&self) -> u64 {
        self.dropout.bits(self.dropout_counter)
    }

    fn forward_backward_here(
        &mut self,
        batch: &TokenBatch,
        targets: &HeadTargets<D>,
        weights: &TokenWeights<'_>,
        seed: u64,
    ) -> Result<Vec<f32>, ModelError> {
        let inputs = self.inputs(batch, Some(seed));
        self.decoder.refresh();
        let last = self.decoder.forward(&inputs, &mut self.workspace, None);
        let Self { decoder, workspace, .. } = self;
        let Workspace { hidden, blocks, scratch, head: buffers, d_hidden, rope, .. } = workspace;
        let Decoder { device, config, embedding, blocks: layers, norm, head, prefix, .. } = decoder;
        let pass = crate::linear::Pass { device, tokens: inputs.tokens, dropout_seed: inputs.dropout_seed };

        let matrix = head.as_mut().unwrap_or(&mut *embedding);
        let mut head = Head { config, norm, matrix };
        let logprobs = head.forward_backward(&pass, &hidden[last], targets, weights, buffers, d_hidden)?;

        let into_embedding = embedding.is_trained();
        let (keys, mut d_prefix) = match prefix.as_mut().map(PrefixAdapter::keys_and_gradient) {
            Some((keys, gradient)) => (Some(keys), gradient),
            None => (None, None),
        };
        let reaches_all = into_embedding || d_prefix.is_some();
        let lowest = if reaches_all { Some(0) } else { layers.iter_mut().position(Block::is_trained) };
        let lowest = lowest.unwrap_or(layers.len());
        let (spans, positions) = (&inputs.spans, &inputs.positions);
        let context = BlockContext { pass, config, spans, positions, rope, prefix: keys };
        let (count, kept_blocks) = (layers.len(), blocks.len());
        for (index, layer) in layers.iter_mut().enumerate().skip(lowest).rev() {
            let kept = &mut blocks[index % kept_blocks];
            // The last block's activations are still there from the forward pass.
            if kept_blocks < count && index + 1 < count {
                let (input, output) = two(hidden, index, index + 1);
                layer.forward(&context, input, kept, scratch, None, output);
            }
            let to_input = into_embedding || index > lowest;
            let d_prefix = d_prefix.as_deref_mut();
            layer.backward(&context, &hidden[index], kept, scratch, d_hidden, d_prefix, to_input);
        }
        if let Some(prefix) = prefix {
            prefix.project_backward(device);
        }
        if let Some(grad) = embedding.grad_mut() {
            let rows = View::new(&*d_hidden, Matrix::dense(inputs.tokens, config.hidden_size));
            let table = Matrix::dense(config.vocab_size, config.hidden_size);
            device.scatter_add_rows(rows, &inputs.ids, ViewMut::new(grad, table));
        }
        Ok(logprobs)
    }

    /// Log-probability of each target, without gradients and without dropout.
    ///
    /// # Errors
    /// A batch that does not fit itself or the model.
    pub fn logprobs(&mut self, batch: &TokenBatch) -> Result<Vec<f32>, ModelError> {
        let targets = self.prepare(batch)?;
        let device = self.decoder.device.clone();
        Ok(device.scope(|| {
            self.decoder.refresh();
            let sorted = self.logprobs_here(batch, &targets, None);
            targets.in_order(&self.decoder.device, &sorted)
        }))
    }

    /// Log-probabilities on the device, sorted by row; what is computed from trained weights is taken as it is.
    pub(crate) fn logprobs_here(
        &mut self,
        batch: &TokenBatch,
        targets: &HeadTargets<D>,
        dropout_seed: Option<u64>,
    ) -> D::Buffer {
        let inputs = self.inputs(batch, dropout_seed);
        let last = self.decoder.forward(&inputs, &mut self.workspace, None);
        let Decoder { device, config, embedding, norm, head, .. } = &mut self.decoder;
        let pass = crate::linear::Pass { device, tokens: inputs.tokens, dropout_seed };
        let head = Head { config, norm, matrix: head.as_mut().unwrap_or(embedding) };
        head.forward(&pass, &self.workspace.hidden[last], targets, &mut self.workspace.head)
    }

    pub(crate) fn prepare(&mut self, batch: &TokenBatch) -> Result<HeadTargets<D>, ModelError> {
        let Decoder { device, config, .. } = &self.decoder;
        batch.check(config.vocab_size)?;
        let last = batch.position_ids.iter().copied().max().unwrap_or(0);
        if last >= POSITIONS {
            return Err(ModelError::Batch(format!(
                "position {last} is beyond {POSITIONS}; is position_ids damaged?"
            )));
        }
        let targets = HeadTargets::new(device, &batch.targets);
        let positions = self.decoder.first_position() + last as usize + 1;
        self.workspace.fit(device, config, batch.input_ids.len(), targets.rows(), positions);
        Ok(targets)
    }

    fn inputs(&self, batch: &TokenBatch, dropout_seed: Option<u64>) -> PassInputs<D> {
        let device = &self.decoder.device;
        let (tokens, prefix) = (batch.input_ids.len(), self.decoder.prefix_rows());
        let first_position = self.decoder.first_position() as u32;
        let positions: Vec<u32> =
            batch.position_ids.iter().map(|position| position + first_position).collect();
        let mut spans = batch.tree.spans();
        if prefix > 0 {
            spans.iter_mut().for_each(|span| span.context.insert(0, (tokens, prefix)));
        }
        PassInputs {
            tokens,
            ids: device.upload_ids(&batch.input_ids),
            positions: device.upload_ids(&positions),
            spans: device.upload_spans(&spans),
            dropout_seed,
        }
    }

    /// Forgets the gradients.
    pub fn zero_grads(&mut self) {
        let device = self.decoder.device.clone();
        for Parameter { grad, .. } in self.trained() {
            let len = device.len(grad);
            device.fill(grad, 0, len, 0.0);
        }
    }

    /// The trained tensors, always in the same order. What is computed from them is computed again before the next pass.
    pub fn parameters_mut(&mut self) -> Vec<Parameter<'_, D>> {
        self.decoder.stale = true;
        self.trained()
    }

    fn trained(&mut self) -> Vec<Parameter<'_, D>> {
        let Decoder { embedding, blocks, norm, head, prefix, adapter, .. } = &mut self.decoder;
        let plain = embedding
            .parameter()
            .into_iter()
            .chain(blocks.iter_mut().flat_map(Block::parameters))
            .chain(norm.parameter())
            .chain(head.as_mut().and_then(crate::weight::Weight::parameter));
        // Whole modules that are trained beside an adapter are saved with it.
        let named = plain.map(|parameter| match adapter {
            Some(_) => Parameter { name: adapter::saved_name(parameter.name), ..parameter },
            None => parameter,
        });
        named.chain(prefix.iter_mut().flat_map(PrefixAdapter::parameters)).collect()
    }

    /// Number of passes with dropout so far: part of the state that an exact resume needs.
    #[must_use]
    pub fn dropout_counter(&self) -> u64 {
        self.dropout_counter
    }

    /// Sets the number of passes with dropout so far.
    pub fn set_dropout_counter(&mut self, counter: u64) {
        self.dropout_counter = counter;
    }

    /// Computes a prefix from its layers without [`Decoder::refresh`], which would move the constants of DoRA, too.
    #[cfg(test)]
    pub(crate) fn project_prefix(&mut self) {
        self.decoder.project_prefix();
    }

    /// The decoder, to generate with (an adapter in training takes part).
    pub fn decoder(&mut self) -> &Decoder<D> {
        self.decoder.refresh();
        &self.decoder
    }

    /// The decoder back, its adapter still attached.
    #[must_use]
    pub fn into_decoder(mut self) -> Decoder<D> {
        self.decoder.refresh();
        self.decoder
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.decoder.device
    }

    /// Writes the adapter in PEFT's layout (`adapter_config.json`, `adapter_model.safetensors`).
    ///
    /// # Errors
    /// No adapter, or a folder that cannot be written.
    pub fn save_adapter(&mut self, dir: &Path, base_model_name_or_path: &str) -> Result<(), ModelError> {
        self.decoder.refresh();
        adapter::save(&self.decoder, dir, base_model_name_or_path)
    }

    /// Reads an adapter's weights over those in training, to go on from there.
    ///
    /// # Errors
    /// Files that are missing, damaged, or of an adapter of another kind or size.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<(), ModelError> {
        adapter::load_into(&mut self.decoder, dir)
    }

    /// Writes the whole model as a Hugging Face folder (config.json and model.safetensors).
    ///
    /// # Errors
    /// A folder that cannot be written, or an adapter that is not merged.
    pub fn save_full(&self, dir: &Path, dtype: WeightType) -> Result<(), ModelError> {
        self.decoder.save(dir, dtype)
    }
}

fn train_except<D: Device>(decoder: &mut Decoder<D>, patterns: &[String]) -> Result<(), ModelError> {
    let mut frozen = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let parsed = glob::Pattern::new(pattern)
            .map_err(|error| ModelError::Freeze(format!("pattern {pattern:?}: {error}")))?;
        if !decoder.tensors().any(|tensor| parsed.matches(tensor.name())) {
            let example = decoder.tensors().nth(1).map_or("", |tensor| tensor.name());
            return Err(ModelError::Freeze(format!(
                "pattern {pattern:?} fits no weight of this model; its names look like {example:?}"
            )));
        }
        frozen.push(parsed);
    }
    decoder.refuse_packed(|name| !frozen.iter().any(|pattern| pattern.matches(name)))?;
    let device = decoder.device.clone();
    let mut trained = 0;
    for tensor in decoder.tensors_mut() {
        if !frozen.iter().any(|pattern| pattern.matches(&tensor.name)) {
            tensor.train(&device);
            trained += 1;
        }
    }
    if trained == 0 {
        return Err(ModelError::Freeze(
            "the patterns together fit every weight, so nothing is left to train".to_owned(),
        ));
    }
    Ok(())
}
