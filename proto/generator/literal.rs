//! Rule values as Rust and as text.

use prost_reflect::{DynamicMessage, Value};

/// A timestamp or duration as a Rust pair and as text.
pub fn moment(pair: &DynamicMessage, instant: bool) -> Option<(String, String)> {
    let (seconds, nanos) = parts(pair)?;
    let text = if instant {
        prost_types::Timestamp { seconds, nanos }.to_string()
    } else {
        prost_types::Duration { seconds, nanos }.to_string()
    };
    Some((format!("({seconds}_i64, {nanos}_i32)"), text))
}

pub fn nanos(pair: &DynamicMessage) -> Option<i128> {
    let (seconds, nanos) = parts(pair)?;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

fn parts(pair: &DynamicMessage) -> Option<(i64, i32)> {
    Some((
        pair.get_field_by_name("seconds")?.as_i64()?,
        pair.get_field_by_name("nanos")?.as_i32()?,
    ))
}

pub fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::I32(number) | Value::EnumNumber(number) => format!("{number}_i32"),
        Value::I64(number) => format!("{number}_i64"),
        Value::U32(number) => format!("{number}_u32"),
        Value::U64(number) => format!("{number}_u64"),
        Value::F32(number) if number.is_finite() => format!("{number:?}_f32"),
        Value::F64(number) if number.is_finite() => format!("{number:?}_f64"),
        _ => return None,
    })
}

pub fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::I32(number) | Value::EnumNumber(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        _ => return None,
    })
}
