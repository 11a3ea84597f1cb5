"""How fast conversations become token ids: toolsmith, LLaMA-Factory, and transformers with datasets.map.

Pinned: Python 3.11, transformers 5.6.0, datasets 4.0.0, llamafactory 0.9.5 (which fixes the other two).

    python benches/peers/prepare_speed.py --toolsmith target/release/toolsmith \
        --tokenizer DIR --data data.jsonl [--workers 2] [--peer-records 3000] [--peers datasets,llamafactory]

DATA holds records of the sharegpt format (conversations of from and value, tools as JSON text); DIR a Qwen2.5
tokenizer. All use the same number of workers. The peers are slower by far, so they get the first --peer-records records
only. toolsmith checks every record, writes labels and a Parquet file; the time is its own, from the first byte read to
the file's name. Of the peers the time to make the data set is counted, imports and tokenizer left out. transformers
makes ids alone, without labels. Prints one JSON object a program: records, seconds, records a second, peak memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}


def report(name, records, seconds, peak_kb):
    speed = round(records / seconds)
    print(json.dumps({"program": name, "records": records, "seconds": round(seconds, 3), "records_per_second": speed,
                      "peak_mb": round(peak_kb / 1024)}), flush=True)


def toolsmith(args):
    """The median of five runs."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):
            words = [args.toolsmith, "prepare", args.data, "--model", args.tokenizer, "--template", "qwen2.5",
                     "--skip-bad", "--force", "--json", "--threads", str(args.workers), "-o", folder + "/out.parquet"]
            ran = subprocess.run(words, check=True, capture_output=True, text=True)
            summary = json.loads(ran.stdout)
            runs.append((summary["seconds"], summary["conversations"]))
    seconds, records = sorted(runs)[2]
    report("toolsmith", records, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def first_records(args, folder):
    path = os.path.join(folder, "data.jsonl")
    with open(args.data, encoding="utf-8") as source, open(path, "w", encoding="utf-8") as target:
        for _, line in zip(range(args.peer_records), source):
            target.write(line)
    return path


def messages(record):
    turns = []
    for turn in record["conversations"]:
        if turn["from"] == "function_call":
            call = json.loads(turn["value"])
            turns.append({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]})
        else:
            turns.append({"role": ROLES[turn["from"]], "content": turn["value"]})
    return turns


def with_datasets(args):
    from datasets import load_dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)

    def encode(record):
        tools = json.loads(record["tools"]) if record.get("tools") else None
        text = tokenizer.apply_chat_template(messages(record), tools=tools or None, tokenize=False)
        return {"input_ids": tokenizer(text, add_special_tokens=False)["input_ids"]}

    with tempfile.TemporaryDirectory() as folder:
        data = load_dataset("json", data_files=first_records(args, folder), split="train", cache_dir=folder)
        begun = time.perf_counter()
        made = data.map(encode, num_proc=args.workers, remove_columns=data.column_names, load_from_cache_file=False)
        report("transformers with datasets.map", len(made), time.perf_counter() - begun, peak())


def with_llamafactory(args):
    os.environ.setdefault("DISABLE_VERSION_CHECK", "1")
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        first_records(args, folder)
        columns = {"messages": "conversations", "tools": "tools"}
        info = {"peer": {"file_name": "data.jsonl", "formatting": "sharegpt", "columns": columns}}
        with open(os.path.join(folder, "dataset_info.json"), "w", encoding="utf-8") as file:
            json.dump(info, file)
        words = {"stage": "sft", "do_train": True, "model_name_or_path": args.tokenizer, "dataset_dir": folder,
                 "dataset": "peer", "template": "qwen", "finetuning_type": "lora", "cutoff_len": 16384,
                 "preprocessing_num_workers": args.workers, "overwrite_cache": True, "report_to": "none",
                 "output_dir": os.path.join(folder, "out")}
        model_args, data_args, training_args, _, _ = get_train_args(words)
        loaded = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
        os.environ["HF_DATASETS_CACHE"] = folder
        begun = time.perf_counter()
        made = get_dataset(template, model_args, data_args, training_args, stage="sft", **loaded)["train_dataset"]
        report("LLaMA-Factory", len(made), time.perf_counter() - begun, peak())


def peak():
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


PEERS = {"datasets": with_datasets, "llamafactory": with_llamafactory}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toolsmith")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-records", type=int, default=3000)
    parser.add_argument("--peers", default="datasets,llamafactory")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        return PEERS[args.only](args)
    if args.toolsmith:
        toolsmith(args)
    # Each peer in a process of its own: what one imports or patches must not change the other.
    for name in filter(None, args.peers.split(",")):
        words = [sys.executable, __file__, "--only", name, "--tokenizer", args.tokenizer, "--data", args.data,
                 "--workers", str(args.workers), "--peer-records", str(args.peer_records)]
        ran = subprocess.run(words, capture_output=True, text=True)
        lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
        print(lines[-1] if lines else f"{name}: {ran.stderr.strip().splitlines()[-1:]}", flush=True)


if __name__ == "__main__":
    main()
