# ruff: noqa
# mypy: ignore-errors
"""Loops that take their batches in one way or another; the first argument says which."""

import itertools
import sys

import torch
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(8)
how = sys.argv[1]
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
data = TensorDataset(torch.randn(48, 4), torch.randint(0, 2, (48,)))
loader = DataLoader(data, batch_size=8, shuffle=True, persistent_workers=how == "kept", num_workers=int(how == "kept"))
other = DataLoader(data, batch_size=8)


class Counting:
    """A progress bar that is an iterator itself."""

    def __init__(self, iterable):
        self.iterator, self.shown = iter(iterable), 0

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.iterator)
        self.shown += 1
        return item


def asked():
    """Batches that are asked for one by one, in a loop that counts by itself."""
    iterator = iter(loader)
    for i in range(6):
        yield i, next(iterator)


def pulled():
    """Batches that are asked for one by one, until there are no more; one of them ahead."""
    iterator = iter(loader)
    ahead = next(iterator)
    while ahead is not None:
        batch, ahead = ahead, None
        try:
            ahead = next(iterator)
        except StopIteration:
            pass
        yield batch


def in_twos():
    """Batches that are asked for at two places of one loop."""
    iterator = iter(loader)
    while True:
        try:
            first = next(iterator)
        except StopIteration:
            return
        yield first
        second = next(iterator)
        yield second


class Progress:
    """A progress bar of the script's own."""

    def __init__(self, iterable):
        self.iterable, self.shown = iterable, 0

    def __iter__(self):
        for item in self.iterable:
            yield item
            self.shown += 1


class Ahead:
    """Fetches one batch ahead, as loaders to a device do."""

    def __init__(self, iterable):
        self.iterator = iter(iterable)
        self.ahead = next(self.iterator)

    def __iter__(self):
        return self

    def __next__(self):
        if self.ahead is None:
            raise StopIteration
        batch, self.ahead = self.ahead, next(self.iterator, None)
        return batch


def batches():
    match how:
        case "progress":
            return enumerate(Progress(loader))
        case "progress-outside":
            return Progress(enumerate(loader))
        case "counting":
            return enumerate(Counting(loader))
        case "asked":
            return asked()
        case "pulled":
            return enumerate(pulled())
        case "in-twos":
            return enumerate(in_twos())
        case "ahead":
            return enumerate(Ahead(loader))
        case "zip":
            return zip(range(100), loader)
        case "islice":
            return enumerate(itertools.islice(loader, 4))
        case "two":
            return enumerate((a, b) for (a, _), (_, b) in zip(loader, other))
    return enumerate(loader)


def main():
    seen = []
    done = 0
    for epoch in range(4):
        for i, (x, y) in batches():
            if how == "break" and done >= 20:
                break
            if how == "in-place":
                x.add_(1.0)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if i + 1 == 6:  # the loader's last: the index must count right
                optimizer.param_groups[0]["lr"] *= 0.5
            seen.append((epoch, i))
            done += 1
    print("seen", len(seen), seen[-1], "done", done)
    say_weights(model, optimizer)


if __name__ == "__main__":
    main()
