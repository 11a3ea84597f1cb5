//! The arithmetic of training and generation: every operation's forward and backward, behind one [`Device`] trait.
//!
//! In: opaque buffers of one device and the shapes of what lies in them. Out: buffers of the same device.
//! [`CpuDevice`] is the fast one (f32, all cores); [`ReferenceDevice`] is the plain one (f64, one loop a line of
//! mathematics) that every kernel is tested against; [`MeasuringDevice`] computes nothing and counts bytes. Deliberately unknown here: models, layers, files, tokens' text.
#![allow(unsafe_code)]

mod blocks;
mod cpu;
mod device;
mod measuring;
mod moment;
mod random;
mod reference;
mod tree;

pub use blocks::{BlockError, BlockFormat, PackedMatrix};
pub use cpu::{CpuBuffer, CpuDevice, CpuSpans, Precision, UnsupportedPrecision};
pub use device::{
    AdamWStep, AttentionShape, Device, Direction, HeadRows, Matrix, RopeShape, RopeStyle, Transpose, View,
    ViewMut,
};
pub use measuring::{MeasuredBuffer, MeasuringDevice};
pub use moment::{DynamicMap, MOMENT_BLOCK, Moment8};
pub use random::CounterRng;
pub use reference::{ReferenceBuffer, ReferenceDevice};
pub use tree::{QuerySpan, Segment, TokenTree, TreeError};
