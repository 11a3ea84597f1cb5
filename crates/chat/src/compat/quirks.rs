//! What each mode does that toolsmith itself would not, in one sentence each.
//!
//! In: a mode. Out: texts for the user, who reads them once a run. docs/compatibility.md tells the whole.

use super::Compat;

const CONTROL: &str = "Text that holds the name of a control token (<|user|>) becomes that token.";
const BLIND_CUT: &str =
    "What is too long is cut from the right wherever that falls, in the middle of a call too.";
const NOTHING_TRAINED: &str = "Samples in which nothing is trained are kept.";

pub(super) fn quirks(compat: Compat) -> &'static [&'static str] {
    match compat {
        Compat::Glm4Official => &[
            "The last token is always a trained <|user|>, after a call too, where the model should write <|observation|>.",
            "Each message is rendered on its own; one without content leaves no trace, not even its role.",
            "Every role but system, user and observation is trained; loss flags are ignored, and so are thoughts.",
            "Tools outside a system message are dropped, and properties that are null are left out.",
            CONTROL,
            BLIND_CUT,
            NOTHING_TRAINED,
        ],
        Compat::Glm4OfficialCombine => &[
            "Only the last <|assistant|> is trained, and not the token right after it (its newline, or the start of a tool's name).",
            "The last token is always a trained <|user|>, after a call too.",
            "Loss flags and thoughts are ignored.",
            "--split eval gives the whole conversation, answer included, as the prompt, and [gMASK] as its cue.",
            CONTROL,
            BLIND_CUT,
            NOTHING_TRAINED,
        ],
        Compat::ChatGlm3Of2023 => &[
            "A message of role observation is trained like an answer; the observation inside a tool message is not.",
            "A call without observation is followed by the observation null.",
            "The system message of the record stands behind a second one that holds the tools.",
            "The final </s> is trained if the last message is, after a call too; a call's keys are written as they are, even where that is no Python.",
            "Input-output samples are padded with <unk>; multi-turn samples come without the reference's padding. A trained <unk> would be left out.",
            BLIND_CUT,
            NOTHING_TRAINED,
        ],
        Compat::LlamaFactory => &[
            "Templates glm4 and chatglm3 label the first token of every later prompt (<|user|>, <|observation|>) with eos, and end with eos: the tuned model stops with <|endoftext|> (or </s>).",
            "Each slot of the template is encoded on its own; loss flags and thoughts are ignored.",
            "glm4 and chatglm3 write text and call as one segment and refuse several calls in a turn.",
            "Prompts and responses must alternate; other records are dropped (here: an error).",
            "Records in the openai format get \"detailed thinking off\" in the system text where there are no tools; arguments that are JSON text are written as a JSON string, results behind the last answer are lost, and so is text beside calls.",
            "Where a sample exceeds cutoff_len, each pair of prompt and response is cut in proportion; later pairs are lost (with mask_history, earlier ones).",
            "llama3 names a day in its tools text: 26 Jul 2024 unless --date says another.",
            CONTROL,
            NOTHING_TRAINED,
        ],
    }
}
