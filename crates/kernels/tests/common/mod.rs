//! What the kernel tests share: random matrices, the same call on both devices, finite differences.
#![allow(dead_code, reason = "each test file uses its part")]

use toolsmith_kernels::{CounterRng, CpuDevice, Device, ReferenceBuffer, ReferenceDevice};

/// Standard normal numbers.
pub(crate) fn normal(seed: u64, len: usize) -> Vec<f32> {
    let rng = CounterRng::new(seed);
    (0..len as u64).map(|i| rng.normal(i) as f32).collect()
}

/// Brings a whole buffer to the host.
pub(crate) fn read<D: Device>(device: &D, buffer: &D::Buffer) -> Vec<f32> {
    let mut values = vec![0.0; device.len(buffer)];
    device.read(buffer, 0, &mut values);
    values
}

/// Something to run on any device.
pub(crate) trait Case: Sync {
    fn run<D: Device>(&self, device: &D) -> Vec<Vec<f32>>;
}

/// Runs a case on the fast and on the reference device and compares all outputs.
pub(crate) fn compare(name: &str, case: &impl Case) {
    let found = case.run(&CpuDevice::new());
    let expected = case.run(&ReferenceDevice::new());
    assert_eq!(found.len(), expected.len());
    for (output, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let scale = expected.iter().fold(1e-3f32, |a, b| a.max(b.abs()));
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= 1e-5 * scale, "{name}: output {output}[{i}]: found {a}, expected {b}");
        }
    }
    let one = CpuDevice::with_threads(1).unwrap();
    let three = CpuDevice::with_threads(3).unwrap();
    assert_eq!(
        one.scope(|| case.run(&one)),
        three.scope(|| case.run(&three)),
        "{name}: threads change the result"
    );
}

/// A buffer of the reference device.
pub(crate) fn buffer(values: &[f64]) -> ReferenceBuffer {
    ReferenceBuffer { values: values.to_vec() }
}

/// Standard normal numbers in f64.
pub(crate) fn normal64(seed: u64, len: usize) -> Vec<f64> {
    let rng = CounterRng::new(seed);
    (0..len as u64).map(|i| rng.normal(i)).collect()
}

/// Compares gradients of `loss` with central differences, input by input.
pub(crate) fn check_gradients(
    name: &str,
    inputs: &[Vec<f64>],
    loss: impl Fn(&[Vec<f64>]) -> f64,
    gradients: &[Vec<f64>],
) {
    const STEP: f64 = 1e-5;
    assert_eq!(inputs.len(), gradients.len());
    for (which, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.len(), inputs[which].len(), "{name}: input {which}");
        let scale = gradient.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
        for (i, &found) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut inputs = inputs.to_vec();
                inputs[which][i] += by;
                loss(&inputs)
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            assert!(
                (found - expected).abs() <= 1e-6 * scale,
                "{name}: gradient of input {which}[{i}]: found {found}, differences say {expected}"
            );
        }
    }
}
