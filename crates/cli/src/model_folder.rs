//! A model's files: where they are, what they say about tokenizer, chat template and stop tokens.
//!
//! In: `--model` (a folder or a Hugging Face id). Out: a [`ModelFolder`] from which tokenizer, template, stop ids and,
//! for trained results, a complete set of files to serve come. Does not know weights.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Map, Value as Json, json};
use toolsmith_chat::check::Checker;
use toolsmith_chat::compat::Mode;
use toolsmith_chat::template::{ChatTemplate, LocalTime, ModelFacts, ModelTemplate, Template, TemplateName};
use toolsmith_chat::tokens::ChatTokenizer;
use toolsmith_prepare::{SampleMaker, SampleOptions};

use crate::compat;
use crate::hub::{self, Need};
use crate::terminal;

/// Files that travel with weights so that a server finds the tokenizer and chat template beside them.
const COMPANIONS: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "qwen.tiktoken",
    "chat_template.jinja",
    "chat_template.json",
];

/// The files that a tokenizer may come in; where a folder has several, the first of them counts.
pub(crate) const TOKENIZER_FILES: [&str; 3] = ["tokenizer.json", "tokenizer.model", "qwen.tiktoken"];

/// The folder of a model, and what its small files say.
#[derive(Debug, Clone)]
pub(crate) struct ModelFolder {
    /// As the user named it.
    pub(crate) given: String,
    /// Where its files are.
    pub(crate) path: PathBuf,
    /// Where its weights are: the same folder, or a GGUF file in it.
    pub(crate) weights: PathBuf,
    config: Option<Json>,
    tokenizer_config: Option<Json>,
    generation_config: Option<Json>,
    chat_template: Option<String>,
}

impl ModelFolder {
    /// Finds the model and reads its small files.
    pub(crate) fn open(model: &str, need: Need) -> anyhow::Result<Self> {
        let weights = locate(model, need)?;
        let path = match weights.parent().filter(|_| weights.is_file()) {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_owned(),
            None => weights.clone(),
        };
        Ok(Self {
            given: model.to_owned(),
            config: read_json(&path.join("config.json"))?,
            tokenizer_config: read_json(&path.join("tokenizer_config.json"))?,
            generation_config: read_json(&path.join("generation_config.json"))?,
            chat_template: read_optional(&path.join("chat_template.jinja"))?,
            path,
            weights,
        })
    }

    /// The same model with the tokenizer and template files of `folder` in place of its own, where that has them.
    pub(crate) fn overlaid_with(&self, folder: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            given: self.given.clone(),
            path: folder.to_path_buf(),
            weights: self.weights.clone(),
            config: self.config.clone(),
            tokenizer_config: read_json(&folder.join("tokenizer_config.json"))?
                .or_else(|| self.tokenizer_config.clone()),
            generation_config: read_json(&folder.join("generation_config.json"))?
                .or_else(|| self.generation_config.clone()),
            chat_template: read_optional(&folder.join("chat_template.jinja"))?
                .or_else(|| self.chat_template.clone()),
        })
    }

    /// How an adapter trained on this model names it: the id, or the folder's full path.
    pub(crate) fn base_name(&self) -> String {
        if Path::new(&self.given).exists() {
            let full = fs::canonicalize(&self.weights).unwrap_or_else(|_| self.weights.clone());
            return full.display().to_string();
        }
        self.given.clone()
    }

    /// The most tokens that the model takes, where its configuration says so.
    pub(crate) fn most_positions(&self) -> Option<usize> {
        let config = self.config.as_ref()?;
        let keys = ["max_position_embeddings", "seq_length", "n_positions"];
        let most = keys.iter().find_map(|key| config.get(key)?.as_u64())?;
        usize::try_from(most).ok()
    }

    /// The tokenizer.
    pub(crate) fn tokenizer(&self) -> anyhow::Result<ChatTokenizer> {
        let Some(path) = self.tokenizer_file() else { bail!(self.no_tokenizer()) };
        let bytes = fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        ChatTokenizer::from_file(&bytes, self.tokenizer_config.as_ref())
            .with_context(|| path.display().to_string())
    }

    fn tokenizer_file(&self) -> Option<PathBuf> {
        TOKENIZER_FILES.iter().map(|name| self.path.join(name)).find(|path| path.exists())
    }

    fn no_tokenizer(&self) -> String {
        let folder = self.path.display();
        let mend = if self.path.join("vocab.json").exists() {
            "It has an older tokenizer file: convert it once in Python, \
             AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        } else {
            "Copy tokenizer.json and tokenizer_config.json from the model it was made from"
        };
        format!("{folder}: has no tokenizer.json, which says how text becomes tokens. {mend}")
    }

    /// A fingerprint of the tokenizer's file, to tell whether prepared data fits a model (FNV-1a, 64 bits). Files of other
    /// kinds than tokenizer.json leave control tokens to tokenizer_config.json, which then counts too.
    pub(crate) fn tokenizer_fingerprint(&self) -> String {
        let mut bytes = self.tokenizer_file().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        if !self.path.join(TOKENIZER_FILES[0]).exists() {
            bytes.extend(fs::read(self.path.join("tokenizer_config.json")).unwrap_or_default());
        }
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// All that the small files say, to tell whether data would be prepared in the same way again.
    pub(crate) fn settings(&self) -> String {
        let Self { config, tokenizer_config, generation_config, chat_template, .. } = self;
        format!("{config:?}\n{tokenizer_config:?}\n{generation_config:?}\n{chat_template:?}")
    }

    /// The chat template: the one named, or the one the model's files name or hold.
    pub(crate) fn template(
        &self,
        named: Option<TemplateName>,
        tokenizer: &ChatTokenizer,
    ) -> anyhow::Result<ChatTemplate> {
        self.find_template(named, tokenizer)?.with_context(|| {
            format!(
                "{}: the model's files hold no chat template. Name the one it was trained with: --template {}",
                self.path.display(),
                Template::ALL.map(Template::as_str).join(" or --template ")
            )
        })
    }

    /// The same, where a model without a template will do too (plain text).
    pub(crate) fn find_template(
        &self,
        named: Option<TemplateName>,
        tokenizer: &ChatTokenizer,
    ) -> anyhow::Result<Option<ChatTemplate>> {
        let facts = self.facts(tokenizer);
        let recognised = || Template::recognise(&facts).map(TemplateName::Native);
        match named.or_else(recognised) {
            Some(TemplateName::Native(template)) => Ok(Some(template.into())),
            Some(TemplateName::Jinja) => {
                let template = self.compile(&facts)?;
                Ok(Some(ChatTemplate::Model(Arc::new(template))))
            }
            None if facts.chat_template.is_none() => Ok(None),
            None => {
                let template = self.compile(&facts)?;
                terminal::say(format_args!(
                    "{}: no native format is known for this model; its own chat template is used ({})",
                    self.path.display(),
                    TemplateName::Jinja
                ));
                Ok(Some(ChatTemplate::Model(Arc::new(template))))
            }
        }
    }

    /// The native format that the model's files name; their own template is not looked at beyond that.
    pub(crate) fn native_template(&self, tokenizer: &ChatTokenizer) -> Option<ChatTemplate> {
        Template::recognise(&self.facts(tokenizer)).map(ChatTemplate::Native)
    }

    /// The chat template in the model's files, to compare with; `None` where there is none.
    pub(crate) fn own_template(
        &self,
        tokenizer: &ChatTokenizer,
    ) -> anyhow::Result<Option<Arc<ModelTemplate>>> {
        let facts = self.facts(tokenizer);
        facts.chat_template.is_some().then(|| self.compile(&facts).map(Arc::new)).transpose()
    }

    /// The same beside a native format in use; a template that is no Jinja is said and let be.
    pub(crate) fn template_to_compare(
        &self,
        template: Option<&ChatTemplate>,
        tokenizer: &ChatTokenizer,
    ) -> Option<Arc<ModelTemplate>> {
        template?.native()?;
        self.own_template(tokenizer).unwrap_or_else(|error| {
            terminal::say(format_args!(
                "warning: not compared with the model's own chat template: {error:#}"
            ));
            None
        })
    }

    /// What makes samples for this model: by its chat format, the one named or the one found, or as an earlier trainer
    /// made them.
    pub(crate) fn sample_maker<'a>(
        &self,
        tokenizer: &'a ChatTokenizer,
        compat: Option<Mode>,
        named: Option<&compat::TemplateName>,
        options: SampleOptions,
    ) -> anyhow::Result<SampleMaker<'a>> {
        let template = match &compat {
            Some(_) => self.native_template(tokenizer),
            None => {
                let ours = named.map(compat::TemplateName::ours).transpose()?;
                self.find_template(ours, tokenizer)?
            }
        };
        let rendered_by = template.as_ref().filter(|_| compat.is_none());
        Ok(SampleMaker {
            tokenizer,
            own_template: self.template_to_compare(rendered_by, tokenizer),
            checker: Checker::new(template.clone(), Some(tokenizer)),
            template,
            eos: self.eos_id(tokenizer),
            options,
            compat,
        })
    }

    fn compile(&self, facts: &ModelFacts) -> anyhow::Result<ModelTemplate> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let now = now.and_then(|now| i64::try_from(now.as_secs()).ok()).map(LocalTime::from_unix_secs);
        ModelTemplate::new(facts, now, None).with_context(|| self.path.display().to_string())
    }

    fn facts(&self, tokenizer: &ChatTokenizer) -> ModelFacts {
        let added = tokenizer.added_tokens().map(str::to_owned).collect();
        ModelFacts::new(
            self.config.as_ref(),
            self.tokenizer_config.as_ref(),
            self.chat_template.as_deref(),
            added,
        )
    }

    /// The token that ends a text.
    pub(crate) fn eos_id(&self, tokenizer: &ChatTokenizer) -> Option<u32> {
        let named = self.tokenizer_config.as_ref().and_then(|config| config.get("eos_token"));
        let named = named.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        named.and_then(|name| tokenizer.token_to_id(name)).or_else(|| self.configured_eos().first().copied())
    }

    /// The token that begins a text.
    pub(crate) fn bos_id(&self, tokenizer: &ChatTokenizer) -> Option<u32> {
        let named = self.tokenizer_config.as_ref().and_then(|config| config.get("bos_token"))?;
        let name = named.as_str().or_else(|| named.get("content")?.as_str())?;
        tokenizer.token_to_id(name)
    }

    /// Ids that end generation. With a template: its stop tokens first, in their order; then what the files say.
    pub(crate) fn stop_ids(&self, template: Option<&ChatTemplate>, tokenizer: &ChatTokenizer) -> Vec<u32> {
        let names = template.map(ChatTemplate::stop_tokens).unwrap_or_default();
        let mut ids: Vec<u32> = names.iter().filter_map(|name| tokenizer.token_to_id(name)).collect();
        ids.extend(self.configured_eos());
        ids.extend(self.eos_id(tokenizer));
        let mut seen = Vec::new();
        ids.retain(|id| {
            !seen.contains(id) && {
                seen.push(*id);
                true
            }
        });
        ids
    }

    fn configured_eos(&self) -> Vec<u32> {
        let files = [&self.generation_config, &self.config];
        let found =
            files.iter().filter_map(|file| file.as_ref()?.get("eos_token_id")).find(|value| !value.is_null());
        let id = |value: &Json| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match found {
            Some(Json::Array(values)) => values.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Puts everything that a server needs beside trained weights into `folder`: tokenizer files, chat template, and a
    /// `generation_config.json` with every stop id.
    pub(crate) fn complete(
        &self,
        folder: &Path,
        template: Option<&ChatTemplate>,
        tokenizer: &ChatTokenizer,
    ) -> io::Result<()> {
        for name in COMPANIONS {
            let from = self.path.join(name);
            if from.exists() {
                // Read and write, not copy: the cache's files may be read-only, and a result should not be.
                fs::write(folder.join(name), fs::read(&from)?)?;
            }
        }
        let generation = self.generation_config_with(template, tokenizer);
        let text = serde_json::to_string_pretty(&generation).map_err(io::Error::other)?;
        fs::write(folder.join("generation_config.json"), text + "\n")
    }

    fn generation_config_with(&self, template: Option<&ChatTemplate>, tokenizer: &ChatTokenizer) -> Json {
        let mut entries = match &self.generation_config {
            Some(Json::Object(entries)) => entries.clone(),
            _ => Map::new(),
        };
        entries.insert("eos_token_id".to_owned(), json!(self.stop_ids(template, tokenizer)));
        if !entries.contains_key("pad_token_id") {
            let in_config = self.config.as_ref().and_then(|config| config.get("pad_token_id")).cloned();
            let pad = in_config
                .filter(|id| !id.is_null())
                .or_else(|| tokenizer.token_to_id("<|endoftext|>").map(Json::from));
            if let Some(pad) = pad {
                entries.insert("pad_token_id".to_owned(), pad);
            }
        }
        Json::Object(entries)
    }
}

fn locate(model: &str, need: Need) -> anyhow::Result<PathBuf> {
    let path = Path::new(model);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    if path.extension().is_some_and(|extension| extension == "gguf") && path.is_file() {
        return Ok(path.to_path_buf());
    }
    if path.exists() {
        bail!(
            "{model}: is a file, and no GGUF; expected the folder of a model, a .gguf file with tokenizer.json beside it, or a Hugging Face id such as Qwen/Qwen2.5-0.5B-Instruct"
        );
    }
    if !hub::is_id(model) {
        bail!(
            "{model}: no such folder. Give the folder of a model, or a Hugging Face id such as Qwen/Qwen2.5-0.5B-Instruct"
        );
    }
    hub::fetch(model, need)
}

fn read_optional(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

fn read_json(path: &Path) -> anyhow::Result<Option<Json>> {
    let Some(text) = read_optional(path)? else { return Ok(None) };
    let json = serde_json::from_str(&text)
        .with_context(|| format!("{}: is not JSON. Fetch or copy the file again", path.display()))?;
    Ok(Some(json))
}
