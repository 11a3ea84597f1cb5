//! The fast device (being written).
/// The CPU.
#[derive(Debug, Clone, Default)]
pub struct CpuDevice {}
/// Numbers in memory.
pub struct CpuBuffer {}
/// Attention pattern.
pub struct CpuSpans {}
