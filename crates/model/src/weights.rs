//! Weights in safetensors files: read where they lie, written so that a half-written file never has the final name.
//!
//! In: a folder with model.safetensors, or the shards that model.safetensors.index.json lists; F32, F16, BF16. Out:
//! f32 tensors by name, or a new file. Not known: which tensors a model has.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Metadata, SafeTensorError, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use toolsmith_kernels::Device;

use crate::ModelError;
use crate::weight::WeightRef;

/// Number type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightType {
    /// 32 bit.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl WeightType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The type that a config.json names; float32 where it names none of these.
    #[must_use]
    pub fn of_config(json: &Value) -> Self {
        let named = json.get("dtype").or_else(|| json.get("torch_dtype")).and_then(Value::as_str);
        Self::ALL.into_iter().find(|dtype| named == Some(dtype.torch_name())).unwrap_or(Self::F32)
    }

    /// Its name in config.json.
    #[must_use]
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Largest JSON file that is read: far above any config or index.
const LARGEST_JSON: u64 = 64 << 20;

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value, ModelError> {
    let json = |detail: String| ModelError::Json { path: path.to_owned(), detail };
    let size = std::fs::metadata(path).map_err(ModelError::read(path))?.len();
    if size > LARGEST_JSON {
        return Err(json(format!("{size} bytes; expected a JSON file of at most {LARGEST_JSON}")));
    }
    let bytes = std::fs::read(path).map_err(ModelError::read(path))?;
    serde_json::from_slice(&bytes).map_err(|error| json(format!("not valid JSON: {error}")))
}

/// Writes a JSON file, indented by two as Hugging Face does.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<(), ModelError> {
    let text = format!("{json:#}\n");
    write_whole(path, |partial| std::fs::write(partial, &text).map_err(ModelError::write(path)))
}

/// Lets `write` fill a file beside `path`, then gives it the final name; on failure nothing stays.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written =
        write(&partial).and_then(|()| std::fs::rename(&partial, path).map_err(ModelError::write(path)));
    if written.is_err() {
        // The first error is the one to report; there may be nothing to remove.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

struct WeightFile {
    path: PathBuf,
    bytes: Mmap,
    metadata: Metadata,
    data_start: usize,
}

/// What says which tensors a model folder has.
const MODEL_SETTINGS: &str = "config.json";

/// The safetensors files of a model or adapter.
pub(crate) struct WeightFiles {
    origin: PathBuf,
    /// The file that says which tensors there are, for messages.
    settings: &'static str,
    files: Vec<WeightFile>,
    /// File of each tensor.
    index: BTreeMap<String, usize>,
}

impl WeightFiles {
    /// Opens the weights of a model folder.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let (single, sharded) = (dir.join("model.safetensors"), dir.join("model.safetensors.index.json"));
        if single.exists() {
            return Self::open_files(&single, MODEL_SETTINGS, std::slice::from_ref(&single));
        }
        if !sharded.exists() {
            return Err(ModelError::NoWeights { dir: dir.to_owned() });
        }
        let json = read_json(&sharded)?;
        let names = json.get("weight_map").and_then(Value::as_object);
        let names: Option<Vec<&str>> = names.and_then(|map| map.values().map(Value::as_str).collect());
        let mut names = names.ok_or_else(|| ModelError::Json {
            path: sharded.clone(),
            detail: "expected `weight_map`, an object of tensor names and file names".to_owned(),
        })?;
        names.sort_unstable();
        names.dedup();
        if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Err(ModelError::Json {
                path: sharded,
                detail: format!("`weight_map` names the file {name:?}; expected file names without folders"),
            });
        }
        let paths: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
        Self::open_files(dir, MODEL_SETTINGS, &paths)
    }

    /// Opens one file, whose tensors `settings` describes.
    pub(crate) fn open_file(path: &Path, settings: &'static str) -> Result<Self, ModelError> {
        Self::open_files(path, settings, &[path.to_owned()])
    }

    fn open_files(origin: &Path, settings: &'static str, paths: &[PathBuf]) -> Result<Self, ModelError> {
        let files: Vec<WeightFile> =
            paths.iter().map(|path| WeightFile::open(path)).collect::<Result<_, _>>()?;
        let names = |(index, file): (usize, &WeightFile)| {
            file.metadata.tensors().into_keys().map(move |name| (name, index)).collect::<Vec<_>>()
        };
        let index = files.iter().enumerate().flat_map(names).collect();
        Ok(Self { origin: origin.to_owned(), settings, files, index })
    }

    /// Fails if [`WeightFiles::tensor`] would.
    pub(crate) fn check(&self, name: &str, expected: &[usize]) -> Result<(), ModelError> {
        self.find(name, expected).map(|_| ())
    }

    /// The file and the entry of a tensor, which must have this shape and numbers that are read.
    fn find(&self, name: &str, expected: &[usize]) -> Result<(&WeightFile, &TensorInfo), ModelError> {
        let missing = || ModelError::MissingTensor {
            path: self.origin.clone(),
            name: name.to_owned(),
            expected: expected.to_vec(),
            settings: self.settings,
        };
        let file = &self.files[*self.index.get(name).ok_or_else(missing)?];
        let info = file.metadata.info(name).ok_or_else(missing)?;
        if info.shape != expected {
            return Err(ModelError::TensorShape {
                path: file.path.clone(),
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: expected.to_vec(),
                settings: self.settings,
            });
        }
        if !matches!(info.dtype, Dtype::F32 | Dtype::BF16 | Dtype::F16) {
            return Err(file.wrong_type(name, info.dtype));
        }
        Ok((file, info))
    }

    /// The numbers of a tensor, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (file, info) = self.find(name, expected)?;
        let (start, end) = info.data_offsets;
        // The offsets were checked against the file's length when its header was read.
        let bytes = &file.bytes[file.data_start + start..file.data_start + end];
        match info.dtype {
            Dtype::F32 => {
                Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            Dtype::BF16 => {
                Ok(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
            }
            Dtype::F16 => {
                let halves: Vec<f16> =
                    bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                Ok(halves.to_f32_vec())
            }
            other => Err(file.wrong_type(name, other)),
        }
    }

    /// The names of all tensors, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Fails if there are tensors that are not `known`.
    pub(crate) fn refuse_unknown(&self, known: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        let unknown: Vec<&str> = self.names().filter(|name| !known(name)).collect();
        match unknown.first() {
            None => Ok(()),
            Some(first) => Err(ModelError::UnknownTensors {
                path: self.origin.clone(),
                count: unknown.len(),
                first: (*first).to_owned(),
                settings: self.settings,
            }),
        }
    }
}

impl WeightFile {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let damaged = |error: SafeTensorError| ModelError::Safetensors {
            path: path.to_owned(),
            detail: error.to_string(),
        };
        let file = File::open(path).map_err(ModelError::read(path))?;
        #[expect(unsafe_code, reason = "weights of many GB must not be read twice into memory")]
        // SAFETY: the map is only read; as with any mapped file, another program that cuts the file short while it is
        // being loaded would end this one.
        let bytes = unsafe { Mmap::map(&file) }.map_err(ModelError::read(path))?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), data_start: header + 8, bytes, metadata })
    }

    fn wrong_type(&self, name: &str, found: Dtype) -> ModelError {
        ModelError::TensorType { path: self.path.clone(), name: name.to_owned(), found: format!("{found:?}") }
    }
}

/// A tensor on its way into a file.
struct Outgoing<'a, D: Device> {
    device: &'a D,
    tensor: WeightRef<'a, D>,
    dtype: WeightType,
}

impl<D: Device> safetensors::View for Outgoing<'_, D> {
    fn dtype(&self) -> Dtype {
        self.dtype.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.tensor.read(self.device);
        Cow::Owned(match self.dtype {
            WeightType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            WeightType::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            WeightType::Bf16 => {
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
        })
    }

    fn data_len(&self) -> usize {
        self.tensor.len() * self.dtype.bytes()
    }
}

/// Writes tensors, by the names given, into one file.
pub(crate) fn write<'a, D: Device>(
    path: &Path,
    device: &'a D,
    tensors: impl Iterator<Item = (String, WeightRef<'a, D>)>,
    dtype: WeightType,
) -> Result<(), ModelError> {
    let outgoing: Vec<_> = tensors.map(|(name, tensor)| (name, Outgoing { device, tensor, dtype })).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_whole(path, |partial| {
        safetensors::serialize_to_file(outgoing, Some(metadata), partial).map_err(|error| match error {
            SafeTensorError::IoError(source) => ModelError::write(path)(source),
            other => ModelError::Safetensors { path: path.to_owned(), detail: other.to_string() },
        })
    })
}
