"""Twenty training steps side by side: `toolsmith train` and a PyTorch loop, from the same weights, on the same batches, with
the same AdamW. Full, LoRA and P-Tuning v2 (PEFT's prefix tuning) on a small random model of every family.

Pinned: Python 3.11, torch 2.15.0, transformers 5.23.0, peft 0.21.2, pyarrow.

    cargo build --release
    python benches/peers/training_parity.py --toolsmith target/release/toolsmith [--steps 20]

Every step sees all samples, so that no order of data can differ. toolsmith's own start (an adapter's random numbers) is
had by one step at a learning rate of 1e-30. Prints the largest relative difference of any step's loss, per run.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import peft
import pyarrow.parquet as parquet
import torch
from safetensors.torch import load_file
from transformers import (AutoModelForCausalLM, Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM, LlamaConfig,
                          LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

BASE = Path("assets/base")
SHAPE = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, max_position_embeddings=512)
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, dict(num_attention_heads=6, num_key_value_heads=2, head_dim=8)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, dict(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, dict(num_attention_heads=4, num_key_value_heads=4, head_dim=16)),
    "glm": (GlmForCausalLM, GlmConfig, dict(num_attention_heads=4, num_key_value_heads=1, head_dim=12, attention_bias=True)),
    "glm4": (Glm4ForCausalLM, Glm4Config, dict(num_attention_heads=4, num_key_value_heads=2, head_dim=12)),
}
RATE = {"full": 1e-3, "lora": 1e-2, "prefix_tuning": 1e-1}
METHODS = {
    "full": [],
    "lora": ["lora.r=4", "lora.lora_alpha=8"],
    "prefix_tuning": ["prefix_tuning.num_virtual_tokens=6"],
}


def run(command):
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def random_model(family, folder):
    cls, config, shape = FAMILIES[family]
    vocabulary = json.loads((BASE / "config.json").read_text())["vocab_size"]
    torch.manual_seed(3)
    model = cls(config(vocab_size=vocabulary, pad_token_id=0, eos_token_id=0, initializer_range=0.08, **SHAPE, **shape))
    model.save_pretrained(folder)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        (folder / name).write_bytes((BASE / name).read_bytes())


def toolsmith(options, model, data, output, method, rate, steps):
    config = output.with_suffix(".yaml")
    config.write_text(f"model: {model}\ndata: {data}\noutput_dir: {output}\nmethod: {method}\nseed: 5\n"
                      f"max_steps: {steps}\nbatch_size: 1000\nlearning_rate: {rate}\nlr_scheduler_type: constant\n")
    run([options.toolsmith, "train", str(config), *METHODS[method]])
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def attached(model, adapter):
    """The model with the adapter in training. PEFT takes no saved prefix to train on, so that is put into a new one."""
    settings = json.loads((adapter / "adapter_config.json").read_text())
    if settings["peft_type"] == "LORA":
        return peft.PeftModel.from_pretrained(model, adapter, is_trainable=True)
    count = settings["num_virtual_tokens"]
    model = peft.get_peft_model(model, peft.PrefixTuningConfig(num_virtual_tokens=count, task_type="CAUSAL_LM"))
    with torch.no_grad():
        start = load_file(adapter / "adapter_model.safetensors")["prompt_embeddings"]
        model.prompt_encoder["default"].embedding.weight.copy_(start)
    return model


def pytorch(model, adapter, data, rate, steps):
    rows = parquet.read_table(data).to_pylist()
    model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    if adapter:
        model = attached(model, adapter)
    model.eval()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    total = sum(label != -100 for row in rows for label in row["labels"][1:])
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = 0.0
        for row in rows:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
            part = torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum", ignore_index=-100) / total
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss)
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toolsmith", required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    options = parser.parse_args()
    torch.set_num_threads(2)
    worst = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        text = Path("README.md").read_text()[:6000]
        records = folder / "text.jsonl"
        records.write_text("".join(json.dumps({"text": text[at:at + 700]}) + "\n" for at in range(0, len(text), 700)))
        for family in options.families:
            model = folder / family
            random_model(family, model)
            data = folder / f"{family}.parquet"
            run([options.toolsmith, "prepare", str(records), "--model", str(model), "--format", "text", "-o", str(data)])
            for method, rate in RATE.items():
                output = folder / f"{family}-{method}"
                ours = toolsmith(options, model, data, output, method, rate, options.steps)
                adapter = None
                if method != "full":
                    start = folder / f"{family}-{method}-start"
                    toolsmith(options, model, data, start, method, 1e-30, 1)
                    adapter = start / "adapter"
                theirs = pytorch(model, adapter, data, rate, options.steps)
                assert len(ours) == len(theirs) == options.steps, (len(ours), len(theirs))
                worst[f"{family} {method}"] = max(abs(a - b) / b for a, b in zip(ours, theirs))
                print(f"{family:6} {method:14} loss {ours[0]:.4f} -> {ours[-1]:.4f}, PyTorch {theirs[-1]:.4f}, "
                      f"largest relative difference {worst[f'{family} {method}']:.1e}", flush=True)
    print(json.dumps({"worst": max(worst.values()), "runs": worst}, indent=1))


if __name__ == "__main__":
    main()
