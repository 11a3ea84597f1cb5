//! An optimizer's moments in 8 bits: block-wise dynamic quantisation (Dettmers et al., 2022, arXiv 2110.02861).
//!
//! In: moments as numbers. Out: a code for each and a scale for each block, and back. The codes of the dynamic map lie
//! close where they are small: seven decades, each twice as finely divided as the one below it. Not known: optimizers.

use std::sync::LazyLock;

/// Elements that share a scale.
pub const MOMENT_BLOCK: usize = 256;

/// Which numbers a code can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicMap {
    /// From -1 to 1: means of gradients.
    Signed,
    /// From 0 to 1: means of squared gradients. A number above 0 never becomes 0, because it is divided by.
    Unsigned,
}

/// A moment in 8 bits, in the host's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment8 {
    map: DynamicMap,
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl Moment8 {
    /// A moment of `len` zeros.
    #[must_use]
    pub fn zeros(map: DynamicMap, len: usize) -> Self {
        let zero = map.book().zero;
        Self { map, codes: vec![zero; len], scales: vec![0.0; len.div_ceil(MOMENT_BLOCK)] }
    }

    /// A moment from its parts; `None` where there is not one scale for each block.
    #[must_use]
    pub fn from_parts(map: DynamicMap, codes: Vec<u8>, scales: Vec<f32>) -> Option<Self> {
        (scales.len() == codes.len().div_ceil(MOMENT_BLOCK)).then_some(Self { map, codes, scales })
    }

    /// What its codes stand for.
    #[must_use]
    pub fn map(&self) -> DynamicMap {
        self.map
    }

    /// A code for each element.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The largest magnitude of each block of [`MOMENT_BLOCK`] elements.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The numbers that it stands for.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.codes.len()];
        let blocks = self.codes.chunks(MOMENT_BLOCK).zip(values.chunks_mut(MOMENT_BLOCK));
        for ((codes, values), &scale) in blocks.zip(&self.scales) {
            self.map.book().decode(codes, scale, values);
        }
        values
    }

    pub(crate) fn parts_mut(&mut self) -> (&mut [u8], &mut [f32]) {
        (&mut self.codes, &mut self.scales)
    }
}

impl DynamicMap {
    pub(crate) fn book(self) -> &'static CodeBook {
        static SIGNED: LazyLock<CodeBook> = LazyLock::new(|| CodeBook::new(DynamicMap::Signed));
        static UNSIGNED: LazyLock<CodeBook> = LazyLock::new(|| CodeBook::new(DynamicMap::Unsigned));
        match self {
            Self::Signed => &SIGNED,
            Self::Unsigned => &UNSIGNED,
        }
    }
}

/// Magnitudes below this power of 2 are nearer to 0 than to any other code.
const SMALLEST_EXPONENT: u32 = 23;
/// Bits of the mantissa that tell apart where the search for a code begins.
const MANTISSA_BITS: u32 = 6;

/// The codes of a map, and what finds the nearest one quickly.
#[derive(Debug)]
pub(crate) struct CodeBook {
    /// What each code stands for, in order.
    pub(crate) values: [f32; 256],
    /// The code of 0.
    pub(crate) zero: u8,
    signed: bool,
    /// The magnitudes in the middle between neighbours, from 0 up.
    middles: Vec<f32>,
    /// How many of `middles` lie at or below each magnitude whose further bits are 0.
    start: Vec<u8>,
}

impl CodeBook {
    fn new(map: DynamicMap) -> Self {
        let signed = map == DynamicMap::Signed;
        let mut magnitudes = vec![0.0];
        for decade in 0..7 {
            let steps = 1 << (decade + i32::from(!signed));
            let middle = |step: i32| 0.1 + 0.9 * (f64::from(step) + 0.5) / f64::from(steps);
            magnitudes.extend((0..steps).map(|step| 10_f64.powi(decade - 6) * middle(step)));
        }
        magnitudes.push(1.0);
        let negative = if signed { magnitudes.len() - 2 } else { 0 };
        let mut values = [0.0; 256];
        for (value, magnitude) in values[negative..].iter_mut().zip(&magnitudes) {
            *value = *magnitude as f32;
        }
        for below in 0..negative {
            values[negative - 1 - below] = -magnitudes[below + 1] as f32;
        }
        let middles: Vec<f32> =
            magnitudes.windows(2).map(|pair| ((pair[0] + pair[1]) / 2.0) as f32).collect();
        let start = (0..=SMALLEST_EXPONENT << MANTISSA_BITS)
            .map(|key| {
                let lowest = f32::from_bits((key + FIRST_KEY) << KEY_SHIFT);
                middles.partition_point(|&middle| middle < lowest) as u8
            })
            .collect();
        Self { values, zero: negative as u8, signed, middles, start }
    }

    /// The numbers that the codes of a block stand for.
    #[inline(always)]
    pub(crate) fn decode(&self, codes: &[u8], scale: f32, values: &mut [f32]) {
        for (value, &code) in values.iter_mut().zip(codes) {
            *value = self.values[usize::from(code)] * scale;
        }
    }

    /// Replaces a block's codes by those nearest to `values`, and returns its scale.
    #[inline(always)]
    pub(crate) fn encode(&self, values: &[f32], codes: &mut [u8]) -> f32 {
        let scale = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if scale == 0.0 {
            codes.fill(self.zero);
            return 0.0;
        }
        for (code, &value) in codes.iter_mut().zip(values) {
            *code = self.nearest(value / scale);
        }
        scale
    }

    /// The code nearest to `x`, which lies between -1 and 1.
    #[inline(always)]
    pub(crate) fn nearest(&self, x: f32) -> u8 {
        let magnitude = x.abs();
        let key = (magnitude.to_bits() >> KEY_SHIFT).saturating_sub(FIRST_KEY) as usize;
        let mut rank = self.start[key.min(self.start.len() - 1)];
        while self.middles.get(usize::from(rank)).is_some_and(|&middle| middle < magnitude) {
            rank += 1;
        }
        if !self.signed {
            return rank.max(u8::from(magnitude > 0.0));
        }
        if x < 0.0 { self.zero - rank.min(self.zero) } else { self.zero + rank }
    }
}

const KEY_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
/// The key of 2 to the power of -[`SMALLEST_EXPONENT`].
const FIRST_KEY: u32 = (127 - SMALLEST_EXPONENT) << MANTISSA_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_256_codes_in_order_with_0_and_1_among_them() {
        for map in [DynamicMap::Signed, DynamicMap::Unsigned] {
            let book = map.book();
            assert!(book.values.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!((book.values[usize::from(book.zero)], book.values[255]), (0.0, 1.0));
        }
        let signed = DynamicMap::Signed.book();
        assert_eq!((signed.zero, signed.values[0]), (127, -signed.values[254]));
        // The finest decade: 64 of its middles between 0.1 and 1 in the signed map, 128 in the unsigned one.
        let finest = |map: DynamicMap| map.book().values.iter().filter(|&&value| value > 0.1).count();
        assert_eq!((finest(DynamicMap::Signed), finest(DynamicMap::Unsigned)), (65, 129));
    }

    #[test]
    fn the_code_found_is_the_nearest() {
        for map in [DynamicMap::Signed, DynamicMap::Unsigned] {
            let book = map.book();
            let rng = crate::CounterRng::new(5);
            for i in 0..20_000 {
                let sign = if map == DynamicMap::Signed && rng.bits(3 * i) & 1 == 1 { -1.0 } else { 1.0 };
                let x = (sign * 10_f64.powf(-9.0 * rng.uniform(3 * i + 1))) as f32;
                let distance = |code: u8| (f64::from(book.values[usize::from(code)]) - f64::from(x)).abs();
                let nearest = (0..=255_u8).map(distance).fold(f64::INFINITY, f64::min);
                let found = distance(book.nearest(x));
                let smallest = map == DynamicMap::Unsigned && book.nearest(x) == 1;
                assert!(smallest || found <= nearest * (1.0 + 1e-5), "{x}: {found} {nearest}");
            }
            assert_eq!(book.nearest(0.0), book.zero);
            assert_eq!(book.values[usize::from(book.nearest(1.0))], 1.0);
        }
        assert_eq!(DynamicMap::Signed.book().nearest(-1.0), 0);
        assert_eq!(DynamicMap::Unsigned.book().nearest(1e-30), 1);
    }
}
