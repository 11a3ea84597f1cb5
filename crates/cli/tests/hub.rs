//! `--model` with a Hugging Face id, against a server on this machine.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Place, conversation, jsonl};

/// A hub with one model, `tiny/model`, and a log of what was asked of it.
struct Hub {
    endpoint: String,
    requests: Arc<AtomicUsize>,
    authorizations: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn serve(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let authorizations = Arc::new(Mutex::new(Vec::new()));
        let (counter, log) = (Arc::clone(&requests), Arc::clone(&authorizations));
        thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                answer(stream.expect("a connection"), &files, &log);
            }
        });
        Self { endpoint, requests, authorizations }
    }

    fn run(&self, place: &Place, model: &str, more: &[(&str, &str)]) -> common::Ran {
        let mut command = place.command();
        command.args(["render", "data.jsonl", "--model", model]);
        command.env("HF_ENDPOINT", &self.endpoint).env("HF_HOME", place.path("hf")).env_remove("HTTP_PROXY");
        command.env_remove("http_proxy").env_remove("ALL_PROXY").env_remove("all_proxy");
        command.envs(more.iter().copied());
        let output = command.output().expect("runs");
        common::Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn answer(stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut request = String::new();
    reader.read_line(&mut request).expect("a request");
    let mut range = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let header = header.trim().to_owned();
        if header.is_empty() {
            break;
        }
        let lower = header.to_ascii_lowercase();
        if let Some(bytes) = lower.strip_prefix("range: bytes=") {
            range = Some(bytes.to_owned());
        }
        if lower.starts_with("authorization:") {
            log.lock().expect("log").push(header);
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut stream = stream;
    if path.starts_with("/api/models/tiny/model") {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": "abc123", "siblings": siblings}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("answers");
        return;
    }
    let name = path.strip_prefix("/tiny/model/resolve/main/").unwrap_or_default();
    let Some(body) = files.get(name) else {
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("answers");
        return;
    };
    let range = range.unwrap_or_else(|| "0-".to_owned());
    let (start, end) = range.split_once('-').expect("a range");
    let start: usize = start.parse().expect("a number");
    let end = end.parse().map_or(body.len(), |end: usize| (end + 1).min(body.len()));
    let part = &body[start..end];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n\
         ETag: \"{name}-etag\"\r\nX-Repo-Commit: abc123\r\nConnection: close\r\n\r\n",
        part.len(),
        end.saturating_sub(1),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("answers");
    stream.write_all(part).expect("answers");
}

fn place_and_hub() -> (Place, Hub) {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json"];
    let files = names.iter().map(|name| {
        let bytes = std::fs::read(place.path("model").join(name)).expect("file");
        ((*name).to_owned(), bytes)
    });
    let hub = Hub::serve(files.collect());
    (place, hub)
}

#[test]
fn a_model_is_fetched_once_and_then_comes_from_the_cache() {
    let (place, hub) = place_and_hub();
    let local = place.run(&["render", "data.jsonl", "--model", "model"]);
    let fetched = hub.run(&place, "tiny/model", &[("HF_TOKEN", "secret")]);
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    assert_eq!(fetched.stdout, local.stdout);
    assert!(place.exists("hf/hub/models--tiny--model/snapshots/abc123/tokenizer.json"));
    assert!(hub.authorizations.lock().expect("log").iter().all(|header| header.ends_with("Bearer secret")));
    let asked = hub.requests.load(Ordering::SeqCst);
    assert!(asked > 0);
    let cached = hub.run(&place, "tiny/model", &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!((cached.code, cached.stdout), (0, local.stdout));
    assert_eq!(hub.requests.load(Ordering::SeqCst), asked, "the cache was not used");
    // HF_HUB_CACHE names the cache itself.
    let cache = place.path("hf/hub").display().to_string();
    let cached = hub.run(&place, "tiny/model", &[("HF_HUB_CACHE", &cache), ("HF_HOME", "/nowhere")]);
    assert_eq!(cached.code, 0, "{}", cached.stderr);
    assert_eq!(hub.requests.load(Ordering::SeqCst), asked, "HF_HUB_CACHE was not used");
}

#[test]
fn without_network_the_message_says_which_files_to_put_where() {
    let (place, hub) = place_and_hub();
    let clean = |text: &str| {
        let text = text.replace(&place.path("hf").display().to_string(), "HF");
        text.replace(&hub.endpoint, "ENDPOINT")
    };
    let offline = hub.run(&place, "tiny/model", &[("HF_HUB_OFFLINE", "1")]);
    insta::assert_snapshot!(clean(&offline.complaint()), @r"
    exit code 1
    error: tiny/model: no such folder, and not in the cache HF/hub, and HF_HUB_OFFLINE forbids to fetch it. Without network, put these files of the model into a folder and give that folder instead: config.json, tokenizer.json, tokenizer_config.json; and, where the model has them, generation_config.json, chat_template.jinja, special_tokens_map.json
    ");
    let unknown = hub.run(&place, "tiny/other", &[]);
    insta::assert_snapshot!(clean(&unknown.complaint()), @r"
    exit code 1
    error: tiny/other: no such folder, and not in the cache HF/hub, and ENDPOINT did not give it: request error: ENDPOINT/api/models/tiny/other/revision/main: status code 404 (no such model, or it lacks a file that is needed: check the name). Without network, put these files of the model into a folder and give that folder instead: config.json, tokenizer.json, tokenizer_config.json; and, where the model has them, generation_config.json, chat_template.jinja, special_tokens_map.json
    ");
    let dead = hub.run(&place, "tiny/model", &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert_eq!(dead.code, 1);
    assert!(dead.stderr.contains("put these files of the model into a folder"), "{}", dead.stderr);
    assert!(!dead.stderr.contains("panicked"));
}
