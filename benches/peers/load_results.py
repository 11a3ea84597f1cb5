"""Do transformers and PEFT load what `toolsmith train` wrote, and do they say the same and stop at the same token?

Pinned: Python 3.11, torch 2.15.0, transformers 5.23.0, peft 0.21.2.

    python benches/peers/load_results.py --toolsmith target/release/toolsmith \
        --model runs/demo/base --adapter runs/demo/tuned/adapter --data runs/demo/eval.jsonl [--turns 40]

Runs `toolsmith eval --predictions` and, for the same turns, transformers' greedy `generate` on PEFT's model with the
folder's own chat template and generation_config.json. Both compute in float32. Prints the turns that differ and a count.
Without --adapter, the model folder alone is compared.
"""

import argparse
import json
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def histories(path, limit):
    """(index, message, tools, messages before it) of the first assistant turns."""
    turns = []
    with open(path, encoding="utf-8") as lines:
        for index, line in enumerate(lines):
            record = json.loads(line)
            messages = record["messages"]
            for message in messages:
                for call in message.get("tool_calls") or []:
                    call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            for at, message in enumerate(messages):
                if message["role"] == "assistant":
                    turns.append((index, at, record.get("tools"), messages[:at]))
                    if len(turns) == limit:
                        return turns
    return turns


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toolsmith", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--data", required=True)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--max-new-tokens", type=int, default=220)
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    with tempfile.NamedTemporaryFile(suffix=".jsonl") as predictions:
        command = [arguments.toolsmith, "eval", arguments.data, "--model", arguments.model]
        command += ["--max-new-tokens", str(arguments.max_new_tokens), "--predictions", predictions.name, "--json"]
        command += ["--adapter", arguments.adapter] if arguments.adapter else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ours = {}
        for line in open(predictions.name, encoding="utf-8"):
            turn = json.loads(line)
            ours[turn["index"], turn["message"]] = turn

    # The tokenizer's own files, not AutoTokenizer: transformers 5 gives every qwen2 model Qwen's pre-tokenizer.
    files = arguments.adapter or arguments.model
    tokenizer = PreTrainedTokenizerFast.from_pretrained(files)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    if arguments.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, arguments.adapter)
    model.eval()
    stop_ids = set(json.load(open(f"{files}/generation_config.json"))["eos_token_id"])

    same = different = unstopped = 0
    for index, at, tools, before in histories(arguments.data, arguments.turns):
        prompt = tokenizer.apply_chat_template(before, tools=tools, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=arguments.max_new_tokens,
                do_sample=False,
                eos_token_id=sorted(stop_ids),
                pad_token_id=min(stop_ids),
            )[0, ids.shape[1] :].tolist()
        stopped = bool(out) and out[-1] in stop_ids
        theirs = tokenizer.decode(out[:-1] if stopped else out, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        turn = ours[index, at]
        unstopped += not stopped
        if theirs == turn["text"] and stopped != turn["cut_off"]:
            same += 1
        else:
            different += 1
            print(f"turn {index}/{at}\n  toolsmith    {turn['text']!r} cut off: {turn['cut_off']}\n  transformers {theirs!r} stopped: {stopped}")
    print(f"{same} turns the same, {different} different, {unstopped} not stopped by transformers")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
