"""An epoch of fine-tuning on tool-calling conversations: `toolsmith train` against two PyTorch loops on the same samples.

Pinned: Python 3.11, torch 2.15.0, transformers 5.23.0, peft 0.21.2, pyarrow. f32, 2 threads, AdamW, 4 samples a step.

    cargo build --release
    python benches/peers/finetune_speed.py DATA... --toolsmith target/release/toolsmith --tokenizer DIR
        [--samples 600] [--methods lora full prefix_tuning] [--peers usual careful] [--set KEY=VALUE ...]

The model is random: hidden 256, 4 layers, 4 heads, 2 key-value heads, MLP 704, the tokenizer's vocabulary, tied. `usual` is
what everyone runs: transformers (and PEFT), padded batches, logits of every position; a batch with more than 4096 tokens a
sample would not fit into memory, so such samples are left out for all. `careful` is given what toolsmith does: the samples
of a step packed into one row (with a block-diagonal mask), logits at supervised positions only. LoRA has rank 8 on q and v.
Each program runs in its own process; times are the sum of its steps, without loading; memory is the whole process's peak.
Prints one JSON object.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPE = dict(hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
             tie_word_embeddings=True, max_position_embeddings=8192)
BATCH = 4
LONGEST = 4096


def random_model(folder, tokenizer):
    """Makes the model's folder."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    Qwen2ForCausalLM(Qwen2Config(vocab_size=151936, **SHAPE)).save_pretrained(folder)
    for file in Path(tokenizer).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def build(folder, method):
    import torch
    from transformers import Qwen2ForCausalLM

    torch.set_num_threads(2)
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").train()
    if method != "full":
        import peft

        settings = {
            "lora": peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
            "prefix_tuning": peft.PrefixTuningConfig(num_virtual_tokens=128, task_type="CAUSAL_LM"),
        }
        model = peft.get_peft_model(model, settings[method])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    return torch, model, optimizer


def usual(torch, model, rows):
    """Padded to the longest; transformers' own loss over the logits of every position."""
    width = max(len(ids) for ids, _ in rows)
    pad = lambda values, filler: torch.tensor([value + [filler] * (width - len(value)) for value in values])
    ids, labels = pad([ids for ids, _ in rows], 0), pad([labels for _, labels in rows], -100)
    mask = pad([[1] * len(ids) for ids, _ in rows], 0)
    return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss


def careful(torch, model, rows):
    """One row without padding; the head sees supervised positions alone."""
    ids = torch.tensor([[token for row, _ in rows for token in row]])
    positions = torch.cat([torch.arange(len(row)) for row, _ in rows])[None]
    owner = torch.cat([torch.full((len(row),), i) for i, (row, _) in enumerate(rows)])
    mask = (owner[:, None] == owner[None]).tril()[None, None]
    labels = torch.tensor([token for _, row in rows for token in [-100] + row[1:]])[1:]
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state[0]
    rows_asked = (labels != -100).nonzero()[:, 0]
    return torch.nn.functional.cross_entropy(causal.lm_head(hidden[rows_asked]), labels[rows_asked])


def peer(options):
    import pyarrow.parquet as parquet

    rows = [(row["input_ids"], row["labels"]) for row in parquet.read_table(options.prepared).to_pylist()]
    random.Random(0).shuffle(rows)
    torch, model, optimizer = build(options.model, options.method)
    loss_of = {"usual": usual, "careful": careful}[options.only]
    started = time.time()
    for at in range(0, len(rows), BATCH):
        loss_of(torch, model, rows[at:at + BATCH]).backward()
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({"seconds": time.time() - started}))


def ours(options, model, prepared, method, folder):
    output = folder / f"run-{method}"
    config = folder / f"{method}.yaml"
    config.write_text(f"model: {model}\ndata: {prepared}\noutput_dir: {output}\nmethod: {method}\nbatch_size: {BATCH}\n"
                      f"num_train_epochs: 1\nlearning_rate: 1e-4\n")
    words = ["lora.r=8", "lora.target_modules=[q_proj, v_proj]"] if method == "lora" else []
    return [options.toolsmith, "train", str(config), "--threads", "2", *words, *options.set], output / "metrics.jsonl"


def measured(command):
    """Output and peak memory (MB) of a process."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, out + errors
    return out, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*")
    parser.add_argument("--toolsmith")
    parser.add_argument("--tokenizer")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--methods", nargs="*", default=["lora", "full", "prefix_tuning"])
    parser.add_argument("--peers", nargs="*", default=["usual", "careful"])
    parser.add_argument("--set", nargs="*", default=[], help="further key=value words for toolsmith train")
    for hidden in ["--only", "--model", "--prepared", "--method"]:
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        return peer(options)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = random_model(folder / "model", options.tokenizer)
        prepared, cut = folder / "all.parquet", folder / "data.parquet"
        measured([options.toolsmith, "prepare", *options.data, "--model", str(model), "--template", "qwen2.5", "--skip-bad",
                  "-o", str(prepared)])
        import pyarrow.parquet as parquet

        table = parquet.read_table(prepared)
        table = table.take([i for i, row in enumerate(table["input_ids"].to_pylist()) if len(row) <= LONGEST])
        step = max(1, len(table) // options.samples)
        chosen = table.take(list(range(0, len(table), step))[:options.samples])
        parquet.write_table(chosen, cut)
        lengths = [len(row) for row in chosen["input_ids"].to_pylist()]
        supervised = sum(label != -100 for row in chosen["labels"].to_pylist() for label in row)
        results = {"samples": len(lengths), "tokens": sum(lengths), "supervised": supervised}
        for method in options.methods:
            command, metrics = ours(options, model, cut, method, folder)
            _, peak = measured(command)
            steps = [json.loads(line) for line in metrics.read_text().splitlines()]
            seconds = sum(step["tokens"] / step["tokens_per_second"] for step in steps if "tokens" in step)
            results[method] = {"toolsmith": {"seconds": seconds, "peak_mb": peak}}
            for name in options.peers:
                if method == "prefix_tuning" and name == "careful":
                    continue
                out, peak_there = measured([sys.executable, __file__, "--only", name, "--model", str(model), "--method", method,
                                            "--prepared", str(cut)])
                there = json.loads(out)["seconds"]
                results[method][name] = {"seconds": there, "peak_mb": peak_there, "times_toolsmith": there / seconds,
                                         "toolsmith_memory_share": peak / peak_there}
            print(method, json.dumps(results[method]), file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
