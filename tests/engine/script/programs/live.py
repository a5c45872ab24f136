# ruff: noqa
# mypy: ignore-errors
"""Trains until it is told to stop; says what it does then. Its first argument: what it makes of an interruption."""

import signal
import sys
import threading

import torch
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(7)
how = sys.argv[1]
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10**9)
loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,))), batch_size=8)
if how == "handler":
    signal.signal(signal.SIGUSR1, lambda number, frame: print("told", signal.Signals(number).name))
print("threads", [thread.name for thread in threading.enumerate()])


def train():
    while True:
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            if how == "clips":
                nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
            scheduler.step()


try:
    train()
except KeyboardInterrupt:
    if how != "catches":
        raise
    print("exiting from training early")
finally:
    print("tidied up")
say_weights(model)
