//! The decoder: its weights, how a checkpoint names them, and the forward pass through all blocks.
//!
//! In: a folder or a seed; a pass's ids. Out: the residual stream after the last block. Not known: what is made of it
//! (the head's and the generator's work), how files are laid out (`weights`).

use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, View, ViewMut};

use crate::block::{Block, BlockContext, CacheRows};
use crate::cache::KeyValueCache;
use crate::linear::{Linear, Pass};
use crate::parameter::Tensor;
use crate::weights::{self, WeightFiles};
use crate::workspace::{Purpose, Workspace};
use crate::{DecoderConfig, MlpLayout, ModelError, WeightType, adapter};

/// A decoder on a device.
pub struct Decoder<D: Device> {
    pub(crate) device: D,
    pub(crate) config: DecoderConfig,
    /// `[vocabulary, hidden]`
    pub(crate) embedding: Tensor<D>,
    pub(crate) blocks: Vec<Block<D>>,
    pub(crate) norm: Tensor<D>,
    /// `[vocabulary, hidden]`; `None` where the embedding serves.
    pub(crate) head: Option<Tensor<D>>,
    /// The attached adapter's settings.
    pub(crate) adapter: Option<crate::LoraConfig>,
}

/// What a forward pass reads, on the device.
pub(crate) struct PassInputs<D: Device> {
    pub(crate) tokens: usize,
    pub(crate) ids: D::Ids,
    pub(crate) positions: D::Ids,
    pub(crate) spans: D::Spans,
    pub(crate) dropout_seed: Option<u64>,
}

impl<D: Device> Decoder<D> {
    /// Reads a model folder: config.json, model.safetensors (or its sharded index).
    ///
    /// # Errors
    /// Files that are missing, damaged or do not fit each other; settings that are not done.
    pub fn load(dir: &Path, device: D) -> Result<Self, ModelError> {
        let config = DecoderConfig::from_json(&weights::read_json(&dir.join("config.json"))?)?;
        let files = WeightFiles::open(dir)?;
        let tied = config.tie_word_embeddings;
        let decoder = Self::build(config, device, |device: &D, name: &str, shape: &[usize]| {
            Ok(device.upload(&files.tensor(name, shape)?))
        })?;
        let known: Vec<&str> = decoder.tensors().map(|tensor| tensor.name.as_str()).collect();
        files.refuse_unknown(|name| {
            known.contains(&name)
                || (tied && name == "lm_head.weight")
                || name.ends_with("rotary_emb.inv_freq")
        })?;
        Ok(decoder)
    }

    /// A new model, weights normal with `initializer_range`, norms 1, biases 0 (Hugging Face's way).
    pub fn random(config: DecoderConfig, seed: u64, device: D) -> Self {
        let rng = CounterRng::new(seed);
        let deviation = config.initializer_range;
        let mut stream = 0;
        let built: Result<Self, std::convert::Infallible> =
            Self::build(config, device, |device: &D, name: &str, shape: &[usize]| {
                let len: usize = shape.iter().product();
                stream += 1;
                let rng = rng.stream(stream);
                Ok(match shape {
                    [_] if name.ends_with(".bias") => device.zeros(len),
                    [_] => device.upload(&vec![1.0; len]),
                    _ => {
                        let values: Vec<f32> =
                            (0..len as u64).map(|i| (deviation * rng.normal(i)) as f32).collect();
                        device.upload(&values)
                    }
                })
            });
        match built {
            Ok(decoder) => decoder,
            Err(never) => match never {},
        }
    }

    /// All weights 0: what a model of this shape takes, on a device that only measures.
    pub fn zeros(config: DecoderConfig, device: D) -> Self {
        let built: Result<Self, std::convert::Infallible> =
            Self::build(config, device, |device: &D, _: &str, shape: &[usize]| {
                Ok(device.zeros(shape.iter().product()))
            });
        match built {
            Ok(decoder) => decoder,
            Err(never) => match never {},
        }
    }

    /// Asks `weight` for every tensor by its name in the checkpoint.
    fn build<E>(
        config: DecoderConfig,
        device: D,
        mut weight: impl FnMut(&D, &str, &[usize]) -> Result<D::Buffer, E>,
    ) -> Result<Self, E> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key) = (config.query_size(), config.key_value_size());
        let mut tensor = |name: String, shape: Vec<usize>| {
            let value = weight(&device, &name, &shape)?;
            Ok(Tensor { name, shape, value, grad: None })
        };
        let embedding = tensor("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden])?;
        let mut blocks = Vec::with_capacity(config.num_hidden_layers);
        for index in 0..config.num_hidden_layers {
            let mut linear = |name: &str, in_features: usize, out_features: usize, bias: bool| {
                let name = format!("model.layers.{index}.{name}");
                let weight = tensor(format!("{name}.weight"), vec![out_features, in_features])?;
                let bias = bias.then(|| tensor(format!("{name}.bias"), vec![out_features])).transpose()?;
                Ok(Linear { name, in_features, out_features, weight, bias, adapter: None })
            };
            let qkv = vec![
                linear("self_attn.q_proj", hidden, query, config.qkv_bias)?,
                linear("self_attn.k_proj", hidden, key, config.qkv_bias)?,
                linear("self_attn.v_proj", hidden, key, config.qkv_bias)?,
            ];
            let output = linear("self_attn.o_proj", query, hidden, config.output_bias)?;
            let gate_up = match config.mlp_layout {
                MlpLayout::Separate => vec![
                    linear("mlp.gate_proj", hidden, inner, config.mlp_bias)?,
                    linear("mlp.up_proj", hidden, inner, config.mlp_bias)?,
                ],
                MlpLayout::Fused => vec![linear("mlp.gate_up_proj", hidden, 2 * inner, config.mlp_bias)?],
            };
            let down = linear("mlp.down_proj", inner, hidden, config.mlp_bias)?;
            let mut norm = |name: &str| tensor(format!("model.layers.{index}.{name}.weight"), vec![hidden]);
            let (input_norm, middle_norm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
            blocks.push(Block { input_norm, qkv, output, middle_norm, gate_up, down });
        }
        let norm = tensor("model.norm.weight".to_owned(), vec![hidden])?;
        let untied = !config.tie_word_embeddings;
        let head = untied
            .then(|| tensor("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]))
            .transpose()?;
        Ok(Self { device, config, embedding, blocks, norm, head, adapter: None })
    }

    /// Writes config.json as it was given (its dtype changed) and model.safetensors.
    ///
    /// # Errors
    /// A folder that cannot be written, or an adapter that is not merged.
    pub fn save(&self, dir: &Path, dtype: WeightType) -> Result<(), ModelError> {
        if self.adapter.is_some() {
            return Err(ModelError::Adapter {
                key: "save".to_owned(),
                detail: "the model has an adapter attached; merge it first, or save the adapter alone"
                    .to_owned(),
            });
        }
        std::fs::create_dir_all(dir).map_err(ModelError::write(dir))?;
        weights::write(&dir.join("model.safetensors"), &self.device, self.tensors(), dtype)?;
        let mut json = self.config.json.clone();
        if let Some(object) = json.as_object_mut() {
            let key = if object.contains_key("dtype") { "dtype" } else { "torch_dtype" };
            object.insert(key.to_owned(), dtype.torch_name().into());
        }
        weights::write_json(&dir.join("config.json"), &json)
    }

    /// Attaches an adapter in PEFT's layout.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another model; adapter settings that are not done.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<(), ModelError> {
        adapter::load(self, dir)
    }

    /// Adds the attached adapter into the weights; what the model computes stays the same.
    pub fn merge_adapter(&mut self) {
        for linear in self.blocks.iter_mut().flat_map(Block::linears_mut) {
            linear.merge(&self.device);
        }
        self.adapter = None;
    }

    /// What it looks like.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where it lies.
    #[must_use]
    pub fn device(&self) -> &D {
        &self.device
    }

    /// All plain weights in the order of their making (adapters are not among them).
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<D>> {
        std::iter::once(&self.embedding)
            .chain(self.blocks.iter().flat_map(Block::tensors))
            .chain([&self.norm])
            .chain(self.head.as_ref())
    }

    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<D>> {
        std::iter::once(&mut self.embedding)
            .chain(self.blocks.iter_mut().flat_map(Block::tensors_mut))
            .chain([&mut self.norm])
            .chain(self.head.as_mut())
    }

    /// Rank of the attached adapter, 0 without one.
    pub(crate) fn rank(&self) -> usize {
        self.adapter.as_ref().map_or(0, |adapter| adapter.r)
    }

    /// Buffers for generation and scoring.
    pub(crate) fn inference_workspace(&self) -> Workspace<D> {
        Workspace::new(&self.device, &self.config, Purpose::Inference { rank: self.rank() })
    }

    pub(crate) fn context<'a>(
        &'a self,
        inputs: &'a PassInputs<D>,
        rope: &'a crate::rope::RopeTable<D>,
    ) -> BlockContext<'a, D> {
        let pass = Pass { device: &self.device, tokens: inputs.tokens, dropout_seed: inputs.dropout_seed };
        BlockContext { pass, config: &self.config, spans: &inputs.spans, positions: &inputs.positions, rope }
    }

    /// Runs all blocks; the result lies in `workspace.hidden` at the returned index.
    pub(crate) fn forward(
        &self,
        inputs: &PassInputs<D>,
        workspace: &mut Workspace<D>,
        mut cache: Option<(&mut KeyValueCache<D>, &D::Ids)>,
    ) -> usize {
        let config = &self.config;
        let Workspace { hidden, blocks, scratch, rope, .. } = workspace;
        let context = self.context(inputs, rope);
        let table = View::new(&self.embedding.value, Matrix::dense(config.vocab_size, config.hidden_size));
        let stream = Matrix::dense(inputs.tokens, config.hidden_size);
        self.device.gather_rows(table, &inputs.ids, ViewMut::new(&mut hidden[0], stream));
        let (streams, kept) = (hidden.len(), blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let (from, to) = (index % streams, (index + 1) % streams);
            let (input, output) = two(hidden, from, to);
            let cache = cache.as_mut().map(|(cache, rows)| {
                let (capacity, rows): (usize, &D::Ids) = (cache.capacity, rows);
                let (keys, values) = &mut cache.blocks[index];
                CacheRows { keys, values, capacity, rows }
            });
            block.forward(&context, input, &mut blocks[index % kept], scratch, cache, output);
        }
        self.blocks.len() % streams
    }
}

/// Two elements of a slice, the first to read and the second to write.
fn two<T>(items: &mut [T], read: usize, write: usize) -> (&T, &mut T) {
    debug_assert_ne!(read, write);
    if read < write {
        let (left, right) = items.split_at_mut(write);
        (&left[read], &mut right[0])
    } else {
        let (left, right) = items.split_at_mut(read);
        (&right[0], &mut left[write])
    }
}
