//! What can go wrong with models: one enum for the crate. Each message says where, what was found, what was expected,
//! and how to mend it.

use std::path::PathBuf;

use thiserror::Error;

/// An error of this crate.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What was attempted ("read", "write").
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("{path}: {detail}", path = path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A setting of config.json that is missing or has a value that makes no sense.
    #[error("config.json: `{key}`: {detail}")]
    Config {
        /// The key.
        key: &'static str,
        /// Found, expected, and how to mend it.
        detail: String,
    },
    /// A setting of config.json that asks for something this program does not do.
    #[error("config.json: `{key}` is {found}, which this program does not do{hint}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would be done, beginning with a separator.
        hint: String,
    },
    /// No config.json in the folder.
    #[error("{dir}: has no config.json; expected a model folder in Hugging Face's layout, or one with a single .gguf file", dir = dir.display())]
    NoConfig {
        /// The folder.
        dir: PathBuf,
    },
    /// No weights in the folder.
    #[error("{dir}: neither model.safetensors nor model.safetensors.index.json is there, nor a GGUF file; expected a model folder in Hugging Face's layout or a GGUF file", dir = dir.display())]
    NoWeights {
        /// The folder.
        dir: PathBuf,
    },
    /// A safetensors file that is damaged or not one.
    #[error("{path}: not a readable safetensors file: {detail}; download or copy it again", path = path.display())]
    Safetensors {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A tensor that the settings call for is not in the weights.
    #[error("{path}: tensor `{name}` {expected:?} is missing; is {settings} from another model?", path = path.display())]
    MissingTensor {
        /// File or folder searched.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape that was looked for.
        expected: Vec<usize>,
        /// The file that says which tensors there are.
        settings: &'static str,
    },
    /// A tensor of another shape than the settings say.
    #[error("{path}: tensor `{name}` has shape {found:?}, expected {expected:?}; is {settings} from another model?", path = path.display())]
    TensorShape {
        /// Which file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape by the settings and the model.
        expected: Vec<usize>,
        /// The file that says which tensors there are.
        settings: &'static str,
    },
    /// A tensor of a number type that is not read.
    #[error("{path}: tensor `{name}` has type {found}; expected F32, F16 or BF16", path = path.display())]
    TensorType {
        /// Which file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its type.
        found: String,
    },
    /// Tensors in the weights that nothing of the settings accounts for.
    #[error("{path}: {count} tensors that {settings} does not account for, first `{first}`; loading without them would give another model", path = path.display())]
    UnknownTensors {
        /// File or folder.
        path: PathBuf,
        /// How many.
        count: usize,
        /// One of them.
        first: String,
        /// The file that says which tensors there are.
        settings: &'static str,
    },
    /// A GGUF file that is damaged, or holds what this program does not read.
    #[error("{path}: {detail}", path = path.display())]
    Gguf {
        /// Which file.
        path: PathBuf,
        /// Found, expected, and how to mend it.
        detail: String,
    },
    /// Weights that cannot be packed, or are packed where they must not be.
    #[error("tensor `{name}`: {detail}")]
    Quantization {
        /// The tensor's name.
        name: String,
        /// Found, expected, and how to mend it.
        detail: String,
    },
    /// An adapter setting that is wrong or not done.
    #[error("adapter: `{key}`: {detail}")]
    Adapter {
        /// The key.
        key: String,
        /// Found, expected, and how to mend it.
        detail: String,
    },
    /// A batch that does not fit itself or the model.
    #[error("batch: {0}")]
    Batch(String),
    /// A prompt or option of generation that cannot be used.
    #[error("generation: {0}")]
    Generation(String),
    /// Patterns of frozen weights that make no sense.
    #[error("freeze: {0}")]
    Freeze(String),
}

impl ModelError {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, action: "read", source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, action: "write", source }
    }
}
