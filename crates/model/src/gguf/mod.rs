//! Models in GGUF files (versions 2 and 3): one file that holds the configuration and the weights, plain or in blocks.
//!
//! In: a file. Out: what config.json would say, and tensors under the names that a Hugging Face folder gives them.
//! Weights in blocks stay as they are; only whole rows change places. Not known: tokenizers (the file's own is passed
//! over), what is done with the weights.

mod config;
mod frequencies;
mod header;
mod names;
mod reader;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use toolsmith_kernels::PackedMatrix;

use self::header::{Header, Metadata, NumberType, TensorInfo};
use self::names::{Architecture, Place, Rows};
use self::reader::MetadataValue;
use crate::weight::{Loaded, zero_blocks};
use crate::{DecoderConfig, ModelError};

/// The tensor of what rotary frequencies are divided by.
const DIVISORS: &str = "rope_freqs.weight";

/// An open GGUF file whose header is checked: every tensor lies inside the file, no two overlap.
pub(crate) struct GgufFile {
    path: PathBuf,
    file: File,
    architecture: Architecture,
    tensors: BTreeMap<String, TensorInfo>,
    head_dim: usize,
}

impl GgufFile {
    /// Reads the header, and from it what the config.json of this model would say.
    pub(crate) fn open(path: &Path) -> Result<(DecoderConfig, Self), ModelError> {
        let file = File::open(path).map_err(ModelError::read(path))?;
        let size = file.metadata().map_err(ModelError::read(path))?.len();
        let input = std::io::BufReader::with_capacity(1 << 20, &file);
        let wrong = |detail| ModelError::Gguf { path: path.to_owned(), detail };
        let Header { metadata, tensors } = header::read(input, size).map_err(wrong)?;
        refuse_part(path, &metadata).map_err(wrong)?;
        let architecture = Architecture::of(&metadata).map_err(wrong)?;
        let mut json = config::config(architecture, &metadata, &tensors).map_err(wrong)?;
        let mut config = DecoderConfig::from_json(&json)?;
        let opened = Self { path: path.to_owned(), file, architecture, tensors, head_dim: config.head_dim };
        if let Some(divisors) = opened.divisors()? {
            json["rope_scaling"] = frequencies::scaling(&config, &divisors).ok_or_else(|| {
                opened.wrong(format!(
                    "tensor `{DIVISORS}` divides the rotary frequencies in a way this program does not know; it knows \
                     Llama 3.1's for 8192 original positions: load the model's safetensors folder instead"
                ))
            })?;
            config = DecoderConfig::from_json(&json)?;
        }
        Ok((config, opened))
    }

    /// What rotary frequencies are divided by.
    fn divisors(&self) -> Result<Option<Vec<f32>>, ModelError> {
        match self.tensors.get(DIVISORS).filter(|_| self.architecture == Architecture::Llama) {
            None => Ok(None),
            Some(info) if info.number_type == NumberType::F32 && info.shape.len() == 1 => {
                self.bytes(info).map(|bytes| Some(bytes.chunks_exact(4).map(f32_of).collect()))
            }
            Some(info) => {
                let TensorInfo { shape, number_type, .. } = info;
                Err(self.wrong(format!(
                    "tensor `{DIVISORS}` is {shape:?} of {number_type:?}; expected a list of F32"
                )))
            }
        }
    }

    fn wrong(&self, detail: String) -> ModelError {
        ModelError::Gguf { path: self.path.clone(), detail }
    }

    /// Where the tensor lies that a Hugging Face folder calls `name`, which must have this shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<(Place, &TensorInfo), ModelError> {
        let missing = |name: String| ModelError::MissingTensor {
            path: self.path.clone(),
            name,
            expected: shape.to_vec(),
            settings: "its header",
        };
        let place = self.place(name).ok_or_else(|| missing(name.to_owned()))?;
        let info = self.tensors.get(&place.name).ok_or_else(|| missing(place.name.clone()))?;
        if info.shape != shape {
            return Err(ModelError::TensorShape {
                path: self.path.clone(),
                name: place.name,
                found: info.shape.clone(),
                expected: shape.to_vec(),
                settings: "its header",
            });
        }
        Ok((place, info))
    }

    fn bytes(&self, info: &TensorInfo) -> Result<Vec<u8>, ModelError> {
        // The header's check has made sure that the tensor lies inside the file.
        let mut bytes = vec![0; info.bytes as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(info.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(ModelError::read(&self.path))?;
        Ok(bytes)
    }

    /// The tensor that a Hugging Face folder calls `name`, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Loaded, ModelError> {
        let (place, info) = self.find(name, shape)?;
        let mut bytes = self.bytes(info)?;
        let rows = shape[0];
        if let Rows::Paired { head_dim } = place.rows {
            let row_bytes = bytes.len() / rows;
            let row_of = |row: usize| names::paired_row(row, head_dim);
            bytes =
                (0..rows).flat_map(|row| &bytes[row_of(row) * row_bytes..][..row_bytes]).copied().collect();
        }
        match info.number_type {
            NumberType::F32 => Ok(Loaded::Plain(bytes.chunks_exact(4).map(f32_of).collect())),
            NumberType::F16 => {
                let value = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
                Ok(Loaded::Plain(bytes.chunks_exact(2).map(value).collect()))
            }
            NumberType::Bf16 => {
                let value = |b: &[u8]| bf16::from_le_bytes([b[0], b[1]]).to_f32();
                Ok(Loaded::Plain(bytes.chunks_exact(2).map(value).collect()))
            }
            NumberType::Blocks(format) => PackedMatrix::new(format, rows, cols(shape), bytes)
                .map(Loaded::Packed)
                .map_err(|error| self.wrong(format!("tensor `{}`: {error}", place.name))),
        }
    }

    /// As [`GgufFile::tensor`], but all 0, and nothing is read.
    pub(crate) fn zeros(&self, name: &str, shape: &[usize]) -> Result<Loaded, ModelError> {
        let (place, info) = self.find(name, shape)?;
        match info.number_type {
            NumberType::Blocks(format) => zero_blocks(format, shape[0], cols(shape))
                .map_err(|detail| self.wrong(format!("tensor `{}`: {detail}", place.name))),
            _ => Ok(Loaded::Zeros(shape.iter().product())),
        }
    }

    fn place(&self, name: &str) -> Option<Place> {
        names::place(self.architecture, name, self.head_dim)
    }

    /// Fails if there are tensors that the names `known` do not ask for.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ModelError> {
        let places: std::collections::BTreeSet<String> =
            known.iter().filter_map(|name| self.place(name)).map(|place| place.name).collect();
        let read = |name: &String| {
            places.contains(name) || self.architecture == Architecture::Llama && name == DIVISORS
        };
        let mut unknown = self.tensors.keys().filter(|name| !read(name));
        let Some(first) = unknown.next() else { return Ok(()) };
        Err(self.wrong(format!(
            "{} tensors that an {} model of this program does not have, first `{first}`; loading without them would give another model",
            unknown.count() + 1,
            self.architecture.name(),
        )))
    }
}

fn f32_of(b: &[u8]) -> f32 {
    f32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

/// Columns of a tensor; a list has one.
fn cols(shape: &[usize]) -> usize {
    shape.iter().skip(1).product::<usize>().max(1)
}

/// Whether a file is one of several by its name, as `llama-gguf-split` gives it: `…-00001-of-00003.gguf`.
pub(crate) fn is_part(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut parts = stem.rsplitn(4, '-');
    let mut number = |skip: usize| {
        parts.nth(skip).is_some_and(|part| part.len() == 5 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    stem.contains("-of-") && !stem.ends_with("-of-00001") && number(0) && number(1)
}

fn refuse_part(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let is_part = match metadata.get("split.count") {
        Some(count) => !matches!(count, MetadataValue::Whole(0 | 1)),
        None => is_part(path),
    };
    if !is_part {
        return Ok(());
    }
    Err("the file is a part of a model that was split; merge the parts (llama-gguf-split --merge), or load the model's \
         safetensors folder instead"
        .to_owned())
}
