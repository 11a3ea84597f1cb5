//! What a run will need, known before it starts.
//!
//! In: the model's shape, the method, the options, the samples. Out: bytes by kind. The model is built and a step of the
//! largest run taken on a device that computes nothing and counts what is allocated, so there is no second account of
//! what training keeps. It does not know how much memory there is.

use std::fmt;

use toolsmith_kernels::MeasuringDevice;
use toolsmith_model::{
    Decoder, ModelError, Quantization, Target, TokenBatch, TokenWeights, TrainMethod, TrainableModel,
};

use crate::optimizer::AdamW;
use crate::order::DataOrder;
use crate::{RunOptions, Sample, TrainError, pairs, runs};

/// Bytes that a run needs beside its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryEstimate {
    /// Weights, trained and frozen.
    pub weights: usize,
    /// Gradients of the trained ones.
    pub gradients: usize,
    /// AdamW's moments.
    pub moments: usize,
    /// What blocks keep from their forward to their backward pass, and work in: grows with the tokens of a run.
    pub activations: usize,
    /// The supervised rows and a chunk of their logits: grows with the supervised tokens of a run.
    pub head: usize,
    /// The largest trained tensor twice: a checkpoint is written from copies, one tensor at a time.
    pub checkpoint: usize,
}

impl MemoryEstimate {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        let Self { weights, gradients, moments, activations, head, checkpoint } = self;
        weights + gradients + moments + activations + head + checkpoint
    }
}

/// Bytes as a person reads them.
#[must_use]
pub fn amount(bytes: usize) -> String {
    match bytes {
        0..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// `weights 0.27 GB, gradients 1.8 MB, …`
impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, gradients, moments, activations, head, checkpoint } = *self;
        let [weights, gradients, moments, activations, head, checkpoint] =
            [weights, gradients, moments, activations, head, checkpoint].map(amount);
        write!(
            f,
            "weights {weights}, gradients {gradients}, moments {moments}, activations {activations}, logits {head}, \
             copies for checkpoints {checkpoint}"
        )
    }
}

/// What a run will need, as far as the samples of its first epoch tell; `model` makes the model, packed so, on a
/// device that measures.
///
/// # Errors
/// What `model` fails with; samples that fit in no run; a method that does not fit the model.
pub fn estimate_memory(
    model: &dyn Fn(Quantization, MeasuringDevice) -> Result<Decoder<MeasuringDevice>, ModelError>,
    method: &TrainMethod,
    samples: &[Sample],
    eval_samples: &[Sample],
    options: &RunOptions,
) -> Result<MemoryEstimate, TrainError> {
    let [tokens, rows, positions] = largest_run(samples, eval_samples, options)?;
    let device = MeasuringDevice::new();
    let decoder = model(options.quantization, device.clone())?;
    let mut model =
        TrainableModel::with_activations(decoder, method.clone(), options.seed, options.activations())?;
    let trained: Vec<usize> = model.parameters_mut().iter().map(|p| p.shape.iter().product()).collect();
    let gradients = trained.iter().sum::<usize>() * size_of::<f32>();
    let weights = device.bytes() - gradients;

    let before = device.bytes();
    let _optimizer = AdamW::new(device.clone(), options.optimizer, &model.parameters_mut());
    let moments = device.bytes() - before;

    let before = device.bytes();
    let batch = |rows: usize| {
        let position = |row: usize| row.min(positions.saturating_sub(1)) as u32;
        TokenBatch {
            position_ids: (0..tokens).map(position).collect(),
            ..TokenBatch::packed(
                &[vec![0; tokens]],
                (0..rows).map(|row| Target { row: row as u32, token: 0 }).collect(),
            )
        }
    };
    model.forward_backward(&batch(0), TokenWeights::Fixed(&[]))?;
    let activations = device.bytes() - before;
    model.forward_backward(&batch(rows), TokenWeights::Fixed(&vec![1.0; rows]))?;
    Ok(MemoryEstimate {
        weights,
        gradients,
        moments,
        activations,
        head: device.peak_bytes() - before - activations,
        checkpoint: 2 * size_of::<f32>() * trained.iter().max().copied().unwrap_or(0),
    })
}

/// Tokens, supervised rows and positions, each the most that any run of the first epoch or of an evaluation has.
fn largest_run(
    samples: &[Sample],
    eval_samples: &[Sample],
    options: &RunOptions,
) -> Result<[usize; 3], TrainError> {
    let trained: Vec<&Sample> =
        samples.iter().filter(|sample| sample.tokens().trained_tokens() > 0).collect();
    let extent = |samples: &[&Sample]| match options.objective.compares_answers() {
        true => {
            Ok::<_, TrainError>(runs::extent(pairs::lay_out(samples, options)?.iter().map(|run| &run.batch)))
        }
        false => Ok(runs::lay_out(samples, options)?.extent()),
    };
    let mut most = extent(&eval_samples.iter().collect::<Vec<_>>())?;
    if options.objective.needs_reference() {
        // What the starting model says of the pairs is measured in runs that do not keep to steps.
        most.iter_mut().zip(extent(&trained)?).for_each(|(most, extent)| *most = extent.max(*most));
    }
    let mut order = DataOrder::new(&trained, options.batch_size, options.prefix_group(), options.seed);
    let steps = options.total_steps(order.steps_per_epoch().max(1)).min(order.steps_per_epoch());
    for step in 1..=steps {
        let batch: Vec<&Sample> = order.batch(step).iter().map(|&index| trained[index]).collect();
        most.iter_mut().zip(extent(&batch)?).for_each(|(most, extent)| *most = extent.max(*most));
    }
    Ok(most)
}
