//! Generation with a key-value cache: all prompts advance together, finished ones drop out.
//!
//! In: a decoder, prompts, options. Out: new ids, each announced as it is chosen. Not known: text, templates.

use toolsmith_kernels::{CounterRng, Device, Matrix, QuerySpan, Transpose, View, ViewMut};

use crate::cache::{KeyValueCache, OwnRows, push_range, push_row};
use crate::decoder::PassInputs;
use crate::prefix::{PrefixNode, prefix_tree};
use crate::prefix_tuning::PrefixAdapter;
use crate::sampling::choose;
use crate::workspace::{Purpose, Workspace};
use crate::{Decoder, ModelError};

/// Most prompt tokens that run at a time: enough to fill the products, little enough to keep the buffers small.
const PREFILL_TOKENS: usize = 1024;

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// Most tokens to write per prompt.
    pub max_new_tokens: usize,
    /// Ids that end a generation; the stop id is the last of the returned ids.
    pub stop_ids: Vec<u32>,
    /// 0 chooses the likeliest token (greedy); above, logits are divided by it.
    pub temperature: f32,
    /// Keep the likeliest tokens that together reach this probability (1 keeps all).
    pub top_p: f32,
    /// Keep this many likeliest tokens (0 keeps all).
    pub top_k: usize,
    /// Divides the logits of tokens already present (1 leaves them; Keskar et al., 2019).
    pub repetition_penalty: f32,
    /// Draws of prompt `i` depend on this and `i` alone.
    pub seed: u64,
    /// Ids from here on are never chosen: rows of the embedding without a token.
    pub vocab_limit: Option<usize>,
}

impl Default for GenerationOptions {
    /// Greedy, 256 tokens, no stop id.
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            stop_ids: Vec::new(),
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
            vocab_limit: None,
        }
    }
}

impl GenerationOptions {
    fn check(&self) -> Result<(), ModelError> {
        let wrong = |name: &str, found: f32, expected: &str| {
            Err(ModelError::Generation(format!("`{name}` is {found}, expected {expected}")))
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return wrong("temperature", self.temperature, "0 (greedy) or a number above");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", self.top_p, "a number above 0 and at most 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return wrong("repetition_penalty", self.repetition_penalty, "a number above 0");
        }
        if self.vocab_limit == Some(0) {
            return wrong("vocab_limit", 0.0, "at least 1");
        }
        Ok(())
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A stop id was written.
    StopId(u32),
    /// `max_new_tokens` were written.
    Length,
}

/// What was written after one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// New ids, the stop id (if any) last.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// Continues all prompts together; a prefix that prompts share is computed once. `on_token(prompt, id)` hears of each
/// token (a stop id too) as it is chosen.
///
/// # Errors
/// An empty prompt, an id outside the vocabulary, options without sense, or weights that give no numbers.
pub fn generate<D: Device>(
    decoder: &Decoder<D>,
    prompts: &[Vec<u32>],
    options: &GenerationOptions,
    on_token: &mut dyn FnMut(usize, u32),
) -> Result<Vec<Generated>, ModelError> {
    options.check()?;
    check_prompts(prompts, decoder.config.vocab_size)?;
    let mut generator = Generator {
        decoder,
        workspace: decoder.workspace(Purpose::Inference),
        cache: KeyValueCache::new(&decoder.device, &decoder.config),
    };
    let mut sequences: Vec<Sequence<'_>> = prompts.iter().map(|prompt| Sequence::new(prompt)).collect();
    if options.max_new_tokens == 0 {
        return Ok(sequences.into_iter().map(Sequence::finish).collect());
    }
    let mut accept = |sequences: &mut [Sequence<'_>], index: usize, logits: &mut [f32]| {
        let sequence = &mut sequences[index];
        let id = sequence.choose(index, logits, options)?;
        on_token(index, id);
        if options.stop_ids.contains(&id) {
            sequence.stop_reason = Some(StopReason::StopId(id));
        } else if sequence.ids.len() == options.max_new_tokens {
            sequence.stop_reason = Some(StopReason::Length);
        }
        Ok::<(), ModelError>(())
    };
    generator.prefill(prompts, &mut sequences, &mut accept)?;
    let mut active: Vec<usize> = (0..prompts.len()).collect();
    loop {
        active.retain(|&index| {
            let goes_on = sequences[index].stop_reason.is_none();
            if !goes_on {
                generator.cache.release(&mut sequences[index].own);
            }
            goes_on
        });
        if active.is_empty() {
            return Ok(sequences.into_iter().map(Sequence::finish).collect());
        }
        generator.advance(&active, &mut sequences, &mut accept)?;
    }
}

fn check_prompts(prompts: &[Vec<u32>], vocab_size: usize) -> Result<(), ModelError> {
    for (index, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            return Err(ModelError::Generation(format!(
                "prompt {index} is empty; it needs at least one token"
            )));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(ModelError::Generation(format!(
                "prompt {index} holds the id {id}, but the model has {vocab_size} tokens; is the tokenizer another model's?"
            )));
        }
    }
    Ok(())
}

/// One prompt and what was written after it.
struct Sequence<'a> {
    prompt: &'a [u32],
    ids: Vec<u32>,
    /// Cache rows of all tokens so far, in order.
    seen: Vec<(usize, usize)>,
    own: OwnRows,
    stop_reason: Option<StopReason>,
}

impl<'a> Sequence<'a> {
    fn new(prompt: &'a [u32]) -> Self {
        Self { prompt, ids: Vec::new(), seen: Vec::new(), own: OwnRows::default(), stop_reason: None }
    }

    fn choose(
        &mut self,
        index: usize,
        logits: &mut [f32],
        options: &GenerationOptions,
    ) -> Result<u32, ModelError> {
        let draw = CounterRng::new(options.seed).stream(index as u64).uniform(self.ids.len() as u64);
        let seen = self.prompt.iter().chain(&self.ids).copied();
        let id = choose(logits, options, seen, draw).ok_or_else(|| {
            ModelError::Generation(
                "the model's logits are not finite numbers; its weights are damaged".to_owned(),
            )
        })?;
        self.ids.push(id);
        Ok(id)
    }

    fn finish(self) -> Generated {
        Generated { ids: self.ids, stop_reason: self.stop_reason.unwrap_or(StopReason::Length) }
    }
}

type Accept<'a, 'b> = dyn FnMut(&mut [Sequence<'b>], usize, &mut [f32]) -> Result<(), ModelError> + 'a;

struct Generator<'a, D: Device> {
    decoder: &'a Decoder<D>,
    workspace: Workspace<D>,
    cache: KeyValueCache<D>,
}

/// The tokens of one forward pass.
#[derive(Default)]
struct Step {
    ids: Vec<u32>,
    positions: Vec<u32>,
    /// Cache row of each token.
    rows: Vec<u32>,
    spans: Vec<QuerySpan>,
    /// Rows whose logits are wanted, and the sequences that want them.
    wanted: Vec<(u32, usize)>,
}

impl<D: Device> Generator<'_, D> {
    /// Runs the prompts into the cache and chooses each one's first token.
    fn prefill<'b>(
        &mut self,
        prompts: &[Vec<u32>],
        sequences: &mut [Sequence<'b>],
        accept: &mut Accept<'_, 'b>,
    ) -> Result<(), ModelError> {
        let (nodes, ends) = prefix_tree(prompts);
        let total = nodes.iter().map(|node| node.end - node.start).sum();
        let root = self.cache_prefix();
        let mut next_row = self.cache.take(&self.decoder.device, total);
        // Cache rows of everything up to and with each node.
        let mut paths: Vec<Vec<(usize, usize)>> = Vec::with_capacity(nodes.len());
        let mut ending: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        for (prompt, &node) in ends.iter().enumerate() {
            ending[node].push(prompt);
        }
        let mut step = Step::default();
        for (index, &PrefixNode { parent, prompt, start, end }) in nodes.iter().enumerate() {
            let mut path = parent.map_or_else(|| root.clone(), |parent| paths[parent].clone());
            let mut from = start;
            while from < end {
                let len = (end - from).min(PREFILL_TOKENS - step.ids.len());
                let query_start = step.ids.len();
                step.ids.extend(&prompts[prompt][from..from + len]);
                step.positions.extend(from as u32..(from + len) as u32);
                step.rows.extend(next_row as u32..(next_row + len) as u32);
                step.spans.push(QuerySpan { query_start, len, key_start: next_row, context: path.clone() });
                push_range(&mut path, (next_row, len));
                (from, next_row) = (from + len, next_row + len);
                if from == end {
                    let last = step.ids.len() as u32 - 1;
                    step.wanted.extend(ending[index].iter().map(|&sequence| (last, sequence)));
                }
                if step.ids.len() == PREFILL_TOKENS {
                    self.run(std::mem::take(&mut step), sequences, accept)?;
                }
            }
            for &sequence in &ending[index] {
                sequences[sequence].seen.clone_from(&path);
            }
            paths.push(path);
        }
        self.run(step, sequences, accept)
    }

    /// Brings a trained prefix into the cache; its rows.
    fn cache_prefix(&mut self) -> Vec<(usize, usize)> {
        let Self { decoder: Decoder { device, config, prefix, blocks, .. }, cache, .. } = self;
        let Some(prefix) = prefix.as_ref().map(PrefixAdapter::keys) else { return Vec::new() };
        let start = cache.take(device, prefix.rows);
        let at = Matrix::dense(cache.capacity, config.key_value_size()).rows(start, prefix.rows);
        for (block, (keys, values)) in blocks.iter().zip(&mut cache.blocks) {
            let [k, v] = prefix.of_block(block.index, config.key_value_size());
            device.copy(View::new(prefix.values, k), ViewMut::new(keys, at));
            device.copy(View::new(prefix.values, v), ViewMut::new(values, at));
        }
        vec![(start, prefix.rows)]
    }

    /// Writes one more token of each active sequence.
    fn advance<'b>(
        &mut self,
        active: &[usize],
        sequences: &mut [Sequence<'b>],
        accept: &mut Accept<'_, 'b>,
    ) -> Result<(), ModelError> {
        let mut step = Step::default();
        for (query, &index) in active.iter().enumerate() {
            let sequence = &mut sequences[index];
            let Some(&id) = sequence.ids.last() else { continue };
            let row = self.cache.next_row(&self.decoder.device, &mut sequence.own);
            step.ids.push(id);
            step.positions.push((sequence.prompt.len() + sequence.ids.len() - 1) as u32);
            step.rows.push(row as u32);
            let context = sequence.seen.clone();
            step.spans.push(QuerySpan { query_start: query, len: 1, key_start: row, context });
            push_row(&mut sequence.seen, row);
            step.wanted.push((query as u32, index));
        }
        self.run(step, sequences, accept)
    }

    /// Runs the tokens of a step and hands out the logits that are wanted.
    fn run<'b>(
        &mut self,
        step: Step,
        sequences: &mut [Sequence<'b>],
        accept: &mut Accept<'_, 'b>,
    ) -> Result<(), ModelError> {
        if step.ids.is_empty() {
            return Ok(());
        }
        let Self { decoder, workspace, cache } = self;
        let Decoder { device, config, .. } = decoder;
        let first = decoder.first_position() as u32;
        let positions: Vec<u32> = step.positions.iter().map(|position| position + first).collect();
        let reach = positions.iter().max().map_or(0, |&last| last as usize + 1);
        // One row of logits serves all sequences that end there.
        let mut rows: Vec<u32> = step.wanted.iter().map(|&(row, _)| row).collect();
        rows.dedup();
        workspace.fit(device, config, step.ids.len(), rows.len(), reach);
        let inputs = PassInputs {
            tokens: step.ids.len(),
            ids: device.upload_ids(&step.ids),
            positions: device.upload_ids(&positions),
            spans: device.upload_spans(&step.spans),
            dropout_seed: None,
        };
        let cache_rows = device.upload_ids(&step.rows);
        let last = device.scope(|| decoder.forward(&inputs, workspace, Some((cache, &cache_rows))));
        let mut wanted = step.wanted.iter().peekable();
        let (chunk, vocab) = (workspace.head.chunk, config.vocab_size);
        let mut logits = vec![0.0; vocab];
        for rows in rows.chunks(chunk) {
            device.scope(|| decoder.logits(workspace, last, inputs.tokens, rows));
            for (i, &row) in rows.iter().enumerate() {
                while let Some(&&(_, sequence)) = wanted.peek().filter(|(wanted, _)| *wanted == row) {
                    device.read(&workspace.head.logits, i * vocab, &mut logits);
                    accept(sequences, sequence, &mut logits)?;
                    wanted.next();
                }
            }
        }
        Ok(())
    }
}

impl<D: Device> Decoder<D> {
    /// Logits after some rows of a pass, into the workspace: `[rows, vocabulary]`.
    fn logits(&self, workspace: &mut Workspace<D>, last: usize, tokens: usize, rows: &[u32]) {
        let (device, config, buffers) = (&self.device, &self.config, &mut workspace.head);
        let at = Matrix::dense(rows.len(), config.hidden_size);
        let stream = View::new(&workspace.hidden[last], Matrix::dense(tokens, config.hidden_size));
        device.gather_rows(stream, &device.upload_ids(rows), ViewMut::new(&mut buffers.chosen, at));
        let (x, y) = (View::new(&buffers.chosen, at), ViewMut::new(&mut buffers.normed, at));
        device.rms_norm(config.rms_norm_eps, x, &self.norm.value, y, &mut buffers.inverse_rms);
        let logits = ViewMut::new(&mut buffers.logits, Matrix::dense(rows.len(), config.vocab_size));
        let matrix = self.head.as_ref().unwrap_or(&self.embedding);
        matrix.matmul(device, View::new(&buffers.normed, at), Transpose::Yes, 0.0, logits);
    }
}
