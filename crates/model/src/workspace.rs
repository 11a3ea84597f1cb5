//! The buffers of a pass, allocated once and reused by every pass that fits.
//!
//! In: the most tokens and head rows of a pass. Out: buffers at least that large; their contents belong to the pass
//! that runs. Not known: what is computed in them.

use toolsmith_kernels::Device;

use crate::DecoderConfig;
use crate::linear::{AdapterActivations, LoraScratch};
use crate::rope::RopeTable;

/// Logits that exist at a time (a chunk of head rows times the vocabulary), in elements: few enough for the cache.
const LOGITS: usize = 1 << 22;

/// Head rows that run together at least: with fewer, a large head's weights are read for too little work.
const HEAD_ROWS: usize = 512;

/// What one block keeps from its forward to its backward pass.
pub(crate) struct BlockActivations<D: Device> {
    /// `[tokens]`
    pub(crate) input_inverse_rms: D::Buffer,
    /// Queries, keys (both rotated) and values; then the prefix's keys and values: `[tokens + prefix, qkv]`
    pub(crate) qkv: D::Buffer,
    /// Where heads are normalised.
    pub(crate) head_norms: Option<HeadNormActivations<D>>,
    /// `[tokens, heads * head_dim]`
    pub(crate) attention: D::Buffer,
    /// `[tokens, heads]`
    pub(crate) log_sum_exp: D::Buffer,
    /// The residual stream between attention and MLP: `[tokens, hidden]`
    pub(crate) middle: D::Buffer,
    /// `[tokens]`
    pub(crate) middle_inverse_rms: D::Buffer,
    /// `[tokens, 2 * intermediate]`
    pub(crate) gate_up: D::Buffer,
    /// Of each linear layer's adapter; empty without one.
    pub(crate) adapters: Vec<AdapterActivations<D>>,
    /// What attention and MLP gave, where that is normalised.
    pub(crate) sandwich: Option<[NormedOutput<D>; 2]>,
}

/// What the norms of queries and keys keep.
pub(crate) struct HeadNormActivations<D: Device> {
    /// Queries and keys as the layers gave them: `[tokens, query + key]`
    pub(crate) projected: D::Buffer,
    /// Of queries and of keys: `[tokens, heads]` each
    pub(crate) inverse_rms: [D::Buffer; 2],
}

/// What a norm of a layer's output keeps.
pub(crate) struct NormedOutput<D: Device> {
    /// `[tokens, hidden]`
    pub(crate) value: D::Buffer,
    /// `[tokens]`
    pub(crate) inverse_rms: D::Buffer,
}

/// What blocks work in and forget.
pub(crate) struct Scratch<D: Device> {
    pub(crate) sides: SideScratch<D>,
    /// `[tokens, intermediate]`
    pub(crate) inner: D::Buffer,
    /// `[tokens, intermediate]`
    pub(crate) d_inner: D::Buffer,
    /// `[tokens, heads * head_dim]`
    pub(crate) d_attention: D::Buffer,
    /// `[tokens + prefix, qkv]`
    pub(crate) d_qkv: D::Buffer,
    /// Where heads are normalised: `[tokens, query + key]`
    pub(crate) d_projected: D::Buffer,
    /// Where outputs are normalised: `[tokens, hidden]`
    pub(crate) d_output: D::Buffer,
}

/// What layers that share a normalised input work in.
pub(crate) struct SideScratch<D: Device> {
    /// `[tokens, hidden]`
    pub(crate) normed: D::Buffer,
    /// `[tokens, hidden]`
    pub(crate) d_normed: D::Buffer,
    pub(crate) lora: LoraScratch<D>,
}

/// Buffers of the head, `rows` being the supervised ones.
pub(crate) struct HeadBuffers<D: Device> {
    /// `[rows, hidden]`
    pub(crate) chosen: D::Buffer,
    /// `[rows, hidden]`
    pub(crate) normed: D::Buffer,
    /// `[rows]`
    pub(crate) inverse_rms: D::Buffer,
    /// `[chunk, vocabulary]`
    pub(crate) logits: D::Buffer,
    /// `[rows]`
    pub(crate) log_sum_exp: D::Buffer,
    /// `[rows, hidden]`
    pub(crate) d_normed: D::Buffer,
    /// `[rows, hidden]`
    pub(crate) d_chosen: D::Buffer,
    /// Rows of a chunk.
    pub(crate) chunk: usize,
}

/// All buffers of a pass.
pub(crate) struct Workspace<D: Device> {
    /// The residual stream before each block and after the last: `[tokens, hidden]` each.
    pub(crate) hidden: Vec<D::Buffer>,
    pub(crate) blocks: Vec<BlockActivations<D>>,
    pub(crate) scratch: Scratch<D>,
    pub(crate) head: HeadBuffers<D>,
    /// Gradient of the residual stream: `[tokens, hidden]`
    pub(crate) d_hidden: D::Buffer,
    pub(crate) rope: RopeTable<D>,
    shape: WorkspaceShape,
    tokens: usize,
    rows: usize,
}

/// What a workspace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward and backward: every block keeps its own activations.
    Training,
    /// Forward and backward: blocks keep their input alone and run again before their backward pass.
    Recomputing,
    /// Forward alone: blocks take turns in the same buffers.
    Inference,
}

/// What decides the sizes of a workspace besides the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceShape {
    pub(crate) purpose: Purpose,
    /// The adapter of each linear layer of a block.
    pub(crate) adapters: Vec<AdapterShape>,
    /// Rows of a trained prefix, 0 for none.
    pub(crate) prefix: usize,
}

/// What the adapter of a layer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AdapterShape {
    /// 0 for none.
    pub(crate) rank: usize,
    /// Columns of the output before it is scaled, 0 where it is not.
    pub(crate) scaled: usize,
}

impl<D: Device> Workspace<D> {
    pub(crate) fn new(device: &D, config: &DecoderConfig, shape: WorkspaceShape) -> Self {
        let mut workspace = Self::allocate(device, config, shape, RopeTable::new(device), 0);
        workspace.fit_head(device, config, 0);
        workspace
    }

    /// Grows the buffers where a pass of `tokens` tokens and `rows` supervised rows needs more.
    pub(crate) fn fit(
        &mut self,
        device: &D,
        config: &DecoderConfig,
        tokens: usize,
        rows: usize,
        positions: usize,
    ) {
        if tokens > self.tokens {
            let rope = std::mem::replace(&mut self.rope, RopeTable::new(device));
            let head = std::mem::replace(&mut self.head, empty_head(device));
            // The old buffers go before the new ones come.
            let had = self.rows;
            let shape = self.shape.clone();
            *self = Self::allocate(device, config, shape.clone(), RopeTable::new(device), 0);
            *self = Self::allocate(device, config, shape, rope, tokens);
            (self.head, self.rows) = (head, had);
        }
        if rows > self.rows {
            self.fit_head(device, config, rows);
        }
        self.rope.reach(device, config, positions);
    }

    fn allocate(
        device: &D,
        config: &DecoderConfig,
        shape: WorkspaceShape,
        rope: RopeTable<D>,
        tokens: usize,
    ) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key, qkv) = (config.query_size(), config.key_value_size(), config.qkv_size());
        let layers = config.num_hidden_layers;
        let (blocks, streams, backward) = match shape.purpose {
            Purpose::Training => (layers, layers + 1, 1),
            Purpose::Recomputing => (1, layers + 1, 1),
            Purpose::Inference => (1, 2, 0),
        };
        let rank = shape.adapters.iter().map(|adapter| adapter.rank).max().unwrap_or(0);
        let scaled = shape.adapters.iter().map(|adapter| adapter.scaled).max().unwrap_or(0);
        let matrix = |cols: usize| device.zeros(tokens * cols);
        let keyed = |cols: usize| device.zeros(if tokens == 0 { 0 } else { (tokens + shape.prefix) * cols });
        let normed = || NormedOutput { value: matrix(hidden), inverse_rms: matrix(1) };
        let widest = hidden.max(query).max(inner);
        Self {
            hidden: (0..streams).map(|_| matrix(hidden)).collect(),
            blocks: (0..blocks)
                .map(|_| BlockActivations {
                    input_inverse_rms: matrix(1),
                    qkv: keyed(qkv),
                    head_norms: config.qk_norm.then(|| HeadNormActivations {
                        projected: matrix(query + key),
                        inverse_rms: [config.num_attention_heads, config.num_key_value_heads].map(matrix),
                    }),
                    attention: matrix(query),
                    log_sum_exp: matrix(config.num_attention_heads),
                    middle: matrix(hidden),
                    middle_inverse_rms: matrix(1),
                    gate_up: matrix(2 * inner),
                    adapters: shape
                        .adapters
                        .iter()
                        .map(|adapter| AdapterActivations {
                            low: matrix(adapter.rank),
                            unscaled: matrix(adapter.scaled),
                        })
                        .collect(),
                    sandwich: config.sandwich_norms.then(|| [normed(), normed()]),
                })
                .collect(),
            scratch: Scratch {
                sides: SideScratch {
                    normed: matrix(hidden),
                    d_normed: matrix(backward * hidden),
                    lora: LoraScratch {
                        wide: matrix(if rank > 0 { widest } else { 0 }),
                        narrow: matrix(rank),
                        scaled: matrix(backward * scaled),
                    },
                },
                inner: matrix(inner),
                d_inner: matrix(backward * inner),
                d_attention: matrix(backward * query),
                d_qkv: keyed(backward * qkv),
                d_projected: matrix(if config.qk_norm { backward * (query + key) } else { 0 }),
                d_output: matrix(if config.sandwich_norms { backward * hidden } else { 0 }),
            },
            head: empty_head(device),
            d_hidden: matrix(backward * hidden),
            rope,
            shape,
            tokens,
            rows: 0,
        }
    }

    fn fit_head(&mut self, device: &D, config: &DecoderConfig, rows: usize) {
        let hidden = config.hidden_size;
        let chunk = (LOGITS / config.vocab_size).max(HEAD_ROWS).min(rows.max(1));
        let matrix = |cols: usize| device.zeros(rows * cols);
        self.head = empty_head(device);
        self.head = HeadBuffers {
            chosen: matrix(hidden),
            normed: matrix(hidden),
            inverse_rms: matrix(1),
            logits: device.zeros(if rows == 0 { 0 } else { chunk * config.vocab_size }),
            log_sum_exp: matrix(1),
            d_normed: matrix(hidden),
            d_chosen: matrix(hidden),
            chunk,
        };
        self.rows = rows;
    }
}

fn empty_head<D: Device>(device: &D) -> HeadBuffers<D> {
    let none = || device.zeros(0);
    HeadBuffers {
        chosen: none(),
        normed: none(),
        inverse_rms: none(),
        logits: none(),
        log_sum_exp: none(),
        d_normed: none(),
        d_chosen: none(),
        chunk: 1,
    }
}
