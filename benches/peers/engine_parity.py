"""Makes the numbers that crates/model/tests compare with: logits, log-probabilities and gradients of tiny random models
of each family, computed by Transformers in f32 with eager attention, and a PEFT LoRA adapter on one of them.

Versions: torch 2.15.0, transformers 5.23.0, peft 0.21.2, safetensors 0.8.0, numpy 2.4.6.
Run from the repository root: python benches/peers/engine_parity.py
Writes crates/model/tests/golden/<case>/{config.json, model.safetensors, expected.json[, adapter/]}.

Weights are rounded to bf16 and stored so: the files stay small and lose nothing. Gradients are stored as a checksum of
each tensor: its norm, and its inner product with a fixed pattern (cos of the flat index times 0.37, plus 0.1).
"""

import json
import shutil
from pathlib import Path

import peft
import torch
import transformers
from transformers import GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

OUT = Path("crates/model/tests/golden")
COMMON = dict(vocab_size=61, hidden_size=16, intermediate_size=24, num_hidden_layers=2, attn_implementation="eager")
CASES = {
    # head_dim differs from hidden / heads, biases everywhere, untied.
    "llama": (LlamaForCausalLM, LlamaConfig(**COMMON, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                                            attention_bias=True, mlp_bias=True, rms_norm_eps=1e-5)),
    # One key head for all, tied, a large rope_theta.
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, num_attention_heads=4, num_key_value_heads=1,
                                            tie_word_embeddings=True, rope_theta=1e6)),
    # As many key heads as heads, interleaved rotation of half a head, fused gate and up.
    "glm": (GlmForCausalLM, GlmConfig(**COMMON, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
                                      attention_bias=True, pad_token_id=0, eos_token_id=1)),
}
SAMPLES = [[3, 14, 15, 9, 26, 5, 35, 8], [60, 27, 18, 28, 18], [2, 7]]


def pattern(size):
    return torch.cos(torch.arange(size, dtype=torch.float64) * 0.37) + 0.1


def checksum(tensor):
    flat = tensor.detach().double().flatten()
    return {"norm": flat.norm().item(), "pattern": (flat @ pattern(flat.numel())).item()}


def logprobs(model):
    """Log-probability of every next token of every sample, each sample run by itself."""
    out = []
    for sample in SAMPLES:
        ids = torch.tensor([sample])
        logits = model(input_ids=ids, use_cache=False).logits[0]
        out.append(torch.log_softmax(logits[:-1], -1).gather(1, ids[0, 1:, None])[:, 0])
    return torch.cat(out)


def expected(model):
    model.zero_grad()
    values = logprobs(model)
    # Weights that differ, one of them zero, so that no two targets can be exchanged unseen.
    weights = torch.arange(len(values), dtype=torch.float32) * 0.125
    (weights * -values).sum().backward()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([SAMPLES[0]]), use_cache=False).logits[0, -1]
    return {
        "logprobs": values.tolist(),
        "last_logits": logits.tolist(),
        "gradients": {name: checksum(p.grad) for name, p in model.named_parameters() if p.grad is not None},
    }


def main():
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft)}
    for name, (cls, config) in CASES.items():
        torch.manual_seed(len(name))
        model = cls(config).eval()
        with torch.no_grad():
            for parameter_name, p in model.named_parameters():
                noise = torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.2)
                p.copy_(((1.0 if "norm" in parameter_name else 0.0) + noise).bfloat16().float())
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        numbers = {"versions": versions, "samples": SAMPLES, **expected(model)}
        with torch.no_grad():
            greedy = model.generate(torch.tensor([SAMPLES[0]]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
        numbers["greedy"] = greedy[0, len(SAMPLES[0]):].tolist()
        model.bfloat16().save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        model.float()
        if name == "qwen2":
            lora = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
            tuned = peft.get_peft_model(model, lora).eval()
            with torch.no_grad():
                for p in (p for n, p in tuned.named_parameters() if "lora_" in n):
                    p.copy_((torch.randn_like(p) * 0.3).bfloat16().float())
            tuned.save_pretrained(folder / "adapter")
            (folder / "adapter" / "README.md").unlink(missing_ok=True)
            config_file = folder / "adapter" / "adapter_config.json"
            settings = json.loads(config_file.read_text())
            settings["base_model_name_or_path"] = "qwen2"
            settings["target_modules"].sort()
            config_file.write_text(json.dumps(settings, indent=2) + "\n")
            numbers["lora"] = expected(tuned)
        (folder / "expected.json").write_text(json.dumps(numbers, indent=1) + "\n")
        print(name, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
