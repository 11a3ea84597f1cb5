#!/usr/bin/env python3
"""Makes crates/chat/tests/golden: what Hugging Face's transformers prints, and the ids it gives.

Pinned: Python 3.11, transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6.

    chat_golden.py --qwen2.5 DIR --glm4 DIR --glm4-0414 DIR --glm4.5 DIR --qwen3 DIR --qwen3-coder DIR --hermes DIR
                   --llama3.1 DIR --mistral DIR

DIR is a folder with the model's own tokenizer_config.json (or chat_template.jinja): only the text of its chat template
is used. `react` needs none: the script holds a Jinja template that prints what LLaMA-Factory 0.9.5 prints with template
`chatml` and tool format `default` (checked against ids that LLaMA-Factory itself gave). The tokenizer is a throwaway one, trained here on the conversations themselves and written beside the goldens.

Four families have no chat template as reference and are derived here from what the code that defines them prints:
ChatGLM3 (preprocess_utils.py of 2023: header and content encoded apart, arguments by Python's own repr), and GLM-4's
other texts for tools: glm4:a (its Python tokenizer of June 2024: header and content encoded apart), glm4:b (ports to
C++), glm4:d (LLaMA-Factory's template glm4). The built-in tools of GLM-4 are not among the cases.

Labels are made without knowing toolsmith's rules from inside: an assistant turn is trained from where the generation
prompt of the messages before it ends to where the messages up to it end; Qwen2.5's newline after <|im_end|> is not;
GLM's next role token is, where it is the one that ends such a turn. A token is trained iff all its text is. In the
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
SPECIAL += ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "sop", "</s>", "/nothink"]
SPECIAL += ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SPECIAL += ["<s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
SPECIAL += ["[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
TAGS = ["<tool_call>", "</tool_call>", "<think>", "</think>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]


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
            user("Can I sail at noon?"),
            assistant("At four.", reasoning_content="Low water is at noon."),
            user("And tomorrow?"),
            assistant("Let me look.", [call("tide_table", {"harbour": "12"}, "a")], reasoning_content="\n The tide\nknows. "),
            result("a", "05:20"),
            assistant("At half past five.", reasoning_content="Early."),
        ],
    ),
    "thoughts-and-calls": (
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


def glm_messages(messages):
    """The messages as GLM-4's templates take them: one message a call."""
    out = []
    for message in messages:
        if message["role"] == "tool":
            out.append({"role": "observation", "content": message["content"]})
            continue
        if message["role"] != "assistant":
            out.append({"role": message["role"], "content": message["content"]})
            continue
        calls = message.get("tool_calls", [])
        if message["content"] or not calls:
            out.append({"role": "assistant", "content": message["content"]})
        for made in calls:
            function = made["function"]
            arguments = json.dumps(function["arguments"], ensure_ascii=False)
            out.append({"role": "assistant", "metadata": function["name"], "content": arguments})
    return out


def glm4_messages(tools, messages):
    """The same with the tools in the system message."""
    system = []
    if tools is not None:
        system = [{"role": "system", "content": "", "tools": tools}]
        if messages[0]["role"] == "system":
            system[0]["content"] = messages[0]["content"]
            messages = messages[1:]
    return system + glm_messages(messages)


def segment(role, metadata, content):
    """One message of GLM-4 or ChatGLM3: what stands before its content, and that."""
    return [f"<|{role}|>{metadata}\n", content]


def glm4_tools(functions):
    told = ""
    for function in functions:
        told += f"\n\n## {function['name']}\n\n{json.dumps(function, indent=4, ensure_ascii=False)}"
        told += "\n在调用上述函数时，请使用 Json 格式表示调用的参数。"
    return told


GLM4 = "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。"
HEADER = "\n\n# 可用工具"
LLAMA_FACTORY = (
    "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，"
    "你的任务是针对用户的问题和要求提供适当的答复和支持。" + HEADER
)


def glm4_variant(name, tools, messages):
    """What is encoded apart, in order: header and content of each message."""
    functions = [tool["function"] for tool in tools or []]
    messages = glm_messages(messages)
    parts = ["[gMASK]<sop>"]
    if name == "glm4:d":
        system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
        if tools is not None or system:
            told = LLAMA_FACTORY + glm4_tools(functions) if functions else ""
            parts += segment("system", "", system + told)
    elif functions:
        parts += segment("system", "", GLM4 + ("" if name == "glm4:a" else HEADER) + glm4_tools(functions))
    for message in messages:
        if message["content"] or name != "glm4:a":
            parts += segment(message["role"], message.get("metadata", ""), message["content"])
    return parts


def chatglm3(tools, messages):
    parts = ["[gMASK]sop"]
    if tools is not None:
        functions = json.dumps([tool["function"] for tool in tools], indent=4, ensure_ascii=False)
        before = "Answer the following questions as best as you can. You have access to the following tools:\n"
        parts += segment("system", "", before + functions)
    for message in messages:
        calls = message.get("tool_calls", [])
        if message["content"] or not calls:
            role = "observation" if message["role"] == "tool" else message["role"]
            parts += segment(role, "", message["content"])
        for made in calls:
            function = made["function"]
            arguments = ", ".join(f"{key}={value!r}" for key, value in function["arguments"].items())
            parts += segment("assistant", function["name"], f"```python\ntool_call({arguments})\n```")
    return parts


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
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in TAGS])
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
FOLDERS = ("qwen2.5", "glm4", "glm4-0414", "glm4.5", "qwen3", "qwen3-coder", "hermes", "llama3.1", "mistral")
DERIVED = ("glm4:a", "glm4:b", "glm4:d", "chatglm3")


class Family:
    def __init__(self, name, folder, tokenizer_file):
        self.name = name
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
        self.apart = name in ("glm4:a", "chatglm3")
        if name in BOS:
            self.tokenizer.bos_token = BOS[name]
            self.tokenizer.eos_token = HEADERS.get(name, CHATML)[1]
        if name == "react":
            self.tokenizer.chat_template = REACT
        if folder is None:
            return
        folder = pathlib.Path(folder)
        jinja = folder / "chat_template.jinja"
        if jinja.exists():
            template = jinja.read_text()
        else:
            template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
        self.tokenizer.chat_template = template

    def parts(self, tools, messages, prompt):
        """What is encoded apart, in order."""
        if self.name in ("glm4:a", "glm4:b", "glm4:d", "chatglm3"):
            parts = chatglm3(tools, messages) if self.name == "chatglm3" else glm4_variant(self.name, tools, messages)
            parts += ["<|assistant|>"] if prompt else []
            return parts if self.apart else ["".join(parts)]
        if self.name == "glm4":
            tools, messages = None, glm4_messages(tools, messages)
        elif self.name == "glm4-0414":
            messages = glm_messages(messages)
        messages = copy.deepcopy(messages)
        return [
            self.tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=prompt, tokenize=False)
        ]

    def text(self, tools, messages, prompt):
        return "".join(self.parts(tools, messages, prompt))

    def end(self, tools, messages, count):
        """Where the first messages end in the text of all; GLM-4.5 writes them otherwise once a user spoke again."""
        if self.name == "glm4.5" and any(message["role"] == "user" for message in messages[count:]):
            return len(self.text(tools, messages[:count] + [user("")], False)) - len("<|user|>\n")
        return len(self.text(tools, messages[:count], False))

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
        if self.name != "qwen2.5" and not self.name.startswith(("glm4", "chatglm3")):
            return self.spans_by_header(messages, text)
        spans = []
        for index, message in enumerate(messages):
            if not message.get("train", message["role"] == "assistant"):
                continue
            ends = self.end(tools, messages, index + 1)
            if message["role"] == "user":
                start = text.rindex(message["content"], 0, ends) if message["content"] else ends
                start -= 0 if self.name == "qwen2.5" else 1
                spans.append((start, ends - 1 if self.name == "qwen2.5" else ends))
                continue
            if self.name == "qwen2.5":
                spans.append((len(self.text(tools, messages[:index], True)), ends - 1))
                continue
            start = self.end(tools, messages, index)
            if start == ends:
                continue
            spans.append((start + len("<|assistant|>"), ends))
            stop = "<|observation|>" if message.get("tool_calls") else "<|user|>"
            for role in (stop, "<|assistant|>"):
                if text.startswith(role, ends):
                    spans.append((ends, ends + len(role)))
        return spans

    def case(self, name, tools, messages, prompt):
        text = self.text(tools, messages, prompt)
        trained = bytearray(len(text))
        for start, end in self.trained_spans(tools, messages, text):
            trained[start:end] = b"\1" * (end - start)
        input_ids, labels, before = [], [], 0
        for part in self.parts(tools, messages, prompt):
            encoding = self.tokenizer._tokenizer.encode(part, add_special_tokens=False)
            for identity, (start, end) in zip(encoding.ids, encoding.offsets):
                is_trained = end > start and all(trained[before + start : before + end])
                input_ids.append(identity)
                labels.append(identity if is_trained else -100)
            before += len(part)
        record = {**({} if tools is None else {"tools": tools}), "messages": messages}
        return {
            "id": name,
            "record": record,
            "add_generation_prompt": prompt,
            "text": text,
            "input_ids": input_ids,
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
    for name in (*FOLDERS, *DERIVED, "react"):
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
        # A colon cannot stand in a file's name everywhere.
        folder = OUT / name.replace(":", "_")
        folder.mkdir(exist_ok=True)
        (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} cases; left out: {', '.join(left_out) or 'none'}")


if __name__ == "__main__":
    main()
