"""ToolAlpaca's evaluation file as conversations: each instruction with its API's functions as tools and its golden
calls as the answer. About a hundred samples in ten groups that share system prompt and tools.

    python toolalpaca_samples.py eval_simulated.json > toolalpaca.jsonl

Then `toolsmith train` on it reports tokens and computed_tokens in metrics.jsonl.
"""

import json
import re
import sys


def tool(name, description):
    text, _, rest = description.partition("\nParameters: ")
    parameters = {}
    found = re.match(r"\{.*?\}(?=\n|$)", rest, re.S)
    if found:
        try:
            parameters = json.loads(found.group(0))
        except json.JSONDecodeError:
            text = description
    properties = {
        key: {"type": value.split(".")[0].split(" ")[0].lower() or "string", "description": value}
        for key, value in parameters.items()
    }
    for value in properties.values():
        if value["type"] not in ("string", "integer", "number", "boolean", "array", "object"):
            value["type"] = "string"
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}


def main():
    for api in json.load(open(sys.argv[1])):
        tools = [tool(*item) for item in api["Function_Description"].items() if item[0] != "components"]
        for instruction, answer in zip(api["Instructions"], api["Golden_Answers"]):
            calls = []
            for step in answer:
                try:
                    arguments = json.loads(step["Action_Input"])
                except (json.JSONDecodeError, TypeError):
                    continue
                if isinstance(arguments, dict):
                    function = {"name": step["Action"], "arguments": arguments}
                    calls.append({"type": "function", "function": function})
            if calls:
                messages = [
                    {"role": "user", "content": instruction},
                    {"role": "assistant", "content": None, "tool_calls": calls},
                ]
                print(json.dumps({"tools": tools, "messages": messages}, ensure_ascii=False))


main()
