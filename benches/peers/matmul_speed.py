"""The matrix products of a training step in PyTorch, in the shapes of crates/kernels/examples/matmul_speed.rs.

Versions: torch 2.15.0. 2 threads; in bf16 PyTorch's factors and results are bf16, toolsmith's are f32 in memory.

    python benches/peers/matmul_speed.py [seconds a shape]

Prints one JSON object a line: billions of operations a second, the best of many runs, in f32 and bf16.
"""

import json
import sys
import time

import torch

LAYERS = [("attention", 1024, 512, 512), ("gate or up", 1024, 512, 1408), ("down", 1024, 1408, 512),
          ("head", 1024, 512, 32000), ("a chunk of the head", 128, 512, 32000), ("adapter", 1024, 512, 8)]
WAYS = {"forward": lambda x, w, y: x @ w.t(), "input": lambda x, w, y: y @ w, "weight": lambda x, w, y: y.t() @ x}


def best(way, dtype, tokens, inputs, outputs, seconds):
    x, w, y = (torch.randn(shape, dtype=dtype) for shape in [(tokens, inputs), (outputs, inputs), (tokens, outputs)])
    started, fastest = time.time(), float("inf")
    while time.time() - started < seconds:
        at = time.perf_counter()
        way(x, w, y)
        fastest = min(fastest, time.perf_counter() - at)
    return round(2e-9 * tokens * inputs * outputs / fastest)


def main():
    torch.set_num_threads(2)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.3
    for layer, *sizes in LAYERS:
        for product, way in WAYS.items():
            speeds = {f"{name}_gflops": best(way, dtype, *sizes, seconds)
                      for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]}
            print(json.dumps({"layer": layer, "product": product, "tokens": sizes[0], "inputs": sizes[1],
                              "outputs": sizes[2], **speeds}))


if __name__ == "__main__":
    main()
