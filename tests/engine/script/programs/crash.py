# ruff: noqa
# mypy: ignore-errors
"""Training that raises, in one of several places."""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        if sys.argv[1] == "dataset" and index == 30:
            raise ValueError(f"sample {index} is broken")
        return torch.full((3,), float(index)), index % 2


def train():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step, (x, y) in enumerate(DataLoader(Digits(), batch_size=5)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if sys.argv[1] == "backward" and step == 3:
            loss.backward()
        if sys.argv[1] == "clip" and step == 3:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True, norm_type="no norm")
        if sys.argv[1] == "plain" and step == 3:
            try:
                {}["missing"]
            except KeyError as error:
                raise RuntimeError("the script's own") from error
        optimizer.step()


try:
    train()
finally:
    print("tidied up")
