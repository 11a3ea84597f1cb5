//! What a run needs to go on as if it had never stopped.
//!
//! In: the trained tensors, AdamW's moments, a [`TrainerState`]. Out: files in a checkpoint folder, and back. Weights
//! lie there as PEFT or transformers would write them, so that a checkpoint can be used like a finished model; moments
//! lie in `optimizer.safetensors`, the rest in `trainer_state.json`. It does not know when a checkpoint is due.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, SafeTensorError, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolsmith_kernels::{Device, MOMENT_BLOCK, Moment8};
use toolsmith_model::Parameter;

use crate::TrainError;
use crate::early_stopping::Evaluations;
use crate::optimizer::{AdamW, Moments};

/// Where the loop stood. Names as in transformers' `trainer_state.json` where that has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainerState {
    /// Steps done; with the seed it is the position in the data too.
    pub(crate) global_step: u64,
    pub(crate) max_steps: u64,
    pub(crate) epoch: f64,
    /// Position in the stream of dropout masks.
    pub(crate) dropout_counter: u64,
    /// The best evaluation so far.
    #[serde(default)]
    pub(crate) evaluations: Evaluations,
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
    shape: Vec<usize>,
    what: What<'a, D>,
}

enum What<'a, D: Device> {
    Numbers(&'a D::Buffer),
    Codes(&'a D::Moment8),
    Scales(&'a D::Moment8),
}

impl<D: Device> View for Stored<'_, D> {
    fn dtype(&self) -> Dtype {
        if matches!(self.what, What::Codes(_)) { Dtype::U8 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        match self.what {
            What::Numbers(buffer) => {
                let mut values = vec![0.0; self.device.len(buffer)];
                self.device.read(buffer, 0, &mut values);
                bytes(&values).into()
            }
            What::Codes(moment) => self.device.read_moment8(moment).codes().to_vec().into(),
            What::Scales(moment) => bytes(self.device.read_moment8(moment).scales()).into(),
        }
    }

    fn data_len(&self) -> usize {
        let elements: usize = self.shape.iter().product();
        elements * if matches!(self.what, What::Codes(_)) { 1 } else { size_of::<f32>() }
    }
}

fn moment_names(parameter: &str) -> [String; 2] {
    [format!("exp_avg.{parameter}"), format!("exp_avg_sq.{parameter}")]
}

/// Name of a trained tensor that no saved folder holds.
fn value_name(parameter: &str) -> String {
    format!("value.{parameter}")
}

fn scales_name(moment: &str) -> String {
    format!("{moment}.scales")
}

fn scales_shape(shape: &[usize]) -> Vec<usize> {
    vec![shape.iter().product::<usize>().div_ceil(MOMENT_BLOCK)]
}

pub(crate) fn save_optimizer<D: Device>(
    folder: &Path,
    device: &D,
    parameters: &[Parameter<'_, D>],
    optimizer: &AdamW<D>,
) -> Result<(), TrainError> {
    let path = folder.join(OPTIMIZER);
    let mut tensors = Vec::new();
    for (parameter, moments) in parameters.iter().zip(&optimizer.moments) {
        let shape = parameter.shape;
        let names = moment_names(&parameter.name).into_iter();
        let mut store = |name, shape, what| tensors.push((name, Stored { device, shape, what }));
        match moments {
            Moments::Float32(both) => {
                names.zip(both).for_each(|(name, buffer)| store(name, shape.to_vec(), What::Numbers(buffer)));
            }
            Moments::EightBit(both) => {
                for (name, moment) in names.zip(both) {
                    store(scales_name(&name), scales_shape(shape), What::Scales(moment));
                    store(name, shape.to_vec(), What::Codes(moment));
                }
            }
        }
        if !parameter.saved {
            store(value_name(&parameter.name), shape.to_vec(), What::Numbers(&*parameter.value));
        }
    }
    safetensors::serialize_to_file(tensors, None, &path).map_err(|error| match error {
        SafeTensorError::IoError(source) => TrainError::File { path, action: "write", source },
        other => TrainError::checkpoint(&path, other),
    })
}

/// Reads weights back; `weights` is the file that the model wrote into the checkpoint.
pub(crate) fn load_weights<D: Device>(
    folder: &Path,
    weights: &str,
    device: &D,
    parameters: &mut [Parameter<'_, D>],
) -> Result<(), TrainError> {
    let mut file = TensorFile::open(folder.join(weights))?;
    for parameter in parameters.iter_mut().filter(|parameter| parameter.saved) {
        device.write(parameter.value, 0, &file.numbers(&parameter.name, parameter.shape)?);
    }
    if parameters.iter().all(|parameter| parameter.saved) {
        return Ok(());
    }
    let mut file = TensorFile::open(folder.join(OPTIMIZER))?;
    for parameter in parameters.iter_mut().filter(|parameter| !parameter.saved) {
        device.write(parameter.value, 0, &file.numbers(&value_name(&parameter.name), parameter.shape)?);
    }
    Ok(())
}

/// Reads moments back.
pub(crate) fn load_optimizer<D: Device>(
    folder: &Path,
    device: &D,
    parameters: &[Parameter<'_, D>],
    optimizer: &mut AdamW<D>,
) -> Result<(), TrainError> {
    let mut file = TensorFile::open(folder.join(OPTIMIZER))?;
    for (parameter, state) in parameters.iter().zip(&mut optimizer.moments) {
        let (shape, names) = (parameter.shape, moment_names(&parameter.name));
        match state {
            Moments::Float32(both) => {
                for (name, moment) in names.iter().zip(both) {
                    device.write(moment, 0, &file.numbers(name, shape)?);
                }
            }
            Moments::EightBit(both) => {
                for (name, moment) in names.iter().zip(both) {
                    let map = device.read_moment8(moment).map();
                    let codes = file.bytes(name, Dtype::U8, shape)?;
                    let scales = file.numbers(&scales_name(name), &scales_shape(shape))?;
                    let read = Moment8::from_parts(map, codes, scales).ok_or_else(|| {
                        TrainError::checkpoint(&file.path, format!("`{name}` lacks scales"))
                    })?;
                    *moment = device.upload_moment8(read);
                }
            }
        }
    }
    Ok(())
}

/// A file that ends too early is a damaged checkpoint; all else is the system's matter.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> TrainError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof => TrainError::checkpoint(path, "the file is cut short"),
        _ => TrainError::file(path, "read")(error),
    }
}

/// A safetensors file, read tensor by tensor: a large model's moments never lie in memory twice.
struct TensorFile {
    path: PathBuf,
    file: fs::File,
    metadata: Metadata,
    data_start: u64,
}

impl TensorFile {
    fn open(path: PathBuf) -> Result<Self, TrainError> {
        let mut file = fs::File::open(&path).map_err(TrainError::file(&path, "read"))?;
        let size = file.metadata().map_err(TrainError::file(&path, "read"))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(unreadable(&path))?;
        let length = u64::from_le_bytes(length);
        if length > size.saturating_sub(8) {
            return Err(TrainError::checkpoint(&path, "its header is longer than the file"));
        }
        let mut header = Vec::new();
        (&mut file).take(length).read_to_end(&mut header).map_err(TrainError::file(&path, "read"))?;
        let metadata =
            serde_json::from_slice(&header).map_err(|error| TrainError::checkpoint(&path, error))?;
        Ok(Self { path, file, metadata, data_start: 8 + length })
    }

    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, TrainError> {
        let bytes = self.bytes(name, Dtype::F32, shape)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn bytes(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Vec<u8>, TrainError> {
        let Self { path, file, metadata, data_start } = self;
        let Some(found) = metadata.info(name) else {
            return Err(TrainError::checkpoint(path, format!("tensor `{name}` is missing")));
        };
        if found.dtype != dtype || found.shape != shape {
            let detail = format!(
                "tensor `{name}` is {:?} {:?}, expected {dtype:?} {shape:?}",
                found.dtype, found.shape
            );
            return Err(TrainError::checkpoint(path, detail));
        }
        let (start, end) = found.data_offsets;
        let mut bytes = vec![0; end - start];
        file.seek(SeekFrom::Start(*data_start + start as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(unreadable(path))?;
        Ok(bytes)
    }
}
