//! An adapter's folder: where it is and which model it names.
//!
//! In: `--adapter`. Out: the folder that holds its files, the name of its base. Does not know weights.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value as Json;

/// Where PEFT and (for prefixes) ChatGLM3's code keep an adapter's settings.
const SETTINGS: [&str; 2] = ["adapter_config.json", "config.json"];

/// The folder of an adapter: the given one, or `adapter` inside of a run's folder.
pub(crate) fn adapter_folder(given: &Path) -> anyhow::Result<PathBuf> {
    let candidates = [given.to_path_buf(), given.join("adapter")];
    let found = candidates.into_iter().find(|folder| settings(folder).is_some());
    found.with_context(|| {
        format!(
            "{}: has no adapter_config.json; expected an adapter folder in PEFT's layout, such as the one that train \
             writes into output_dir/adapter",
            given.display()
        )
    })
}

/// The base that an adapter names.
pub(crate) fn base_of(adapter: &Path) -> anyhow::Result<String> {
    let (path, json) = settings(adapter).with_context(|| {
        format!(
            "{}: has no adapter_config.json; expected an adapter folder in PEFT's layout",
            adapter.display()
        )
    })?;
    let base = json?.get("base_model_name_or_path").and_then(Json::as_str).unwrap_or_default().to_owned();
    anyhow::ensure!(
        !base.is_empty(),
        "{}: names no base_model_name_or_path. Give the base with --model",
        path.display()
    );
    Ok(base)
}

/// The file that says what the adapter is; a config.json counts where it speaks of a prefix.
fn settings(folder: &Path) -> Option<(PathBuf, anyhow::Result<Json>)> {
    let read = |path: &Path| -> anyhow::Result<Json> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}: is not JSON", path.display()))
    };
    let [peft, chatglm] = SETTINGS.map(|name| folder.join(name));
    if peft.exists() {
        let json = read(&peft);
        return Some((peft, json));
    }
    let json =
        read(&chatglm).ok().filter(|json| json.get("pre_seq_len").is_some_and(|value| !value.is_null()))?;
    Some((chatglm, Ok(json)))
}
