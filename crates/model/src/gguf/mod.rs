//! Models in GGUF files (versions 2 and 3): one file that holds the configuration and the weights, plain or in blocks.
//!
//! In: a file. Out: what config.json would say, and tensors under the names that a Hugging Face folder gives them.
//! Weights in blocks stay as they are; only whole rows change places. Not known: tokenizers (the file's own is passed
//! over), what is done with the weights.

mod config;
mod header;
mod names;
mod reader;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use toolsmith_kernels::PackedMatrix;

use self::header::{Header, NumberType, TensorInfo};
use self::names::{Architecture, Place, Rows};
use crate::weight::Loaded;
use crate::{DecoderConfig, ModelError};

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
        let architecture = Architecture::of(&metadata).map_err(wrong)?;
        let json = config::config(architecture, &metadata, &tensors).map_err(wrong)?;
        let config = DecoderConfig::from_json(&json)?;
        let head_dim = config.head_dim;
        Ok((config, Self { path: path.to_owned(), file, architecture, tensors, head_dim }))
    }

    fn wrong(&self, detail: String) -> ModelError {
        ModelError::Gguf { path: self.path.clone(), detail }
    }

    /// The tensor that a Hugging Face folder calls `name`, which must have this shape.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Loaded, ModelError> {
        let missing = |name: String| ModelError::MissingTensor {
            path: self.path.clone(),
            name,
            expected: shape.to_vec(),
        };
        let place = self.place(name).ok_or_else(|| missing(name.to_owned()))?;
        let info = self.tensors.get(&place.name).ok_or_else(|| missing(place.name.clone()))?;
        let cols: usize = shape.iter().skip(1).product();
        if info.shape != shape {
            return Err(ModelError::TensorShape {
                path: self.path.clone(),
                name: place.name,
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        // The header's check has made sure that the tensor lies inside the file.
        let mut bytes = vec![0; info.bytes as usize];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(info.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(ModelError::read(&self.path))?;
        let rows = shape[0];
        if let Rows::Paired { head_dim } = place.rows {
            let row_bytes = bytes.len() / rows;
            let row_of = |row: usize| names::paired_row(row, head_dim);
            bytes =
                (0..rows).flat_map(|row| &bytes[row_of(row) * row_bytes..][..row_bytes]).copied().collect();
        }
        match info.number_type {
            NumberType::F32 => {
                let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                Ok(Loaded::Plain(bytes.chunks_exact(4).map(value).collect()))
            }
            NumberType::F16 => {
                let value = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
                Ok(Loaded::Plain(bytes.chunks_exact(2).map(value).collect()))
            }
            NumberType::Bf16 => {
                let value = |b: &[u8]| bf16::from_le_bytes([b[0], b[1]]).to_f32();
                Ok(Loaded::Plain(bytes.chunks_exact(2).map(value).collect()))
            }
            NumberType::Blocks(format) => PackedMatrix::new(format, rows, cols.max(1), bytes)
                .map(Loaded::Packed)
                .map_err(|error| self.wrong(format!("tensor `{}`: {error}", place.name))),
        }
    }

    fn place(&self, name: &str) -> Option<Place> {
        names::place(self.architecture, name, self.head_dim)
    }

    /// Fails if there are tensors that the names `known` do not ask for.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ModelError> {
        let places: std::collections::BTreeSet<String> =
            known.iter().filter_map(|name| self.place(name)).map(|place| place.name).collect();
        let mut unknown = self.tensors.keys().filter(|name| !places.contains(*name));
        let Some(first) = unknown.next() else { return Ok(()) };
        Err(self.wrong(format!(
            "{} tensors that an {} model of this program does not have, first `{first}`; loading without them would give another model",
            unknown.count() + 1,
            self.architecture.name(),
        )))
    }
}
