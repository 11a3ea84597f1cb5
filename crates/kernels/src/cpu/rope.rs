//! Rotary position embedding (Su et al., 2021).

use super::Write;
use super::rows::for_each_row;
use crate::device::{Direction, RopeShape, RopeStyle};

/// Turns the leading `rotary_dim` elements of each head, in place.
pub(super) fn rope(
    shape: RopeShape,
    direction: Direction,
    positions: &[u32],
    cos: &[f32],
    sin: &[f32],
    x: Write<'_>,
) {
    let RopeShape { heads, head_dim, rotary_dim, style } = shape;
    assert!(x.at.cols == heads * head_dim && rotary_dim <= head_dim, "rope: {shape:?} in {:?}", x.at);
    assert!(positions.len() == x.at.rows, "rope: {} positions for {:?}", positions.len(), x.at);
    let half = rotary_dim / 2;
    let sign = match direction {
        Direction::Forward => 1.0,
        Direction::Backward => -1.0,
    };
    for_each_row(
        &mut x.buffer.values,
        x.at,
        #[inline(always)]
        |r, row| {
            let start = positions[r] as usize * half;
            let (cos, sin) = (&cos[start..start + half], &sin[start..start + half]);
            for head in row.chunks_exact_mut(head_dim) {
                match style {
                    RopeStyle::Half => {
                        let (first, rest) = head.split_at_mut(half);
                        for (((a, b), cos), sin) in first.iter_mut().zip(&mut rest[..half]).zip(cos).zip(sin)
                        {
                            let (x, y, sin) = (*a, *b, sign * sin);
                            *a = x * cos - y * sin;
                            *b = y * cos + x * sin;
                        }
                    }
                    RopeStyle::Interleaved => {
                        for ((pair, cos), sin) in head[..rotary_dim].chunks_exact_mut(2).zip(cos).zip(sin) {
                            let (x, y, sin) = (pair[0], pair[1], sign * sin);
                            pair[0] = x * cos - y * sin;
                            pair[1] = y * cos + x * sin;
                        }
                    }
                }
            }
        },
    );
}
