//! Records as earlier trainers encoded them, every mode and every template and tool format of LLaMA-Factory.
//!
//! Input: a byte for the mode, one for the tool format, one for the limits; then JSON or draws, as for `record`.
#![no_main]

use serde_json::Value;
use toolsmith_chat::compat::llama_factory::{Template, ToolFormat, write_calls, write_tools};
use toolsmith_chat::compat::{ArrowSchema, Compat, Limits, Mode};
use toolsmith_chat::data::SourceFormat;
use toolsmith_fuzz::{TOKENIZER, draw, fuzz_target};

const TEMPLATES: [Template; 6] = [
    Template::Qwen,
    Template::Glm4,
    Template::ChatGlm3,
    Template::ChatMl,
    Template::Default,
    Template::Llama3,
];

fn pick<T: Copy>(of: &[T], byte: u8) -> Option<T> {
    of.get(usize::from(byte) % (of.len() + 1)).copied()
}

fuzz_target!(|input: &[u8]| {
    let [kind, tools, limits, record @ ..] = input else { return };
    let Some(record) = draw::record(record) else { return };
    let mut mode = Mode::new(Compat::ALL[usize::from(*kind) % Compat::ALL.len()]);
    let small = |shift: u8| (limits >> shift & 1 == 1).then_some(usize::from(limits % 16) * 8);
    mode.limits = Limits {
        max_input_length: small(4),
        max_output_length: small(5),
        max_seq_length: small(4),
        max_source_length: small(5),
        max_target_length: small(6),
        cutoff_len: small(6),
        mask_history: limits & 1 == 1,
        train_on_prompt: limits & 2 == 2,
    };
    mode.keep_null_keys = limits & 8 == 8;
    mode.llama_factory.template = TEMPLATES[usize::from(kind / 4) % TEMPLATES.len()];
    mode.llama_factory.tool_format = pick(&ToolFormat::ALL, *tools);
    mode.llama_factory.eos = TOKENIZER.control_id("<|endoftext|>");
    if limits & 128 == 128 {
        let mut schema = ArrowSchema::new();
        if schema.add(&record).is_ok() {
            mode.arrow = Some(schema);
        }
    }
    let format = pick(&SourceFormat::ALL, tools >> 4);
    for sample in mode.encode(record.clone(), format, &TOKENIZER).into_iter().flatten() {
        assert_eq!(sample.input_ids.len(), sample.labels.len());
    }
    let _either = mode.encode_eval(record.clone(), format, &TOKENIZER);

    let Some(format) = mode.llama_factory.tool_format else { return };
    let _either = write_calls(format, "here", &record);
    let list = Value::Array(vec![record]).to_string();
    let _either = write_tools(format, &list, "1 Jan 2024");
});
