#!/usr/bin/env python3
"""Makes crates/chat/tests/golden: what Hugging Face's transformers prints, and the ids it gives.

Pinned: Python 3.11, transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6.

    chat_golden.py --qwen2.5 DIR --glm4 DIR --qwen3 DIR --qwen3-coder DIR --hermes DIR --llama3.1 DIR --mistral DIR

DIR is a folder with the model's own tokenizer_config.json (or chat_template.jinja): only the text of its chat template
is used. `react` needs none: the script holds a Jinja template that prints what LLaMA-Factory 0.9.5 prints with template
`chatml` and tool format `default` (checked against ids that LLaMA-Factory itself gave). The tokenizer is a throwaway one, trained here on the conversations themselves and written beside the goldens.

Labels are made without knowing toolsmith's rules from inside: an assistant turn is trained from where the generation
prompt of the messages before it ends to where the messages up to it end; Qwen2.5's newline after <|im_end|> is not;
GLM-4's next role token is, where it is the one that ends such a turn. A token is trained iff all its text is. In the
other families, whose texts are no prefixes of one another, a turn is found by its header: from behind it to the next
stop token, that one included.

Cases that a family's template refuses, or that it cannot say (several calls in Llama 3.1), are left out; their names are
printed.
"""

import argparse
import copy
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates/chat/tests/golden"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "[gMASK]", "<sop>"]
SPECIAL += ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]
SPECIAL += ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SPECIAL += ["<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
SPECIAL += ["[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
ADDED = ["<tool_call>", "</tool_call>", "<think>", "</think>"]


def tool(name, description, properties, required=()):
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def call(name, arguments, call_id=None):
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": call_id, **made} if call_id else made


def user(text, **more):
    return {"role": "user", "content": text, **more}


def assistant(text=None, calls=None, **more):
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {}), **more}


def result(call_id, text):
    return {"role": "tool", "tool_call_id": call_id, "content": text}


TIDE = tool(
    "tide_table",
    "High and low water at a harbour <m>",
    {"harbour": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "default": 1}},
    ["harbour"],
)
KETTLE = tool("kettle-on", "烧水", {})
LOG = tool("log.write", "Write a \"record\"", {"record": {"type": "object"}, "ratio": {"type": ["number", "null"]}})

CASES = {
    "plain": (None, [user("Which way is upwind?"), assistant("Where the wind comes from.")]),
    "system-and-turns": (
        None,
        [
            {"role": "system", "content": "你是船长。"},
            user("起锚了吗"),
            assistant("还没有。"),
            user("现在呢?"),
            assistant("起锚了!"),
        ],
    ),
    "one-call": (
        [TIDE],
        [
            user("High water at Brest?"),
            assistant(None, [call("tide_table", {"harbour": "Brest", "days": 2}, "a")]),
            result("a", '{"high": ["04:12", "16:40"]}'),
            assistant("At 04:12 and 16:40."),
        ],
    ),
    "parallel-calls-beside-text": (
        [TIDE, KETTLE],
        [
            {"role": "system", "content": "Be brief."},
            user("Tides at Brest and Dover, and tea"),
            assistant(
                "One moment,\nplease.",
                [
                    call("tide_table", {"harbour": "Brest"}, "a"),
                    call("tide_table", {"harbour": "Dover"}, "b"),
                    call("kettle-on", {}, "c"),
                ],
            ),
            result("a", "04:12"),
            result("b", "05:01\n17:20"),
            result("c", "on"),
            assistant("Done."),
        ],
    ),
    "ends-in-a-call": ([KETTLE], [user("茶"), assistant(None, [call("kettle-on", {})])]),
    "numbers-and-escapes": (
        [LOG],
        [
            user("Write it down"),
            assistant(
                None,
                [
                    call(
                        "log.write",
                        {
                            "record": {
                                "big": 123456789012345678901234567890,
                                "float": 1e22,
                                "small": 1e-7,
                                "whole": 100000.0,
                                "minus": -0.0,
                                "text": "\"quoted\" \\ tab\t line\n bell\u0007 é 𠮷",
                                "list": [[], {}, [None, True, False]],
                            },
                            "ratio": None,
                        },
                        "a",
                    )
                ],
            ),
            result("a", "ok"),
            assistant("Written."),
        ],
    ),
    "white-space": (
        [KETTLE],
        [
            user("  two spaces before, one newline after\n"),
            assistant("\nThe answer starts with a newline.\n\n", [call("kettle-on", {}, "a")]),
            result("a", "\n\n"),
            assistant(" \u3000Full-width space. "),
        ],
    ),
    "not-composed": (None, [user("cafe\u0301 or \u212bngstro\u0308m?"), assistant("\u0301Both: e\u0301, \uf900.")]),
    "train-flags": (
        None,
        [
            user("Say it wrong"),
            assistant("Rong.", train=False),
            user("Now right", train=True),
            assistant("Right."),
            user("Thanks"),
            assistant("Any time.", train=True),
        ],
    ),
    "no-tools-offered": ([], [user("Any tools?"), assistant("None.")]),
    "asks-next": ([TIDE], [user("High water at Brest?")]),
    "thoughts": (
        [TIDE],
        [
            user("Brest?"),
            assistant("", [call("tide_table", {"harbour": "Brest"}, "tide-0001")], reasoning_content="Look it up.\n"),
            result("tide-0001", "04:12"),
            assistant("At 04:12.", reasoning_content="\nIt says so."),
            user("And Dover?"),
            assistant("", [call("tide_table", {"harbour": "Dover"}, "tide-0002")], reasoning_content="Again."),
            result("tide-0002", "05:01"),
            assistant("At 05:01.", reasoning_content="Easy."),
        ],
    ),
    "values": (
        [LOG, TIDE],
        [
            {"role": "system", "content": "Write down everything."},
            user("Again, in short"),
            assistant(
                "",
                [
                    call(
                        "log.write",
                        {"record": {"a": [1, "b"]}, "ratio": 1e-7, "yes": True, "none": None, "text": "two\nlines"},
                        "log-00001",
                    )
                ],
            ),
            result("log-00001", '{"ok": true}'),
            assistant("", [call("tide_table", {"harbour": "Brest", "days": 3}, "tide-0001")]),
            result("tide-0001", "04:12"),
            assistant("Written."),
        ],
    ),
    "empty-texts": (None, [user(""), assistant("You said nothing."), user("Right"), assistant("")]),
}


def glm4_messages(tools, messages):
    """The conversation as GLM-4's template takes it: tools in the system message, one message a call."""
    out = []
    if tools is not None:
        out.append({"role": "system", "content": "", "tools": tools})
        if messages[0]["role"] == "system":
            out[0]["content"] = messages[0]["content"]
            messages = messages[1:]
    for message in messages:
        if message["role"] == "tool":
            out.append({"role": "observation", "content": message["content"]})
            continue
        if message["role"] != "assistant":
            out.append({"role": message["role"], "content": message["content"]})
            continue
        if message["content"]:
            out.append({"role": "assistant", "content": message["content"]})
        for made in message.get("tool_calls", []):
            function = made["function"]
            arguments = json.dumps(function["arguments"], ensure_ascii=False)
            out.append({"role": "assistant", "metadata": function["name"], "content": arguments})
    return out


def train_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = [json.dumps(case, ensure_ascii=False, indent=4) for case in CASES.values()]
    texts += [pathlib.Path(__file__).read_text()]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    calls = [AddedToken(name, normalized=False, special=False) for name in ADDED]
    tokenizer.add_tokens(calls)
    return tokenizer


REACT = """\
{%- set first = messages[0] if messages[0].role == 'system' -%}
{%- if first or tools is not none -%}
<|im_start|>system
{{ first.content if first }}
{%- if tools -%}
You have access to the following tools:
{% for tool in tools %}{% set f = tool.function -%}
> Tool Name: {{ f.name }}
Tool Description: {{ f.description }}
Tool Args:
{% for key, schema in f.parameters.properties.items() -%}
{{ '  - ' ~ key }} ({{ schema.type }}{{ ', required' if key in f.parameters.required }}): {{ schema.description or '' }}
{%- if schema.enum %}{{ ', should be one of [' ~ schema.enum | join(', ') ~ ']' }}{% endif %}
{%- if schema.get('items') %}{{ ', where each item should be ' ~ schema.get('items').type }}{% endif %}
{{ '\\n' }}
{%- endfor %}
{{ '\\n' }}
{%- endfor -%}
Use the following format if using a tool:
```
Action: tool name (one of [{{ tools | map(attribute='function.name') | join(', ') }}])
Action Input: the input to the tool, in a JSON format representing the kwargs (e.g. ```{{ '{"input": "hello world", \
"num_beams": 5}' }}```)
```
{% endif -%}
<|im_end|>
{% endif -%}
{%- for message in (messages[1:] if first else messages) -%}
{%- set after = loop.previtem is defined and loop.previtem.role == 'tool' and message.role == 'tool' -%}
{{ '\\n' if after else '<|im_start|>' ~ message.role ~ '\\n' }}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] -%}
{{ '\\n' if not loop.first }}Action: {{ call.function.name }}
Action Input: {{ call.function.arguments | tojson }}
{%- endfor %}
{%- if not (message.role == 'tool' and loop.nextitem is defined and loop.nextitem.role == 'tool') -%}
{{ '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

# What opens an answer, and what ends it.
HEADERS = {
    "llama3.1": ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    "mistral": (("[/INST]", "[/TOOL_RESULTS]"), "</s>"),
}
CHATML = ("<|im_start|>assistant\n", "<|im_end|>")
BOS = {"hermes": "<|begin_of_text|>", "llama3.1": "<|begin_of_text|>", "mistral": "<s>"}
FOLDERS = ("qwen2.5", "glm4", "qwen3", "qwen3-coder", "hermes", "llama3.1", "mistral")


class Family:
    def __init__(self, name, folder, tokenizer_file):
        self.name = name
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
        if name in BOS:
            self.tokenizer.bos_token = BOS[name]
            self.tokenizer.eos_token = HEADERS.get(name, CHATML)[1]
        if folder is None:
            self.tokenizer.chat_template = REACT
            return
        folder = pathlib.Path(folder)
        jinja = folder / "chat_template.jinja"
        if jinja.exists():
            template = jinja.read_text()
        else:
            template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
        self.tokenizer.chat_template = template

    def text(self, tools, messages, prompt):
        if self.name == "glm4":
            tools, messages = None, glm4_messages(tools, messages)
        messages = copy.deepcopy(messages)
        return self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=False
        )

    def spans_by_header(self, messages, text):
        """Answers by their headers; a trained question by its text, up to the stop token behind it."""
        opens, stop = HEADERS.get(self.name, CHATML)
        opens = (opens,) if isinstance(opens, str) else opens
        spans, at = [], 0
        for index, message in enumerate(messages):
            trained = message.get("train", message["role"] == "assistant")
            if message["role"] == "assistant":
                start = min(text.index(header, at) + len(header) for header in opens if header in text[at:])
                while text.startswith("[TOOL_RESULTS]", start):
                    start = text.index("[/TOOL_RESULTS]", start) + len("[/TOOL_RESULTS]")
            elif trained:
                start = text.index(message["content"], at)
            else:
                continue
            if self.name == "mistral" and message["role"] == "user":
                at = start + len(message["content"])
            else:
                at = text.index(stop, start) + len(stop)
            if trained:
                spans.append((start, at))
        return spans

    def trained_spans(self, tools, messages, text):
        if self.name not in ("qwen2.5", "glm4"):
            return self.spans_by_header(messages, text)
        spans = []
        for index, message in enumerate(messages):
            if not message.get("train", message["role"] == "assistant"):
                continue
            ends = len(self.text(tools, messages[: index + 1], False))
            if message["role"] == "user":
                start = text.rindex(message["content"], 0, ends) if message["content"] else ends
                start -= 1 if self.name == "glm4" else 0
                spans.append((start, ends - 1 if self.name == "qwen2.5" else ends))
                continue
            start = len(self.text(tools, messages[:index], True))
            if self.name == "qwen2.5":
                spans.append((start, ends - 1))
                continue
            if not message["content"] and not message.get("tool_calls"):
                continue
            spans.append((start, ends))
            stop = "<|observation|>" if message.get("tool_calls") else "<|user|>"
            for role in (stop, "<|assistant|>"):
                if text.startswith(role, ends):
                    spans.append((ends, ends + len(role)))
        return spans

    def case(self, name, tools, messages, prompt):
        text = self.text(tools, messages, prompt)
        encoding = self.tokenizer._tokenizer.encode(text, add_special_tokens=False)
        trained = bytearray(len(text))
        for start, end in self.trained_spans(tools, messages, text):
            trained[start:end] = b"\1" * (end - start)
        labels = [
            identity if end > start and all(trained[start:end]) else -100
            for identity, (start, end) in zip(encoding.ids, encoding.offsets)
        ]
        record = {**({} if tools is None else {"tools": tools}), "messages": messages}
        return {
            "id": name,
            "record": record,
            "add_generation_prompt": prompt,
            "text": text,
            "input_ids": encoding.ids,
            "labels": labels,
        }


def says(name, messages):
    """Whether a family can say this at all (that it refuses is tested elsewhere)."""
    calls = [message.get("tool_calls") or [] for message in messages]
    return name != "llama3.1" or all(len(made) < 2 for made in calls)


def with_ids(messages):
    """Ids of nine characters, which Mistral's template demands."""
    messages = copy.deepcopy(messages)
    ids = {}
    for message in messages:
        for made in message.get("tool_calls", []):
            made["id"] = ids.setdefault(made.get("id", len(ids)), f"call{len(ids):05}")
        if message["role"] == "tool":
            message["tool_call_id"] = ids[message["tool_call_id"]]
    return messages


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in FOLDERS:
        parser.add_argument(f"--{name}", dest=name, required=True)
    options = vars(parser.parse_args())
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer_file = OUT / "tokenizer.json"
    train_tokenizer().save(str(tokenizer_file), pretty=False)
    for name in (*FOLDERS, "react"):
        family = Family(name, options.get(name), tokenizer_file)
        lines, left_out = [], []
        for case, (tools, messages) in CASES.items():
            if not says(name, messages):
                left_out.append(case)
                continue
            # The tool_use template of Hermes cannot do without a list of tools, and recurses for ever on the type "null";
            # null content is an error in Qwen3's.
            if name == "hermes":
                tools = json.loads(json.dumps(tools or []).replace('["number", "null"]', '["number", "string"]'))
            if name in ("qwen3", "qwen3-coder", "hermes"):
                messages = [{**message, "content": message["content"] or ""} for message in messages]
            if name == "mistral":
                messages = with_ids(messages)
            prompt = messages[-1]["role"] != "assistant"
            lines.append(json.dumps(family.case(case, tools, messages, prompt), ensure_ascii=False))
        (OUT / name).mkdir(exist_ok=True)
        (OUT / name / "cases.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} cases; left out: {', '.join(left_out) or 'none'}")


if __name__ == "__main__":
    main()
