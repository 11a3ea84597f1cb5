"""Full training steps (forward, backward, AdamW) of a small Qwen2-shaped decoder: PyTorch with SDPA against toolsmith.

Versions: torch 2.15.0, transformers 5.23.0. f32, 2 threads, eager (no compilation), batches of equal length and all
tokens supervised: no padding to save and no shared prefix, so only the arithmetic is compared.

    cargo build --release -p toolsmith-model --example training_speed
    python benches/peers/engine_speed.py [--tokens 4096] [--length 256] [--rounds 3] [--lora]

Runs both programs in turn and prints one JSON object: medians in seconds a step, tokens/s, and toolsmith's share of
PyTorch's time; peak memory of each process in MB (both hold model, gradients, AdamW moments and one step's buffers).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

SHAPE = dict(vocab_size=4096, hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4,
             num_key_value_heads=2)


def pytorch(tokens, length, lora):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True, attn_implementation="sdpa")).train()
    if lora:
        import peft

        model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"],
                                                           task_type="CAUSAL_LM"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    ids = torch.randint(0, SHAPE["vocab_size"], (tokens // length, length))
    times, started = [], time.time()
    while len(times) < 3 or time.time() - started < 8:
        at = time.time()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        times.append(time.time() - at)
    return statistics.median(times[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--length", type=int, default=256, help="tokens a sample")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, in turn")
    parser.add_argument("--lora", action="store_true", help="LoRA r 8 on q and v instead of full training")
    parser.add_argument("--only-pytorch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_pytorch:
        step = pytorch(options.tokens, options.length, options.lora)
        print(json.dumps({"seconds": step, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return

    target = os.environ.get("CARGO_TARGET_DIR", "target")
    ours = [f"{target}/release/examples/training_speed", "lora" if options.lora else "full", str(options.tokens), str(options.length)]
    theirs = [sys.executable, __file__, "--only-pytorch", "--tokens", str(options.tokens), "--length", str(options.length)]
    theirs += ["--lora"] if options.lora else []
    environment = {**os.environ, "RAYON_NUM_THREADS": "2"}
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
    step = {name: statistics.median(times) for name, times in seconds.items()}
    print(json.dumps({
        "tokens": options.tokens, "length": options.length, "method": "lora" if options.lora else "full",
        "seconds_per_step": step,
        "tokens_per_second": {name: options.tokens / time for name, time in step.items()},
        "peak_mb": memory,
        "toolsmith_share_of_pytorch_time": step["toolsmith"] / step["pytorch"],
    }, indent=1))


if __name__ == "__main__":
    main()
