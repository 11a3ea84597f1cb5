//! A weight and its gradient, as the optimizer sees them.

use std::borrow::Cow;

use toolsmith_kernels::Device;

use crate::weight::WeightRef;

/// One trained tensor, lent to the optimizer.
pub struct Parameter<'a, D: Device> {
    /// Name in the folder that the model or its adapter is saved to.
    pub name: Cow<'a, str>,
    /// Whether that folder holds it. What it does not hold (the layers that a prefix is computed from), a resume has to
    /// keep by itself.
    pub saved: bool,
    /// Shape, row-major.
    pub shape: &'a [usize],
    /// The weights.
    pub value: &'a mut D::Buffer,
    /// The gradient that passes have added up since [`crate::TrainableModel::zero_grads`].
    pub grad: &'a mut D::Buffer,
    /// Whether weight decay is customary (matrices yes; norms and biases no).
    pub decay: bool,
}

/// A named weight, with a place for its gradient where it is trained.
pub(crate) struct Tensor<D: Device> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) value: D::Buffer,
    pub(crate) grad: Option<D::Buffer>,
}

impl<D: Device> Tensor<D> {
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn as_ref(&self) -> WeightRef<'_, D> {
        WeightRef::Plain(self)
    }

    pub(crate) fn train(&mut self, device: &D) {
        self.grad = Some(device.zeros(self.len()));
    }

    pub(crate) fn parameter(&mut self) -> Option<Parameter<'_, D>> {
        let decay = self.shape.len() > 1;
        let grad = self.grad.as_mut()?;
        Some(Parameter {
            name: Cow::Borrowed(&self.name),
            saved: true,
            shape: &self.shape,
            value: &mut self.value,
            grad,
            decay,
        })
    }
}
