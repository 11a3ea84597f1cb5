//! Times the matrix products of a training step of a decoder: 1024 tokens, 512 wide, 1408 inside, 32,000 words.
//!
//! `cargo run --release -p toolsmith-kernels --example matmul_speed -- [seconds a shape]` prints one JSON object a line:
//! billions of operations a second, the best of many runs (another program's work only ever slows a run), in f32 and,
//! where this machine has it, in bf16. benches/peers/matmul_speed.py does the same in PyTorch.

use std::time::Instant;

use toolsmith_kernels::{CounterRng, CpuDevice, Device, Matrix, Precision, Transpose, View, ViewMut};

/// `y = x · Wᵀ`, `dx = dy · W` or `dW += dyᵀ · x`, named by the layer: tokens, inputs, outputs.
const LAYERS: [(&str, usize, usize, usize); 6] = [
    ("attention", 1024, 512, 512),
    ("gate or up", 1024, 512, 1408),
    ("down", 1024, 1408, 512),
    ("head", 1024, 512, 32_000),
    ("a chunk of the head", 128, 512, 32_000),
    ("adapter", 1024, 512, 8),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(0.3), |text| text.parse())?;
    let plain = CpuDevice::new();
    let rounding = CpuDevice::new().with_precision(Precision::Bf16).ok();
    for (name, tokens, inputs, outputs) in LAYERS {
        let (x, w, y) =
            (Matrix::dense(tokens, inputs), Matrix::dense(outputs, inputs), Matrix::dense(tokens, outputs));
        let ways = [
            ("forward", (x, Transpose::No), (w, Transpose::Yes), y, 0.0),
            ("input", (y, Transpose::No), (w, Transpose::No), x, 0.0),
            ("weight", (y, Transpose::Yes), (x, Transpose::No), w, 1.0),
        ];
        for (way, a, b, c, beta) in ways {
            let best = |device: &CpuDevice| {
                let numbers = |seed, at: Matrix| {
                    let rng = CounterRng::new(seed);
                    device.upload(&(0..at.end() as u64).map(|i| rng.normal(i) as f32).collect::<Vec<_>>())
                };
                let (left, right, mut out) = (numbers(1, a.0), numbers(2, b.0), device.zeros(c.end()));
                let (started, mut best) = (Instant::now(), f64::INFINITY);
                while started.elapsed().as_secs_f64() < seconds {
                    let at = Instant::now();
                    let (left, right) = (View::new(&left, a.0), View::new(&right, b.0));
                    device
                        .scope(|| device.matmul(1.0, left, a.1, right, b.1, beta, ViewMut::new(&mut out, c)));
                    best = best.min(at.elapsed().as_secs_f64());
                }
                2e-9 * (tokens * inputs * outputs) as f64 / best
            };
            let bf16 = rounding.as_ref().map_or("null".to_owned(), |device| format!("{:.0}", best(device)));
            println!(
                r#"{{"layer": "{name}", "product": "{way}", "tokens": {tokens}, "inputs": {inputs}, "outputs": {outputs}, "f32_gflops": {:.0}, "bf16_gflops": {bf16}}}"#,
                best(&plain)
            );
        }
    }
    Ok(())
}
