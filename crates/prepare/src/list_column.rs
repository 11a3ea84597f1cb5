//! One row of a column of lists, as numbers.
//!
//! In: an Arrow column as any tool writes it (lists with offsets of 32 or 64 bits, lists of one length, numbers of any
//! width) and a row. Out: the numbers, or what stands there instead. Does not know what they mean.

use std::fmt::Display;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// The row's whole numbers.
pub(crate) fn integers(column: &ArrayRef, row: usize) -> Result<Vec<i32>, String> {
    let values = list(column, row, "whole numbers")?;
    match values.data_type() {
        DataType::Int8 => narrowed::<Int8Type>(&values),
        DataType::Int16 => narrowed::<Int16Type>(&values),
        DataType::Int32 => Ok(values.as_primitive::<Int32Type>().values().to_vec()),
        DataType::Int64 => narrowed::<Int64Type>(&values),
        DataType::UInt8 => narrowed::<UInt8Type>(&values),
        DataType::UInt16 => narrowed::<UInt16Type>(&values),
        DataType::UInt32 => narrowed::<UInt32Type>(&values),
        DataType::UInt64 => narrowed::<UInt64Type>(&values),
        other => Err(format!("a list of {other}; expected whole numbers")),
    }
}

fn narrowed<T>(values: &ArrayRef) -> Result<Vec<i32>, String>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<i32> + Display,
{
    let narrow =
        |&value: &T::Native| value.try_into().map_err(|_| format!("{value} does not fit into 32 bits"));
    values.as_primitive::<T>().values().iter().map(narrow).collect()
}

/// The row's yes and no, written as booleans or as 1 and 0.
pub(crate) fn flags(column: &ArrayRef, row: usize) -> Result<Vec<bool>, String> {
    let values = list(column, row, "0 and 1")?;
    if values.data_type() == &DataType::Boolean {
        return Ok(values.as_boolean().values().iter().collect());
    }
    let flag = |number| match number {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!("holds {other}; expected 0 or 1")),
    };
    integers(column, row)?.into_iter().map(flag).collect()
}

/// The row's numbers with a fraction.
pub(crate) fn floats(column: &ArrayRef, row: usize) -> Result<Vec<f32>, String> {
    let values = list(column, row, "numbers")?;
    match values.data_type() {
        DataType::Float32 => Ok(values.as_primitive::<Float32Type>().values().to_vec()),
        DataType::Float64 => {
            Ok(values.as_primitive::<Float64Type>().values().iter().map(|&number| number as f32).collect())
        }
        other => Err(format!("a list of {other}; expected numbers of 32 or 64 bits")),
    }
}

/// The row's list, without nulls.
fn list(column: &ArrayRef, row: usize, expected: &str) -> Result<ArrayRef, String> {
    if column.is_null(row) {
        return Err(format!("null; expected a list of {expected}"));
    }
    let values = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
        other => return Err(format!("a column of {other}; expected lists of {expected}")),
    };
    match (0..values.len()).find(|&position| values.is_null(position)) {
        Some(position) => Err(format!("null at position {position} of the list; expected {expected}")),
        None => Ok(values),
    }
}
