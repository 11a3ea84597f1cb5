//! The first half of a block: norm, queries, keys and values, attention, and back into the residual stream.

use toolsmith_kernels::{Device, Direction, Matrix, View, ViewMut};

use super::{Block, BlockContext, CacheRows, is_trained, next, side_by_side, side_by_side_backward};
use crate::linear::Linear;
use crate::workspace::{BlockActivations, HeadNormActivations, Scratch};

impl<D: Device> Block<D> {
    /// Leaves the residual stream after attention in `kept.middle`.
    pub(super) fn attention_forward(
        &self,
        context: &BlockContext<'_, D>,
        input: &D::Buffer,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        cache: Option<CacheRows<'_, D>>,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        context.norm(&self.input_norm, input, &mut scratch.sides.normed, &mut kept.input_inverse_rms);
        let mut adapters = kept.adapters[..self.qkv.len()].iter_mut();
        let normed = View::new(&scratch.sides.normed, stream);
        side_by_side(&self.qkv, pass, normed, &mut kept.qkv, &mut adapters, &mut scratch.sides.lora);
        self.norm_heads(context, &mut kept.qkv, kept.head_norms.as_mut());
        context.rotate(Direction::Forward, &mut kept.qkv);

        let [q, k, v] = context.qkv();
        if let Some(prefix) = &context.prefix {
            for (from, to) in prefix.of_block(self.index, config.key_value_size()).into_iter().zip([k, v]) {
                let to = ViewMut::new(&mut kept.qkv, to.rows(pass.tokens, prefix.rows));
                device.copy(View::new(prefix.values, from), to);
            }
        }
        let (q, k, v) = (View::new(&kept.qkv, q), View::new(&kept.qkv, k), View::new(&kept.qkv, v));
        let attended = context.matrix(config.query_size());
        let out = ViewMut::new(&mut kept.attention, attended);
        let (shape, spans) = (context.attention(), context.spans);
        match cache {
            None => device.attention(shape, spans, q, k, v, out, &mut kept.log_sum_exp),
            Some(CacheRows { keys, values, capacity, rows }) => {
                let at = Matrix::dense(capacity, config.key_value_size());
                device.scatter_rows(k, rows, ViewMut::new(keys, at));
                device.scatter_rows(v, rows, ViewMut::new(values, at));
                let (k, v) = (View::new(keys, at), View::new(values, at));
                device.attention(shape, spans, q, k, v, out, &mut kept.log_sum_exp);
            }
        }
        device.copy(View::new(input, stream), ViewMut::new(&mut kept.middle, stream));
        let attended = View::new(&kept.attention, attended);
        let adapters = &mut kept.adapters[self.qkv.len()..];
        let lora = &mut scratch.sides.lora;
        match (&self.sandwich_norms, &mut kept.sandwich) {
            (Some([norm, _]), Some([normed, _])) => {
                let to = ViewMut::new(&mut normed.value, stream);
                next(&mut adapters.iter_mut(), |kept| {
                    self.output.forward(pass, attended, 0.0, to, kept, lora)
                });
                context.add_normed(norm, normed, &mut scratch.sides.normed, &mut kept.middle);
            }
            _ => {
                let middle = ViewMut::new(&mut kept.middle, stream);
                next(&mut adapters.iter_mut(), |kept| {
                    self.output.forward(pass, attended, 1.0, middle, kept, lora)
                });
            }
        }
    }

    /// Normalises each head of queries and keys in place, and keeps what they were.
    fn norm_heads(
        &self,
        context: &BlockContext<'_, D>,
        qkv: &mut D::Buffer,
        kept: Option<&mut HeadNormActivations<D>>,
    ) {
        let (Some(norms), Some(kept)) = (&self.head_norms, kept) else { return };
        let (device, epsilon) = (context.pass.device, context.config.rms_norm_eps);
        let from = context.heads(context.config.query_size() + context.config.key_value_size());
        let to = context.heads(context.config.qkv_size());
        for (((norm, inverse_rms), from), to) in norms.iter().zip(&mut kept.inverse_rms).zip(from).zip(to) {
            device.copy(View::new(qkv, to), ViewMut::new(&mut kept.projected, from));
            let projected = View::new(&kept.projected, from);
            device.rms_norm(epsilon, projected, &norm.value, ViewMut::new(qkv, to), inverse_rms);
        }
    }

    /// Turns gradients of normalised heads into gradients of the projections, in place.
    fn norm_heads_backward(
        &mut self,
        context: &BlockContext<'_, D>,
        d_qkv: &mut D::Buffer,
        kept: Option<&HeadNormActivations<D>>,
        d_projected: &mut D::Buffer,
    ) {
        let (Some(norms), Some(kept)) = (&mut self.head_norms, kept) else { return };
        let device = context.pass.device;
        let width = context.config.query_size() + context.config.key_value_size();
        device.fill(d_projected, 0, context.pass.tokens * width, 0.0);
        let places = context.heads(width).into_iter().zip(context.heads(context.config.qkv_size()));
        for ((norm, inverse_rms), (narrow, wide)) in norms.iter_mut().zip(&kept.inverse_rms).zip(places) {
            device.rms_norm_backward(
                View::new(&kept.projected, narrow),
                &norm.value,
                inverse_rms,
                View::new(d_qkv, wide),
                ViewMut::new(d_projected, narrow),
                norm.grad.as_mut(),
            );
            device.copy(View::new(d_projected, narrow), ViewMut::new(d_qkv, wide));
        }
    }

    /// Takes the gradient of `kept.middle` in `gradient` to that of the block's input.
    #[expect(clippy::too_many_arguments, reason = "what the forward pass had, and where gradients go")]
    pub(super) fn attention_backward(
        &mut self,
        context: &BlockContext<'_, D>,
        input: &D::Buffer,
        kept: &mut BlockActivations<D>,
        scratch: &mut Scratch<D>,
        gradient: &mut D::Buffer,
        d_prefix: Option<&mut D::Buffer>,
        to_input: bool,
    ) {
        let (config, pass, device) = (context.config, &context.pass, context.pass.device);
        let stream = context.matrix(config.hidden_size);
        let attended = context.matrix(config.query_size());
        let into_heads = self.head_norms.iter().flatten().any(|norm| norm.grad.is_some());
        let into_layers = into_heads || self.qkv.iter_mut().any(is_trained);
        let to_norm = to_input || self.input_norm.grad.is_some();
        let reaches_attention = to_norm || into_layers || d_prefix.is_some();

        let x = View::new(&kept.attention, attended);
        let d_x = reaches_attention.then(|| (0.0, ViewMut::new(&mut scratch.d_attention, attended)));
        let adapters = &kept.adapters[self.qkv.len()];
        let mut d_output = &*gradient;
        if let (Some([norm, _]), Some([normed, _])) = (&mut self.sandwich_norms, &kept.sandwich) {
            device.fill(&mut scratch.d_output, 0, stream.end(), 0.0);
            context.norm_backward(norm, &normed.value, &normed.inverse_rms, gradient, &mut scratch.d_output);
            d_output = &scratch.d_output;
        }
        self.output.backward(pass, x, View::new(d_output, stream), d_x, adapters, &mut scratch.sides.lora);
        if !reaches_attention {
            return;
        }
        let [q, k, v] = context.qkv();
        device.attention_backward(
            context.attention(),
            context.spans,
            View::new(&kept.qkv, q),
            View::new(&kept.qkv, k),
            View::new(&kept.qkv, v),
            View::new(&kept.attention, attended),
            &kept.log_sum_exp,
            View::new(&scratch.d_attention, attended),
            &mut scratch.d_qkv,
            q,
            k,
            v,
        );
        if let (Some(prefix), Some(d_prefix)) = (&context.prefix, d_prefix) {
            for (to, from) in prefix.of_block(self.index, config.key_value_size()).into_iter().zip([k, v]) {
                let from = View::new(&scratch.d_qkv, from.rows(pass.tokens, prefix.rows));
                device.add(1.0, from, ViewMut::new(d_prefix, to));
            }
        }
        if !to_norm && !into_layers {
            return;
        }
        context.rotate(Direction::Backward, &mut scratch.d_qkv);
        self.norm_heads_backward(
            context,
            &mut scratch.d_qkv,
            kept.head_norms.as_ref(),
            &mut scratch.d_projected,
        );
        if self.qkv.iter().any(Linear::needs_input) {
            context.norm(&self.input_norm, input, &mut scratch.sides.normed, &mut kept.input_inverse_rms);
        }
        let adapters = &kept.adapters[..self.qkv.len()];
        side_by_side_backward(
            &mut self.qkv,
            pass,
            &scratch.d_qkv,
            stream,
            to_norm,
            adapters,
            &mut scratch.sides,
        );
        if to_norm {
            let d_normed = &scratch.sides.d_normed;
            context.norm_backward(&mut self.input_norm, input, &kept.input_inverse_rms, d_normed, gradient);
        }
    }
}
