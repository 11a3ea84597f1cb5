//! Values of options: numbers within limits, and names out of a list.

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}

fn number(text: &str, expected: &str, holds: impl Fn(f32) -> bool) -> Result<f32, String> {
    text.parse().ok().filter(|&number: &f32| holds(number)).ok_or_else(|| format!("expected {expected}"))
}

pub(super) fn at_least_zero(text: &str) -> Result<f32, String> {
    number(text, "a number, 0 or above", |x| x >= 0.0 && x.is_finite())
}

pub(super) fn above_zero(text: &str) -> Result<f32, String> {
    number(text, "a number above 0", |x| x > 0.0 && x.is_finite())
}

pub(super) fn probability(text: &str) -> Result<f32, String> {
    number(text, "a number above 0, at most 1", |x| x > 0.0 && x <= 1.0)
}

/// A parser of one of these names.
pub(super) fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |given: &str| {
        all.iter().copied().find(|one| name(*one) == given).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
            format!("expected one of: {}", names.join(", "))
        })
    }
}
