//! The decoder: its weights, how a checkpoint names them, and the forward pass through all blocks.
//!
//! In: a folder or a seed; a pass's ids. Out: the residual stream after the last block. Not known: what is made of it
//! (the head's and the generator's work), how files are laid out (`weights`).

use std::path::Path;

use toolsmith_kernels::{CounterRng, Device, Matrix, ViewMut};

use crate::block::{Block, BlockContext, CacheRows};
use crate::cache::KeyValueCache;
use crate::checkpoint::{Checkpoint, open_gguf};
use crate::linear::{Linear, Pass};
use crate::names::{Names, Part};
use crate::parameter::Tensor;
use crate::prefix_tuning::PrefixAdapter;
use crate::weight::{Loaded, Quantization, Use, Weight, WeightRef};
use crate::weights;
use crate::workspace::{AdapterShape, Purpose, Workspace, WorkspaceShape};
use crate::{AdapterConfig, DecoderConfig, ModelError, Projections, WeightType, adapter};

/// A decoder on a device.
pub struct Decoder<D: Device> {
    pub(crate) device: D,
    pub(crate) config: DecoderConfig,
    /// `[vocabulary, hidden]`
    pub(crate) embedding: Weight<D>,
    pub(crate) blocks: Vec<Block<D>>,
    pub(crate) norm: Tensor<D>,
    /// `[vocabulary, hidden]`; `None` where the embedding serves.
    pub(crate) head: Option<Weight<D>>,
    /// The attached adapter's settings.
    pub(crate) adapter: Option<AdapterConfig>,
    /// Keys and values before all tokens, where the adapter is a prefix.
    pub(crate) prefix: Option<PrefixAdapter<D>>,
    /// Whether weights may have changed since [`Decoder::refresh`].
    pub(crate) stale: bool,
}

/// Where the weights of a new decoder come from.
struct Source<'a, D, F> {
    device: &'a D,
    weight: F,
}

impl<D: Device, E, F: FnMut(Use, &str, &[usize]) -> Result<Loaded, E>> Source<'_, D, F> {
    fn matrix(&mut self, use_of: Use, name: String, shape: [usize; 2]) -> Result<Weight<D>, E> {
        let loaded = (self.weight)(use_of, &name, &shape)?;
        Ok(Weight::new(self.device, name, shape, loaded))
    }

    fn vector(&mut self, name: String, len: usize) -> Result<Tensor<D>, E> {
        let values = (self.weight)(Use::Vector, &name, &[len])?.unpacked();
        Ok(Tensor { name, shape: vec![len], value: self.device.upload(&values), grad: None })
    }
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
    /// Reads a model: a folder with config.json and model.safetensors (or its sharded index), a GGUF file, or a folder
    /// with one GGUF file and no other weights. Weights that a GGUF file has in blocks stay packed.
    ///
    /// # Errors
    /// Files that are missing, damaged or do not fit each other; settings that are not done.
    pub fn load(path: &Path, device: D) -> Result<Self, ModelError> {
        Self::load_quantized(path, Quantization::None, device)
    }

    /// As [`Decoder::load`], the linear layers of the blocks packed on the way: the plain model never lies in memory
    /// as a whole.
    ///
    /// # Errors
    /// As [`Decoder::load`]; also weights that are packed already.
    pub fn load_quantized(path: &Path, quantization: Quantization, device: D) -> Result<Self, ModelError> {
        let (config, checkpoint) = Checkpoint::open(path)?;
        let unused_head = config.tie_word_embeddings.then(|| Names::of(config.family).head());
        let decoder = Self::build(config, device, |use_of, name: &str, shape: &[usize]| {
            quantization.apply(use_of, name, shape, checkpoint.tensor(name, shape)?)
        })?;
        checkpoint.refuse_unknown(&decoder.names(), unused_head.as_deref())?;
        Ok(decoder)
    }

    /// All weights 0, each kept as [`Decoder::load_quantized`] would keep it: what the model at `path` takes, on a device
    /// that only measures. Of a folder config.json alone is read, of a GGUF file the header.
    ///
    /// # Errors
    /// As [`Decoder::load_quantized`], as far as what is read can tell.
    pub fn measured(path: &Path, quantization: Quantization, device: D) -> Result<Self, ModelError> {
        let Some((config, file)) = open_gguf(path)? else {
            return Self::zeros(DecoderConfig::of_folder(path)?, quantization, device);
        };
        let decoder = Self::build(config, device, |use_of, name: &str, shape: &[usize]| {
            quantization.apply(use_of, name, shape, file.zeros(name, shape)?)
        })?;
        file.refuse_unknown(&decoder.names())?;
        Ok(decoder)
    }

    /// A new model, weights normal with `initializer_range`, norms 1, biases 0 (Hugging Face's way).
    pub fn random(config: DecoderConfig, seed: u64, device: D) -> Self {
        let rng = CounterRng::new(seed);
        let deviation = config.initializer_range;
        let mut stream = 0;
        let built: Result<Self, std::convert::Infallible> =
            Self::build(config, device, |_, name: &str, shape: &[usize]| {
                let len: usize = shape.iter().product();
                stream += 1;
                let rng = rng.stream(stream);
                Ok(Loaded::Plain(match shape {
                    [_] if name.ends_with(".bias") => vec![0.0; len],
                    [_] => vec![1.0; len],
                    _ => (0..len as u64).map(|i| (deviation * rng.normal(i)) as f32).collect(),
                }))
            });
        match built {
            Ok(decoder) => decoder,
            Err(never) => match never {},
        }
    }

    /// All weights 0: what a model of this shape takes, on a device that only measures.
    ///
    /// # Errors
    /// Layers that cannot be packed so.
    pub fn zeros(config: DecoderConfig, quantization: Quantization, device: D) -> Result<Self, ModelError> {
        Self::build(config, device, |use_of, name: &str, shape: &[usize]| {
            quantization.apply(use_of, name, shape, Loaded::Zeros(shape.iter().product()))
        })
    }

    /// Asks `weight` for every tensor by its name in the checkpoint.
    fn build<E>(
        config: DecoderConfig,
        device: D,
        weight: impl FnMut(Use, &str, &[usize]) -> Result<Loaded, E>,
    ) -> Result<Self, E> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key) = (config.query_size(), config.key_value_size());
        let names = Names::of(config.family);
        let mut source = Source { device: &device, weight };
        let vocabulary = [config.vocab_size, hidden];
        let embedding = source.matrix(Use::Vocabulary, names.embedding(), vocabulary)?;
        // A damaged number of blocks ends at the first that is missing, not here.
        let mut blocks = Vec::new();
        for index in 0..config.num_hidden_layers {
            let mut linear = |part: Part, in_features: usize, out_features: usize, bias: bool| {
                let name = names.in_block(index, part);
                let shape = [out_features, in_features];
                let weight = source.matrix(Use::Linear, format!("{name}.weight"), shape)?;
                let bias = bias.then(|| source.vector(format!("{name}.bias"), out_features)).transpose()?;
                Ok(Linear { name, in_features, out_features, weight, bias, adapter: None })
            };
            let qkv = match config.qkv_projections {
                Projections::Separate => vec![
                    linear(Part::Query, hidden, query, config.qkv_bias)?,
                    linear(Part::Key, hidden, key, config.qkv_bias)?,
                    linear(Part::Value, hidden, key, config.qkv_bias)?,
                ],
                Projections::Fused => {
                    vec![linear(Part::QueryKeyValue, hidden, config.qkv_size(), config.qkv_bias)?]
                }
            };
            let output = linear(Part::Output, query, hidden, config.output_bias)?;
            let gate_up = match config.gate_up_projections {
                Projections::Separate => vec![
                    linear(Part::Gate, hidden, inner, config.mlp_bias)?,
                    linear(Part::Up, hidden, inner, config.mlp_bias)?,
                ],
                Projections::Fused => vec![linear(Part::GateUp, hidden, 2 * inner, config.mlp_bias)?],
            };
            let down = linear(Part::Down, inner, hidden, config.mlp_bias)?;
            let mut norm = |part: Part, width: usize| {
                source.vector(format!("{}.weight", names.in_block(index, part)), width)
            };
            let input_norm = norm(Part::InputNorm, hidden)?;
            let middle_norm = norm(Part::MiddleNorm, hidden)?;
            let mut both = |wanted: bool, first: Part, second: Part, width: usize| {
                wanted.then(|| Ok([norm(first, width)?, norm(second, width)?])).transpose()
            };
            let head_norms = both(config.qk_norm, Part::QueryNorm, Part::KeyNorm, config.head_dim)?;
            let sandwich_norms =
                both(config.sandwich_norms, Part::AttentionOutputNorm, Part::MlpOutputNorm, hidden)?;
            blocks.push(Block {
                index,
                input_norm,
                qkv,
                head_norms,
                output,
                middle_norm,
                gate_up,
                down,
                sandwich_norms,
            });
        }
        let norm = source.vector(names.norm(), hidden)?;
        let untied = !config.tie_word_embeddings;
        let head = untied.then(|| source.matrix(Use::Vocabulary, names.head(), vocabulary)).transpose()?;
        Ok(Self { device, config, embedding, blocks, norm, head, adapter: None, prefix: None, stale: false })
    }

    /// Writes config.json as it was given (its dtype changed) and model.safetensors; packed weights are written as the
    /// plain numbers they stand for.
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
        let tensors = self.tensors().map(|tensor| (tensor.name().to_owned(), tensor));
        weights::write(&dir.join("model.safetensors"), &self.device, tensors, dtype)?;
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

    /// Adds the attached adapter into the weights; what the model computes stays the same. Packed weights that the
    /// adapter changes become plain f32: packing the sum again would lose part of what was learned.
    ///
    /// # Errors
    /// A prefix, which no weight can hold.
    pub fn merge_adapter(&mut self) -> Result<(), ModelError> {
        if self.prefix.is_some() {
            return Err(ModelError::Adapter {
                key: "peft_type".to_owned(),
                detail: "a prefix (P-Tuning v2) adds keys and values, which no weight can hold; serve it as an adapter"
                    .to_owned(),
            });
        }
        for linear in self.blocks.iter_mut().flat_map(Block::linears_mut) {
            linear.merge(&self.device);
        }
        self.adapter = None;
        Ok(())
    }

    /// The attached adapter's settings.
    #[must_use]
    pub fn adapter(&self) -> Option<&AdapterConfig> {
        self.adapter.as_ref()
    }

    /// The names of the linear layers that an adapter can stand beside, without `.weight`.
    pub fn linear_layers(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().flat_map(Block::linears).map(|linear| linear.name.as_str())
    }

    /// Whether any of its weights stay packed.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.tensors().any(|tensor| matches!(tensor, WeightRef::Packed(_)))
    }

    /// A number that changes with the model's shape and (nearly always) with its weights: FNV-1a over every tensor's name
    /// and first numbers.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for tensor in self.tensors() {
            add(tensor.name().as_bytes());
            let last = tensor.shape().last().copied().unwrap_or(0);
            let mut first = vec![0.0; last];
            match &tensor {
                WeightRef::Plain(plain) => self.device.read(&plain.value, 0, &mut first),
                WeightRef::Packed(packed) => self.device.read_packed(&packed.value, 0, &mut first),
            }
            first.iter().for_each(|number| add(&number.to_le_bytes()));
        }
        hash
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

    /// Fails if any weight that is `trained` by its name is packed: blocks take no small steps.
    pub(crate) fn refuse_packed(&self, trained: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        let packed = self.tensors().find_map(|tensor| match tensor {
            WeightRef::Packed(packed) if trained(&packed.name) => Some(ModelError::Quantization {
                name: packed.name.clone(),
                detail: format!(
                    "found {} blocks, which cannot be trained themselves; train an adapter (LoRA), or load the plain model",
                    packed.format.name()
                ),
            }),
            _ => None,
        });
        packed.map_or(Ok(()), Err)
    }

    /// All weights in the order of their making (adapters are not among them).
    pub(crate) fn tensors(&self) -> impl Iterator<Item = WeightRef<'_, D>> {
        std::iter::once(self.embedding.as_ref())
            .chain(self.blocks.iter().flat_map(Block::tensors))
            .chain([self.norm.as_ref()])
            .chain(self.head.as_ref().map(Weight::as_ref))
    }

    fn names(&self) -> Vec<&str> {
        self.tensors().map(|tensor| tensor.name()).collect()
    }

    /// All matrices of weights.
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut Weight<D>> {
        let linears = self.blocks.iter_mut().flat_map(Block::linears_mut);
        std::iter::once(&mut self.embedding)
            .chain(linears.map(|linear| &mut linear.weight))
            .chain(&mut self.head)
    }

    /// All plain weights, packed ones left out.
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor<D>> {
        let (embedding, head) = (self.embedding.plain_mut(), self.head.as_mut().and_then(Weight::plain_mut));
        embedding
            .into_iter()
            .chain(self.blocks.iter_mut().flat_map(Block::tensors_mut))
            .chain([&mut self.norm])
            .chain(head)
    }

    /// Buffers for passes of this kind.
    pub(crate) fn workspace(&self, purpose: Purpose) -> Workspace<D> {
        let mut adapters: Vec<AdapterShape> = Vec::new();
        for block in &self.blocks {
            adapters.resize(block.linears().count(), AdapterShape::default());
            for (shape, linear) in adapters.iter_mut().zip(block.linears()) {
                let found = linear.adapter_shape();
                shape.rank = shape.rank.max(found.rank);
                shape.scaled = shape.scaled.max(found.scaled);
            }
        }
        let shape = WorkspaceShape { purpose, adapters, prefix: self.prefix_rows() };
        Workspace::new(&self.device, &self.config, shape)
    }

    /// Brings what is computed from trained weights up to date with them, if they may have changed.
    pub(crate) fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let device = self.device.clone();
        self.blocks.iter_mut().flat_map(Block::linears_mut).for_each(|linear| linear.refresh(&device));
        self.project_prefix();
    }

    /// Computes a prefix's keys and values from what is trained.
    pub(crate) fn project_prefix(&mut self) {
        if let Some(prefix) = &mut self.prefix {
            prefix.project(&self.device);
        }
    }

    /// The head's name, whether or not it has its own weights.
    pub(crate) fn head_name(&self) -> String {
        Names::of(self.config.family).head()
    }

    /// Gives the head its own copy of weights that it shared with the embedding.
    pub(crate) fn untie(&mut self) {
        if self.head.is_some() {
            return;
        }
        let (shape, value) =
            (self.embedding.as_ref().shape().to_vec(), self.embedding.copy_plain(&self.device));
        self.head = Some(Weight::Plain(Tensor { name: self.head_name(), shape, value, grad: None }));
        self.config.tie_word_embeddings = false;
        if let Some(json) = self.config.json.as_object_mut() {
            json.insert("tie_word_embeddings".to_owned(), false.into());
        }
    }

    /// Rows of the attached prefix, 0 without one.
    pub(crate) fn prefix_rows(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.config.num_virtual_tokens)
    }

    /// Position of a sample's first token: 0, or the length of an attached prefix that takes positions itself
    /// ([`crate::PrefixPositions::AfterPrefix`]).
    #[must_use]
    pub fn first_position(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.config.first_position())
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
        // A cache holds the prefix already.
        let prefix = self.prefix.as_ref().filter(|_| cache.is_none());
        let context = BlockContext {
            pass: Pass { device: &self.device, tokens: inputs.tokens, dropout_seed: inputs.dropout_seed },
            config,
            spans: &inputs.spans,
            positions: &inputs.positions,
            rope,
            prefix: prefix.map(PrefixAdapter::keys),
        };
        let stream = Matrix::dense(inputs.tokens, config.hidden_size);
        self.embedding.gather(&self.device, &inputs.ids, ViewMut::new(&mut hidden[0], stream));
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
pub(crate) fn two<T>(items: &mut [T], read: usize, write: usize) -> (&T, &mut T) {
    debug_assert_ne!(read, write);
    if read < write {
        let (left, right) = items.split_at_mut(write);
        (&left[read], &mut right[0])
    } else {
        let (left, right) = items.split_at_mut(read);
        (&right[0], &mut left[write])
    }
}
