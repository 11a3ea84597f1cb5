//! Whether a run fits into this machine's memory, and what to change where it does not.
//!
//! In: what a run needs, kind by kind. Out: a line to print, or what would need less. The numbers of the machine come
//! from the system, and from the control group where one limits this process.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use toolsmith_kernels::MeasuringDevice;
use toolsmith_model::{Decoder, LoraConfig, ModelError, Quantization, TrainMethod};
use toolsmith_train::{
    AdamWOptions, MomentType, RunOptions, Sample, TrainConfig, TrainError, amount, estimate_memory,
};

/// What is known about a run before it starts.
pub(crate) struct Planned<'a> {
    /// The model, on a device that only measures.
    pub(crate) model:
        &'a dyn Fn(Quantization, MeasuringDevice) -> Result<Decoder<MeasuringDevice>, ModelError>,
    pub(crate) config: &'a TrainConfig,
    pub(crate) samples: &'a [Sample],
    pub(crate) eval_samples: &'a [Sample],
}

/// Whether a run fits.
pub(crate) enum Fit {
    /// It does; the line says how much it needs.
    Fits(String),
    /// It does not; the text says what it needs and what would need less.
    TooLarge(String),
}

/// Bytes that this process can still get.
fn available() -> usize {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    // A system that tells nothing refuses nothing.
    let Ok(system) = System::new_with_specifics(kind) else { return usize::MAX };
    // What a control group counts as used beyond its processes' own memory are files, which give way.
    let group = system.cgroup_limits().map(|group| group.total_memory.saturating_sub(group.rss));
    let free = system.available_memory();
    usize::try_from(group.map_or(free, |group| group.min(free))).unwrap_or(usize::MAX)
}

impl Planned<'_> {
    /// Compares what the run needs with what is there.
    pub(crate) fn check(&self) -> Result<Fit, TrainError> {
        self.compare(available())
    }

    fn compare(&self, available: usize) -> Result<Fit, TrainError> {
        let run = &self.config.run;
        let estimate =
            estimate_memory(self.model, &self.config.method, self.samples, self.eval_samples, run)?;
        let total = estimate.total();
        let (needed, free) = (amount(total), amount(available));
        if total <= available {
            return Ok(Fit::Fits(format!("this run needs about {needed} of {free} free memory: {estimate}")));
        }
        let smaller: Vec<String> =
            self.alternatives().into_iter().filter_map(|way| self.try_way(way)).collect();
        let advice = if smaller.is_empty() {
            "take a smaller model".to_owned()
        } else {
            format!("it would need {}", smaller.join(", "))
        };
        Ok(Fit::TooLarge(format!(
            "this run needs about {needed} of memory, but {free} are free: {estimate}. To make it smaller: {advice}. \
             --force tries it as it is"
        )))
    }

    /// What can be changed, as it is written in the configuration.
    fn alternatives(&self) -> Vec<(String, TrainMethod, RunOptions)> {
        let TrainConfig { method, run, .. } = self.config;
        let mut ways = Vec::new();
        // Of a pair, both answers: more than a run takes, as their prompt is computed once.
        let tokens =
            |sample: &Sample| sample.answers().map(|answer| answer.needed_ids().len()).sum::<usize>();
        let longest = self.samples.iter().chain(self.eval_samples).map(tokens);
        let least = longest.max().unwrap_or(1).max(256).max(self.config.max_length.unwrap_or(0));
        let max_tokens_per_run = (run.max_tokens_per_run / 4).max(least);
        if max_tokens_per_run < run.max_tokens_per_run {
            let smaller = RunOptions { max_tokens_per_run, ..run.clone() };
            ways.push((format!("max_tokens_per_run={max_tokens_per_run}"), method.clone(), smaller));
        }
        if !run.recompute {
            let recomputing = RunOptions { recompute: true, ..run.clone() };
            ways.push(("recompute=true".to_owned(), method.clone(), recomputing));
        }
        if run.optimizer.moments == MomentType::Float32 {
            let optimizer = AdamWOptions { moments: MomentType::EightBit, ..run.optimizer };
            let run = RunOptions { optimizer, ..run.clone() };
            ways.push(("optimizer=adamw_8bit".to_owned(), method.clone(), run));
        }
        if *method == TrainMethod::Full && !self.config.from_scratch {
            let lora = TrainMethod::Lora(LoraConfig::default());
            ways.push(("method=lora".to_owned(), lora, run.clone()));
        }
        let adapts = matches!(method, TrainMethod::Lora(_) | TrainMethod::Prefix(_));
        if adapts && run.quantization == Quantization::None {
            for (name, quantization) in [("int8", Quantization::Int8), ("nf4", Quantization::Nf4)] {
                let packed = RunOptions { quantization, ..run.clone() };
                ways.push((format!("quantization={name}"), method.clone(), packed));
            }
        }
        ways
    }

    fn try_way(&self, (words, method, run): (String, TrainMethod, RunOptions)) -> Option<String> {
        let estimate = estimate_memory(self.model, &method, self.samples, self.eval_samples, &run).ok()?;
        Some(format!("{} with {words}", amount(estimate.total())))
    }
}

#[cfg(test)]
mod tests {
    use toolsmith_model::DecoderConfig;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_what_would_need_less() {
        let json = serde_json::json!({
            "model_type": "qwen2", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 512,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 512, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu",
        });
        let shape = DecoderConfig::from_json(&json).unwrap();
        let yaml = "model: m\ndata: d\noutput_dir: o\nmethod: full\n";
        let config = TrainConfig::from_yaml("train.yaml", yaml, &[]).unwrap();
        let ids: Vec<u32> = (0..600).collect();
        let sample = |_| Sample::new("a", ids.clone(), (0..600).collect()).unwrap();
        let samples: Vec<Sample> = (0..16).map(sample).collect();
        let model =
            |quantization, device: MeasuringDevice| Decoder::zeros(shape.clone(), quantization, device);
        let planned = Planned { model: &model, config: &config, samples: &samples, eval_samples: &[] };
        assert!(matches!(planned.compare(1 << 34), Ok(Fit::Fits(line)) if line.contains("of 17.18 GB free")));
        let Ok(Fit::TooLarge(text)) = planned.compare(1 << 20) else { panic!("it fits") };
        for part in [
            "but 1.0 MB are free",
            "with max_tokens_per_run=1024",
            "with optimizer=adamw_8bit",
            "with method=lora",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
