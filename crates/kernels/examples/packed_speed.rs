//! How fast products with packed weights are beside plain f32 ones: one token (decoding) and many (training).
//!
//! Run: cargo run --release -p toolsmith-kernels --example packed_speed [-- rows cols]
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use toolsmith_kernels::{
    BlockFormat, CounterRng, CpuDevice, Device, Matrix, PackedMatrix, Transpose, View, ViewMut,
};

/// Seconds of the fastest of seven runs.
fn fastest(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..7).map(run).fold(f64::INFINITY, f64::min)
}

fn main() {
    let size = |n, or| std::env::args().nth(n).and_then(|text| text.parse().ok()).unwrap_or(or);
    let (rows, cols) = (size(1, 4096), size(2, 4096));
    let rng = CounterRng::new(1);
    let values: Vec<f32> = (0..(rows * cols) as u64).map(|i| rng.uniform(i) as f32 - 0.5).collect();
    let device = CpuDevice::new();
    for tokens in [1, 4, 256] {
        let a = device.upload(&values[..tokens * cols]);
        let mut c = device.zeros(tokens * rows);
        let (a_at, c_at) = (Matrix::dense(tokens, cols), Matrix::dense(tokens, rows));
        let weights = device.upload(&values);
        let plain = fastest(|| {
            let (a, b) = (View::new(&a, a_at), View::new(&weights, Matrix::dense(rows, cols)));
            device.matmul(1.0, a, Transpose::No, b, Transpose::Yes, 0.0, ViewMut::new(&mut c, c_at));
        });
        println!(
            "{tokens} tokens, f32: {:.3} ms, {:.1} GB/s",
            plain * 1e3,
            (4 * rows * cols) as f64 / plain / 1e9
        );
        for format in BlockFormat::ALL {
            // What is only read is timed on zeros: the same instructions.
            let matrix = PackedMatrix::pack(format, rows, cols, &values).or_else(|_| {
                let bytes = rows * format.row_bytes(cols).unwrap_or(0);
                PackedMatrix::new(format, rows, cols, vec![0; bytes])
            });
            let Ok(matrix) = matrix else { continue };
            let bytes = matrix.bytes().len();
            let packed = device.upload_packed(matrix);
            let time = fastest(|| {
                let (a, c) = (View::new(&a, a_at), ViewMut::new(&mut c, c_at));
                device.matmul_packed(1.0, a, &packed, Transpose::Yes, 0.0, c);
            });
            println!(
                "{tokens} tokens, {}: {:.3} ms, {:.2} of f32's time, {:.1} GB/s",
                format.name(),
                time * 1e3,
                time / plain,
                bytes as f64 / time / 1e9
            );
        }
    }
}
