use super::super::attention::Shared;
use super::super::matmul::{Factor, Threads};
use super::{Engine, Precision, product};
use crate::device::{Matrix, Transpose};
use crate::random::CounterRng;

/// The engines of this machine; says aloud which are not here.
fn engines() -> Vec<Engine> {
    let best = Engine::of(Precision::Bf16);
    if best.is_none() {
        eprintln!("bf16 not tested: this CPU has no AVX512-BF16");
    } else if best == Some(Engine::Avx512) {
        eprintln!("AMX not tested: this CPU or its operating system has none");
    }
    best.map(|_| Engine::Avx512).into_iter().chain(best.filter(|&best| best == Engine::Amx)).collect()
}

fn normal(seed: u64, len: usize) -> Vec<f32> {
    let rng = CounterRng::new(seed);
    (0..len as u64).map(|i| rng.normal(i) as f32).collect()
}

/// Nearest bf16, ties to even.
fn rounded(x: f32) -> f64 {
    let bits = x.to_bits();
    let up = 0x7fff + (bits >> 16 & 1);
    f64::from(f32::from_bits(bits.wrapping_add(up) & 0xffff_0000))
}

/// A factor inside a wider matrix.
fn inside(transpose: Transpose, rows: usize, cols: usize) -> Matrix {
    let (rows, cols) = if transpose == Transpose::No { (rows, cols) } else { (cols, rows) };
    Matrix::dense(rows + 1, cols + 3).columns(2, cols).rows(1, rows)
}

fn element(values: &[f32], at: Matrix, transpose: Transpose, r: usize, c: usize) -> f64 {
    let (r, c) = if transpose == Transpose::No { (r, c) } else { (c, r) };
    let value = values[at.offset + r * at.stride + c];
    rounded(value)
}

fn check(engine: Engine, [m, n, k]: [usize; 3], [ta, tb]: [Transpose; 2], alpha: f32, beta: f32) {
    let (a_at, b_at, c_at) = (inside(ta, m, k), inside(tb, k, n), inside(Transpose::No, m, n));
    let (a, b) = (normal(1, a_at.end()), normal(2, b_at.end()));
    let before = normal(3, c_at.end() + 5);
    let mut c = before.clone();
    let (left, right) = (Factor::new(&a, a_at, ta), Factor::new(&b, b_at, tb));
    let to = Shared::new(&mut c[c_at.offset..]);
    // SAFETY: `c` is this test's own and large enough, and the engine was detected.
    unsafe { product(engine, alpha, left, right, beta, to, c_at, Threads::All) };
    for (i, (&found, &before)) in c.iter().zip(&before).enumerate() {
        let place = i.checked_sub(c_at.offset).map(|i| (i / c_at.stride, i % c_at.stride));
        let (expected, size) = match place.filter(|&(r, c)| r < m && c < n) {
            None => (f64::from(before), 0.0),
            Some((r, c)) => {
                let terms = (0..k).map(|i| element(&a, a_at, ta, r, i) * element(&b, b_at, tb, i, c));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                let kept = f64::from(beta) * f64::from(before);
                (kept + f64::from(alpha) * sum, kept.abs() + f64::from(alpha.abs()) * size)
            }
        };
        // A sum of f32 in any order: an error of some units in the last place of the terms' total size.
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= 3e-7 * (1.0 + (k as f64).sqrt() / 8.0) * size,
            "{engine:?} {m} {n} {k} {ta:?} {tb:?} {alpha} {beta}: c[{i}] is {found}, expected {expected}"
        );
    }
}

const WAYS: [[Transpose; 2]; 4] = [
    [Transpose::No, Transpose::Yes],
    [Transpose::No, Transpose::No],
    [Transpose::Yes, Transpose::No],
    [Transpose::Yes, Transpose::Yes],
];

#[test]
fn products_equal_those_of_rounded_factors() {
    for engine in engines() {
        for transposes in WAYS {
            for (alpha, beta) in [(1.0, 0.0), (1.0, 1.0), (-0.3, 0.0), (0.7, 0.5)] {
                for sizes in
                    [[1, 1, 1], [32, 32, 32], [33, 31, 7], [64, 96, 64], [47, 100, 65], [100, 17, 33]]
                {
                    check(engine, sizes, transposes, alpha, beta);
                }
            }
        }
    }
}

#[test]
fn blocks_of_depth_and_of_the_shared_side_add_up() {
    for engine in engines() {
        for transposes in WAYS {
            check(engine, [70, 40, 1100], transposes, 1.0, 0.0);
            check(engine, [40, 70, 1025], transposes, 0.5, 2.0);
            check(engine, [1090, 1060, 35], transposes, 1.0, 1.0);
        }
    }
}

#[test]
fn what_is_not_a_number_stays_visible() {
    for engine in engines() {
        let mut a = normal(1, 32 * 32);
        a[5 * 32 + 3] = f32::NAN;
        a[6 * 32 + 3] = f32::INFINITY;
        let b = vec![1.0; 32 * 32];
        let mut c = vec![0.0; 32 * 32];
        let at = Matrix::dense(32, 32);
        let (left, right) = (Factor::new(&a, at, Transpose::No), Factor::new(&b, at, Transpose::No));
        // SAFETY: as above.
        unsafe { product(engine, 1.0, left, right, 0.0, Shared::new(&mut c), at, Threads::One) };
        for (r, row) in c.chunks_exact(32).enumerate() {
            match r {
                5 => assert!(row.iter().all(|x| x.is_nan())),
                6 => assert!(row.iter().all(|&x| x == f32::INFINITY)),
                _ => assert!(row.iter().all(|x| x.is_finite())),
            }
        }
    }
}
