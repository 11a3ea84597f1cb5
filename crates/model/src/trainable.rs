//! A decoder in training: which weights have gradients, and the pass that fills them.
//!
//! In: batches and token weights. Out: log-probabilities, gradients added up in the parameters. Not known: the
//! optimizer, the schedule, what the weights of the tokens mean.

use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, View, ViewMut};

use crate::block::Block;
use crate::decoder::PassInputs;
use crate::head::{Head, HeadTargets};
use crate::workspace::{Purpose, Workspace};
use crate::{Decoder, LoraConfig, ModelError, Parameter, TokenBatch, TokenWeights, WeightType, adapter};

/// Highest position that a batch may name: beyond it no model was made, and the table of angles would fill the memory.
const POSITIONS: u32 = 1 << 24;

/// Which weights are trained.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainMethod {
    /// All of them.
    Full,
    /// A new LoRA adapter; everything else stays frozen.
    Lora(LoraConfig),
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
    /// A LoRA setting that makes no sense or meets no layer, or a decoder that has an adapter already.
    pub fn new(mut decoder: Decoder<D>, method: TrainMethod, seed: u64) -> Result<Self, ModelError> {
        if decoder.adapter.is_some() {
            return Err(ModelError::Adapter {
                key: "model".to_owned(),
                detail: "an adapter is attached already; merge it first, or start from the plain model and load_adapter".to_owned(),
            });
        }
        let rng = CounterRng::new(seed);
        match method {
            TrainMethod::Full => {
                let device = decoder.device.clone();
                decoder.tensors_mut().for_each(|tensor| tensor.train(&device));
            }
            TrainMethod::Lora(config) => adapter::attach_new(&mut decoder, config, rng.stream(0))?,
        }
        let purpose = Purpose::Training { rank: decoder.rank() };
        let workspace = Workspace::new(&decoder.device, &decoder.config, purpose);
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
        let last = self.decoder.forward(&inputs, &mut self.workspace, None);
        let Self { decoder, workspace, .. } = self;
        let Workspace { hidden, blocks, scratch, head: buffers, d_hidden, rope, .. } = workspace;
        let Decoder { device, config, embedding, blocks: layers, norm, head, .. } = decoder;
        let pass = crate::linear::Pass { device, tokens: inputs.tokens, dropout_seed: inputs.dropout_seed };

        let matrix = head.as_mut().unwrap_or(&mut *embedding);
        let mut head = Head { config, norm, matrix };
        let logprobs = head.forward_backward(&pass, &hidden[last], targets, weights, buffers, d_hidden)?;

        let into_embedding = embedding.grad.is_some();
        let lowest = if into_embedding { Some(0) } else { layers.iter_mut().position(Block::is_trained) };
        let (spans, positions) = (&inputs.spans, &inputs.positions);
        let context = crate::block::BlockContext { pass, config, spans, positions, rope };
        for index in (lowest.unwrap_or(layers.len())..layers.len()).rev() {
            let to_input = into_embedding || Some(index) > lowest;
            let kept = &mut blocks[index];
            layers[index].backward(&context, &hidden[index], kept, scratch, d_hidden, to_input);
        }
        if let Some(grad) = &mut embedding.grad {
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
            let sorted = self.logprobs_here(batch, &targets, None);
            targets.in_order(&self.decoder.device, &sorted)
        }))
    }

    /// Log-probabilities on the device, sorted by row.
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
        self.workspace.fit(device, config, batch.input_ids.len(), targets.rows(), last as usize + 1);
        Ok(targets)
    }

    fn inputs(&self, batch: &TokenBatch, dropout_seed: Option<u64>) -> PassInputs<D> {
        let device = &self.decoder.device;
        PassInputs {
            tokens: batch.input_ids.len(),
            ids: device.upload_ids(&batch.input_ids),
            positions: device.upload_ids(&batch.position_ids),
            spans: device.upload_spans(&batch.tree.spans()),
            dropout_seed,
        }
    }

    /// Forgets the gradients.
    pub fn zero_grads(&mut self) {
        let device = self.decoder.device.clone();
        for Parameter { grad, .. } in self.parameters_mut() {
            let len = device.len(grad);
            device.fill(grad, 0, len, 0.0);
        }
    }

    /// The trained tensors, always in the same order.
    pub fn parameters_mut(&mut self) -> Vec<Parameter<'_, D>> {
        let Decoder { embedding, blocks, norm, head, .. } = &mut self.decoder;
        embedding
            .parameter()
            .into_iter()
            .chain(blocks.iter_mut().flat_map(Block::parameters))
            .chain(norm.parameter())
            .chain(head.as_mut().and_then(crate::parameter::Tensor::parameter))
            .collect()
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

    /// The decoder, to generate with (an adapter in training takes part).
    #[must_use]
    pub fn decoder(&self) -> &Decoder<D> {
        &self.decoder
    }

    /// The decoder back, its adapter still attached.
    #[must_use]
    pub fn into_decoder(self) -> Decoder<D> {
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
    pub fn save_adapter(&self, dir: &Path, base_model_name_or_path: &str) -> Result<(), ModelError> {
        adapter::save(&self.decoder, dir, base_model_name_or_path)
    }

    /// Reads an adapter's weights over those in training (same rank and layers).
    ///
    /// # Errors
    /// Files that are missing, damaged, or of another adapter.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<(), ModelError> {
        adapter::load_into(&mut self.decoder, dir)
    }

    /// Writes the whole model as a Hugging Face folder (config.json and model.safetensors, f32).
    ///
    /// # Errors
    /// A folder that cannot be written, or an adapter that is not merged.
    pub fn save_full(&self, dir: &Path) -> Result<(), ModelError> {
        self.decoder.save(dir, WeightType::F32)
    }
}
