# ruff: noqa
# mypy: ignore-errors
"""Trains a little and leaves with an exit code of its own: sys.exit, os._exit, a signal, or nothing."""

import atexit
import os
import signal
import sys

import torch
from torch import nn

print(sys.argv, __name__, __file__, __spec__, os.environ.get("PYTHONPATH"), sys.path[0])
print(sorted(name for name in os.environ if "TUITRAIN" in name))
atexit.register(print, "goodbye")
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(5):
    optimizer.zero_grad()
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
match sys.argv[1]:
    case "exit":
        sys.exit(int(sys.argv[2]))
    case "sentence":
        sys.exit("the end")
    case "at-once":
        sys.stdout.flush()
        os._exit(int(sys.argv[2]))
    case "kill":
        sys.stdout.flush()
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
