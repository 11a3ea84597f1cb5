"""Makes the packed weights and the numbers they stand for that crates/kernels/tests compare with.

Versions: gguf 0.19.0, numpy 2.4.6, torch 2.15.0.
Run from the repository root: python benches/peers/block_golden.py
Writes crates/kernels/tests/golden/blocks/{weights.f32, <format>.packed, <format>.f32}: 3 rows of 512 numbers each,
little-endian. Q8_0, Q4_0 and Q4_1 are packed by gguf; Q4_K and Q6_K, which it only reads, are random bytes with scales
of a sensible size. int8 is packed as ChatGLM3's quantization.py does (kept in f32), nf4 with the code that QLoRA's
appendix describes and bitsandbytes' create_normal_map builds, laid out as BlockFormat says.
"""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

OUT = Path("crates/kernels/tests/golden/blocks")
ROWS, COLS = 3, 512


def nf4_code():
    """Seven quantiles below zero, zero, eight above, scaled to [-1, 1]."""
    quantile, offset = NormalDist().inv_cdf, 0.9677083
    above = [quantile(p) for p in torch.linspace(offset, 0.5, 9)[:-1].tolist()]
    below = [-quantile(p) for p in torch.linspace(offset, 0.5, 8)[:-1].tolist()]
    code = np.array(sorted([*above, 0.0, *below]), dtype=np.float32)
    return code / code.max()


def save(name, packed, values):
    (OUT / f"{name}.packed").write_bytes(np.ascontiguousarray(packed).tobytes())
    (OUT / f"{name}.f32").write_bytes(np.ascontiguousarray(values, dtype="<f4").tobytes())


def random_blocks(rng, block_bytes, halves):
    """Blocks of random bytes whose f16 scales (at these byte offsets) are small numbers, some of them subnormal."""
    blocks = rng.integers(0, 256, (ROWS, COLS // 256, block_bytes), dtype=np.uint8)
    for at in halves:
        scales = (rng.normal(size=blocks.shape[:2]) * np.array([1e-2, 2e-5])).astype(np.float16)
        blocks[..., at : at + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(ROWS, -1)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    weights = (rng.normal(size=(ROWS, COLS)) * 0.05).astype(np.float32)
    weights[1, 64:128] = 0.0
    (OUT / "weights.f32").write_bytes(weights.tobytes())
    for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1):
        packed = quantize(weights, kind)
        save(kind.name, packed, dequantize(packed, kind))
    for kind, size, halves in ((Type.Q4_K, 144, (0, 2)), (Type.Q6_K, 210, (208,))):
        packed = random_blocks(rng, size, halves)
        save(kind.name, packed, dequantize(packed, kind))

    matrix = torch.from_numpy(weights)
    scale = matrix.abs().max(dim=-1).values / 127
    steps = torch.round(matrix / scale[:, None]).to(torch.int8)
    packed = np.concatenate([scale.numpy()[:, None].view(np.uint8), steps.numpy().view(np.uint8)], axis=1)
    save("int8", packed, (steps * scale[:, None]).numpy())

    code, blocks = nf4_code(), weights.reshape(ROWS, COLS // 64, 64)
    print("nf4:", ", ".join(f"{value:.9g}" for value in code))
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        index = np.abs(np.nan_to_num(blocks / largest)[..., None] - code).argmin(axis=-1).astype(np.uint8)
    packed = np.concatenate([largest.view(np.uint8), index[..., :32] | index[..., 32:] << 4], axis=-1)
    save("nf4", packed.reshape(ROWS, -1), (code[index] * largest).reshape(ROWS, COLS))


if __name__ == "__main__":
    main()
