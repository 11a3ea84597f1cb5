//! A matrix of weights that is plain numbers, or stays packed in blocks and frozen.
//!
//! In: numbers or blocks from a checkpoint. Out: products and rows, whichever way the weights are kept. Not known:
//! which layer's weights they are, how blocks are laid out.

use toolsmith_kernels::{BlockFormat, Device, Matrix, PackedMatrix, Transpose, View, ViewMut};

use crate::ModelError;
use crate::parameter::{Parameter, Tensor};

/// How the linear layers of a model's blocks are kept while it is loaded; embedding, head and norms stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantization {
    /// As the checkpoint has them.
    #[default]
    None,
    /// 8 bit with one scale for each output ([`BlockFormat::Int8`]).
    Int8,
    /// 4-bit NormalFloat ([`BlockFormat::Nf4`]).
    Nf4,
}

impl Quantization {
    /// The format that layers are packed in.
    #[must_use]
    pub fn format(self) -> Option<BlockFormat> {
        match self {
            Self::None => None,
            Self::Int8 => Some(BlockFormat::Int8),
            Self::Nf4 => Some(BlockFormat::Nf4),
        }
    }

    /// A tensor as it will be kept.
    pub(crate) fn apply(
        self,
        use_of: Use,
        name: &str,
        shape: &[usize],
        loaded: Loaded,
    ) -> Result<Loaded, ModelError> {
        match self.format().filter(|_| use_of == Use::Linear) {
            None => Ok(loaded),
            Some(format) => loaded
                .pack(format, shape)
                .map_err(|detail| ModelError::Quantization { name: name.to_owned(), detail }),
        }
    }
}

/// Weights on the host, as a checkpoint has them.
pub(crate) enum Loaded {
    Plain(Vec<f32>),
    /// Plain numbers, all 0, that lie nowhere yet.
    Zeros(usize),
    Packed(PackedMatrix),
}

impl Loaded {
    /// The same weights in blocks; `shape` is `[rows, cols]`.
    pub(crate) fn pack(self, format: BlockFormat, shape: &[usize]) -> Result<Self, String> {
        match self {
            Self::Zeros(_) => zero_blocks(format, shape[0], shape[1]),
            Self::Plain(values) => PackedMatrix::pack(format, shape[0], shape[1], &values)
                .map(Self::Packed)
                .map_err(|error| error.to_string()),
            Self::Packed(matrix) => Err(format!(
                "the file has it as {} already; load it as it is, or quantise the plain model to {}",
                matrix.format().name(),
                format.name()
            )),
        }
    }

    /// The plain numbers.
    pub(crate) fn unpacked(self) -> Vec<f32> {
        match self {
            Self::Plain(values) => values,
            Self::Zeros(len) => vec![0.0; len],
            Self::Packed(matrix) => {
                let cols = matrix.cols();
                (0..matrix.rows() * cols).map(|i| matrix.element(i / cols, i % cols)).collect()
            }
        }
    }
}

/// Blocks of zero bytes.
pub(crate) fn zero_blocks(format: BlockFormat, rows: usize, cols: usize) -> Result<Loaded, String> {
    // Rows that the format cannot keep are refused with the matrix.
    let bytes = format.row_bytes(cols).and_then(|bytes| bytes.checked_mul(rows)).unwrap_or(0);
    // The system says beforehand whether it has the room; what it gives is not touched.
    if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
        return Err(format!("{bytes} bytes of {} do not fit into memory", format.name()));
    }
    PackedMatrix::new(format, rows, cols, vec![0; bytes])
        .map(Loaded::Packed)
        .map_err(|error| error.to_string())
}

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A norm's weight or a bias.
    Vector,
    /// The embedding or the head.
    Vocabulary,
    /// A linear layer of a block.
    Linear,
}

/// A matrix of weights, `[rows, cols]`.
pub(crate) enum Weight<D: Device> {
    Plain(Tensor<D>),
    Packed(PackedTensor<D>),
}

/// A named matrix in blocks.
pub(crate) struct PackedTensor<D: Device> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) format: BlockFormat,
    pub(crate) value: D::Packed,
}

/// Any weight, to look at.
pub(crate) enum WeightRef<'a, D: Device> {
    Plain(&'a Tensor<D>),
    Packed(&'a PackedTensor<D>),
}

impl<'a, D: Device> WeightRef<'a, D> {
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Plain(tensor) => &tensor.name,
            Self::Packed(tensor) => &tensor.name,
        }
    }

    pub(crate) fn shape(&self) -> &'a [usize] {
        match self {
            Self::Plain(tensor) => &tensor.shape,
            Self::Packed(tensor) => &tensor.shape,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// The plain numbers, brought to the host.
    pub(crate) fn read(&self, device: &D) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        match self {
            Self::Plain(tensor) => device.read(&tensor.value, 0, &mut values),
            Self::Packed(tensor) => device.read_packed(&tensor.value, 0, &mut values),
        }
        values
    }
}

impl<D: Device> Weight<D> {
    pub(crate) fn new(device: &D, name: String, shape: [usize; 2], loaded: Loaded) -> Self {
        let shape = shape.to_vec();
        match loaded {
            Loaded::Plain(values) => {
                Self::Plain(Tensor { name, shape, value: device.upload(&values), grad: None })
            }
            Loaded::Zeros(len) => Self::Plain(Tensor { name, shape, value: device.zeros(len), grad: None }),
            Loaded::Packed(matrix) => {
                let format = matrix.format();
                Self::Packed(PackedTensor { name, shape, format, value: device.upload_packed(matrix) })
            }
        }
    }

    pub(crate) fn as_ref(&self) -> WeightRef<'_, D> {
        match self {
            Self::Plain(tensor) => WeightRef::Plain(tensor),
            Self::Packed(tensor) => WeightRef::Packed(tensor),
        }
    }

    /// The tensor, where its numbers can change.
    pub(crate) fn plain_mut(&mut self) -> Option<&mut Tensor<D>> {
        match self {
            Self::Plain(tensor) => Some(tensor),
            Self::Packed(_) => None,
        }
    }

    /// The gradient, where it is trained.
    pub(crate) fn grad_mut(&mut self) -> Option<&mut D::Buffer> {
        self.plain_mut()?.grad.as_mut()
    }

    pub(crate) fn is_trained(&self) -> bool {
        matches!(self, Self::Plain(Tensor { grad: Some(_), .. }))
    }

    pub(crate) fn parameter(&mut self) -> Option<Parameter<'_, D>> {
        self.plain_mut()?.parameter()
    }

    /// `y = beta * y + x · op(W)`.
    pub(crate) fn matmul(
        &self,
        device: &D,
        x: View<'_, D::Buffer>,
        transpose: Transpose,
        beta: f32,
        y: ViewMut<'_, D::Buffer>,
    ) {
        match self {
            Self::Plain(tensor) => {
                let weight = View::new(&tensor.value, Matrix::dense(tensor.shape[0], tensor.shape[1]));
                device.matmul(1.0, x, Transpose::No, weight, transpose, beta, y);
            }
            Self::Packed(tensor) => device.matmul_packed(1.0, x, &tensor.value, transpose, beta, y),
        }
    }

    /// `out[i] = W[ids[i]]`.
    pub(crate) fn gather(&self, device: &D, ids: &D::Ids, out: ViewMut<'_, D::Buffer>) {
        match self {
            Self::Plain(tensor) => {
                let table = View::new(&tensor.value, Matrix::dense(tensor.shape[0], tensor.shape[1]));
                device.gather_rows(table, ids, out);
            }
            Self::Packed(tensor) => device.gather_packed_rows(&tensor.value, ids, out),
        }
    }

    /// Its plain numbers in a new buffer.
    pub(crate) fn copy_plain(&self, device: &D) -> D::Buffer {
        match self {
            Self::Plain(tensor) => {
                let at = Matrix::dense(tensor.shape[0], tensor.shape[1]);
                let mut copy = device.zeros(at.end());
                device.copy(View::new(&tensor.value, at), ViewMut::new(&mut copy, at));
                copy
            }
            Self::Packed(_) => device.upload(&self.as_ref().read(device)),
        }
    }

    /// Its plain numbers from row `first` on.
    pub(crate) fn copy_rows(&self, device: &D, first: usize, to: ViewMut<'_, D::Buffer>) {
        match self {
            Self::Plain(tensor) => {
                let at = Matrix::dense(tensor.shape[0], tensor.shape[1]).rows(first, to.at.rows);
                device.copy(View::new(&tensor.value, at), to);
            }
            Self::Packed(tensor) => {
                let mut values = vec![0.0; to.at.rows * tensor.shape[1]];
                device.read_packed(&tensor.value, first, &mut values);
                device.write(to.buffer, to.at.offset, &values);
            }
        }
    }

    /// Unpacks it where it is packed, and lets `change` write to the numbers.
    pub(crate) fn make_plain(&mut self, device: &D, change: impl FnOnce(&mut Tensor<D>)) {
        match self {
            Self::Plain(tensor) => change(tensor),
            Self::Packed(packed) => {
                let value = device.upload(&WeightRef::Packed(packed).read(device));
                let (name, shape) = (packed.name.clone(), packed.shape.clone());
                let mut tensor = Tensor { name, shape, value, grad: None };
                change(&mut tensor);
                *self = Self::Plain(tensor);
            }
        }
    }
}
