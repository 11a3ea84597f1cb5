//! The plain device (being written).
/// The oracle.
#[derive(Debug, Clone, Default)]
pub struct ReferenceDevice {}
/// Numbers in memory.
pub struct ReferenceBuffer {}
