//! What counts as the same, what as alike, and that the search finds it whatever the order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use toolsmith_chat::check::duplicates::{
    Duplicate, Fingerprint, Likeness, Overlap, Threshold, find_duplicates, find_overlaps,
};
use toolsmith_chat::data::{Conversation, Message, Role, ToolCall, ToolSpec};

fn booking(city: &str) -> Conversation {
    let arguments = json!({"city": city, "nights": 3, "budget": {"most": 120.5, "currency": "EUR"}});
    let question = format!(
        "I am going to {city} in the second week of May with my brother and would like a quiet room near the station, \
         for three nights, and nothing above 120.50 euros a night. Can you book one for us?"
    );
    Conversation::with_tools(
        vec![ToolSpec::function("book_hotel", "Books a hotel.", json!({"type": "object"}))],
        vec![
            Message::system("You are a travel agent."),
            Message::user(question),
            Message::calls(vec![ToolCall::new("book_hotel", arguments).with_id("call_1")]),
            Message::tool_result(Some("call_1".to_owned()), "{\"booked\": true}"),
            Message::assistant(
                "Done: a quiet room for two near the station, three nights. Have a good journey!",
            ),
        ],
    )
}

fn likeness(a: &Conversation, b: &Conversation) -> Option<Likeness> {
    Fingerprint::of(a).likeness(&Fingerprint::of(b))
}

fn similarity(a: &Conversation, b: &Conversation) -> f32 {
    match likeness(a, b) {
        Some(Likeness::Alike { similarity }) => similarity,
        other => panic!("{other:?}"),
    }
}

fn fingerprints(conversations: &[Conversation]) -> Vec<Fingerprint> {
    conversations.iter().map(Fingerprint::of).collect()
}

fn duplicates(fingerprints: &[Fingerprint]) -> Vec<Duplicate> {
    find_duplicates(fingerprints, Some(Threshold::default())).unwrap().iter().collect()
}

/// Talk number `index` of a kind, unlike any other number's.
fn talk(index: usize) -> Vec<String> {
    (0..60).map(|word| format!("w{index}x{word}")).collect()
}

fn said(words: &[String]) -> Conversation {
    Conversation::new(vec![Message::user(words.join(" "))])
}

#[test]
fn ids_key_order_white_space_train_flags_and_the_spelling_of_numbers_do_not_count() {
    let mut other = booking("Rome");
    let reordered = r#"{"budget": {"currency": "EUR", "most": 1.205e2}, "nights": 3.0, "city": "Rome"}"#;
    other.messages[2].tool_calls[0].arguments = serde_json::from_str(reordered).unwrap();
    other.messages[2].tool_calls[0].id = Some("other".to_owned());
    other.messages[2].content = Some(" ".to_owned());
    other.messages[2].train = Some(false);
    other.messages[3].tool_call_id = None;
    other.messages[3].name = Some("book_hotel".to_owned());
    let text = format!("\n{} ", other.messages[4].text());
    other.messages[4].content = Some(text);
    assert_eq!(likeness(&booking("Rome"), &other), Some(Likeness::Same));
}

#[test]
fn whatever_else_is_shown_or_said_counts() {
    let changes: [fn(&mut Conversation); 10] = [
        |talk| talk.tools = None,
        |talk| talk.tools = Some(vec![ToolSpec::new(json!({"name": "book_hotel"}))]),
        |talk| talk.messages[0].content = Some("You are a pirate.".to_owned()),
        |talk| talk.messages[1].role = Role::Assistant,
        |talk| talk.messages[2].reasoning = Some("Hm.".to_owned()),
        |talk| talk.messages[2].tool_calls[0].name = "book".to_owned(),
        |talk| talk.messages[2].tool_calls[0].arguments["nights"] = json!("3"),
        |talk| talk.messages[3].content = Some("{\"booked\": false}".to_owned()),
        |talk| talk.messages.swap(3, 4),
        |talk| {
            talk.messages.pop();
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut other = booking("Rome");
        change(&mut other);
        assert_ne!(likeness(&booking("Rome"), &other), Some(Likeness::Same), "change {number}");
    }
}

#[test]
fn texts_do_not_run_into_each_other() {
    let talk = |a: &str, b: &str| Conversation::new(vec![Message::user(a), Message::user(b)]);
    assert_eq!(likeness(&talk("ab", "c"), &talk("a", "bc")), None);
}

#[test]
fn tools_and_system_prompts_do_not_make_conversations_unlike() {
    let mut other = booking("Rome");
    other.tools = None;
    other.messages[0].content = Some("You are a pirate.".to_owned());
    other.messages[3].content = Some("ok".to_owned());
    assert_eq!(similarity(&booking("Rome"), &other), 1.0);
}

#[test]
fn the_estimate_is_near_the_share_of_three_word_sequences() {
    for (changed, tolerance) in [(1, 0.1), (3, 0.15), (6, 0.2), (60, 0.1)] {
        let (a, mut b) = (talk(1), talk(1));
        // From the end on, so that as many sequences of 58 are lost as words are changed, and as many are new.
        b.iter_mut().rev().take(changed).for_each(|word| *word = format!("other{word}"));
        let lost = changed.min(58) as f32;
        let expected = (58.0 - lost) / (58.0 + lost);
        let estimate = similarity(&said(&a), &said(&b));
        assert!((estimate - expected).abs() <= tolerance, "{changed} words: {estimate}, {expected}");
    }
}

#[test]
fn short_conversations_are_the_same_or_nothing() {
    let ask = |words: usize| said(&talk(7)[..words]);
    let with_note = |talk: &Conversation| {
        let mut talk = talk.clone();
        talk.messages.insert(0, Message::system("Be kind."));
        talk
    };
    assert_eq!(likeness(&ask(19), &with_note(&ask(19))), None);
    assert_eq!(likeness(&ask(19), &ask(19)), Some(Likeness::Same));
    assert_eq!(likeness(&ask(20), &with_note(&ask(20))), Some(Likeness::Alike { similarity: 1.0 }));
    let nothing = Conversation::default();
    assert_eq!(likeness(&nothing, &nothing), Some(Likeness::Same));
}

#[test]
fn a_duplicate_names_the_first_that_is_the_same_and_the_most_alike_otherwise() {
    let (a, mut near, other) = (talk(1), talk(1), talk(2));
    near[59] = "end".to_owned();
    let mut nearer_to_near = near.clone();
    nearer_to_near[0] = "begin".to_owned();
    let all = [&other, &a, &near, &a, &nearer_to_near, &near].map(|words| said(words));
    let found: Vec<_> = duplicates(&fingerprints(&all))
        .into_iter()
        .map(|found| (found.index, found.earlier, found.group, found.likeness == Likeness::Same))
        .collect();
    assert_eq!(found, [(2, 1, 1, false), (3, 1, 1, true), (4, 2, 1, false), (5, 2, 1, true)]);
}

#[test]
fn without_a_threshold_only_the_same_are_found() {
    let (a, mut near) = (talk(1), talk(1));
    near[0] = "begin".to_owned();
    let all = fingerprints(&[&a, &near, &a].map(|words| said(words)));
    let found = find_duplicates(&all, None).unwrap();
    assert_eq!(found.get(1), None);
    assert_eq!(found.group(1), Some(1));
    let expected = Duplicate { index: 2, earlier: 0, group: 0, likeness: Likeness::Same };
    assert_eq!(found.iter().collect::<Vec<_>>(), [expected]);
    assert_eq!(found.get(3), None);
}

#[test]
fn a_hundred_thousand_copies_are_one_group() {
    let all = vec![Fingerprint::of(&booking("Rome")); 100_000];
    let found = duplicates(&all);
    assert_eq!(found.len(), 99_999);
    assert!(found.iter().all(|found| found.earlier == 0 && found.likeness == Likeness::Same));
    assert_eq!(find_overlaps(&all, &all, Some(Threshold::default())).unwrap().len(), 100_000);
}

#[test]
fn five_thousand_near_copies_are_one_group_and_all_but_the_first_are_named() {
    let near_copy = |index: usize| {
        let mut talk = said(&talk(1));
        talk.messages.insert(0, Message::system(format!("Sample {index}.")));
        Fingerprint::of(&talk)
    };
    let found = duplicates(&(0..5000).map(near_copy).collect::<Vec<_>>());
    assert_eq!(found.len(), 4999);
    assert!(found.iter().all(|found| found.group == 0 && found.earlier < found.index));
}

/// More than are compared with each other, at the edge of being alike: which neighbours a talk has decides much here.
#[test]
fn groups_of_many_borderline_talks_do_not_depend_on_the_order() {
    let edited = |index: usize| {
        let mut words = talk(1);
        for edit in 0..3 {
            words[(index * 37 + edit * 23 + index / 60 * 11) % 60] = format!("edit{index}x{edit}");
        }
        Fingerprint::of(&said(&words))
    };
    let in_order: Vec<_> = (0..600).map(edited).collect();
    let moved: Vec<_> = in_order.iter().rev().copied().collect();
    let places: Vec<usize> = (0..600).collect();
    let found = groups(&in_order, &places);
    assert!((2..600).contains(&found.len()), "{}", found.len());
    assert_eq!(found, groups(&moved, &places.into_iter().rev().collect::<Vec<_>>()));
}

#[test]
fn overlap_is_between_the_two_and_not_within_one() {
    let (a, b, c) = (talk(1), talk(2), talk(3));
    let mut near_b = b.clone();
    near_b[59] = "end".to_owned();
    let train = fingerprints(&[&c, &a, &b, &a].map(|words| said(words)));
    let eval = fingerprints(&[&talk(4), &talk(4), &near_b, &a].map(|words| said(words)));
    let found = find_overlaps(&train, &eval, Some(Threshold::default())).unwrap();
    assert_eq!(found.iter().map(|found| (found.eval, found.train)).collect::<Vec<_>>(), [(2, 2), (3, 1)]);
    assert!(matches!(found[0].likeness, Likeness::Alike { similarity } if similarity > 0.85));
    let same = Overlap { eval: 3, train: 1, likeness: Likeness::Same };
    assert_eq!(find_overlaps(&train, &eval, None).unwrap(), [same]);
    assert_eq!(find_overlaps(&[], &eval, Some(Threshold::default())).unwrap(), []);
}

#[test]
fn thresholds_out_of_range_are_refused() {
    for similarity in [0.49, 1.01, f32::NAN] {
        let text = Threshold::new(similarity).unwrap_err().to_string();
        let expected = format!(
            "the similarity {similarity} is out of range; expected 0.5 to 1, where 1 is the same words"
        );
        assert_eq!(text, expected);
    }
    assert_eq!(Threshold::new(1.0).unwrap().similarity(), 1.0);
}

#[test]
fn a_fingerprint_is_48_bytes_and_the_same_on_every_machine() {
    assert_eq!(size_of::<Fingerprint>(), 48);
    insta::assert_snapshot!(format!("{:x?}", Fingerprint::of(&booking("東京"))), @"Fingerprint { exact: bf70d5ee3bf9b60c, sketch: Sketch([f112141638fe5837, 42e47460be72fe67, 17a9e74711642dd0, 4df2e4c38e2f6d54, 7eda51e386350e7d]) }");
}

#[test]
fn findings_can_be_written_as_json() {
    let likeness = Likeness::Alike { similarity: 0.75 };
    let found = serde_json::to_value(Duplicate { index: 2, earlier: 1, group: 0, likeness }).unwrap();
    assert_eq!(found, json!({"index": 2, "earlier": 1, "group": 0, "likeness": "alike", "similarity": 0.75}));
}

/// Talks of which many share most of their words.
fn related_talks(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Conversation>> {
    let edited = (0..3usize, prop::collection::vec((0..60usize, 0..9u8), 0..8));
    let talk = edited.prop_map(|(kind, edits)| {
        let mut words = talk(kind);
        for (place, word) in edits {
            words[place] = format!("edit{word}");
        }
        said(&words)
    });
    prop::collection::vec(talk, count)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ a-c]{0,80}", "\\PC{0,40}", "[深圳 ×ß²\u{301}]{0,40}"]
}

fn arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..3).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn any_conversation() -> impl Strategy<Value = Conversation> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant, Role::Tool]);
    let message = (role, prop::option::of(text()), prop::option::of((text(), arguments())));
    let message = message.prop_map(|(role, content, call)| Message {
        content,
        tool_calls: call.into_iter().map(|(name, arguments)| ToolCall::new(name, arguments)).collect(),
        ..Message::empty(role)
    });
    prop::collection::vec(message, 0..4).prop_map(Conversation::new)
}

/// Which conversations belong together, each told by its place before it was moved.
fn groups(fingerprints: &[Fingerprint], places: &[usize]) -> BTreeSet<BTreeSet<usize>> {
    let found = find_duplicates(fingerprints, Some(Threshold::default())).unwrap();
    let mut groups: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        groups.entry(found.group(index).unwrap()).or_default().insert(*place);
    }
    groups.into_values().collect()
}

proptest! {
    #[test]
    fn a_copy_of_any_conversation_is_found(
        mut talks in prop::collection::vec(any_conversation(), 1..20),
        copied in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        talks.insert(to.index(talks.len() + 1), copied.get(&talks).clone());
        let all = fingerprints(&talks);
        let found = find_duplicates(&all, Some(Threshold::default())).unwrap();
        for (index, talk) in talks.iter().enumerate() {
            let first = talks.iter().position(|other| other == talk).unwrap();
            if first < index {
                let found = found.get(index).unwrap();
                prop_assert_eq!(found.likeness, Likeness::Same);
                prop_assert!(found.earlier <= first);
            }
        }
        prop_assert_eq!(find_overlaps(&all, &all, None).unwrap().len(), all.len());
    }

    #[test]
    fn groups_do_not_depend_on_the_order(
        (talks, places) in related_talks(1..60).prop_flat_map(|talks| {
            let places: Vec<usize> = (0..talks.len()).collect();
            (Just(talks), Just(places).prop_shuffle())
        }),
    ) {
        let in_order = fingerprints(&talks);
        let moved: Vec<_> = places.iter().map(|place| in_order[*place]).collect();
        let sorted: Vec<usize> = (0..talks.len()).collect();
        prop_assert_eq!(groups(&in_order, &sorted), groups(&moved, &places));
    }

    /// So few that all are neighbours. Two sketches that are alike at the default threshold always share a band.
    #[test]
    fn the_search_finds_what_comparing_all_pairs_finds(talks in related_talks(1..10)) {
        let all = fingerprints(&talks);
        let found = find_duplicates(&all, Some(Threshold::default())).unwrap();
        for (index, later) in all.iter().enumerate() {
            let alike = |earlier: &Fingerprint| match later.likeness(earlier) {
                Some(Likeness::Same) => Some(2.0),
                Some(Likeness::Alike { similarity }) => Some(similarity).filter(|similarity| *similarity >= 0.8),
                None => None,
            };
            let earlier = all[..index].iter().enumerate();
            let alike = earlier.filter_map(|(at, earlier)| Some((alike(earlier)?, std::cmp::Reverse(at))));
            let most = alike.max_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(found.get(index).map(|found| found.earlier), most.map(|(_, at)| at.0));
            let overlap = find_overlaps(&all[..index], &[*later], Some(Threshold::default())).unwrap();
            prop_assert_eq!(overlap.first().map(|overlap| overlap.train), most.map(|(_, at)| at.0));
        }
    }
}
