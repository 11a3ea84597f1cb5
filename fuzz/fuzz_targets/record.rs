//! Records of every source format: read by each reader, checked, converted and written back.
//!
//! Input: JSON where it begins with a bracket, else draws.
#![no_main]

use std::sync::LazyLock;

use toolsmith_chat::check::check;
use toolsmith_chat::compat::{to_chatglm3, to_glm4, to_sharegpt};
use toolsmith_chat::data::convert::{RawFormat, convert};
use toolsmith_chat::data::{
    Conversation, Record, RecordFormat, SourceFormat, TrainOn, chatglm3, input_output, openai, preference,
    read_any, read_record,
};
use toolsmith_fuzz::{draw, fuzz_target};

static FORMATS: LazyLock<Vec<Option<RecordFormat>>> = LazyLock::new(|| {
    let named = RecordFormat::names().into_iter().map(|name| name.parse().ok());
    named.chain([None]).collect()
});

fn conversation_holds(mut conversation: Conversation) {
    let written = openai::to_record(&conversation);
    if let Ok(again) = read_record(written.clone(), SourceFormat::OpenAi) {
        // What cannot be said in it (broken arguments, say) changes once at most.
        assert_eq!(openai::to_record(&again), written);
    }
    let _chatglm3 = read_record(chatglm3::to_record(&conversation), SourceFormat::ChatGlm3);
    let _foreign = (to_glm4(&conversation), to_chatglm3(&conversation), to_sharegpt(&conversation));
    let _findings = check(&conversation, None);
    TrainOn::Last.apply(&mut conversation);
}

fuzz_target!(|input: &[u8]| {
    let Some(record) = draw::record(input) else { return };
    for format in FORMATS.iter() {
        match read_any(record.clone(), format.as_ref()) {
            Ok(Record::Conversation(conversation)) => conversation_holds(conversation),
            Ok(Record::Preference(preference)) => {
                let again = read_any(preference::to_record(&preference), Some(&RecordFormat::Preference));
                assert_eq!(again, Ok(Record::Preference(preference)));
            }
            Ok(Record::InputOutput(pair)) => {
                let again = read_any(input_output::to_record(&pair), Some(&RecordFormat::InputOutput));
                assert_eq!(again, Ok(Record::InputOutput(pair)));
            }
            Ok(Record::Text(_)) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for format in RawFormat::ALL {
        for record in convert(record.clone(), format).records {
            let _either = read_any(record, None);
        }
    }
});
