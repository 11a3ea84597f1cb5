//! JSON and Python's literals: no panic, and what is written reads back as the same value.
//!
//! Input: text.
#![no_main]

use toolsmith_chat::Json;
use toolsmith_chat::json::{
    equal_by_value, is_identifier, parse, parse_keywords, parse_literal, to_python, to_python_indented,
    to_repr, to_str,
};
use toolsmith_fuzz::fuzz_target;

fn reads_back(value: &Json) {
    let written = to_python(value);
    let again = parse(&written).expect("what json.dumps writes is JSON");
    assert!(equal_by_value(&again, value), "{written}");
    assert_eq!(to_python(&again), written);
    let indented = parse(&to_python_indented(value, 2)).expect("what json.dumps writes is JSON");
    assert!(equal_by_value(&indented, value));
    let _text = to_str(value);
    let repr = to_repr(value);
    // Python itself cannot read "inf" and "nan".
    if let Ok(again) = parse_literal(&repr) {
        assert!(equal_by_value(&again, value), "{repr}");
    } else {
        assert!(repr.contains("inf") || repr.contains("nan"), "{repr}");
    }
}

fuzz_target!(|text: &str| {
    if let Ok(value) = parse(text) {
        reads_back(&value);
    }
    if let Ok(value) = parse_literal(text) {
        reads_back(&value);
    }
    if let Ok(keywords) = parse_keywords(text) {
        assert!(keywords.keys().all(|key| is_identifier(key)), "{keywords:?}");
        reads_back(&Json::Object(keywords));
    }
    let _either = is_identifier(text);
});
