//! Equality of JSON values as data.
//!
//! In: two values. Out: whether they say the same. Key order does not count; numbers are compared by value, so `1`,
//! `1.0` and `1e0` are equal, and integers of any size are compared exactly.

use super::Json;

/// Whether two values are equal as data: objects in any key order, numbers by value.
pub fn equal_by_value(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || decimal(a.as_str()) == decimal(b.as_str()),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_by_value(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let same = |(key, a)| b.get(key).is_some_and(|b| equal_by_value(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// A number as sign, significant digits without zeros at either end, and power of ten of the last of them.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// A number's text in the one spelling that all numbers of this value share.
pub(crate) fn canonical_number(text: &str) -> String {
    let Decimal { negative, digits, exponent } = decimal(text);
    format!("{}{digits}e{exponent}", if negative { "-" } else { "" })
}

fn decimal(text: &str) -> Decimal {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // An exponent beyond i64 belongs to a number no float holds; saturating keeps such numbers apart from others.
    let limit = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let exponent: i64 = exponent.parse().unwrap_or(limit).clamp(i64::MIN / 2, i64::MAX / 2);
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0');
    if digits.is_empty() {
        return Decimal { negative: false, digits: String::new(), exponent: 0 };
    }
    let dropped = significant.len() - digits.len();
    let exponent = exponent - fraction.len() as i64 + dropped as i64;
    Decimal { negative, digits: digits.to_owned(), exponent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(a: &str, b: &str) -> bool {
        equal_by_value(&super::super::parse(a).unwrap(), &super::super::parse(b).unwrap())
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (a, b) in
            [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("0.5", "5E-1"), ("1200e-2", "12"), ("0e9", "0")]
        {
            assert!(equal(a, b), "{a} {b}");
            assert_eq!(canonical_number(a), canonical_number(b));
        }
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("1", "-1"),
            ("1", "\"1\""),
            ("1", "10"),
            ("1", "true"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }

    #[test]
    fn key_order_does_not_count_but_list_order_does() {
        assert!(equal(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [1.0, 2], "a": 1}"#));
        assert!(!equal(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [2, 1], "a": 1}"#));
        assert!(!equal(r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#));
    }
}
