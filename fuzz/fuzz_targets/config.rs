//! The configuration of a training run: a YAML file, and `key=value` words over it.
//!
//! Input: the file's text and the words, zero bytes between them.
#![no_main]

use toolsmith_fuzz::fuzz_target;
use toolsmith_train::TrainConfig;

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    let words: Vec<String> = parts.map(str::to_owned).collect();
    if let Err(issues) = TrainConfig::from_yaml("train.yaml", file, &words) {
        assert!(!issues.issues.is_empty() && !issues.to_string().is_empty());
    }
});
