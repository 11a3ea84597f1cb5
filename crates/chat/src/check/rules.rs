//! The rules: each with a stable code, a level, and what `check --explain` says about it.
//!
//! In: nothing. Out: one table. What finds them stands in the other files; `docs/checks.md` is made from this table.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Warning,
    /// Training on it teaches something wrong, or nothing.
    Error,
}

impl Level {
    /// The level as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a rule says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The rule.
    pub code: Code,
    /// Its stable name.
    pub name: &'static str,
    /// How bad a finding of it is.
    pub level: Level,
    /// What is found, in a line.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How to mend it.
    pub mend: &'static str,
    /// Whether `check --fix` mends it.
    pub fixed: bool,
}

macro_rules! rules {
    ($($code:ident $name:literal $level:ident $fixed:literal, $title:literal, $why:literal, $mend:literal;)*) => {
        /// The rules; [`Code::as_str`] is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every rule, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// What the rule says about itself.
            pub fn rule(self) -> Rule {
                match self {
                    $(Self::$code => Rule {
                        code: self,
                        name: $name,
                        level: Level::$level,
                        title: $title,
                        why: $why,
                        mend: $mend,
                        fixed: $fixed,
                    },)*
                }
            }
        }
    };
}

rules! {
    // What cannot be read.
    Unreadable "unreadable" Error false,
        "A record that cannot be read from its file.",
        "The file is cut off, its compression is damaged, or a single record is longer than what is read at once. What \
         stands behind it may be lost too.",
        "Fetch or write the file again.";
    BrokenJson "broken-json" Error false,
        "A record that is no JSON.",
        "Many loaders drop such a record, or everything behind it, without a word.",
        "Mend it at the line and column given, or drop the record.";
    RepeatedKey "repeated-key" Warning false,
        "An object that has the same key twice.",
        "The last value counts, as in most JSON readers; the other one is lost.",
        "Keep one of them.";
    Shape "shape" Error false,
        "A record that is not what its format asks for.",
        "A key is missing, or a value has another type than the format says. Trainers that go on regardless train on \
         empty texts or on the text of an error.",
        "Mend it at the place given; `--format` names the format if it was taken for another one.";
    Preference "preference" Error false,
        "A record with two answers to compare among those with one to learn, or the other way round; or two answers that \
         cannot be compared.",
        "Objectives train either single answers or pairs of them. A pair whose answers are the same tokens, or follow \
         different ones, does not say which answer is better.",
        "Prepare the two kinds apart; what to change in a pair is said with each finding.";
    NoTemplate "no-template" Error false,
        "A conversation, but the model's chat format is not known.",
        "A model learns the format it is trained with; a guess would be another one than it is served with.",
        "Name the format by --template, or add the model's chat template to its folder.";
    Unwritable "unwritable" Error false,
        "A conversation that the template cannot write.",
        "Some formats have no room for what others can say: Llama 3.1 takes one call a message, ChatGLM3 no key that is \
         not a name.",
        "What to change is said with each finding.";
    Tokenizer "tokenizer" Error false,
        "A text that the model's tokenizer does not take, or a control token that it lacks.",
        "The tokenizer is not the one that the template was made for.",
        "Use the tokenizer of the model, or the template of the tokenizer.";
    Compat "compat" Error false,
        "A record that the trainer which is being repeated cannot take.",
        "It stops there, or leaves the record out.",
        "What to change is said with each finding.";

    // Who speaks when.
    NoMessages "no-messages" Error false,
        "A conversation without messages.",
        "There is nothing to learn in it.",
        "Drop the record.";
    SystemNotFirst "system-not-first" Error false,
        "A system message behind other messages.",
        "Templates expect it first; some write it where it stands, some move it, some fail. The model is served otherwise.",
        "Move it to the front, or make it what it is: a tool result, or a user message.";
    SecondSystem "second-system" Error false,
        "More than one system message.",
        "Most templates write only the first one, or write the second in a place where no server would.",
        "Join them, or drop one.";
    RolesOutOfTurn "roles-out-of-turn" Error false,
        "A user message right behind a user message, an answer behind an answer, or an answer to nothing.",
        "A server never shows the model such a history. Often a message in between was lost.",
        "Join the two, or add what was said in between.";
    ResultInOtherRole "result-in-other-role" Error false,
        "A tool's result in a system or user message.",
        "A call waits for its result, and what follows it is a system or user message that holds data. The model would \
         learn to take results from there, and never sees one where the server puts it.",
        "Give it the role \"tool\" (in GLM's formats \"observation\").";
    AnswerInUserTurn "answer-in-user-turn" Error false,
        "An answer in a user message.",
        "The result of a call came, and what follows is a user message where the assistant should answer: roles were \
         mixed up when the data was written. The answer would not be trained, and stands where the user speaks.",
        "Give it the role \"assistant\".";
    OrphanResult "orphan-result" Error false,
        "A tool result that answers no call.",
        "The model would learn that results come from nowhere. Often the call was lost, or it stands in plain text.",
        "Put it behind its call and set tool_call_id, or drop the message.";
    SecondResult "second-result" Error false,
        "A second result for the same call.",
        "A server sends one result a call.",
        "Keep one of them.";
    UnansweredCall "unanswered-call" Warning false,
        "A call that the conversation goes on from without a result.",
        "The model would learn to answer without waiting for its tool.",
        "Add the result, or drop the call.";
    ResultsOutOfOrder "results-out-of-order" Warning true,
        "Results in another order than their calls.",
        "Most formats write no ids: the model can only tell by the order which result belongs to which call.",
        "Put them in the order of the calls.";
    CallByOther "call-by-other" Error false,
        "A call in a message that is not the assistant's.",
        "It is not trained, and no template writes it.",
        "Set the role to assistant, or drop tool_calls.";
    RepeatedCallId "repeated-call-id" Warning false,
        "Two calls with the same id.",
        "Which of them a result answers is a guess.",
        "Give each call an id of its own.";
    EmptyAnswer "empty-answer" Error false,
        "A trained answer without text and without calls.",
        "The model learns to stop at once and say nothing.",
        "Add the answer, set train: false on it, or drop it.";
    EmptyMessage "empty-message" Warning false,
        "A system or user message without text.",
        "It says nothing; often its text was lost on the way.",
        "Add the text, or drop the message.";

    // Tools and calls.
    UnnamedTool "unnamed-tool" Error false,
        "A tool without a name.",
        "It cannot be called.",
        "Set function.name.";
    RepeatedTool "repeated-tool" Warning false,
        "Two tools of one name.",
        "Which of them is called, and which schema holds, is a guess.",
        "Rename one, or drop it.";
    ToolNotShown "tool-not-shown" Error false,
        "A tool that the template does not print.",
        "The model learns to call a tool it was never told of.",
        "Write it as {\"type\": \"function\", \"function\": {…}}.";
    SchemaInvalid "schema-invalid" Warning false,
        "A tool whose parameters are no JSON Schema.",
        "Servers refuse such a tool, and nobody can check the calls of it: neither the rules here nor a server that \
         guides the model.",
        "Mend the schema at the place given.";
    SchemaNullFilled "schema-null-filled" Warning true,
        "A tool whose definition was full of nulls.",
        "Arrow and Parquet give every record the keys of all records and fill them with null. They are taken out here \
         before anything is written; trainers that print them bury the few words that matter under those of a thousand \
         other tools.",
        "Take the nulls out of the definition.";
    UndefinedTool "undefined-tool" Error false,
        "A call of a tool that is not offered.",
        "The model learns to invent tools.",
        "Define the tool in tools, rename the call, or drop the record.";
    ArgumentsNotObject "arguments-not-object" Error false,
        "Arguments that are no JSON object.",
        "No server takes such a call.",
        "Write them as an object, {} where there are none.";
    ArgumentsEncodedTwice "arguments-encoded-twice" Error true,
        "Arguments that are JSON text inside a JSON string.",
        "Printed, they are full of backslashes, and the model learns to write them so: every call fails.",
        "Write the object once.";
    PythonArguments "python-arguments" Error true,
        "Arguments, or tools, as a Python literal in a string, where JSON belongs.",
        "str() of a dict gives single quotes, True and None. The reference scripts run such text as code; others fail, or \
         train on it as it stands, and the model learns calls that no server can read.",
        "Write it with json.dumps.";
    PythonResult "python-result" Warning true,
        "A tool result as a Python literal.",
        "The model learns to read single quotes, True and None, and is served JSON.",
        "Write it with json.dumps.";
    MissingArgument "missing-argument" Error false,
        "A call without an argument that its tool requires.",
        "The model learns calls that fail.",
        "Add the argument, take it from \"required\", or drop the record.";
    UnknownArgument "unknown-argument" Warning false,
        "An argument that the tool's schema does not have.",
        "The model learns to invent arguments.",
        "Add it to the schema's properties, or drop it.";
    WrongType "wrong-type" Error true,
        "An argument of another type than the schema says.",
        "The model learns calls that fail. Numbers in quotes and the texts \"True\" and \"None\" are the usual cases.",
        "Write the value in the type that the schema says, or mend the schema. Texts that spell a number or a \
         boolean can be turned into it.";
    NotInEnum "not-in-enum" Error false,
        "An argument that is none of the values the schema lists.",
        "The model learns that the list does not matter.",
        "Use one of the values, or add this one to the list.";
    ArgumentsInvalid "arguments-invalid" Error false,
        "Arguments that the tool's schema refuses for another reason.",
        "The model learns calls that fail.",
        "What the schema asks for is said with each finding.";
    CallNotWritten "call-not-written" Error false,
        "A call that the model's chat template does not print.",
        "Some templates print no call without arguments, or none beside text: the turn is trained without it, and the \
         model learns that nothing is to be called.",
        "Use a native template (--template), or mend the model's chat template.";

    // Texts.
    CallInDisguise "call-in-disguise" Error false,
        "A call in the plain text of an answer.",
        "The text has the marks or the shape of a call, but the record says that it is text. It is not written as the \
         template writes calls, so the model learns a form that no server understands.",
        "Move it into tool_calls, or say what it is about in words.";
    NoneInText "none-in-text" Warning true,
        "A message whose whole text is None, null or nan.",
        "Somewhere a missing value was turned into text. The model reads and learns it as if somebody had said it.",
        "Put the text there, or drop the message.";
    ControlText "control-text" Warning false,
        "The name of a control token inside a text.",
        "Here it stays ordinary text, so that nobody can end a turn by writing it. Other trainers and many servers turn \
         it into the control token: they show the model something else than it was trained on.",
        "Take it out, unless the model should talk about it.";
    VanishingMessage "vanishing-message" Error false,
        "A message that the template drops because it has no text.",
        "The turn is gone, role and all, and its neighbours stand side by side.",
        "Give it a text, or drop it yourself.";
    TextNotShown "text-not-shown" Warning false,
        "Text beside calls that the template does not print.",
        "The template writes the calls alone; what was said with them is lost.",
        "Say it in a message of its own, or do without it.";
    ThoughtsNotShown "thoughts-not-shown" Warning false,
        "Thoughts that the template does not print.",
        "The format has no place for them, so they are not learned.",
        "Use the template of a model that thinks, or do without them.";
    ThoughtsInText "thoughts-in-text" Warning false,
        "Thoughts between their marks in the text of an answer, in a format that has none.",
        "They are trained as ordinary text and shown to the user.",
        "Take them out, or use the template of a model that thinks.";
    UnclosedThought "unclosed-thought" Error false,
        "A <think> without its </think>, or the other way round.",
        "The rest of the answer counts as thoughts, and the server shows none of it.",
        "Close it.";

    // Token ids.
    NothingTrained "nothing-trained" Error false,
        "Nothing is trained.",
        "Every label is -100: the loss is 0, or not a number, and nothing is learned.",
        "Add the answer to learn, set train: true on it, or drop the record.";
    StraddlingToken "straddling-token" Warning false,
        "A token that has trained and untrained text in it.",
        "It is not trained, since half of it is given by the prompt.",
        "Often an answer begins with a newline: strip it.";
    StopUntrained "stop-untrained" Error false,
        "An answer whose stop token is not trained.",
        "The model never learns to stop: it goes on until the limit, or plays the user too.",
        "Use the model's own template, or one that ends every answer with a token.";
    TooLong "too-long" Error false,
        "A sample that is longer than the model, or than was asked for.",
        "Cut at the end, it loses the answer; uncut, it does not fit.",
        "Raise --max-length if the model takes more, shorten the record, or choose how it is cut (--truncate).";
    CutRight "cut-right" Warning false,
        "A sample that was cut at its end.",
        "What was cut off is not learned, first of all the last answer and its stop token.",
        "Use --truncate structured, which leaves out whole turns.";
    CutInCall "cut-in-call" Error false,
        "A sample that is cut inside a call.",
        "The model learns half a call and no end.",
        "Use --truncate structured, or raise --max-length.";
    CutTurns "cut-turns" Warning false,
        "The first turns were left out so that the sample fits.",
        "What was said in them is not learned.",
        "Raise --max-length if the model takes more.";
    CutTools "cut-tools" Warning false,
        "Tools that are not called were left out so that the sample fits.",
        "The model chooses among fewer tools than there were.",
        "Raise --max-length if the model takes more.";
    CutResult "cut-result" Warning false,
        "The middle of a long tool result was left out so that the sample fits.",
        "What stood there cannot be learned from.",
        "Raise --max-length if the model takes more, or shorten the results.";
    TemplateDiffers "template-differs" Warning false,
        "The native rendering is not what the model's own chat template prints.",
        "A server that uses the model's template shows it something else than it was trained on.",
        "--template jinja trains with the model's own.";

    // The whole of the data.
    Duplicate "duplicate" Warning true,
        "A conversation that was there before.",
        "It counts twice, and where one copy is held out for evaluation, the score means nothing.",
        "Keep one of them.";
    NearDuplicate "near-duplicate" Warning false,
        "A conversation that is almost one that was there before.",
        "It teaches little that is new, and where one of the two is held out for evaluation, the score means little.",
        "Look at the two, and keep one if the other says nothing new.";
    EvalOverlap "eval-overlap" Error false,
        "A conversation that is in the training data and in the evaluation data.",
        "The score shows what was remembered, not what was learned.",
        "Take it out of one of the two.";
    ToolNeverCalled "tool-never-called" Warning false,
        "A tool that is offered, and never called in all the data.",
        "The model learns never to call it.",
        "Add conversations that call it, or do not offer it.";
    OneTool "one-tool" Warning false,
        "Every call is of the same tool.",
        "With nothing to choose from, the model learns to call it whatever is asked.",
        "Offer several tools, and let the questions decide.";
    NoNegatives "no-negatives" Warning false,
        "In every conversation that offers tools, one is called.",
        "The model learns to call something whatever is asked.",
        "Add questions that need no call, with the tools offered all the same.";
    MixedThoughts "mixed-thoughts" Warning false,
        "Some answers think first, others do not.",
        "Whether the model thinks becomes a matter of chance.",
        "Give all answers thoughts, or none; or keep the two apart by the template's switch.";
}

impl Code {
    /// The code as it is printed and named in options.
    pub fn as_str(self) -> &'static str {
        self.rule().name
    }

    /// How bad it is.
    pub fn level(self) -> Level {
        self.rule().level
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|code| code.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|code| code.as_str()).collect();
            format!("there is no rule {name:?}; the rules are: {}", names.join(", "))
        })
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
