#!/usr/bin/env python3
"""Compares what `toolsmith render` printed with transformers' apply_chat_template, text and ids, record by record: what
a native family prints, or (`--template jinja`) the model's own template.

Pinned: Python 3.11, transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6.

    toolsmith render DATA --model DIR > rendered.jsonl
    chat_template_parity.py DATA --model DIR --rendered rendered.jsonl

DATA holds records of the openai, glm4 or sharegpt shape, as a JSON list or JSON lines. DIR is the model's folder: its
tokenizer.json and chat template are the reference. The ids of a record whose own text holds the name of an added token
differ on purpose (such text never becomes a control token); these records are counted apart, and only their texts are
compared. sharegpt's bare function objects are wrapped as {"type": "function", "function": ...}, as toolsmith does and
as a server shows them to the model. Exit code 1 where anything differs.
"""

import argparse
import json
import pathlib
import sys

from transformers import PreTrainedTokenizerFast

SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}


def records(path):
    text = pathlib.Path(path).read_text()
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def from_openai(record):
    messages = []
    for message in record["messages"]:
        message = dict(message)
        if message.get("tool_calls"):
            calls = []
            for call in message["tool_calls"]:
                function = dict(call.get("function", call))
                if isinstance(function["arguments"], str):
                    function["arguments"] = json.loads(function["arguments"])
                calls.append({"type": "function", "function": function})
            message["tool_calls"] = calls
        messages.append(message)
    return messages, record.get("tools")


def from_sharegpt(record):
    messages = []
    if record.get("system"):
        messages.append({"role": "system", "content": record["system"]})
    for turn in record["conversations"]:
        if turn["from"] == "function_call":
            made = json.loads(turn["value"])
            made = made if isinstance(made, list) else [made]
            calls = []
            for call in made:
                arguments = call["arguments"]
                arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
                calls.append({"type": "function", "function": {"name": call["name"], "arguments": arguments}})
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        else:
            messages.append({"role": SHAREGPT_ROLES[turn["from"]], "content": turn["value"]})
    tools = record.get("tools") or None
    tools = json.loads(tools) if isinstance(tools, str) else tools
    if tools is not None:
        tools = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    return messages, tools


def to_glm4(messages, tools, tools_inside):
    """GLM-4's template takes one message a call and, in GLM-4-9B's, tools in the system message."""
    out = []
    if tools is not None and tools_inside:
        system = messages and messages[0]["role"] == "system"
        out.append({"role": "system", "content": messages[0]["content"] if system else "", "tools": tools})
        messages = messages[1:] if system else messages
    for message in messages:
        if message["role"] == "tool":
            out.append({"role": "observation", "content": message["content"]})
            continue
        if message.get("content") or not message.get("tool_calls"):
            out.append({"role": message["role"], "content": message.get("content") or ""})
        for call in message.get("tool_calls", []):
            function = call["function"]
            arguments = json.dumps(function["arguments"], ensure_ascii=False)
            out.append({"role": "assistant", "metadata": function["name"], "content": arguments})
    return out


def load(folder):
    folder = pathlib.Path(folder)
    jinja = folder / "chat_template.jinja"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    named = {key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **named)
    tokenizer.chat_template = jinja.read_text() if jinja.exists() else config["chat_template"]
    return tokenizer


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def first_difference(ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"at {at}: ours {ours[max(0, at - 20):at + 40]!r}, theirs {theirs[max(0, at - 20):at + 40]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", required=True)
    parser.add_argument("--rendered", required=True)
    parser.add_argument("--add-generation-prompt", action="store_true")
    options = parser.parse_args()
    tokenizer = load(options.model)
    glm4 = "metadata" in tokenizer.chat_template and "tool_calls" not in tokenizer.chat_template
    tools_inside = "['tools']" in tokenizer.chat_template
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    rendered = [json.loads(line) for line in pathlib.Path(options.rendered).read_text().splitlines()]
    data = records(options.data)
    if len(rendered) != len(data):
        sys.exit(f"{len(data)} records but {len(rendered)} rendered lines")
    counts = {"records": len(data), "same_text": 0, "same_ids": 0, "control_text_in_content": 0, "both_refuse": 0}
    differences = []
    for index, (record, ours) in enumerate(zip(data, rendered)):
        if glm4 and any("metadata" in m or "tools" in m for m in record.get("messages", [])):
            messages, tools = record["messages"], None
        else:
            messages, tools = from_openai(record) if "messages" in record else from_sharegpt(record)
            if glm4:
                messages, tools = to_glm4(messages, tools, tools_inside), None if tools_inside else tools
        arguments = {"tools": tools, "add_generation_prompt": options.add_generation_prompt}
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, **arguments)
        except Exception as error:
            counts["both_refuse"] += "error" in ours
            if "error" not in ours:
                differences.append(f"{index}: the template refuses: {error}")
            continue
        if "error" in ours:
            differences.append(f"{index}: only toolsmith refuses: {ours['error']}")
            continue
        if ours["text"] != text:
            differences.append(f"{index}: {first_difference(ours['text'], text)}")
            continue
        counts["same_text"] += 1
        ids = tokenizer.encode(text, add_special_tokens=False)
        content = list(texts(messages)) + list(texts(tools))
        if any(name in part for name in added for part in content):
            counts["control_text_in_content"] += 1
        elif ours["input_ids"] == ids:
            counts["same_ids"] += 1
        else:
            differences.append(f"{index}: ids {first_difference(ours['input_ids'], ids)}")
    print(json.dumps(counts))
    for difference in differences[:20]:
        print(difference)
    if differences:
        sys.exit(f"{len(differences)} records differ")


if __name__ == "__main__":
    main()
