# ruff: noqa
# mypy: ignore-errors
"""A script with every bad habit: no shuffling, inputs off scale, layers in a plain list, validation in train mode.

The first argument says how it goes about it; what it prints says what its model received, and how.
"""

import sys

import torch
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, TensorDataset

torch.manual_seed(9)
how = sys.argv[1]
EPOCHS, SAMPLES = 6, 40
images = torch.randn(SAMPLES + 12, 2, 3, 3) * torch.tensor([5.0, 20.0]).view(1, 2, 1, 1) + 30
labels = torch.arange(SAMPLES + 12) // 13


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(18, 12), nn.Linear(12, 12)]
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(self.drop(self.norm(x)))


def train_loader():
    data = TensorDataset(images[:SAMPLES], labels[:SAMPLES], torch.arange(SAMPLES))
    match how:
        case "subset":
            return DataLoader(data, batch_size=8, sampler=SubsetRandomSampler(range(SAMPLES)))
        case "shuffled":
            return DataLoader(data, batch_size=8, shuffle=True)
    return DataLoader(data, batch_size=8)


def validate(model, loader):
    if how == "shuffled":
        model.eval()
    total = correct = 0
    modes = set()
    with torch.set_grad_enabled(how == "with-gradients"):
        for x, y, *_ in loader:
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            total, correct = total + loss.item() * len(y), correct + (logits.argmax(1) == y).sum().item()
            modes.add((model.training, model.drop.training))
            if how == "breaks":
                break
    print(f"validated {total / 12:.6f} {correct / 12:.6f} modes {sorted(modes)} after {model.training}")
    model.train()


def main():
    model, loader = Net(), train_loader()
    validation = DataLoader(TensorDataset(images[SAMPLES:], labels[SAMPLES:]), batch_size=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model.drop.train()
    for epoch in range(EPOCHS):
        order, means = [], []
        for x, y, index in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if how == "prints":
                print(f"fed {x.mean().item():.3f} at {index[0].item()}")
            order += index.tolist()
            means.append(x.mean((0, 2, 3)))
        mean = torch.stack(means).mean(0).tolist()
        print(
            f"epoch {epoch} order {order} mean {mean[0]:.3f} {mean[1]:.3f} parameters {len(list(model.parameters()))}"
        )
        if how == "checks-training-data":
            for again in (loader, DataLoader(loader.dataset, batch_size=20)):
                validate(model, again)
        validate(model, validation)
    print("first layer", model.layers[0].weight.sum().item())
    say_weights(model, optimizer)


main()
