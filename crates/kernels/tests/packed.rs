//! Packed weights: the numbers of gguf-py (benches/peers/block_golden.py made them), the fast device against the
//! reference device, the same result for any number of threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common;

use std::path::Path;

use common::{Case, compare, normal, read};
use toolsmith_kernels::{
    BlockError, BlockFormat, CounterRng, CpuDevice, Device, Matrix, PackedMatrix, Transpose, View, ViewMut,
};

const PACKED: [BlockFormat; 5] =
    [BlockFormat::Q8_0, BlockFormat::Q4_0, BlockFormat::Q4_1, BlockFormat::Int8, BlockFormat::Nf4];

fn golden(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blocks");
    std::fs::read(dir.join(name)).unwrap()
}

fn numbers(name: &str) -> Vec<f32> {
    golden(name).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

const SHAPE: (usize, usize) = (3, 512);

#[test]
fn blocks_stand_for_the_numbers_of_the_reference() {
    for format in BlockFormat::ALL {
        let (rows, cols) = SHAPE;
        let bytes = golden(&format!("{}.packed", format.name()));
        let expected = numbers(&format!("{}.f32", format.name()));
        let matrix = PackedMatrix::new(format, rows, cols, bytes).unwrap();
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(matrix.element(i / cols, i % cols), *expected, "{format:?} {i}");
        }
        let device = CpuDevice::new();
        let packed = device.upload_packed(matrix);
        let mut found = vec![0.0; rows * cols];
        device.read_packed(&packed, 0, &mut found);
        assert_eq!(found, expected, "{format:?}");
        device.read_packed(&packed, 2, &mut found[..cols]);
        assert_eq!(found[..cols], expected[2 * cols..], "{format:?}");
    }
}

#[test]
fn packing_gives_the_bytes_of_the_reference() {
    let (rows, cols) = SHAPE;
    for format in PACKED {
        let matrix = PackedMatrix::pack(format, rows, cols, &numbers("weights.f32")).unwrap();
        assert_eq!(matrix.bytes(), golden(&format!("{}.packed", format.name())), "{format:?}");
    }
}

#[test]
fn packing_again_changes_nothing_and_short_rows_are_filled_up() {
    for format in [BlockFormat::Int8, BlockFormat::Nf4] {
        let (rows, cols) = (4, 77);
        let values = normal(1, rows * cols);
        let matrix = PackedMatrix::pack(format, rows, cols, &values).unwrap();
        let unpacked: Vec<f32> = (0..rows * cols).map(|i| matrix.element(i / cols, i % cols)).collect();
        let tolerance = if format == BlockFormat::Int8 { 0.02 } else { 0.5 };
        for (a, b) in values.iter().zip(&unpacked) {
            assert!((a - b).abs() <= tolerance, "{format:?}: {a} {b}");
        }
        assert_eq!(PackedMatrix::pack(format, rows, cols, &unpacked).unwrap(), matrix);
    }
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let q8 = BlockFormat::Q8_0;
    assert!(matches!(PackedMatrix::new(q8, 2, 33, vec![0; 68]), Err(BlockError::RowLength { cols: 33, .. })));
    let wrong = PackedMatrix::new(q8, 2, 32, vec![0; 67]);
    assert!(matches!(wrong, Err(BlockError::Length { found: 67, expected: 68, .. })));
    assert!(PackedMatrix::new(q8, usize::MAX, 32, vec![]).is_err());
    assert!(PackedMatrix::new(BlockFormat::Int8, 1, usize::MAX, vec![]).is_err());
    let k = PackedMatrix::pack(BlockFormat::Q4K, 1, 256, &[0.0; 256]);
    assert_eq!(k, Err(BlockError::NotPacked { format: BlockFormat::Q4K }));
    let mut values = [0.0; 64];
    values[40] = f32::NAN;
    let nan = PackedMatrix::pack(q8, 2, 32, &values);
    assert!(matches!(nan, Err(BlockError::NotFinite { row: 1, col: 8, .. })));
}

/// A random matrix: packed, or bytes with finite scales where the format is only read.
fn matrix(format: BlockFormat, rows: usize, cols: usize) -> PackedMatrix {
    if let Ok(matrix) = PackedMatrix::pack(format, rows, cols, &normal(7, rows * cols)) {
        return matrix;
    }
    let rng = CounterRng::new(8);
    let mut bytes: Vec<u8> =
        (0..(rows * format.row_bytes(cols).unwrap()) as u64).map(|i| rng.bits(i) as u8).collect();
    let (size, halves): (usize, &[usize]) =
        if format == BlockFormat::Q4K { (144, &[0, 2]) } else { (210, &[208]) };
    for block in bytes.chunks_exact_mut(size) {
        // The high byte of a half between 2^-9 and 2^-8, of either sign.
        halves.iter().for_each(|&at| block[at + 1] = block[at + 1] & 0x80 | 0x18);
    }
    PackedMatrix::new(format, rows, cols, bytes).unwrap()
}

struct Product(BlockFormat, usize, usize, usize, Transpose, f32);

impl Case for Product {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>> {
        let Self(format, tokens, rows, cols, transpose, beta) = *self;
        let packed = device.upload_packed(matrix(format, rows, cols));
        let (inner, outer) = if transpose == Transpose::Yes { (cols, rows) } else { (rows, cols) };
        let at = |cols| Matrix::dense(tokens + 1, cols + 3).columns(2, cols).rows(1, tokens);
        let (a_at, c_at) = (at(inner), at(outer));
        let a = device.upload(&normal(1, a_at.end() + 1));
        let mut c = device.upload(&normal(2, c_at.end() + 1));
        device.matmul_packed(0.3, View::new(&a, a_at), &packed, transpose, beta, ViewMut::new(&mut c, c_at));
        let ids = device.upload_ids(&[rows as u32 - 1, 0, rows as u32 / 2, 0]);
        let mut gathered = device.zeros(4 * cols);
        device.gather_packed_rows(&packed, &ids, ViewMut::new(&mut gathered, Matrix::dense(4, cols)));
        vec![read(device, &c), read(device, &gathered)]
    }
}

#[test]
fn products_and_gathered_rows() {
    for format in BlockFormat::ALL {
        for transpose in [Transpose::Yes, Transpose::No] {
            let name = |tokens, rows, cols| format!("{format:?} {tokens} {rows} {cols} {transpose:?}");
            // Few rows, the border to many.
            for (tokens, rows, cols) in [(1, 150, 512), (6, 70, 256), (8, 40, 512), (9, 40, 256)] {
                compare(&name(tokens, rows, cols), &Product(format, tokens, rows, cols, transpose, 1.0));
            }
            compare(&name(3, 5, 256), &Product(format, 3, 5, 256, transpose, 0.0));
            compare(&name(20, 5, 256), &Product(format, 20, 5, 256, transpose, 0.0));
        }
    }
    for format in [BlockFormat::Int8, BlockFormat::Nf4] {
        for transpose in [Transpose::Yes, Transpose::No] {
            for (tokens, rows, cols) in [(1, 7, 5), (5, 50, 77), (20, 50, 77)] {
                let name = format!("{format:?} {tokens} {rows} {cols} {transpose:?}");
                compare(&name, &Product(format, tokens, rows, cols, transpose, 0.5));
            }
        }
    }
    // More columns and a longer inner side than one piece.
    compare("pieces", &Product(BlockFormat::Int8, 9, 40, 1100, Transpose::Yes, 0.5));
    compare("pieces", &Product(BlockFormat::Q4_1, 9, 1100, 288, Transpose::No, 0.5));
    compare("pieces", &Product(BlockFormat::Q4_1, 9, 300, 2080, Transpose::No, 0.5));
}

#[test]
fn what_the_output_held_is_not_read() {
    let device = CpuDevice::new();
    let packed = device.upload_packed(matrix(BlockFormat::Q8_0, 4, 32));
    for tokens in [1, 20] {
        let a = device.upload(&normal(1, tokens * 32));
        let mut c = device.upload(&vec![f32::NAN; tokens * 4]);
        let (a, to) =
            (View::new(&a, Matrix::dense(tokens, 32)), ViewMut::new(&mut c, Matrix::dense(tokens, 4)));
        device.matmul_packed(1.0, a, &packed, Transpose::Yes, 0.0, to);
        assert!(read(&device, &c).iter().all(|value| value.is_finite()));
    }
}
