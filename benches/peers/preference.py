"""The losses, rewards and gradients that crates/train/src/objective is tested against, from TRL's own DPOTrainer.dpo_loss and
ORPOTrainer.odds_ratio_loss, on log-probabilities of single tokens in f64.

Versions: torch 2.15.0, trl 0.19.1 (its files alone: pip install --no-deps trl==0.19.1). TRL need not be importable: the
two methods are compiled from its source, with `self` holding the few values they read.
Run from the repository root: python benches/peers/preference.py
Writes crates/train/tests/golden/preference.json: for each case the log-probabilities given, TRL's loss of the pair, its
rewards, and the gradient of the loss by the log-probability of each token of an answer (all tokens of one have the same).
ORPO's loss is its fine-tuning part (the mean over the tokens of the chosen answer) less TRL's weighted log odds ratio.
"""

import ast
import importlib.util
import json
import random
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F

OUT = Path("crates/train/tests/golden/preference.json")


def method(file, name):
    """A method of TRL as a plain function."""
    trl = Path(importlib.util.find_spec("trl").submodule_search_locations[0])
    tree = ast.parse((trl / "trainer" / file).read_text())
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    kinds = SimpleNamespace(ALPHA_DIVERGENCE=SimpleNamespace(value="alpha"), JS_DIVERGENCE=SimpleNamespace(value="js"))
    scope = {"torch": torch, "F": F, "FDivergenceType": kinds}
    exec(compile(ast.Module([found], []), file, "exec"), scope)
    return scope[name]


DPO_LOSS = method("dpo_trainer.py", "dpo_loss")
ODDS_RATIO_LOSS = method("orpo_trainer.py", "odds_ratio_loss")
CPU = SimpleNamespace(device="cpu")


def dpo(options, chosen, rejected, reference):
    trainer = SimpleNamespace(
        accelerator=CPU, reference_free=False, f_divergence_type="reverse_kl", f_divergence_params=None, **options
    )
    # As DPOTrainer hands them over: sums, but means over tokens for ipo.
    whole = (lambda tokens: tokens.mean()) if options["loss_type"] == "ipo" else (lambda tokens: tokens.sum())
    logps = [whole(tokens)[None] for tokens in [chosen, rejected, *reference]]
    loss, *rewards = DPO_LOSS(trainer, *logps)
    return loss[0], rewards


def orpo(options, chosen, rejected, _):
    trainer = SimpleNamespace(accelerator=CPU, **options)
    losses, *rewards = ODDS_RATIO_LOSS(trainer, chosen.mean()[None], rejected.mean()[None])[:3]
    return -chosen.mean() - losses[0], rewards


def case(objective, options, likely, tokens, rng):
    given = [[-rng.uniform(*likely) for _ in range(count)] for count in tokens]
    reference = [[logprob + rng.uniform(-0.3, 0.3) for logprob in answer] for answer in given]
    chosen, rejected = (torch.tensor(answer, dtype=torch.float64, requires_grad=True) for answer in given)
    before = [torch.tensor(answer, dtype=torch.float64) for answer in reference]
    loss, rewards = {"dpo": dpo, "orpo": orpo}[objective](options, chosen, rejected, before)
    loss.backward()
    return {
        "objective": objective,
        "options": options,
        "logprobs": given,
        "reference": reference,
        "loss": loss.item(),
        "rewards": [reward.item() for reward in rewards],
        "gradients": [chosen.grad[0].item(), rejected.grad[0].item()],
    }


def main():
    rng = random.Random(7)
    kinds = [
        ("dpo", {"beta": 0.1, "label_smoothing": 0.0, "loss_type": "sigmoid"}),
        ("dpo", {"beta": 0.5, "label_smoothing": 0.2, "loss_type": "sigmoid"}),
        ("dpo", {"beta": 0.1, "label_smoothing": 0.0, "loss_type": "ipo"}),
        ("dpo", {"beta": 0.7, "label_smoothing": 0.0, "loss_type": "ipo"}),
        ("orpo", {"beta": 0.1}),
        ("orpo", {"beta": 1.0}),
    ]
    shapes = [((0.1, 5.0), (3, 5)), ((0.0, 0.01), (4, 1)), ((4.0, 15.0), (2, 9))]
    cases = [case(*kind, *shape, rng) for kind in kinds for shape in shapes]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")


if __name__ == "__main__":
    main()
