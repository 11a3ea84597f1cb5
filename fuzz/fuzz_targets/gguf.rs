//! A GGUF file.
//!
//! Input: how the file begins; behind that it goes on with zeros, so that the tensors of a good header have room.
#![no_main]

use toolsmith_fuzz::{folder, fuzz_target};
use toolsmith_kernels::CpuDevice;
use toolsmith_model::{Decoder, Quantization};

const FILE: &str = "model.gguf";
const SIZE: usize = 1 << 17;

fuzz_target!(|input: &[u8]| {
    let mut file = input.to_vec();
    file.resize(file.len().max(SIZE), 0);
    folder::write(FILE, &file);
    let path = folder::path().join(FILE);
    let loaded = Decoder::load(&path, CpuDevice::new());
    let measured = Decoder::measured(&path, Quantization::None, CpuDevice::new());
    assert_eq!(loaded.is_ok(), measured.is_ok());
    if let Err(error) = loaded {
        assert!(!error.to_string().is_empty());
    }
});
