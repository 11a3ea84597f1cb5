//! A throwaway folder with a tiny model's files, and the program run inside it.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Map, Value as Json, json};

/// What a run of the program gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Exit code and standard error, for snapshots.
    pub(crate) fn complaint(&self) -> String {
        format!("exit code {}\n{}", self.code, self.stderr)
    }

    pub(crate) fn lines(&self) -> Vec<Json> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    pub(crate) fn json(&self) -> Json {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).expect("one JSON object")
    }
}

/// A temporary folder in which the program runs, so that every path in a message is a short one.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A folder with the tiny model's tokenizer and configuration in `model/`, without weights.
    pub(crate) fn with_model() -> Self {
        let place = Self::empty();
        place.write("model/tokenizer.json", &tokenizer().to_string());
        let eos = json!({"eos_token": "<|im_end|>", "tokenizer_class": "Qwen2Tokenizer"});
        place.write("model/tokenizer_config.json", &eos.to_string());
        place.write("model/config.json", &config().to_string());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("folder");
        fs::write(path, text).expect("file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("file")
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The program with its environment cleaned of what could change its output.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolsmith"));
        clean(command.current_dir(self.folder.path()));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        ran(self.command().args(words).stdin(Stdio::null()).output().expect("runs"))
    }

    pub(crate) fn run_with_input(&self, words: &[&str], input: &str) -> Ran {
        let mut command = self.command();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("takes input");
        ran(child.wait_with_output().expect("ends"))
    }

    /// Runs a shell script in the folder; the program is `$TOOLSMITH`.
    pub(crate) fn shell(&self, script: &str) -> Ran {
        let mut command = Command::new("sh");
        clean(command.current_dir(self.folder.path()).env("TOOLSMITH", env!("CARGO_BIN_EXE_toolsmith")));
        ran(command.arg("-c").arg(script).stdin(Stdio::null()).output().expect("runs"))
    }
}

fn clean(command: &mut Command) {
    for variable in
        ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"]
    {
        command.env_remove(variable);
    }
    command.env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A byte-level tokenizer without merges, with Qwen2.5's control tokens.
pub(crate) fn tokenizer() -> Json {
    let mut vocabulary = Map::new();
    let mut spare = 256u32;
    for byte in 0..=255u32 {
        // GPT-2's way to write bytes as visible characters.
        let visible = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if visible { byte } else { spare };
        spare += u32::from(!visible);
        vocabulary.insert(char::from_u32(code).expect("a character").to_string(), json!(byte));
    }
    let added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"];
    let added: Vec<Json> = added
        .iter()
        .zip(256..)
        .map(|(content, id)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": content.starts_with("<|")})
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []},
    })
}

/// A Qwen2-shaped model of a few thousand weights.
pub(crate) fn config() -> Json {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "vocab_size": 264, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true, "initializer_range": 0.05,
        "attention_dropout": 0.0, "bos_token_id": 256, "eos_token_id": 258, "use_sliding_window": false,
        "torch_dtype": "float32",
    })
}

/// A conversation with one tool, one call, its result and an answer.
pub(crate) fn conversation(city: &str) -> Json {
    json!({
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
        "messages": [
            {"role": "system", "content": "Help."},
            {"role": "user", "content": format!("Weather in {city}?")},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "weather", "arguments": format!("{{\"city\": \"{city}\"}}")}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            {"role": "assistant", "content": format!("It is sunny in {city}.")},
        ],
    })
}

/// Conversations as JSON lines.
pub(crate) fn jsonl(conversations: &[Json]) -> String {
    conversations.iter().map(|conversation| format!("{conversation}\n")).collect()
}
