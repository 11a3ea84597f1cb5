//! How a training run is shown while it goes on, and what is put beside the weights that it saves.
//!
//! In: the trainer's events. Out: a bar with loss, tokens/s and time left on a terminal, now and then a line elsewhere.

use std::io;
use std::path::Path;

use indicatif::ProgressBar;
use toolsmith_chat::template::ChatTemplate;
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_train::{Event, Observer, StepMetrics};

use crate::commands::prepare::grouped;
use crate::model_folder::ModelFolder;
use crate::terminal;

/// Lines printed over a whole run where there is no terminal to draw a bar on.
const LINES: u64 = 20;

/// Shows a run and completes its folders.
pub(crate) struct TrainProgress<'a> {
    folder: &'a ModelFolder,
    template: Option<&'a ChatTemplate>,
    tokenizer: &'a ChatTokenizer,
    terminal: bool,
    bar: Option<ProgressBar>,
    total_steps: u64,
    totals: Totals,
}

/// Sums over the steps seen.
#[derive(Default)]
struct Totals {
    tokens: usize,
    computed_tokens: usize,
    runs: usize,
    /// Tokens that the runs could hold.
    room: f64,
}

impl<'a> TrainProgress<'a> {
    /// For a run that starts from `folder`; `terminal` tells whether a bar can be drawn.
    pub(crate) fn new(
        folder: &'a ModelFolder,
        template: Option<&'a ChatTemplate>,
        tokenizer: &'a ChatTokenizer,
        terminal: bool,
    ) -> Self {
        Self { folder, template, tokenizer, terminal, bar: None, total_steps: 0, totals: Totals::default() }
    }

    /// Removes the bar.
    pub(crate) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// How much of the data was computed, and how full the runs were.
    pub(crate) fn summary(&self) -> Option<String> {
        let Totals { tokens, computed_tokens, runs, room } = self.totals;
        let part = |part: f64| format!("{:.0}%", 100.0 * part);
        (runs > 0).then(|| {
            format!(
                "computed {} of {} tokens ({}; shared prefixes once, nothing after the last trained token) in {} runs, {} full",
                grouped(computed_tokens),
                grouped(tokens),
                part(computed_tokens as f64 / tokens as f64),
                grouped(runs),
                part(computed_tokens as f64 / room)
            )
        })
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) if self.terminal => bar.println(line),
            _ => terminal::say(format_args!("{line}")),
        }
    }

    fn step(&self, metrics: &StepMetrics) {
        let mut loss = format!("loss {:.4}", metrics.loss);
        if let Some(rewards) = metrics.rewards {
            loss += &format!(", {:.0}% right", 100.0 * rewards.accuracies);
        }
        let speed = format!("{} tokens/s", grouped(metrics.tokens_per_second as usize));
        if let Some(bar) = &self.bar {
            bar.set_position(metrics.step);
            bar.set_message(format!("{loss}, {speed}"));
        }
        let every = self.total_steps.div_ceil(LINES).max(1);
        if !self.terminal && (metrics.step.is_multiple_of(every) || metrics.step == self.total_steps) {
            let (step, total) = (metrics.step, self.total_steps);
            terminal::say(format_args!(
                "step {step}/{total}  {loss}  learning_rate {:.2e}  {speed}",
                metrics.learning_rate
            ));
        }
    }
}

impl Observer for TrainProgress<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::MeasuringReference { done, total } => {
                let bar = self.bar.get_or_insert_with(|| terminal::pair_bar(total as u64));
                bar.set_message("the starting model");
                bar.set_position(done as u64);
                if done == total {
                    self.close();
                    self.say(&format!("measured the starting model on {} pairs", grouped(total)));
                }
            }
            Event::Started { total_steps, done_steps, samples, untrained_samples, trained_parameters } => {
                self.total_steps = total_steps;
                let from = if done_steps > 0 {
                    format!(", going on after step {done_steps}")
                } else {
                    String::new()
                };
                self.say(&format!(
                    "training {} numbers on {} samples in {} steps{from}",
                    grouped(trained_parameters),
                    grouped(samples),
                    grouped(total_steps as usize)
                ));
                if untrained_samples > 0 {
                    self.say(&format!(
                        "{} samples train nothing and are left out",
                        grouped(untrained_samples)
                    ));
                }
                let bar = terminal::step_bar(total_steps);
                bar.set_position(done_steps);
                bar.reset_eta();
                self.bar = Some(bar);
            }
            Event::Step(metrics) => {
                self.totals.tokens += metrics.tokens;
                self.totals.computed_tokens += metrics.computed_tokens;
                self.totals.runs += metrics.runs;
                self.totals.room += metrics.computed_tokens as f64 / metrics.fill;
                self.step(metrics);
            }
            Event::Evaluated(metrics) => {
                self.say(&format!("step {}  eval_loss {:.4}", metrics.step, metrics.eval_loss));
            }
            Event::CheckpointSaved { path, .. } => self.say(&format!("saved {}", path.display())),
            _ => {}
        }
    }

    fn complete_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.folder.complete(folder, self.template, self.tokenizer)
    }
}
