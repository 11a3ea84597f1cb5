"""Makes small GGUF models of every architecture that is read, and the numbers Transformers computes with the same
weights, for crates/model/tests/gguf.rs.

Versions: gguf 0.19.0, torch 2.15.0, transformers 5.23.0, numpy 2.4.6.
Run from the repository root: python benches/peers/gguf_golden.py
Writes crates/model/tests/golden/gguf/<architecture>/{model.gguf, expected.json}.

The tensors have the types that real files mix: the embedding Q8_0, projections Q4_0, Q4_1, Q8_0, F16 and BF16, the
MLP's last layers Q4_K and Q6_K (random bytes with scales of a sensible size: gguf does not pack these), norms F32. The
reference computes with the numbers that gguf says the blocks stand for. Queries and keys of `llama` are permuted as
llama.cpp's convert_hf_to_gguf.py permutes them; `chatglm` keeps query, key and value in one tensor.
"""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from transformers import (Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

OUT = Path("crates/model/tests/golden/gguf")
SAMPLES = [[3, 14, 15, 9, 26, 5, 35, 8], [60, 27, 18, 28, 18], [2, 7]]
COMMON = dict(vocab_size=61, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, attn_implementation="eager", max_position_embeddings=512)
GLM = dict(head_dim=16, attention_bias=True, pad_token_id=0, eos_token_id=1)
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**COMMON, rms_norm_eps=1e-5, rope_theta=100000.0)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**COMMON, tie_word_embeddings=True, rope_theta=1e6)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**COMMON, head_dim=32, rms_norm_eps=1e-6)),
    "chatglm": (GlmForCausalLM, GlmConfig(**COMMON, **GLM)),
    "glm4": (Glm4ForCausalLM, Glm4Config(**COMMON, **GLM)),
}
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_self_attn_layernorm": "post_attention_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "post_mlp_layernorm": "post_ffw_norm",
}
TYPES = {"token_embd": Type.Q8_0, "output": Type.F16, "attn_q": Type.Q4_1, "attn_k": Type.Q8_0, "attn_v": Type.Q4_0,
         "attn_qkv": Type.Q4_1, "attn_output": Type.BF16, "ffn_gate": Type.Q4_0, "ffn_up": Type.Q4_1}


def random_blocks(rng, rows, cols, kind):
    """Blocks of random bytes with small f16 scales."""
    size, halves = {Type.Q4_K: (144, (0, 2)), Type.Q6_K: (210, (208,))}[kind]
    blocks = rng.integers(0, 256, (rows, cols // 256, size), dtype=np.uint8)
    for at in halves:
        scale = np.float16(2e-4 if kind == Type.Q4_K else 2e-5)
        blocks[..., at : at + 2] = np.array([scale]).view(np.uint8)
    return blocks.reshape(rows, -1)


def packed(rng, name, values):
    """Bytes or numbers for the file, their type, and what they stand for."""
    part = name.split(".")[-2]
    if values.ndim == 1:
        return values, Type.F32, values
    if part == "ffn_down":
        kind = Type.Q4_K if name.startswith("blk.0.") else Type.Q6_K
        data = random_blocks(rng, *values.shape, kind)
    else:
        kind = TYPES[part]
        data = quantize(values, kind)
    return data, kind, dequantize(data, kind).astype(np.float32)


def permute(values, heads):
    """Rows of a head: the halves that rotate together, interleaved."""
    pairs = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def unpermute(values, heads):
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem in NAMES:
        return f"{NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def write(architecture, model, config, path):
    """Writes the file; the model's weights become what the file's stand for."""
    rng = np.random.default_rng(len(architecture))
    writer = gguf.GGUFWriter(path, architecture)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if architecture == "qwen3":
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    writer.add_bos_token_id(1)

    tensors = {name: p.detach().numpy() for name, p in model.named_parameters()}
    parts = ("q_proj", "k_proj", "v_proj")
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, values in tensors.items():
        part = name.split(".")[-2]
        if architecture == "chatglm" and part in parts:
            if part != "q_proj":
                continue
            group = [name.replace("q_proj", part) for part in parts]
            fused = gguf_name(name).replace("attn_q.", "attn_qkv.")
            data, kind, numbers = packed(rng, fused, np.concatenate([tensors[n] for n in group]))
            writer.add_tensor(fused, data, raw_dtype=kind)
            ends = np.cumsum([len(tensors[n]) for n in group])[:-1]
            numbers = dict(zip(group, np.split(numbers, ends)))
        else:
            permuted = architecture == "llama" and part in heads
            source = permute(values, heads[part]) if permuted else values
            data, kind, own = packed(rng, gguf_name(name), np.ascontiguousarray(source))
            writer.add_tensor(gguf_name(name), data, raw_dtype=kind)
            numbers = {name: unpermute(own, heads[part]) if permuted else own}
        with torch.no_grad():
            for changed, array in numbers.items():
                model.get_parameter(changed).copy_(torch.from_numpy(np.ascontiguousarray(array)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def expected(model):
    logprobs = []
    with torch.no_grad():
        for sample in SAMPLES:
            ids = torch.tensor([sample])
            logits = model(input_ids=ids, use_cache=False).logits[0]
            logprobs += torch.log_softmax(logits[:-1], -1).gather(1, ids[0, 1:, None])[:, 0].tolist()
        last = model(input_ids=torch.tensor([SAMPLES[0]]), use_cache=False).logits[0, -1]
        greedy = model.generate(torch.tensor([SAMPLES[0]]), max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    return {"logprobs": logprobs, "last_logits": last.tolist(), "greedy": greedy[0, len(SAMPLES[0]):].tolist()}


def main():
    versions = {"gguf": "0.19.0", **{m.__name__: m.__version__ for m in (torch, transformers, np)}}
    for architecture, (cls, config) in CASES.items():
        torch.manual_seed(len(architecture))
        model = cls(config).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                noise = torch.randn_like(p) * 0.1
                p.copy_((1.0 if "norm" in name else 0.0) + noise)
        folder = OUT / architecture
        folder.mkdir(parents=True, exist_ok=True)
        write(architecture, model, config, folder / "model.gguf")
        numbers = {"versions": versions, "samples": SAMPLES, **expected(model)}
        (folder / "expected.json").write_text(json.dumps(numbers, indent=1) + "\n")
        print(architecture, (folder / "model.gguf").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
