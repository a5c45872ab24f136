# ruff: noqa
# mypy: ignore-errors
"""A program that has its loop watched by itself: with --bare it does not; its first argument says how it ends."""

import contextlib
import os
import sys
import threading

import torch
import tuitrain
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(41)
how = sys.argv[1]
data = TensorDataset(torch.randn(40, 4), torch.randint(0, 2, (40,)))
loader = DataLoader(data, batch_size=8, shuffle=True, num_workers=0 if how == "at-once" else 2)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)


def fit():
    for epoch in range(2):
        for i, (x, y) in enumerate(tuitrain.batches(loader)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if how == "at-once" and (epoch, i) == (1, 2):
                sys.stdout.flush()
                os._exit(4)
            if how == "raises" and (epoch, i) == (1, 2):
                raise ValueError("the loop's own")


with contextlib.nullcontext() if "--bare" in sys.argv else tuitrain.watch(model, optimizer, name="the code"):
    print("threads", [thread.name for thread in threading.enumerate()])
    fit()
    child = os.fork()
    if not child:
        fit()
        sys.exit()
    print("forked", os.waitpid(child, 0)[1])
say_weights(model, optimizer)
