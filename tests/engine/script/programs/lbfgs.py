# ruff: noqa
# mypy: ignore-errors
"""LBFGS: the optimizer evaluates the loss itself, through a closure, several times a step."""

import torch
from digest import say_weights
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)
x = torch.linspace(0, 6, 60).unsqueeze(1)
loader = DataLoader(TensorDataset(x, torch.sin(x)), batch_size=20)
model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
criterion = nn.MSELoss()
optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)

for epoch in range(4):
    for inputs, target in loader:

        def closure():
            optimizer.zero_grad()
            loss = criterion(model(inputs), target)  # noqa: B023
            loss.backward()
            return loss

        print("loss:", f"{optimizer.step(closure).item():.6f}")
say_weights(model, optimizer)
