//! What a user does wrong: each mistake has a clear message, an exit code, and leaves no half-written file.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use insta::assert_snapshot;
use serde_json::json;

const PREPARE: [&str; 6] = ["prepare", "data.jsonl", "--model", "model", "-o", "out.parquet"];

/// Runs `prepare` on these lines and checks that nothing was left behind.
fn refuse(lines: &str) -> String {
    let place = Place::with_model();
    place.write("data.jsonl", lines);
    let ran = place.run(&PREPARE);
    assert_eq!(place.names(), ["data.jsonl", "model"], "something was left behind");
    format!("{}\n{}", ran.complaint(), listed(&ran.stdout))
}

/// The lines of a summary that name records.
fn listed(stdout: &str) -> String {
    stdout.lines().filter(|line| line.contains("data.jsonl:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn missing_file() {
    let place = Place::with_model();
    assert_snapshot!(place.run(&PREPARE).complaint(), @r"
    exit code 1
    error: data.jsonl: cannot be read: No such file or directory (os error 2). Check the path and its permissions
    ");
    assert_eq!(place.names(), ["model"]);
}

#[test]
fn broken_json_at_a_line() {
    let good = conversation("Oslo").to_string();
    assert_snapshot!(refuse(&format!("{good}\n{good}\n{{\"messages\": [}}\n{good}\n")), @r"
    exit code 3
    error: 1 of 4 records is bad, so nothing was written. Mend the data, or drop what is bad with --skip-bad

      data.jsonl:3: record 2: broken JSON at line 3, column 15: expected value. Mend it there, or drop the record [broken-json]
    ");
}

#[test]
fn unknown_role() {
    let mut bad = conversation("Oslo");
    bad["messages"][1]["role"] = json!("human");
    assert_snapshot!(refuse(&jsonl(&[conversation("Rome"), bad])), @r#"
    exit code 3
    error: 1 of 2 records is bad, so nothing was written. Mend the data, or drop what is bad with --skip-bad

      data.jsonl:2: record 1: messages[1].role: unknown role "human", expected one of: system, user, assistant, tool, developer. Rename the role, or drop the message [shape]
    "#);
}

#[test]
fn tool_result_that_answers_no_call() {
    let mut bad = conversation("Oslo");
    bad["messages"][3]["tool_call_id"] = json!("c2");
    assert_snapshot!(refuse(&jsonl(&[bad])), @r#"
    exit code 3
    error: the only record is bad, so nothing was written. Mend the data

      data.jsonl:1: record 0: messages[3]: tool result "c2" answers no call; calls so far: "c1". Set tool_call_id to one of them, or drop the message [orphan-result]
    "#);
}

#[test]
fn bad_records_can_be_skipped_and_are_named() {
    let place = Place::with_model();
    let mut bad = conversation("Oslo");
    bad["messages"][3]["tool_call_id"] = json!("c2");
    place.write(
        "data.jsonl",
        &format!("{}oops\n{}", jsonl(&[conversation("Rome"), bad]), conversation("Bern")),
    );
    let ran = place.run(&[&PREPARE[..], &["--skip-bad", "--json"]].concat());
    let summary = ran.json();
    assert_eq!(summary["conversations"], 4);
    assert_eq!(summary["samples"], 2);
    assert_eq!(summary["refused"], 2);
    assert_eq!(summary["refused_by_code"], json!({"broken-json": 1, "orphan-result": 1}));
    assert_eq!(summary["refusals"][1]["line"], 3);
    assert!(place.exists("out.parquet"));
}

#[test]
fn configuration_with_three_mistakes() {
    let place = Place::with_model();
    place.write(
        "train.yaml",
        "model: model\ndata: data.jsonl\noutput_dir: run\nlerning_rate: 1e-4\nbatch_size: many\nlora:\n  r: 0\n",
    );
    assert_snapshot!(place.run(&["train", "train.yaml"]).complaint(), @r#"
    exit code 2
    error: the configuration has 3 mistakes:
    train.yaml:4: unknown key `lerning_rate`; did you mean learning_rate?
    train.yaml:5: batch_size: found "many"; expected a whole number of conversations, at least 1
    train.yaml:7: lora.r: found 0; expected a whole number of dimensions, at least 1
    "#);
    assert!(!place.exists("run"));
}

#[test]
fn model_folder_without_tokenizer() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    std::fs::remove_file(place.path("model/tokenizer.json")).expect("removed");
    assert_snapshot!(place.run(&PREPARE).complaint(), @r"
    exit code 1
    error: model: has no tokenizer.json, which says how text becomes tokens. Copy tokenizer.json and tokenizer_config.json from the model it was made from
    ");
}

#[test]
fn model_folder_with_a_pointer_in_place_of_the_tokenizer() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    std::fs::remove_file(place.path("model/tokenizer.json")).expect("removed");
    place
        .write("model/tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    let complaint = place.run(&PREPARE).stderr;
    assert!(complaint.contains("no tokenizer file: this is the pointer that Git keeps"), "{complaint}");
    assert!(complaint.contains("git lfs pull"), "{complaint}");
}

#[test]
fn model_that_is_no_folder() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    let model =
        |name: &str| place.run(&["prepare", "data.jsonl", "--model", name, "-o", "out.parquet"]).complaint();
    assert_snapshot!(model("./models/none"), @r"
    exit code 1
    error: ./models/none: no such folder. Give the folder of a model, or a Hugging Face id such as Qwen/Qwen2.5-0.5B-Instruct
    ");
    assert_snapshot!(model("data.jsonl"), @r"
    exit code 1
    error: data.jsonl: is a file, and no GGUF; expected the folder of a model, a .gguf file with tokenizer.json beside it, or a Hugging Face id such as Qwen/Qwen2.5-0.5B-Instruct
    ");
}

#[test]
fn output_that_cannot_be_written() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    let output =
        |name: &str| place.run(&["prepare", "data.jsonl", "--model", "model", "-o", name]).complaint();
    assert_snapshot!(output("none/out.parquet"), @r"
    exit code 1
    error: none/out.parquet: cannot be written: no such folder. Nothing was left under that name; its folder does not exist: create it
    ");
    assert_snapshot!(output("model"), @r"
    exit code 1
    error: model: exists and is a folder; expected a file name. Choose another output
    ");
    assert_eq!(place.names(), ["data.jsonl", "model"]);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk() {
    let place = Place::with_model();
    let conversations: Vec<_> = (0..200).map(|n| conversation(&format!("Town {n}"))).collect();
    place.write("data.jsonl", &jsonl(&conversations));
    // A file may have 4 kB and the signal is ignored: writing fails as on a full disk.
    let ran = place
        .shell("trap '' XFSZ; ulimit -f 8; exec $TOOLSMITH prepare data.jsonl --model model -o out.parquet");
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: out.parquet: cannot be written: File too large (os error 27). Nothing was left under that name; free some space, or choose another disk
    ");
    assert_eq!(place.names(), ["data.jsonl", "model"], "something was left behind");
    let ran = place.shell("exec $TOOLSMITH render data.jsonl --template qwen2.5 > /dev/full");
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: standard output cannot be written: No space left on device (os error 28)
    ");
    let ran = place.run(&["prepare", "data.jsonl", "--model", "model", "-o", "/dev/full"]);
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: /dev/full: exists and is not a regular file; expected a file name. Choose another output
    ");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::with_model();
    let conversations: Vec<_> = (0..300).map(|n| conversation(&format!("Town {n}"))).collect();
    place.write("data.jsonl", &jsonl(&conversations));
    let ran = place.shell("$TOOLSMITH render data.jsonl --model model | head -n 1 | wc -l");
    assert_eq!((ran.code, ran.stdout.trim(), ran.stderr.as_str()), (0, "1", ""));
}

#[test]
fn wrong_usage() {
    let place = Place::with_model();
    for words in [
        &["render", "data.jsonl"][..],
        &["render", "data.jsonl", "--template", "qwen9"],
        &["prepare", "data.jsonl", "--model", "model", "-o", "x", "--format", "docx"],
        &["generate", "--model", "model"],
        &["nonsense"],
        &[],
    ] {
        let ran = place.run(words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{words:?}");
    }
}

#[test]
fn samples_longer_than_asked_are_refused_and_said_so() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[conversation("Oslo")]));
    let ran = place.run(&[&PREPARE[..], &["--max-length", "50"]].concat());
    assert_eq!(ran.code, 3);
    assert_snapshot!(listed(&ran.stdout), @r"  data.jsonl:1: record 0: the sample has 707 tokens even without the turns, tools and parts of results that may be left out (truncate: structured), and at most 50 are asked for (max_length). Raise the limit, shorten the record, or cut it blindly with truncate: right [too-long]");
}

#[test]
fn a_key_that_stands_twice_is_told() {
    let place = Place::with_model();
    place.write("data.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"text\": \"c\"}\n");
    let ran = place.run(&PREPARE);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told =
        "data.jsonl:2: record 1: text: this key stands twice in its object; the last counts. Drop the other";
    assert!(listed(&ran.stdout).contains(told), "{}", ran.stdout);
}

#[test]
fn the_summary_of_what_gave_nothing_has_no_rows_of_zeros() {
    let place = Place::with_model();
    place.write("data.jsonl", "{\"text\": NaN}\n");
    let ran = place.run(&PREPARE);
    assert_eq!(ran.code, 3);
    let rows: Vec<_> = ran.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 2, "{}", ran.stdout);
}
