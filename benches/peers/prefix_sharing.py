"""What computing shared prefixes once saves: an epoch of LoRA with and without, and with every sample in one step.

Versions: torch 2.15.0, transformers 5.23.0 (to make the random model). f32, 2 threads.

    cargo build --release
    python benches/peers/toolalpaca_samples.py eval_simulated.json > toolalpaca.jsonl
    python benches/peers/prefix_sharing.py toolalpaca.jsonl --toolsmith target/release/toolsmith --tokenizer DIR
        [--batch-size 16] [--rounds 3]

The model is that of finetune_speed.py. `apart` computes every sample alone, `planned` is what `train` does by default,
`all at once` is one step of the whole data: no order of steps can save more. Runs take turns. Prints one JSON object:
seconds (the sum of the steps, medians of the rounds) and computed tokens of each, and which part of the greatest saving
the planned steps reach, in time and in tokens.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from finetune_speed import random_model


def train(options, model, folder, name, *words):
    output = folder / name
    config = folder / f"{name}.yaml"
    config.write_text(f"model: {model}\ndata: {Path(options.data).absolute()}\ntemplate: qwen2.5\noutput_dir: {output}\n"
                      "method: lora\nnum_train_epochs: 1\nlearning_rate: 1e-4\nskip_bad: true\n")
    keys = ["lora.r=8", "lora.target_modules=[q_proj, v_proj]", "lora.lora_dropout=0", *words]
    subprocess.run([options.toolsmith, "train", str(config), "--threads", "2", *keys], check=True, capture_output=True)
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [step for step in steps if "tokens" in step]
    return {"seconds": sum(step["tokens"] / step["tokens_per_second"] for step in steps),
            "tokens": sum(step["tokens"] for step in steps),
            "computed_tokens": sum(step["computed_tokens"] for step in steps), "steps": len(steps)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--toolsmith", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    samples = len(Path(options.data).read_text().splitlines())
    ways = {"apart": ["share_prefixes=false", f"batch_size={options.batch_size}"],
            "planned": [f"batch_size={options.batch_size}"], "all at once": [f"batch_size={samples}"]}
    runs = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = random_model(folder / "model", options.tokenizer)
        for turn in range(options.rounds):
            for way, words in ways.items():
                runs[way].append(train(options, model, folder, f"{way.replace(' ', '-')}-{turn}", *words))
    results = {way: {**found[0], "seconds": statistics.median(run["seconds"] for run in found)}
               for way, found in runs.items()}
    for measure in ["seconds", "computed_tokens"]:
        apart, planned, least = (results[way][measure] for way in ways)
        results[f"part of the greatest saving, {measure}"] = (apart - planned) / (apart - least)
    print(json.dumps({**results, "cores": os.cpu_count()}, indent=1))


if __name__ == "__main__":
    main()
