//! The keys that say which weights are trained.
//!
//! In: the group that holds them. Out: a [`TrainMethod`], and the adapter that it goes on from. Not known: the other keys.

use toolsmith_model::{LoraConfig, PrefixConfig, PrefixPositions, TargetModules, TrainMethod};

use super::adapter::StartingAdapter;
use super::document::{Entry, Value};
use super::group::Group;
use super::issue::{Issue, Place};
use super::keys::{FRACTION, POSITIVE, to_usize};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Lora,
    Full,
    PrefixTuning,
}

const METHODS: [(&str, Method); 3] =
    [("lora", Method::Lora), ("full", Method::Full), ("prefix_tuning", Method::PrefixTuning)];

type Entries = Vec<(Entry, Entry)>;

pub(super) fn read(top: &mut Group<'_>, from_scratch: bool) -> (TrainMethod, Option<StartingAdapter>) {
    let method = top.choice("method", Method::Lora, &METHODS);
    let lora = only_with(top, "lora", method == Method::Lora, "lora");
    let prefix = only_with(top, "prefix_tuning", method == Method::PrefixTuning, "prefix_tuning");
    let frozen = top.texts("freeze", "names of weights, with * and ? for what may vary");
    if !frozen.is_empty() && method != Method::Full {
        top.refuse("freeze", &Place::Absent, "only method: full trains the model's weights; drop it");
    }
    if from_scratch && method != Method::Full {
        let message = "random weights have nothing to adapt; set method: full, or from_scratch: false";
        top.refuse("from_scratch", &Place::Absent, message);
    }
    let adapter = top.text("adapter", "the folder of an adapter").map(|path| {
        let repeated = written("lora", &lora).chain(written("prefix_tuning", &prefix)).collect();
        StartingAdapter { path: path.into(), repeated }
    });
    if adapter.is_some() && method == Method::Full {
        let message = "method: full trains the model's own weights. Merge the adapter into them first (toolsmith merge \
                       --model MODEL --adapter DIR -o MERGED), set model: MERGED and drop adapter; or set method: lora \
                       or prefix_tuning";
        top.refuse("adapter", &Place::Absent, message);
    }
    let method = match method {
        Method::Full if frozen.is_empty() => TrainMethod::Full,
        Method::Full => TrainMethod::FullExcept(frozen),
        Method::Lora => TrainMethod::Lora(read_lora(lora, top.issues())),
        Method::PrefixTuning => TrainMethod::Prefix(read_prefix(prefix, top.issues())),
    };
    (method, adapter)
}

/// The keys of a group that have a value, and where they stand.
fn written<'a>(group: &'a str, entries: &'a Entries) -> impl Iterator<Item = (String, Place)> + 'a {
    entries.iter().filter(|(_, entry)| entry.value != Value::Null).filter_map(move |(key, _)| {
        match &key.value {
            Value::Text(name) => Some((format!("{group}.{name}"), key.place.clone())),
            _ => None,
        }
    })
}

/// The keys of a group that one method has; with another it is refused.
fn only_with(top: &mut Group<'_>, key: &'static str, wanted: bool, method: &str) -> Entries {
    let Some((place, entries)) = top.inner(key) else { return Vec::new() };
    if !wanted {
        let message = format!("it means nothing without method: {method}; drop it, or set the method");
        top.refuse(key, &place, message);
    }
    entries
}

fn read_lora(entries: Entries, issues: &mut Vec<Issue>) -> LoraConfig {
    let mut lora = Group::new("lora.", entries, issues);
    let r = lora.count("r", 1, " of dimensions").map_or(8, to_usize);
    let lora_alpha = lora.number("lora_alpha", 2.0 * r as f64, &POSITIVE) as f32;
    let lora_dropout = lora.number("lora_dropout", 0.0, &FRACTION) as f32;
    let names =
        lora.texts("target_modules", "all-linear, or a list of layer names, such as [q_proj, v_proj]");
    let target_modules = match names.as_slice() {
        [] => TargetModules::AllLinear,
        [all] if all == "all-linear" => TargetModules::AllLinear,
        _ => TargetModules::Names(names),
    };
    let use_dora = lora.flag("use_dora", false);
    if use_dora && lora_dropout > 0.0 {
        lora.refuse("lora_dropout", &Place::Absent, "with use_dora only 0 is done");
    }
    let config = LoraConfig {
        r,
        lora_alpha,
        lora_dropout,
        target_modules,
        use_rslora: lora.flag("use_rslora", false),
        use_dora,
        modules_to_save: lora.texts("modules_to_save", "a list of modules, such as [lm_head]"),
    };
    lora.finish(&[("rank", "did you mean lora.r?"), ("alpha", "did you mean lora.lora_alpha?")]);
    config
}

fn read_prefix(entries: Entries, issues: &mut Vec<Issue>) -> PrefixConfig {
    let mut prefix = Group::new("prefix_tuning.", entries, issues);
    let projection = prefix.flag("prefix_projection", false);
    let hidden = prefix.count("encoder_hidden_size", 1, " of columns").map(to_usize);
    if hidden.is_some() && !projection {
        let message = "it means nothing without prefix_projection: true";
        prefix.refuse("encoder_hidden_size", &Place::Absent, message);
    }
    let positions =
        [PrefixPositions::AfterPrefix, PrefixPositions::FromZero].map(|choice| (choice.as_str(), choice));
    let config = PrefixConfig {
        num_virtual_tokens: prefix.count("num_virtual_tokens", 1, " of keys").map_or(128, to_usize),
        encoder_hidden_size: projection.then(|| hidden.unwrap_or(512)),
        positions: prefix.choice("positions", PrefixPositions::AfterPrefix, &positions),
    };
    prefix.finish(&[("pre_seq_len", "did you mean prefix_tuning.num_virtual_tokens?")]);
    config
}
