//! `preview` over a whole data set: its numbers are `prepare`'s, its page is safe, bounded and the same each time.

#![allow(clippy::expect_used, reason = "a test that cannot be set up should fail")]

mod common;

use common::{Place, conversation, jsonl};
use insta::assert_snapshot;
use serde_json::{Value as Json, json};

const HTML: [&str; 6] = ["preview", "data.jsonl", "--model", "model", "--html", "page.html"];

/// The page of these lines, with more options.
fn page_of(place: &Place, lines: &str, more: &[&str]) -> String {
    place.write("data.jsonl", lines);
    let ran = place.run(&[&HTML, more].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    place.read("page.html")
}

/// What stands in the page's script element of this id.
fn script(page: &str, id: &str) -> Json {
    let opening = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&opening).expect("the element");
    let (text, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(text).expect("JSON")
}

fn says(text: &str) -> Json {
    json!({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]})
}

/// Three good records, one of them plain text, and three bad ones.
fn mixed() -> String {
    let mut calls_unknown = conversation("Rome");
    calls_unknown["messages"][2]["tool_calls"][0]["function"]["name"] = json!("sing");
    let nothing = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let good = jsonl(&[conversation("Oslo"), json!({"text": "Plain."}), says("Hello?")]);
    format!("{good}{}oops\n", jsonl(&[calls_unknown, nothing]))
}

#[test]
fn the_numbers_are_those_of_prepare() {
    let place = Place::with_model();
    let page = page_of(&place, &mixed(), &[]);
    let words = ["prepare", "data.jsonl", "--model", "model", "-o", "out.parquet", "--skip-bad", "--json"];
    let summary = place.run(&words).json();
    for (name, key) in [
        ("conversations", "conversations"),
        ("refused", "refused"),
        ("samples", "samples"),
        ("tokens", "tokens"),
        ("trained tokens", "trained_tokens"),
        ("longest", "longest"),
    ] {
        let number = summary[key].as_u64().expect("a number");
        assert!(number > 0, "{key}: this test should have some");
        let (before, _) = page.split_once(&format!("</b> <span>{name}")).expect("a tile");
        let shown = before.rsplit("<b>").next().expect("its number").replace(',', "");
        assert_eq!(shown, number.to_string(), "{name}");
    }
    let index = script(&page, "index");
    let rows = index["rows"].as_array().expect("rows");
    let count = |rows: &mut dyn Iterator<Item = &Json>, of: &dyn Fn(&Json) -> u64| rows.map(of).sum::<u64>();
    let kept: Vec<&Json> = rows.iter().filter(|row| row["refused"] == json!(false)).collect();
    let tokens = |row: &Json| -> u64 {
        row["samples"].as_array().expect("samples").iter().map(|s| s[0].as_u64().expect("tokens")).sum()
    };
    assert_eq!(json!(count(&mut kept.into_iter(), &tokens)), summary["tokens"]);
    let refused_by_code: serde_json::Map<String, Json> = index["codes"]
        .as_array()
        .expect("codes")
        .iter()
        .map(|code| (code["code"].as_str().expect("a code").to_owned(), code["refused"].clone()))
        .collect();
    assert_eq!(json!(refused_by_code), summary["refused_by_code"]);
    for chart in &index["charts"].as_array().expect("charts")[..2] {
        let bars = chart["bins"].as_array().expect("bins");
        assert_eq!(
            json!(count(&mut bars.iter(), &|bin| bin["count"].as_u64().expect("a count"))),
            summary["samples"]
        );
    }
    let tools = index["tools"].as_array().expect("tools");
    assert_eq!(tools[0], json!({"name": "weather", "calls": 1, "called_in": 1, "offered_in": 2}));
    assert_eq!(tools[1], json!({"name": "sing", "calls": 1, "called_in": 1, "offered_in": 0}));
}

#[test]
fn the_overview_prints_them() {
    let place = Place::with_model();
    place.write("data.jsonl", &mixed());
    let ran = place.run(&["preview", "data.jsonl", "--model", "model", "--overview"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("conversations             6\nrefused                   3"),
        "{}",
        ran.stdout
    );
    let (_, distributions) = ran.stdout.split_once("\n\ntokens in").expect("distributions");
    assert_snapshot!(format!("tokens in{distributions}"), @r"
    tokens in a sample   median 109, p95 707, max 707
                            0-99          1  ████████████████████████████████████████
                         100-199          1  ████████████████████████████████████████
                         200-299          0
                         300-399          0
                         400-499          0
                         500-599          0
                         600-699          0
                         700-799          1  ████████████████████████████████████████

    trained tokens in a sample   median 11%, p95 100%, max 100%
                              0%          0
                           1-10%          1  ████████████████████████████████████████
                          11-20%          1  ████████████████████████████████████████
                          21-30%          0
                          31-40%          0
                          41-50%          0
                          51-60%          0
                          61-70%          0
                          71-80%          0
                          81-90%          0
                         91-100%          1  ████████████████████████████████████████

    calls in a conversation   median 0, p95 1, max 1
                               0          2  ████████████████████████████████████████
                               1          2  ████████████████████████████████████████

    calls by tool   2 tools called, 0 offered and never called
                         weather          1  ████████████████████████████████████████
                            sing          1  ████████████████████████████████████████
    ");
}

#[test]
fn text_of_the_data_never_becomes_markup() {
    let hostile = [
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "<img src=x onerror=alert(1)>",
        "line\u{2028}and\u{2029}paragraph",
        "\u{202e}turned around\u{2066}",
        "{{ 7 * 7 }} {% raw %}",
        "\0\u{1b}[31m",
    ];
    let mut records: Vec<Json> = hostile.iter().map(|text| says(text)).collect();
    let mut call = conversation(hostile[0]);
    call["tools"][0]["function"]["name"] = json!(hostile[2]);
    call["messages"][2]["tool_calls"][0]["function"]["name"] = json!(hostile[2]);
    call["messages"][2]["tool_calls"][0]["id"] = json!(hostile[0]);
    records.push(call);
    let long_word = "x".repeat(300_000);
    records.push(says(&long_word));
    let surrogate = r#"{"messages": [{"role": "user", "content": "\ud800</script><img src=x>"}]}"#;
    let place = Place::with_model();
    let page = page_of(&place, &format!("{}{surrogate}\n<img src=y>\n", jsonl(&records)), &[]);
    assert!(!page.contains("<img") && !page.contains("alert(1)</script>") && !page.contains("<!--"));
    assert!(!page.contains(['\u{2028}', '\u{2029}', '\0', '\u{1b}']));
    // One element for each record, three for what they share, one that runs.
    assert_eq!(page.matches("<script").count(), records.len() + 2 + 4);
    assert_eq!(page.matches("</script>").count(), records.len() + 2 + 4);
    for (number, text) in hostile.iter().enumerate() {
        let shown = script(&page, &format!("c{number}"));
        assert_eq!(shown["messages"][0]["text"], json!(text));
        let tokens = script(&page, "tokens");
        let spelled = |id: &Json| {
            let token =
                tokens.as_array().expect("tokens").iter().find(|token| token["id"] == *id).expect("known");
            match &token["text"] {
                Json::String(text) => text.clone().into_bytes(),
                bytes => serde_json::from_value(bytes.clone()).expect("bytes"),
            }
        };
        let ids = shown["samples"][0]["ids"].as_array().expect("ids");
        let bytes: Vec<u8> = ids.iter().flat_map(spelled).collect();
        assert!(String::from_utf8(bytes).expect("whole characters").contains(text), "{text}");
    }
    let broken = script(&page, &format!("c{}", records.len()));
    assert_eq!(broken["raw"].as_str().expect("text").trim_end(), surrogate);
    assert_eq!(broken["samples"], json!([]));
}

#[test]
fn a_file_name_is_text_too() {
    let place = Place::with_model();
    place.write("<b>.jsonl", &jsonl(&[says("Hi")]));
    let ran = place.run(&["preview", "<b>.jsonl", "--model", "model", "--html", "page.html"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = place.read("page.html");
    assert!(page.contains("&lt;b&gt;.jsonl") && !page.contains("<b>.jsonl"));
}

#[test]
fn the_page_fetches_nothing() {
    let place = Place::with_model();
    let page = page_of(&place, &jsonl(&[conversation("Oslo")]), &[]);
    for forbidden in
        [" src=", " href=", "url(", "@import", "<link", "fetch(", "innerHTML", "insertAdjacentHTML"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_small_page_says_what_it_holds_and_is_the_same_each_time() {
    let place = Place::with_model();
    let mut records: Vec<Json> = (0..400).map(|number| says(&format!("Number {number}?"))).collect();
    records[333]["messages"][1]["role"] = json!("user");
    records[222] = says(&"long ".repeat(50));
    let lines = jsonl(&records);
    let page = page_of(&place, &lines, &["-n", "20"]);
    assert!(page.contains("This page holds 20 of 400 conversations"), "{}", &page[..3000]);
    assert!(page.contains("1 with findings, 1 the longest, 18 drawn from all others"), "{}", &page[..9000]);
    let index = script(&page, "index");
    let rows = index["rows"].as_array().expect("rows");
    let held: Vec<u64> = rows.iter().map(|row| row["index"].as_u64().expect("an index")).collect();
    assert_eq!(held.len(), 20);
    assert!(held.contains(&333) && held.contains(&222) && held.is_sorted(), "{held:?}");
    assert_eq!(index["records"], 400);
    assert_eq!(page, page_of(&place, &lines, &["-n", "20", "--threads", "3"]));
    let other = page_of(&place, &lines, &["-n", "400"]);
    assert!(other.contains("This page holds all 400 conversations."));
}

#[test]
fn a_refused_conversation_shows_the_tokens_it_would_have() {
    let place = Place::with_model();
    let nothing = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let page = page_of(&place, &jsonl(&[nothing]), &[]);
    let index = script(&page, "index");
    let row = &index["rows"][0];
    assert_eq!((&row["refused"], &row["untrained"]), (&json!(true), &json!(true)));
    assert_eq!(row["samples"][0][1], 0);
    let shown = script(&page, "c0");
    assert!(shown["samples"][0]["ids"].as_array().expect("ids").len() > 5);
    assert_eq!(shown["findings"][0]["code"], "nothing-trained");
}

#[test]
fn several_files_are_one_data_set() {
    let place = Place::with_model();
    place.write("a.jsonl", &jsonl(&[says("A")]));
    place.write("b.json", &json!([says("B"), says("C")]).to_string());
    let ran = place.run(&["preview", "a.jsonl", "b.json", "--model", "model", "--html", "page.html"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = place.read("page.html");
    let index = script(&page, "index");
    assert_eq!(index["files"], json!(["a.jsonl", "b.json"]));
    let places: Vec<_> = index["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| json!([row["file"], row["index"]]))
        .collect();
    assert_eq!(places, [json!([0, 0]), json!([1, 0]), json!([1, 1])]);
    let shown = place.run(&["preview", "a.jsonl", "b.json", "--model", "model", "-n", "2"]).stdout;
    assert!(shown.contains("a.jsonl:1: record 0") && shown.contains("b.json:1: record 0"), "{shown}");
}

#[test]
fn what_cannot_be_written_is_told_and_leaves_nothing() {
    let place = Place::with_model();
    place.write("data.jsonl", &jsonl(&[says("Hi")]));
    let ran = place.run(&["preview", "data.jsonl", "--model", "model", "--html", "missing/page.html"]);
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: missing/page.html: cannot be written: no such folder. Nothing was left under that name; its folder does not exist: create it
    ");
    assert_eq!(place.names(), ["data.jsonl", "model"]);
    let ran = place.run(&["preview", "data.jsonl", "--model", "model", "--html", "./data.jsonl"]);
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: ./data.jsonl: is a data file; the page would take its place. Name another file after --html
    ");
    assert!(place.read("data.jsonl").starts_with('{'));
    let ran = place.run(&["preview", "data.jsonl", "--model", "model", "--html", "model"]);
    assert_snapshot!(ran.complaint(), @r"
    exit code 1
    error: model: exists and is a folder; expected a file name. Choose another output
    ");
}
