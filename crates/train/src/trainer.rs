//! The loop: batches, gradients, updates; and around them metrics, evaluation, checkpoints.
//!
//! In: a [`TrainJob`]. Out: its run folder, and the trained model. Nothing depends on what came before but the weights,
//! the moments, the number of the step and the place in the stream of dropout masks; those are a checkpoint, which is
//! why a resumed run ends in the same bytes. It prints nothing and asks nobody.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Map, Value};
use toolsmith_kernels::Device;
use toolsmith_model::{Decoder, TrainMethod, TrainableModel, WeightType};

use crate::checkpoint::{self, TrainerState};
use crate::data::fingerprint;
use crate::early_stopping::Evaluations;
use crate::log::Log;
use crate::optimizer::{AdamW, clip_scale};
use crate::order::DataOrder;
use crate::preference::{Computed, Preference, check_kind};
use crate::run_folder::RunFolder;
use crate::runs::{self, Runs};
use crate::{
    EvalMetrics, Event, Observer, Outcome, RunOptions, Sample, StepMetrics, TrainError, failed_step, method,
    pairs,
};

/// Everything a run needs.
pub struct TrainJob<D: Device> {
    /// The model to start from.
    pub decoder: Decoder<D>,
    /// Which weights are trained.
    pub method: TrainMethod,
    /// The folder of an adapter of that method, from whose weights training goes on; new weights where absent.
    pub adapter: Option<PathBuf>,
    /// What is trained on.
    pub samples: Vec<Sample>,
    /// Whose loss is measured; may be empty.
    pub eval_samples: Vec<Sample>,
    /// The loop's values.
    pub options: RunOptions,
    /// Folder of the run.
    pub output_dir: PathBuf,
    /// How an adapter's config names the model it belongs to.
    pub base_model_name_or_path: String,
    /// Type in which a fully trained model is saved at the end. (Adapters and checkpoints: always float32.)
    pub save_dtype: WeightType,
}

/// A run that is ready to go on.
pub struct Trainer<D: Device> {
    model: TrainableModel<D>,
    method: TrainMethod,
    optimizer: AdamW<D>,
    samples: Vec<Sample>,
    untrained_samples: usize,
    order: DataOrder,
    eval: Runs,
    evaluations: Evaluations,
    /// Where the objective compares answers; `eval` is empty then.
    preference: Option<Preference>,
    options: RunOptions,
    base_model_name_or_path: String,
    save_dtype: WeightType,
    folder: RunFolder,
    run: Map<String, Value>,
    total_steps: u64,
    done_steps: u64,
}

impl<D: Device> Trainer<D> {
    /// A new run.
    ///
    /// # Errors
    /// A folder that already holds a run, samples that train nothing, are too long or do not fit the objective, a method
    /// that does not fit the model, an adapter that does not fit the method.
    pub fn start(job: TrainJob<D>) -> Result<Self, TrainError> {
        let folder = RunFolder::new(&job.output_dir)?;
        Self::prepare(job, folder)
    }

    /// A run that was stopped or killed, from its last checkpoint on; from its beginning where it has none yet.
    ///
    /// # Errors
    /// As [`Trainer::start`]; also a folder without a run, and a run with other options, method or data.
    pub fn resume(job: TrainJob<D>) -> Result<Self, TrainError> {
        let folder = RunFolder::reopen(&job.output_dir)?;
        let mut trainer = Self::prepare(job, folder)?;
        if let Some((_, checkpoint)) = trainer.folder.checkpoints()?.pop() {
            if let Some(preference) = &mut trainer.preference {
                preference.load_reference(&trainer.folder.reference(), &trainer.samples)?;
            }
            trainer.load(&checkpoint)?;
        }
        Ok(trainer)
    }

    fn prepare(job: TrainJob<D>, folder: RunFolder) -> Result<Self, TrainError> {
        let TrainJob { decoder, method, mut samples, mut eval_samples, options, .. } = job;
        check_kind(&options.objective, samples.iter().chain(&eval_samples))?;
        let given = samples.len();
        let data_fingerprint = fingerprint(&samples);
        samples.retain(|sample| sample.tokens().trained_tokens() > 0);
        if samples.is_empty() {
            return Err(TrainError::NothingTrained { samples: given });
        }
        for sample in &samples {
            // A sample that fits in no run should be known before the first step, not in the middle of the night.
            match sample.is_pair() {
                true => pairs::check_length(sample, &options)?,
                false => runs::check_length(sample, &options)?,
            }
        }
        let (eval_given, eval_fingerprint) = (eval_samples.len(), fingerprint(&eval_samples));
        let compares = options.objective.compares_answers();
        let eval_pairs = compares.then(|| std::mem::take(&mut eval_samples));
        let preference = eval_pairs.map(|pairs| Preference::new(&options, pairs)).transpose()?;
        let eval = runs::lay_out(&eval_samples.iter().collect::<Vec<_>>(), &options)?;
        let evaluates = preference.as_ref().map_or(eval.targets > 0, Preference::evaluates);
        if options.seeks_best() && !evaluates {
            return Err(TrainError::NothingEvaluated { samples: eval_given });
        }
        let mut run = options.deciding();
        let mut shared = |key: &str, value: Value| run.insert(key.to_owned(), value);
        let hex = |fingerprint: u64| Value::from(format!("{fingerprint:016x}"));
        shared("method", method::settings(&method));
        shared("model_fingerprint", hex(decoder.fingerprint()));
        shared("samples", given.into());
        shared("data_fingerprint", hex(data_fingerprint));
        if options.seeks_best() {
            shared("eval_data_fingerprint", hex(eval_fingerprint));
        }
        let activations = options.activations();
        let mut model = TrainableModel::with_activations(decoder, method.clone(), options.seed, activations)?;
        if let Some(adapter) = &job.adapter {
            model.load_adapter(adapter)?;
            shared("adapter_fingerprint", hex(method::weights_fingerprint(&mut model)));
        }
        let device = model.device().clone();
        let optimizer = AdamW::new(device, options.optimizer, &model.parameters_mut());
        let of_epoch: Vec<&Sample> = samples.iter().collect();
        let order = DataOrder::new(&of_epoch, options.batch_size, options.prefix_group(), options.seed);
        Ok(Self {
            total_steps: options.total_steps(order.steps_per_epoch()),
            done_steps: 0,
            untrained_samples: given - samples.len(),
            base_model_name_or_path: job.base_model_name_or_path,
            save_dtype: job.save_dtype,
            model,
            method,
            optimizer,
            samples,
            order,
            eval,
            evaluations: Evaluations::default(),
            preference,
            options,
            folder,
            run,
        })
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Steps done so far.
    pub fn done_steps(&self) -> u64 {
        self.done_steps
    }

    /// The model, as trained so far.
    pub fn model(&self) -> &TrainableModel<D> {
        &self.model
    }

    /// The model, when the run is over.
    pub fn into_model(self) -> TrainableModel<D> {
        self.model
    }

    /// Trains to the end (or until evaluations no longer improve), or until `stop` is set: then the step at hand is finished and a checkpoint saved.
    ///
    /// # Errors
    /// A loss or gradient that is no number; a file that cannot be written. Checkpoints written before stay.
    pub fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        self.folder.create()?;
        let mut log = Log::open(&self.folder, self.options.tensorboard, self.done_steps)?;
        let device = self.model.device().clone();
        if let Some(preference) = &mut self.preference {
            let (model, path) = (&mut self.model, self.folder.reference());
            preference.measure_reference(model, &self.samples, &self.options, &path, observer)?;
        }
        observer.event(Event::Started {
            total_steps: self.total_steps,
            done_steps: self.done_steps,
            samples: self.samples.len(),
            untrained_samples: self.untrained_samples,
            trained_parameters: self.model.parameters_mut().iter().map(|p| device.len(p.value)).sum(),
        });
        let mut eval_loss = None;
        while !self.is_over() {
            let metrics = self.step()?;
            let step = self.done_steps;
            if self.is_over() || step.is_multiple_of(self.options.logging_steps) {
                log.step(&metrics)?;
            }
            observer.event(Event::Step(&metrics));
            let mut is_best = false;
            if self.is_over() || self.options.eval_steps.is_some_and(|steps| step.is_multiple_of(steps)) {
                eval_loss = self.evaluate(&mut log, observer)?;
                is_best = eval_loss
                    .is_some_and(|loss| self.evaluations.note(step, loss, self.options.early_stopping));
            }
            let last = self.is_over();
            let stopped = !last && stop.load(Ordering::Relaxed);
            let keep_best = is_best && self.options.load_best_model_at_end;
            if last || stopped || keep_best || step.is_multiple_of(self.options.save_steps) {
                let checkpoint = self.save_checkpoint(observer)?;
                if stopped {
                    return Ok(Outcome::Stopped { step, checkpoint });
                }
            }
        }
        let best_step = self.evaluations.best_global_step.filter(|_| self.options.load_best_model_at_end);
        if let Some(best) = best_step {
            eval_loss = self.evaluations.best_metric;
            if best != self.done_steps {
                self.load_weights(&self.folder.checkpoint(best))?;
            }
        }
        let weights = self.save_weights(observer)?;
        Ok(Outcome::Finished { weights, eval_loss, steps: self.done_steps, best_step })
    }

    fn is_over(&self) -> bool {
        self.done_steps >= self.total_steps || self.evaluations.end(self.options.early_stopping)
    }

    fn step(&mut self) -> Result<StepMetrics, TrainError> {
        let begun = Instant::now();
        let step = self.done_steps + 1;
        let learning_rate = self.options.schedule.learning_rate_at(step, self.total_steps);
        let taken = self.order.batch(step);
        let samples: Vec<&Sample> = taken.iter().map(|&index| &self.samples[index]).collect();
        self.model.zero_grads();
        let Computed { loss, rewards, trained_tokens, computed_tokens, runs } = match &self.preference {
            Some(preference) => preference.step(&mut self.model, &self.samples, taken, &self.options)?,
            None => runs::lay_out(&samples, &self.options)?.forward_backward(&mut self.model)?,
        };

        let mut parameters = self.model.parameters_mut();
        let grad_norm = self.optimizer.grad_norm(&parameters);
        let failure = if !loss.is_finite() {
            Some(("loss".to_owned(), loss))
        } else if !grad_norm.is_finite() {
            Some((self.optimizer.not_finite(&parameters), grad_norm))
        } else {
            None
        };
        if let Some((what, value)) = failure {
            return Err(failed_step::keep(&self.folder, step, what, value, learning_rate, &samples));
        }
        let scale = clip_scale(grad_norm, self.options.max_grad_norm);
        self.optimizer.step(&mut parameters, step, learning_rate, scale);
        self.done_steps = step;

        let answers = samples.iter().flat_map(|sample| sample.answers());
        let tokens = answers.map(|answer| answer.input_ids().len()).sum();
        Ok(StepMetrics {
            step,
            epoch: self.epoch(),
            loss,
            rewards,
            learning_rate,
            grad_norm,
            tokens,
            trained_tokens,
            computed_tokens,
            runs,
            fill: computed_tokens as f64 / (runs * self.options.max_tokens_per_run) as f64,
            tokens_per_second: tokens as f64 / begun.elapsed().as_secs_f64(),
        })
    }

    fn epoch(&self) -> f64 {
        self.done_steps as f64 / self.order.steps_per_epoch() as f64
    }

    fn evaluate(&mut self, log: &mut Log, observer: &mut dyn Observer) -> Result<Option<f64>, TrainError> {
        let measured = match &self.preference {
            Some(preference) => preference.evaluate(&mut self.model)?,
            None => self.eval.measure(&mut self.model)?,
        };
        let Some(Computed { loss, rewards, trained_tokens, .. }) = measured else { return Ok(None) };
        let metrics = EvalMetrics {
            step: self.done_steps,
            eval_loss: loss,
            rewards,
            eval_trained_tokens: trained_tokens,
        };
        log.evaluation(&metrics)?;
        observer.event(Event::Evaluated(&metrics));
        Ok(Some(metrics.eval_loss))
    }

    fn save_checkpoint(&mut self, observer: &mut dyn Observer) -> Result<PathBuf, TrainError> {
        let state = TrainerState {
            global_step: self.done_steps,
            max_steps: self.total_steps,
            epoch: self.epoch(),
            dropout_counter: self.model.dropout_counter(),
            evaluations: self.evaluations.clone(),
            run: self.run.clone(),
        };
        let device = self.model.device().clone();
        let (model, optimizer) = (&mut self.model, &self.optimizer);
        let write = |path: &Path| {
            method::save(model, &self.method, &self.base_model_name_or_path, WeightType::F32, path)?;
            complete(observer, path)?;
            checkpoint::save_optimizer(path, &device, &model.parameters_mut(), optimizer)?;
            state.save(path)
        };
        let path = self.folder.write_checkpoint(state.global_step, write)?;
        if let Some(limit) = self.options.save_total_limit {
            let best = self.evaluations.best_global_step.filter(|_| self.options.load_best_model_at_end);
            self.folder.keep_checkpoints(limit, best)?;
        }
        observer.event(Event::CheckpointSaved { step: state.global_step, path: &path });
        Ok(path)
    }

    fn save_weights(&mut self, observer: &mut dyn Observer) -> Result<PathBuf, TrainError> {
        let name = if self.method.is_whole() { "model" } else { "adapter" };
        let Self { model, method, base_model_name_or_path, save_dtype, .. } = self;
        let path = self.folder.write_folder(name, |path| {
            method::save(model, method, base_model_name_or_path, *save_dtype, path)?;
            complete(observer, path)
        })?;
        observer.event(Event::WeightsSaved { path: &path });
        Ok(path)
    }

    fn load(&mut self, checkpoint: &Path) -> Result<(), TrainError> {
        let state = TrainerState::load(checkpoint, &self.run)?;
        self.load_weights(checkpoint)?;
        let device = self.model.device().clone();
        checkpoint::load_optimizer(checkpoint, &device, &self.model.parameters_mut(), &mut self.optimizer)?;
        self.model.set_dropout_counter(state.dropout_counter);
        self.evaluations = state.evaluations;
        self.done_steps = state.global_step;
        Ok(())
    }

    fn load_weights(&mut self, checkpoint: &Path) -> Result<(), TrainError> {
        let weights = method::weights_file(&self.method);
        let device = self.model.device().clone();
        checkpoint::load_weights(checkpoint, weights, &device, &mut self.model.parameters_mut())
    }
}

fn complete(observer: &mut dyn Observer, path: &Path) -> Result<(), TrainError> {
    observer.complete_folder(path).map_err(TrainError::file(path, "complete"))
}
