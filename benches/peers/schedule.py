"""The learning rates that crates/train/src/schedule.rs is tested against, from transformers' own schedules.

Made with transformers 5.23.0 and torch 2.15.0: python benches/peers/schedule.py
"""

import torch
from transformers import get_scheduler

STEPS, WARMUP = 8, 2

for name in ["constant_with_warmup", "linear", "cosine"]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=WARMUP, num_training_steps=STEPS)
    rates = []
    for _ in range(STEPS):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    print(name, rates)
