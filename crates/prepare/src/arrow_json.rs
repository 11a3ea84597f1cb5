//! Arrow values as JSON text.
//!
//! In: an array and a row. Out: the value's JSON, lists and structs and maps at any depth. A null inside a struct is
//! left out, key and all: Arrow writes one wherever another row has a key that this row lacks.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// Whether JSON can say every value of this type; if not, the type that it cannot.
pub(crate) fn is_readable(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Ok(())
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(()),
        // Some writers do not say that their bytes are text.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(()),
        integer if integer.is_integer() => Ok(()),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => is_readable(field.data_type()),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| is_readable(field.data_type())),
        DataType::Dictionary(_, values) => is_readable(values),
        other => Err(format!("values of type {other}")),
    }
}

/// Appends the JSON of the value in this row.
pub(crate) fn push_value(out: &mut Vec<u8>, array: &dyn Array, row: usize) -> Result<(), String> {
    if array.is_null(row) {
        out.extend(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.extend(b"null"),
        DataType::Boolean => push_display(out, array.as_boolean().value(row)),
        DataType::Int8 => push_display(out, array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => push_display(out, array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => push_display(out, array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => push_display(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => push_display(out, array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => push_display(out, array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => push_display(out, array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => push_display(out, array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float16 => push_float(out, array.as_primitive::<Float16Type>().value(row).to_f64())?,
        DataType::Float32 => push_json(out, &array.as_primitive::<Float32Type>().value(row))?,
        DataType::Float64 => push_float(out, array.as_primitive::<Float64Type>().value(row))?,
        DataType::Utf8 => push_json(out, array.as_string::<i32>().value(row))?,
        DataType::LargeUtf8 => push_json(out, array.as_string::<i64>().value(row))?,
        DataType::Utf8View => push_json(out, array.as_string_view().value(row))?,
        DataType::Binary => push_bytes(out, array.as_binary::<i32>().value(row))?,
        DataType::LargeBinary => push_bytes(out, array.as_binary::<i64>().value(row))?,
        DataType::BinaryView => push_bytes(out, array.as_binary_view().value(row))?,
        DataType::List(_) => push_list(out, &array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => push_list(out, &array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => push_list(out, &array.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => push_struct(out, array, row)?,
        DataType::Map(..) => push_map(out, array, row)?,
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = dictionary.normalized_keys()[row];
            push_value(out, dictionary.values().as_ref(), key)?;
        }
        other => return Err(format!("a value of type {other}, which JSON cannot say")),
    }
    Ok(())
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    let _infallible = write!(out, "{value}");
}

fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), String> {
    serde_json::to_writer(out, value).map_err(|error| error.to_string())
}

fn push_float(out: &mut Vec<u8>, value: f64) -> Result<(), String> {
    // NaN is what tables write where a number is missing; it prints as null.
    if value.is_infinite() {
        Err(format!("the number {value}, which JSON cannot say"))
    } else {
        push_json(out, &value)
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "bytes that are no UTF-8 text".to_owned())?;
    push_json(out, text)
}

fn push_list(out: &mut Vec<u8>, items: &ArrayRef) -> Result<(), String> {
    out.push(b'[');
    for index in 0..items.len() {
        if index > 0 {
            out.push(b',');
        }
        push_value(out, items.as_ref(), index)?;
    }
    out.push(b']');
    Ok(())
}

fn push_struct(out: &mut Vec<u8>, array: &dyn Array, row: usize) -> Result<(), String> {
    let fields = array.as_struct();
    let mut separator = b'{';
    for (name, column) in fields.column_names().iter().zip(fields.columns()) {
        if column.is_null(row) || column.data_type() == &DataType::Null {
            continue;
        }
        out.push(separator);
        separator = b',';
        push_json(out, *name)?;
        out.push(b':');
        push_value(out, column.as_ref(), row)?;
    }
    out.extend(if separator == b'{' { &b"{}"[..] } else { b"}" });
    Ok(())
}

fn push_map(out: &mut Vec<u8>, array: &dyn Array, row: usize) -> Result<(), String> {
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut separator = b'{';
    for index in 0..entries.len() {
        out.push(separator);
        separator = b',';
        let mut key = Vec::new();
        push_value(&mut key, keys.as_ref(), index)?;
        if key.starts_with(b"\"") {
            out.extend(key);
        } else {
            // JSON's keys are texts.
            push_json(out, &String::from_utf8_lossy(&key))?;
        }
        out.push(b':');
        push_value(out, values.as_ref(), index)?;
    }
    out.extend(if separator == b'{' { &b"{}"[..] } else { b"}" });
    Ok(())
}
