# ruff: noqa
# mypy: ignore-errors
"""Prints the total norm of its gradients before and after it clips them, and its learning rate, at every step."""

import sys

import torch
import torch.utils.checkpoint
from torch import nn

torch.manual_seed(9)
how = sys.argv[1]
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)


def norm():
    return torch.stack([p.grad.norm() for p in model.parameters()]).norm().item()


for step in range(12):
    optimizer.zero_grad()
    x = torch.randn(8, 4, requires_grad=how == "checkpoint")
    y = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=True) if how == "checkpoint" else model(x)
    loss = nn.functional.mse_loss(y, torch.randn(8, 2) * (1 + step))
    if how == "two-roots":
        torch.autograd.backward([loss, loss * 0.5])
    elif how == "autograd":
        for p, g in zip(model.parameters(), torch.autograd.grad(loss, model.parameters())):
            p.grad = g
    else:
        loss.backward()
    before = norm()
    if how == "norm":
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.5)
    elif how == "value":
        torch.nn.utils.clip_grad_value_(model.parameters(), 0.1)
    elif how == "max":
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=0.2, norm_type=float("inf"))
    print("row", loss.item() * (1.5 if how == "two-roots" else 1.0), before, norm(), optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
