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
    let Ok(value) = &parse(&written) else {
        // As Python does where a float cannot hold a number.
        assert!(written.contains("Infinity"), "{written}");
        return;
    };
    assert_eq!(to_python(value), written);
    let indented = parse(&to_python_indented(value, 2)).expect("what json.dumps writes is JSON");
    assert!(equal_by_value(&indented, value), "{written}");
    let repr = to_repr(value);
    let again = parse_literal(&repr).expect("what repr writes is a literal");
    assert!(equal_by_value(&again, value), "{repr}");
    let _text = to_str(value);
}

fuzz_target!(|text: &str| {
    if let Ok(value) = parse(text) {
        reads_back(&value);
    }
    if let Ok(value) = parse_literal(text) {
        reads_back(&value);
    }
    if let Ok(keywords) = parse_keywords(text) {
        assert!(keywords.keys().all(|key| !key.is_empty()), "{keywords:?}");
        reads_back(&Json::Object(keywords));
    }
    let _either = is_identifier(text);
});
