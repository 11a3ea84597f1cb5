//! The adapter that a run goes on from: found, and held against configuration and model before any data is read.
//!
//! In: a configuration and its model's folder. Out: the configuration with the adapter's folder and shape. It loads no
//! weights to train.

use anyhow::Context;
use toolsmith_kernels::MeasuringDevice;
use toolsmith_model::{AdapterConfig, Decoder};
use toolsmith_train::{ConfigIssues, TrainConfig};

use crate::adapter_folder::{adapter_folder, base_of};
use crate::model_folder::ModelFolder;
use crate::terminal;

/// Completes `config`, which `file` holds, by the adapter that it names, if it names one.
pub(crate) fn take(
    config: &mut TrainConfig,
    file: &str,
    model: &ModelFolder,
) -> anyhow::Result<Result<(), ConfigIssues>> {
    let Some(adapter) = &mut config.adapter else { return Ok(Ok(())) };
    adapter.path = adapter_folder(&adapter.path)?;
    let path = adapter.path.clone();
    let base = base_of(&path).map_or_else(|_| String::new(), |base| format!(", which was trained on {base}"));
    let unfit =
        || format!("the adapter {}{base}, cannot be put on the model {}", path.display(), model.given);

    let found = AdapterConfig::read(&path).with_context(|| format!("adapter {}", path.display()))?;
    let mut decoder = Decoder::measured(&model.weights, config.run.quantization, MeasuringDevice::new())?;
    let layers: Vec<&str> = decoder.linear_layers().collect();
    if let Err(issues) = config.take_shape(file, found, &layers) {
        return Ok(Err(issues));
    }
    decoder.load_adapter(&path).with_context(unfit)?;
    terminal::say(format_args!("going on from the adapter {}{base}", path.display()));
    Ok(Ok(()))
}
