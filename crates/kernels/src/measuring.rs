//! A device that computes nothing and counts bytes: what a pass on another device will allocate, known beforehand.
//!
//! In: the same calls as any device. Out: zeros, and the bytes that lie in buffers now and lay there at most, each
//! element as large as on [`crate::CpuDevice`]. Not known: numbers, and what operations allocate inside themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blocks::PackedMatrix;
use crate::device::{
    AdamWStep, AttentionShape, Device, Direction, HeadRows, Matrix, RopeShape, Transpose, View, ViewMut,
};
use crate::moment::{DynamicMap, Moment8};
use crate::tree::QuerySpan;

/// The counter.
#[derive(Debug, Clone, Default)]
pub struct MeasuringDevice {
    meter: Arc<Meter>,
}

#[derive(Debug, Default)]
struct Meter {
    now: AtomicUsize,
    peak: AtomicUsize,
}

/// Room that would be taken.
#[derive(Debug)]
pub struct MeasuredBuffer {
    len: usize,
    bytes: usize,
    meter: Arc<Meter>,
}

impl Drop for MeasuredBuffer {
    fn drop(&mut self) {
        self.meter.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl MeasuringDevice {
    /// A device on which nothing lies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in buffers now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.meter.now.load(Ordering::Relaxed)
    }

    /// The most bytes that lay in buffers at a time.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.meter.peak.load(Ordering::Relaxed)
    }

    fn take(&self, len: usize, bytes: usize) -> MeasuredBuffer {
        let now = self.meter.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.meter.peak.fetch_max(now, Ordering::Relaxed);
        MeasuredBuffer { len, bytes, meter: Arc::clone(&self.meter) }
    }
}

type Read<'a> = View<'a, MeasuredBuffer>;
type Write<'a> = ViewMut<'a, MeasuredBuffer>;
type Buffer = MeasuredBuffer;

impl Device for MeasuringDevice {
    type Buffer = MeasuredBuffer;
    type Ids = MeasuredBuffer;
    type Spans = MeasuredBuffer;
    type Packed = MeasuredBuffer;
    type Moment8 = MeasuredBuffer;

    fn zeros(&self, len: usize) -> Buffer {
        self.take(len, len * size_of::<f32>())
    }

    fn upload(&self, values: &[f32]) -> Buffer {
        self.zeros(values.len())
    }

    fn upload_ids(&self, ids: &[u32]) -> Buffer {
        self.take(ids.len(), size_of_val(ids))
    }

    fn upload_spans(&self, spans: &[QuerySpan]) -> Buffer {
        self.take(spans.len(), size_of_val(spans))
    }

    fn upload_packed(&self, matrix: PackedMatrix) -> Buffer {
        self.take(matrix.rows() * matrix.cols(), matrix.bytes().len())
    }

    fn read_packed(&self, _: &Buffer, _: usize, out: &mut [f32]) {
        out.fill(0.0);
    }

    fn matmul_packed(&self, _: f32, _: Read<'_>, _: &Buffer, _: Transpose, _: f32, _: Write<'_>) {}

    fn gather_packed_rows(&self, _: &Buffer, _: &Buffer, _: Write<'_>) {}

    fn len(&self, buffer: &Buffer) -> usize {
        buffer.len
    }

    fn read(&self, _: &Buffer, _: usize, out: &mut [f32]) {
        out.fill(0.0);
    }

    fn write(&self, _: &mut Buffer, _: usize, _: &[f32]) {}

    fn scope<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }

    fn fill(&self, _: &mut Buffer, _: usize, _: usize, _: f32) {}

    fn copy(&self, _: Read<'_>, _: Write<'_>) {}

    fn add(&self, _: f32, _: Read<'_>, _: Write<'_>) {}

    fn scale(&self, _: &mut Buffer, _: f32) {}

    fn sum_of_squares(&self, _: &Buffer) -> f64 {
        0.0
    }

    fn matmul(&self, _: f32, _: Read<'_>, _: Transpose, _: Read<'_>, _: Transpose, _: f32, _: Write<'_>) {}

    fn gather_rows(&self, _: Read<'_>, _: &Buffer, _: Write<'_>) {}

    fn scatter_add_rows(&self, _: Read<'_>, _: &Buffer, _: Write<'_>) {}

    fn scatter_rows(&self, _: Read<'_>, _: &Buffer, _: Write<'_>) {}

    fn rms_norm(&self, _: f32, _: Read<'_>, _: &Buffer, _: Write<'_>, _: &mut Buffer) {}

    fn rms_norm_backward(
        &self,
        _: Read<'_>,
        _: &Buffer,
        _: &Buffer,
        _: Read<'_>,
        _: Write<'_>,
        _: Option<&mut Buffer>,
    ) {
    }

    fn add_bias(&self, _: &Buffer, _: Write<'_>) {}

    fn add_bias_backward(&self, _: Read<'_>, _: &mut Buffer) {}

    fn row_norms(&self, _: Read<'_>, _: &mut Buffer) {}

    fn scale_rows(&self, _: &Buffer, _: &Buffer, _: Write<'_>) {}

    fn scale_columns(&self, _: &Buffer, _: &Buffer, _: Read<'_>, _: f32, _: Write<'_>) {}

    fn scale_columns_backward(&self, _: &Buffer, _: Read<'_>, _: Read<'_>, _: &mut Buffer) {}

    fn tanh(&self, _: &mut Buffer) {}

    fn tanh_backward(&self, _: &Buffer, _: &mut Buffer) {}

    fn rope(&self, _: RopeShape, _: Direction, _: &Buffer, _: &Buffer, _: &Buffer, _: Write<'_>) {}

    fn attention(
        &self,
        _: AttentionShape,
        _: &Buffer,
        _: Read<'_>,
        _: Read<'_>,
        _: Read<'_>,
        _: Write<'_>,
        _: &mut Buffer,
    ) {
    }

    fn attention_backward(
        &self,
        _: AttentionShape,
        _: &Buffer,
        _: Read<'_>,
        _: Read<'_>,
        _: Read<'_>,
        _: Read<'_>,
        _: &Buffer,
        _: Read<'_>,
        _: &mut Buffer,
        _: Matrix,
        _: Matrix,
        _: Matrix,
    ) {
    }

    fn swiglu(&self, _: Read<'_>, _: Read<'_>, _: Write<'_>) {}

    fn swiglu_backward(&self, _: Read<'_>, _: &mut Buffer, _: Matrix, _: Matrix) {}

    fn dropout(&self, _: f32, _: u64, _: Read<'_>, _: f32, _: Write<'_>) {}

    fn log_probabilities(&self, _: HeadRows<'_, Buffer>, _: Read<'_>, _: &mut Buffer, _: &mut Buffer) {}

    fn log_probabilities_backward(&self, _: HeadRows<'_, Buffer>, _: &Buffer, _: &Buffer, _: Write<'_>) {}

    fn adamw(&self, _: &AdamWStep, _: &mut Buffer, _: &Buffer, _: &mut Buffer, _: &mut Buffer) {}

    fn upload_moment8(&self, moment: Moment8) -> Buffer {
        let bytes = moment.codes().len() + size_of_val(moment.scales());
        self.take(moment.codes().len(), bytes)
    }

    fn read_moment8(&self, moment: &Buffer) -> Moment8 {
        Moment8::zeros(DynamicMap::Unsigned, moment.len)
    }

    fn adamw_8bit(&self, _: &AdamWStep, _: &mut Buffer, _: &Buffer, _: &mut Buffer, _: &mut Buffer) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_while_buffers_live() {
        let device = MeasuringDevice::new();
        let one = device.zeros(10);
        drop(device.upload_moment8(Moment8::zeros(DynamicMap::Signed, 300)));
        let ids = device.upload_ids(&[1, 2]);
        assert_eq!((device.bytes(), device.peak_bytes()), (48, 40 + 300 + 8));
        drop((one, ids));
        assert_eq!(device.bytes(), 0);
    }
}
