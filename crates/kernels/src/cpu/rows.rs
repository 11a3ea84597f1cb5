//! Rows of matrices: walking them on all cores, choosing them by number.

use rayon::prelude::*;

use super::simd::vectorised;
use super::{Read, Write};
use crate::device::Matrix;

/// Elements that one task handles at least: less is not worth a task.
const TASK_ELEMENTS: usize = 1 << 14;

/// Rows that make up a task of a matrix this wide.
pub(super) fn rows_per_task(cols: usize) -> usize {
    (TASK_ELEMENTS / cols.max(1)).max(1)
}

/// Row `r` of a matrix.
#[inline(always)]
pub(super) fn row<'a>(view: Read<'a>, r: usize) -> &'a [f32] {
    let start = view.at.offset + r * view.at.stride;
    &view.buffer.values[start..start + view.at.cols]
}

/// Calls `each(r, row)` for every row of a matrix, on all cores when it is large.
pub(super) fn for_each_row(values: &mut [f32], at: Matrix, each: impl Fn(usize, &mut [f32]) + Send + Sync) {
    if at.rows == 0 || at.cols == 0 {
        return;
    }
    assert!(at.cols <= at.stride || at.rows == 1, "rows of {at:?} overlap");
    let values = &mut values[at.offset..at.end()];
    let block = rows_per_task(at.cols);
    let task = |(index, chunk): (usize, &mut [f32])| {
        vectorised(
            #[inline(always)]
            || {
                for (r, row) in chunk.chunks_mut(at.stride).enumerate() {
                    each(index * block + r, &mut row[..at.cols]);
                }
            },
        );
    };
    if at.rows <= block {
        task((0, values));
    } else {
        values.par_chunks_mut(block * at.stride).enumerate().for_each(task);
    }
}

/// As [`for_each_row`], with `width` numbers of `per_row` for each row.
pub(super) fn for_each_row_with(
    values: &mut [f32],
    at: Matrix,
    per_row: &mut [f32],
    width: usize,
    each: impl Fn(usize, &mut [f32], &mut [f32]) + Send + Sync,
) {
    if at.rows == 0 || at.cols == 0 {
        return;
    }
    assert!(at.cols <= at.stride || at.rows == 1, "rows of {at:?} overlap");
    let values = &mut values[at.offset..at.end()];
    let per_row = &mut per_row[..at.rows * width];
    let block = rows_per_task(at.cols);
    let task = |(index, (chunk, numbers)): (usize, (&mut [f32], &mut [f32]))| {
        vectorised(
            #[inline(always)]
            || {
                let rows = chunk.chunks_mut(at.stride).zip(numbers.chunks_exact_mut(width));
                for (r, (row, numbers)) in rows.enumerate() {
                    each(index * block + r, &mut row[..at.cols], numbers);
                }
            },
        );
    };
    if at.rows <= block {
        task((0, (values, per_row)));
    } else {
        values
            .par_chunks_mut(block * at.stride)
            .zip(per_row.par_chunks_mut(block * width))
            .enumerate()
            .for_each(task);
    }
}

/// `out[i] = table[ids[i]]`.
pub(super) fn gather(table: Read<'_>, ids: &[u32], out: Write<'_>) {
    assert!(
        ids.len() == out.at.rows && table.at.cols == out.at.cols,
        "gather: {} ids of {:?}",
        ids.len(),
        table.at
    );
    check_ids(ids, table.at.rows);
    for_each_row(&mut out.buffer.values, out.at, |r, out| out.copy_from_slice(row(table, ids[r] as usize)));
}

/// `table[ids[i]] = rows[i]`.
pub(super) fn scatter(rows: Read<'_>, ids: &[u32], table: Write<'_>) {
    assert!(
        ids.len() == rows.at.rows && table.at.cols == rows.at.cols,
        "scatter: {} ids of {:?}",
        ids.len(),
        rows.at
    );
    check_ids(ids, table.at.rows);
    for (r, &id) in ids.iter().enumerate() {
        let start = table.at.offset + id as usize * table.at.stride;
        table.buffer.values[start..start + table.at.cols].copy_from_slice(row(rows, r));
    }
}

/// `table[ids[i]] += rows[i]`: each task owns some rows of the table and adds to them in the order of the ids.
pub(super) fn scatter_add(rows: Read<'_>, ids: &[u32], table: Write<'_>) {
    assert!(
        ids.len() == rows.at.rows && table.at.cols == rows.at.cols,
        "scatter: {} ids of {:?}",
        ids.len(),
        rows.at
    );
    check_ids(ids, table.at.rows);
    if ids.is_empty() {
        return;
    }
    let (at, cols) = (table.at, table.at.cols);
    let values = &mut table.buffer.values[at.offset..at.end()];
    let owned = at.rows.div_ceil(rayon::current_num_threads());
    values.par_chunks_mut(owned * at.stride).enumerate().for_each(|(task, chunk)| {
        let first = task * owned;
        vectorised(
            #[inline(always)]
            || {
                for (r, &id) in ids.iter().enumerate() {
                    let Some(local) = (id as usize).checked_sub(first).filter(|&local| local < owned) else {
                        continue;
                    };
                    let target = &mut chunk[local * at.stride..][..cols];
                    for (target, value) in target.iter_mut().zip(row(rows, r)) {
                        *target += value;
                    }
                }
            },
        );
    });
}

pub(super) fn check_ids(ids: &[u32], rows: usize) {
    let largest = ids.iter().copied().max();
    assert!(largest.is_none_or(|id| (id as usize) < rows), "row {largest:?} of a table of {rows}");
}
