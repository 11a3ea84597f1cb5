"""Makes the numbers that crates/model/tests compare with: logits, log-probabilities and gradients of tiny random models
of each family, computed by Transformers in f32 with eager attention, and adapters that PEFT made: LoRA, rank-stabilised
LoRA, DoRA, whole modules beside LoRA, prefix tuning.

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
from transformers import (Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

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
    # Heads normalised, wider than hidden / heads, tied.
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**COMMON, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                                            tie_word_embeddings=True, rope_theta=1e6)),
    # Outputs normalised too, a quarter of the key heads.
    "glm4": (Glm4ForCausalLM, Glm4Config(**COMMON, num_attention_heads=4, num_key_value_heads=1, head_dim=4,
                                         attention_bias=True, pad_token_id=0, eos_token_id=1)),
    # Frequencies as Llama 3.1 changes them.
    "llama3": (LlamaForCausalLM, LlamaConfig(**COMMON, num_attention_heads=2, num_key_value_heads=1,
                                             tie_word_embeddings=True,
                                             rope_parameters={"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0,
                                                              "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                                              "original_max_position_embeddings": 16})),
}
LORA = dict(r=3, lora_alpha=5, task_type="CAUSAL_LM")
# Adapters by case and folder.
ADAPTERS = {
    "qwen2": {
        "lora": peft.LoraConfig(**LORA, target_modules=["q_proj", "v_proj", "down_proj"]),
        "rslora": peft.LoraConfig(**LORA, target_modules=["o_proj"], use_rslora=True),
        "dora": peft.LoraConfig(**LORA, target_modules=["k_proj", "up_proj", "down_proj"], use_dora=True),
        "modules": peft.LoraConfig(**LORA, target_modules=["q_proj"], modules_to_save=["lm_head", "1.input_layernorm"]),
        "prefix": peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
        "projected": peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM", prefix_projection=True,
                                             encoder_hidden_size=5),
    },
    "glm": {
        "lora": peft.LoraConfig(**LORA, target_modules=["gate_up_proj", "o_proj"]),
        "prefix": peft.PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"),
    },
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


def tuned(cls, folder, adapter, settings):
    """Saves an adapter with random weights beside the model and returns what the two give together."""
    base = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    torch.manual_seed(len(adapter))
    model = peft.get_peft_model(base, settings).eval()
    with torch.no_grad():
        for parameter_name, p in model.named_parameters():
            if p.requires_grad and "modules_to_save" not in parameter_name:
                p.copy_((p + torch.randn_like(p) * 0.3).bfloat16().float())
    model.save_pretrained(folder / adapter)
    (folder / adapter / "README.md").unlink(missing_ok=True)
    config_file = folder / adapter / "adapter_config.json"
    written = json.loads(config_file.read_text())
    written["base_model_name_or_path"] = folder.name
    if "target_modules" in written:
        written["target_modules"].sort()
    config_file.write_text(json.dumps(written, indent=2) + "\n")
    return expected(model)


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
        numbers["adapters"] = {}
        for adapter, settings in ADAPTERS.get(name, {}).items():
            numbers["adapters"][adapter] = tuned(cls, folder, adapter, settings)
        (folder / "expected.json").write_text(json.dumps(numbers, indent=1) + "\n")
        print(name, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
