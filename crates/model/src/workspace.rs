//! The buffers of a pass, allocated once and reused by every pass that fits.
//!
//! In: the most tokens and head rows of a pass. Out: buffers at least that large; their contents belong to the pass
//! that runs. Not known: what is computed in them.

use toolsmith_kernels::Device;

use crate::DecoderConfig;
use crate::linear::LoraScratch;
use crate::rope::RopeTable;

/// Logits that exist at a time (a chunk of head rows times the vocabulary), in elements: few enough for the cache.
const LOGITS: usize = 1 << 22;

/// Head rows that run together at least: with fewer, a large head's weights are read for too little work.
const HEAD_ROWS: usize = 512;

/// What one block keeps from its forward to its backward pass.
pub(crate) struct BlockActivations<D: Device> {
    /// `[tokens]`
    pub(crate) input_inverse_rms: D::Buffer,
    /// Queries, keys (both rotated) and values: `[tokens, qkv]`
    pub(crate) qkv: D::Buffer,
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
    /// Each linear layer's `dropout(x) · Aᵀ`: `[tokens, r]`, empty without adapters.
    pub(crate) low: Vec<D::Buffer>,
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
    /// `[tokens, qkv]`
    pub(crate) d_qkv: D::Buffer,
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
    purpose: Purpose,
    tokens: usize,
    rows: usize,
}

/// What a workspace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward and backward: every block keeps its own activations.
    Training {
        /// Largest rank of an adapter, 0 for none.
        rank: usize,
    },
    /// Forward alone: blocks take turns in the same buffers.
    Inference {
        /// Largest rank of an adapter, 0 for none.
        rank: usize,
    },
}

impl<D: Device> Workspace<D> {
    pub(crate) fn new(device: &D, config: &DecoderConfig, purpose: Purpose) -> Self {
        let mut workspace = Self::allocate(device, config, purpose, RopeTable::new(device), 0);
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
            *self = Self::allocate(device, config, self.purpose, RopeTable::new(device), 0);
            *self = Self::allocate(device, config, self.purpose, rope, tokens);
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
        purpose: Purpose,
        rope: RopeTable<D>,
        tokens: usize,
    ) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, qkv) = (config.query_size(), config.qkv_size());
        let (blocks, streams, rank, backward) = match purpose {
            Purpose::Training { rank } => (config.num_hidden_layers, config.num_hidden_layers + 1, rank, 1),
            Purpose::Inference { rank } => (1, 2, rank, 0),
        };
        let matrix = |cols: usize| device.zeros(tokens * cols);
        let linears = 7;
        let widest = hidden.max(query).max(inner);
        Self {
            hidden: (0..streams).map(|_| matrix(hidden)).collect(),
            blocks: (0..blocks)
                .map(|_| BlockActivations {
                    input_inverse_rms: matrix(1),
                    qkv: matrix(qkv),
                    attention: matrix(query),
                    log_sum_exp: matrix(config.num_attention_heads),
                    middle: matrix(hidden),
                    middle_inverse_rms: matrix(1),
                    gate_up: matrix(2 * inner),
                    low: (0..linears).map(|_| matrix(rank)).collect(),
                })
                .collect(),
            scratch: Scratch {
                sides: SideScratch {
                    normed: matrix(hidden),
                    d_normed: matrix(backward * hidden),
                    lora: LoraScratch {
                        wide: matrix(if rank > 0 { widest } else { 0 }),
                        narrow: matrix(rank),
                    },
                },
                inner: matrix(inner),
                d_inner: matrix(backward * inner),
                d_attention: matrix(backward * query),
                d_qkv: matrix(backward * qkv),
            },
            head: empty_head(device),
            d_hidden: matrix(backward * hidden),
            rope,
            purpose,
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
