//! Models by Hugging Face id: taken from the shared cache, or fetched into it.
//!
//! In: an id such as `Qwen/Qwen2.5-0.5B-Instruct` and what is needed of it. Out: the folder that holds its files.
//! The ecosystem's variables are honoured: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. Does not know
//! what the files mean.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo};
use indicatif::ProgressBar;

use crate::model_folder::TOKENIZER_FILES;
use crate::terminal;

/// How much of a model a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Tokenizer, configuration and template.
    Tokenizer,
    /// The weights too.
    Weights,
}

const SMALL_FILES: [&str; 3] = ["config.json", "tokenizer.json", "tokenizer_config.json"];
const OPTIONAL_FILES: [&str; 3] =
    ["generation_config.json", "chat_template.jinja", "special_tokens_map.json"];
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
const PUBLIC_ENDPOINT: &str = "https://huggingface.co";

/// Whether `model` has the form of a Hugging Face id: `name` or `owner/name`.
pub(crate) fn is_id(model: &str) -> bool {
    let part_is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    model.split('/').count() <= 2 && model.split('/').all(part_is_name)
}

/// The folder with the files of the model `id`.
pub(crate) fn fetch(id: &str, need: Need) -> anyhow::Result<PathBuf> {
    let cache = cache();
    let cached = cache.repo(Repo::model(id.to_owned()));
    if let Some(folder) = complete_in_cache(&cached, need) {
        return Ok(folder);
    }
    let endpoint = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| PUBLIC_ENDPOINT.to_owned());
    let offline = std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| value != "0" && !value.is_empty());
    let place = format!("{id}: no such folder, and not in the cache {}", cache.path().display());
    if offline {
        bail!("{place}, and HF_HUB_OFFLINE forbids to fetch it. {}", by_hand(need));
    }
    let api = api(&cache).context("cannot set up the connection to Hugging Face")?;
    download(&api, id, need).map_err(|problem| {
        anyhow!("{place}, and {endpoint} did not give it: {}. {}", describe(&problem), by_hand(need))
    })
}

fn cache() -> Cache {
    // The first one set wins, as in Python's huggingface_hub.
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        if let Some(path) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            return Cache::new(std::path::absolute(PathBuf::from(&path)).unwrap_or_else(|_| path.into()));
        }
    }
    match std::env::var_os("HF_HOME").filter(|value| !value.is_empty()) {
        Some(home) => {
            let home = PathBuf::from(home);
            Cache::new(std::path::absolute(&home).unwrap_or(home).join("hub"))
        }
        None => Cache::default(),
    }
}

fn api(cache: &Cache) -> Result<Api, ApiError> {
    let mut builder =
        ApiBuilder::from_env().with_cache_dir(cache.path().clone()).with_progress(false).with_retries(2);
    if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()) {
        builder = builder.with_token(Some(token));
    }
    builder.with_user_agent("toolsmith", env!("CARGO_PKG_VERSION")).build()
}

fn complete_in_cache(cached: &CacheRepo, need: Need) -> Option<PathBuf> {
    TOKENIZER_FILES.iter().find_map(|name| cached.get(name))?;
    let needed = SMALL_FILES.iter().filter(|name| !TOKENIZER_FILES.contains(name));
    let small: Vec<PathBuf> = needed.map(|name| cached.get(name)).collect::<Option<_>>()?;
    if need == Need::Weights && cached.get(WEIGHTS).is_none() {
        let index = std::fs::read_to_string(cached.get(WEIGHTS_INDEX)?).ok()?;
        if !shards(&index)?.iter().all(|shard| cached.get(shard).is_some()) {
            return None;
        }
    }
    small.first()?.parent().map(Path::to_path_buf)
}

/// The weight files that an index names, each once, in order.
fn shards(index: &str) -> Option<Vec<String>> {
    let index: serde_json::Value = serde_json::from_str(index).ok()?;
    let mut shards: Vec<String> = index
        .get("weight_map")?
        .as_object()?
        .values()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    shards.sort();
    shards.dedup();
    Some(shards)
}

fn download(api: &Api, id: &str, need: Need) -> Result<PathBuf, ApiError> {
    let repo = api.model(id.to_owned());
    let listed: Vec<String> = repo.info()?.siblings.into_iter().map(|file| file.rfilename).collect();
    let has = |name: &str| listed.iter().any(|listed| listed == name);
    let mut folder = None;
    let tokenizer = TOKENIZER_FILES.iter().find(|name| has(name)).copied().unwrap_or(TOKENIZER_FILES[0]);
    let needed = SMALL_FILES.iter().map(|name| if *name == TOKENIZER_FILES[0] { tokenizer } else { name });
    for name in needed.chain(OPTIONAL_FILES.into_iter().filter(|name| has(name))) {
        let path = fetch_file(&repo, name)?;
        folder = folder.or_else(|| path.parent().map(Path::to_path_buf));
    }
    if need == Need::Weights {
        if !has(WEIGHTS) && has(WEIGHTS_INDEX) {
            let index = std::fs::read_to_string(fetch_file(&repo, WEIGHTS_INDEX)?)?;
            for shard in shards(&index).unwrap_or_default() {
                fetch_file(&repo, &shard)?;
            }
        } else {
            fetch_file(&repo, WEIGHTS)?;
        }
    }
    folder.ok_or_else(|| std::io::Error::other("the cache has no folder").into())
}

fn fetch_file(repo: &ApiRepo, name: &str) -> Result<PathBuf, ApiError> {
    repo.download_with_progress(name, DownloadBar(None))
}

struct DownloadBar(Option<ProgressBar>);

impl hf_hub::api::Progress for DownloadBar {
    fn init(&mut self, size: usize, filename: &str) {
        if self.0.is_none() {
            let bar = terminal::byte_bar(size as u64);
            bar.set_message(filename.to_owned());
            self.0 = Some(bar);
        }
    }

    fn update(&mut self, size: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(size as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn describe(error: &ApiError) -> String {
    let text = error.to_string();
    let status = |code: &str| text.contains(&format!("status code {code}"));
    if status("401") || status("403") {
        return format!("{text} (no such model, or one that needs permission: check the name, set HF_TOKEN)");
    }
    if status("404") {
        return format!("{text} (no such model, or it lacks a file that is needed: check the name)");
    }
    text
}

fn by_hand(need: Need) -> String {
    let weights = match need {
        Need::Tokenizer => String::new(),
        Need::Weights => format!(", and {WEIGHTS} (or {WEIGHTS_INDEX} with the files it names)"),
    };
    format!(
        "Without network, put these files of the model into a folder and give that folder instead: {}{weights}; \
         and, where the model has them, {}",
        SMALL_FILES.join(", "),
        OPTIONAL_FILES.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        for id in ["gpt2", "Qwen/Qwen2.5-0.5B-Instruct", "THUDM/glm-4-9b-chat"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["./model", "/models/x", "../m", "a/b/c", "runs/", "C:\\models", "", "~/m", "a b"] {
            assert!(!is_id(path), "{path}");
        }
    }

    #[test]
    fn shards_are_listed_once() {
        let index =
            r#"{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        assert_eq!(shards(index), Some(vec!["m-1.safetensors".to_owned(), "m-2.safetensors".to_owned()]));
        assert_eq!(shards("[]"), None);
    }
}
