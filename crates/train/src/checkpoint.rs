//! What a run needs to go on as if it had never stopped.
//!
//! In: the trained tensors, AdamW's moments, a [`TrainerState`]. Out: files in a checkpoint folder, and back. Weights
//! lie there as PEFT or transformers would write them, so that a checkpoint can be used like a finished model; moments
//! lie in `optimizer.safetensors`, the rest in `trainer_state.json`. It does not know when a checkpoint is due.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolsmith_kernels::Device;
use toolsmith_model::Parameter;

use crate::TrainError;
use crate::optimizer::AdamW;

/// Where the loop stood. Names as in transformers' `trainer_state.json` where that has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainerState {
    /// Steps done; with the seed it is the position in the data too.
    pub(crate) global_step: u64,
    pub(crate) max_steps: u64,
    pub(crate) epoch: f64,
    /// Position in the stream of dropout masks.
    pub(crate) dropout_counter: u64,
    /// What a resumed run has to share: options, method, data.
    pub(crate) run: Map<String, Value>,
}

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

impl TrainerState {
    pub(crate) fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let path = folder.join(STATE);
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other);
        text.and_then(|text| fs::write(&path, text + "\n")).map_err(TrainError::file(&path, "write"))
    }

    /// Reads the state, and refuses it where the run was another one.
    pub(crate) fn load(folder: &Path, run: &Map<String, Value>) -> Result<Self, TrainError> {
        let path = folder.join(STATE);
        let text = fs::read_to_string(&path).map_err(TrainError::file(&path, "read"))?;
        let state: Self =
            serde_json::from_str(&text).map_err(|error| TrainError::checkpoint(&path, error))?;
        let differences = differences(&state.run, run);
        if differences.is_empty() {
            return Ok(state);
        }
        Err(TrainError::RunDiffers { path: folder.to_owned(), differences: differences.join(", ") })
    }
}

fn differences(then: &Map<String, Value>, now: &Map<String, Value>) -> Vec<String> {
    let show = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    let keys = then.keys().chain(now.keys().filter(|key| !then.contains_key(*key)));
    keys.filter(|key| then.get(*key) != now.get(*key))
        .map(|key| format!("{key} was {}, is {}", show(then.get(key)), show(now.get(key))))
        .collect()
}

/// A tensor on a device, copied to the host only while it is written.
struct Stored<'a, D: Device> {
    device: &'a D,
    buffer: &'a D::Buffer,
    shape: &'a [usize],
}

impl<D: Device> View for Stored<'_, D> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut values = vec![0.0; self.device.len(self.buffer)];
        self.device.read(self.buffer, 0, &mut values);
        values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.device.len(self.buffer) * size_of::<f32>()
    }
}

fn moment_names(parameter: &str) -> [String; 2] {
    [format!("exp_avg.{parameter}"), format!("exp_avg_sq.{parameter}")]
}

/// Name of a trained tensor that no saved folder holds.
fn value_name(parameter: &str) -> String {
    format!("value.{parameter}")
}

pub(crate) fn save_optimizer<D: Device>(
    folder: &Path,
    device: &D,
    parameters: &[Parameter<'_, D>],
    optimizer: &AdamW<D>,
) -> Result<(), TrainError> {
    let path = folder.join(OPTIMIZER);
    let tensors = parameters.iter().zip(&optimizer.moments).flat_map(|(parameter, moments)| {
        let stored = |buffer| Stored { device, buffer, shape: parameter.shape };
        let [first, second] = moment_names(&parameter.name);
        let own = (!parameter.saved).then(|| (value_name(&parameter.name), stored(&*parameter.value)));
        [(first, stored(&moments.first)), (second, stored(&moments.second))].into_iter().chain(own)
    });
    safetensors::serialize_to_file(tensors, None, &path).map_err(|error| match error {
        SafeTensorError::IoError(source) => TrainError::File { path, action: "write", source },
        other => TrainError::checkpoint(&path, other),
    })
}

/// Reads moments and weights back; `weights` is the file that the model wrote into the checkpoint.
pub(crate) fn load_tensors<D: Device>(
    folder: &Path,
    weights: &str,
    device: &D,
    parameters: &mut [Parameter<'_, D>],
    optimizer: &mut AdamW<D>,
) -> Result<(), TrainError> {
    let (weights, moments) = (folder.join(weights), folder.join(OPTIMIZER));
    let weight_bytes = fs::read(&weights).map_err(TrainError::file(&weights, "read"))?;
    let moment_bytes = fs::read(&moments).map_err(TrainError::file(&moments, "read"))?;
    let weight_file = open(&weights, &weight_bytes)?;
    let moment_file = open(&moments, &moment_bytes)?;
    for (parameter, state) in parameters.iter_mut().zip(&mut optimizer.moments) {
        let [first, second] = moment_names(&parameter.name);
        let shape = parameter.shape;
        let value = if parameter.saved {
            tensor(&weights, &weight_file, &parameter.name, shape)?
        } else {
            tensor(&moments, &moment_file, &value_name(&parameter.name), shape)?
        };
        device.write(parameter.value, 0, &value);
        device.write(&mut state.first, 0, &tensor(&moments, &moment_file, &first, shape)?);
        device.write(&mut state.second, 0, &tensor(&moments, &moment_file, &second, shape)?);
    }
    Ok(())
}

fn open<'b>(path: &Path, bytes: &'b [u8]) -> Result<SafeTensors<'b>, TrainError> {
    SafeTensors::deserialize(bytes).map_err(|error| TrainError::checkpoint(path, error))
}

fn tensor(path: &Path, file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, TrainError> {
    let found = file.tensor(name).map_err(|error| TrainError::checkpoint(path, error))?;
    if found.dtype() != Dtype::F32 || found.shape() != shape {
        let detail =
            format!("tensor `{name}` is {:?} {:?}, expected F32 {shape:?}", found.dtype(), found.shape());
        return Err(TrainError::checkpoint(path, detail));
    }
    let (numbers, _) = found.data().as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
