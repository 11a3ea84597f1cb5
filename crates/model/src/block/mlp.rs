//! The second half of a block: norm, SwiGLU, and back into the residual stream.

use toolsmith_kernels::{Device, View, ViewMut};

use super::{Block, BlockContext, next, side_by_side, side_by_side_backward};
use crate::linear::Linear;
use crate::workspace::{BlockActivations, Scratch};

impl<D: Device> Block<D> {
    /// From `kept.middle` to the block's output.
    pub(super) fn mlp_forward(
        &self,
        context: &BlockContext<'_, D>,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        output: &mut D::Buffer,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        let normed = &mut scratch.sides.normed;
        context.norm(&self.middle_norm, &kept.middle, normed, &mut kept.middle_inverse_rms);
        let mut adapters = kept.adapters[self.qkv.len() + 1..].iter_mut();
        let normed = View::new(&scratch.sides.normed, stream);
        side_by_side(&self.gate_up, pass, normed, &mut kept.gate_up, &mut adapters, &mut scratch.sides.lora);
        let [gate, up] = context.gate_up();
        let inner = context.matrix(config.intermediate_size);
        let (gate, up) = (View::new(&kept.gate_up, gate), View::new(&kept.gate_up, up));
        device.swiglu(gate, up, ViewMut::new(&mut scratch.inner, inner));

        device.copy(View::new(&kept.middle, stream), ViewMut::new(output, stream));
        let inner = View::new(&scratch.inner, inner);
        let lora = &mut scratch.sides.lora;
        match (&self.sandwich_norms, &mut kept.sandwich) {
            (Some([_, norm]), Some([_, normed])) => {
                let to = ViewMut::new(&mut normed.value, stream);
                next(&mut adapters, |kept| self.down.forward(pass, inner, 0.0, to, kept, lora));
                context.add_normed(norm, normed, &mut scratch.sides.normed, output);
            }
            _ => {
                let output = ViewMut::new(output, stream);
                next(&mut adapters, |kept| self.down.forward(pass, inner, 1.0, output, kept, lora));
            }
        }
    }

    /// Takes the gradient of the block's output in `gradient` to that of `kept.middle`.
    pub(super) fn mlp_backward(
        &mut self,
        context: &BlockContext<'_, D>,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        gradient: &mut D::Buffer,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        let first = self.qkv.len() + 1;
        let last = first + self.gate_up.len();
        let [gate, up] = context.gate_up();
        let inner = context.matrix(config.intermediate_size);
        if self.down.needs_input() {
            let (gate, up) = (View::new(&kept.gate_up, gate), View::new(&kept.gate_up, up));
            device.swiglu(gate, up, ViewMut::new(&mut scratch.inner, inner));
        }
        let mut d_output = &*gradient;
        if let (Some([_, norm]), Some([_, normed])) = (&mut self.sandwich_norms, &kept.sandwich) {
            device.fill(&mut scratch.d_output, 0, stream.end(), 0.0);
            context.norm_backward(norm, &normed.value, &normed.inverse_rms, gradient, &mut scratch.d_output);
            d_output = &scratch.d_output;
        }
        let (x, d_y) = (View::new(&scratch.inner, inner), View::new(d_output, stream));
        let d_x = Some((0.0, ViewMut::new(&mut scratch.d_inner, inner)));
        self.down.backward(pass, x, d_y, d_x, &kept.adapters[last], &mut scratch.sides.lora);
        device.swiglu_backward(View::new(&scratch.d_inner, inner), &mut kept.gate_up, gate, up);
        if self.gate_up.iter().any(Linear::needs_input) {
            let normed = &mut scratch.sides.normed;
            context.norm(&self.middle_norm, &kept.middle, normed, &mut kept.middle_inverse_rms);
        }
        let adapters = &kept.adapters[first..last];
        side_by_side_backward(
            &mut self.gate_up,
            pass,
            &kept.gate_up,
            stream,
            true,
            adapters,
            &mut scratch.sides,
        );
        let (inverse_rms, d_normed) = (&kept.middle_inverse_rms, &scratch.sides.d_normed);
        context.norm_backward(&mut self.middle_norm, &kept.middle, inverse_rms, d_normed, gradient);
    }
}
