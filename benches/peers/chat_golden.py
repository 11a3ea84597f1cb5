#!/usr/bin/env python3
"""Makes crates/chat/tests/golden: what Hugging Face's transformers prints, and the ids it gives.

Pinned: Python 3.11, transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6.

    chat_golden.py --qwen2.5 DIR --glm4 DIR

DIR is a folder with the model's own tokenizer_config.json (or chat_template.jinja): only the text of its chat template
is used. The tokenizer is a throwaway one, trained here on the conversations themselves and written beside the goldens.

Labels are made without knowing toolsmith's rules from inside: an assistant turn is trained from where the generation
prompt of the messages before it ends to where the messages up to it end; Qwen2.5's newline after <|im_end|> is not;
GLM-4's next role token is, where it is the one that ends such a turn. A token is trained iff all its text is.
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
    calls = [AddedToken(name, normalized=False, special=False) for name in ("<tool_call>", "</tool_call>")]
    tokenizer.add_tokens(calls)
    return tokenizer


class Family:
    def __init__(self, name, folder, tokenizer_file):
        self.name = name
        folder = pathlib.Path(folder)
        jinja = folder / "chat_template.jinja"
        if jinja.exists():
            template = jinja.read_text()
        else:
            template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
        self.tokenizer.chat_template = template

    def text(self, tools, messages, prompt):
        if self.name == "glm4":
            tools, messages = None, glm4_messages(tools, messages)
        messages = copy.deepcopy(messages)
        return self.tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=False
        )

    def trained_spans(self, tools, messages, text):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qwen2.5", dest="qwen25", required=True)
    parser.add_argument("--glm4", required=True)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    tokenizer_file = OUT / "tokenizer.json"
    train_tokenizer().save(str(tokenizer_file), pretty=False)
    for name, folder in (("qwen2.5", options.qwen25), ("glm4", options.glm4)):
        family = Family(name, folder, tokenizer_file)
        lines = []
        for case, (tools, messages) in CASES.items():
            prompt = messages[-1]["role"] != "assistant"
            lines.append(json.dumps(family.case(case, tools, messages, prompt), ensure_ascii=False))
        (OUT / name).mkdir(exist_ok=True)
        (OUT / name / "cases.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} cases")


if __name__ == "__main__":
    main()
