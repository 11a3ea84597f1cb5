"""Full training steps (forward, backward, AdamW) of a Qwen2-shaped decoder: PyTorch with SDPA against toolsmith.

Versions: torch 2.15.0, transformers 5.23.0. 2 threads, eager (no compilation), batches of equal length and all tokens
supervised: no padding to save and no shared prefix, so only the arithmetic is compared. In bf16, PyTorch holds
everything in bf16 (`model.bfloat16()`, AdamW's moments too); toolsmith rounds the factors of its products and holds
f32.

    cargo build --release -p toolsmith-model --example training_speed
    python benches/peers/engine_speed.py [--shape small|design] [--dtype f32|bf16] [--rounds 3] [--lora]
                                         [--tokens N] [--length N]

Runs both programs in turn and prints one JSON object: medians in seconds a step, tokens/s, and toolsmith's share of
PyTorch's time and memory; peak memory of each process in MB (both hold model, gradients, AdamW moments and one step's
buffers), and what PyTorch's process held before it made the model.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

# Sizes of the model, tokens a step, tokens a sample.
SHAPES = {
    "small": (dict(vocab_size=4096, hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
                   num_key_value_heads=2), 4096, 256),
    "design": (dict(vocab_size=32000, hidden_size=512, intermediate_size=1408, num_hidden_layers=4,
                    num_attention_heads=8, num_key_value_heads=8), 1024, 1024),
}
ENVIRONMENT = dict(VOCAB="vocab_size", HIDDEN="hidden_size", INTERMEDIATE="intermediate_size",
                   LAYERS="num_hidden_layers", HEADS="num_attention_heads", KV_HEADS="num_key_value_heads")


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pytorch(shape, dtype, tokens, length, lora):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(2)
    torch.manual_seed(0)
    before = peak_mb()
    model = Qwen2ForCausalLM(Qwen2Config(**shape, tie_word_embeddings=True, attn_implementation="sdpa")).train()
    if dtype == "bf16":
        model = model.bfloat16()
    if lora:
        import peft

        model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"],
                                                           task_type="CAUSAL_LM"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    ids = torch.randint(0, shape["vocab_size"], (tokens // length, length))
    times, started = [], time.time()
    while len(times) < 3 or time.time() - started < 8:
        at = time.time()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        times.append(time.time() - at)
    return {"seconds": statistics.median(times[1:]), "before_mb": before, "peak_mb": peak_mb()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small", help="sizes of the model and of a step")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="what products are computed in")
    parser.add_argument("--tokens", type=int, help="tokens a step (default: the shape's)")
    parser.add_argument("--length", type=int, help="tokens a sample (default: the shape's)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, in turn")
    parser.add_argument("--lora", action="store_true", help="LoRA r 8 on q and v instead of full training")
    parser.add_argument("--only-pytorch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape, tokens, length = SHAPES[options.shape]
    tokens, length = options.tokens or tokens, options.length or length
    if options.only_pytorch:
        print(json.dumps(pytorch(shape, options.dtype, tokens, length, options.lora)))
        return

    target = os.environ.get("CARGO_TARGET_DIR", "target")
    method = "lora" if options.lora else "full"
    ours = [f"{target}/release/examples/training_speed", method, str(tokens), str(length)]
    theirs = [sys.executable, __file__, "--only-pytorch", "--shape", options.shape, "--dtype", options.dtype]
    theirs += ["--tokens", str(tokens), "--length", str(length)] + (["--lora"] if options.lora else [])
    environment = {**os.environ, "RAYON_NUM_THREADS": "2", "DTYPE": options.dtype}
    environment |= {name: str(shape[size]) for name, size in ENVIRONMENT.items()}
    seconds, memory = {"toolsmith": [], "pytorch": []}, {"toolsmith": 0.0, "pytorch": 0.0}
    for _ in range(options.rounds):
        process = subprocess.Popen(ours, stdout=subprocess.PIPE, env=environment)
        line = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, "training_speed failed; was it built?"
        result = json.loads(line)
        seconds["toolsmith"].append(result["forward_backward_seconds"] + result["update_seconds"])
        memory["toolsmith"] = max(memory["toolsmith"], usage.ru_maxrss / 1024)
        result = json.loads(subprocess.run(theirs, stdout=subprocess.PIPE, check=True).stdout)
        seconds["pytorch"].append(result["seconds"])
        memory["pytorch"] = max(memory["pytorch"], result["peak_mb"])
        memory["pytorch_before_the_model"] = result["before_mb"]
    step = {name: statistics.median(times) for name, times in seconds.items()}
    print(json.dumps({
        "shape": options.shape, "dtype": options.dtype, "tokens": tokens, "length": length, "method": method,
        "seconds_per_step": step,
        "tokens_per_second": {name: tokens / time for name, time in step.items()},
        "peak_mb": memory,
        "toolsmith_share_of_pytorch_time": step["toolsmith"] / step["pytorch"],
        "toolsmith_share_of_pytorch_memory": memory["toolsmith"] / memory["pytorch"],
        "rounds": seconds,
    }, indent=1))


if __name__ == "__main__":
    main()
