# ruff: noqa
# mypy: ignore-errors
"""Starts processes in every way: spawned and forked workers that pickle a class of the script, a subprocess."""

import multiprocessing
import os
import pickle
import subprocess
import sys

import torch
from digest import say_weights
from torch import nn


class Task:
    def __init__(self, number):
        self.number = number

    def run(self):
        x = torch.full((2,), float(self.number), requires_grad=True)
        (x * x).sum().backward()
        print(f"worker {self.number}: {x.grad.tolist()}", flush=True)
        return self.number, __name__, "TUITRAIN_SCRIPT" in os.environ


def work(task):
    return task.run()


def train():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(4, 2)).sum().backward()
        optimizer.step()
    return model, optimizer


if __name__ == "__main__":
    torch.manual_seed(0)
    trained = train()
    print("pickled", type(pickle.loads(pickle.dumps(Task(0)))) is Task)
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(work, [Task(1)]), flush=True)
    sys.stdout.flush()
    child = os.fork()
    if not child:
        train()
        sys.exit()
    print("forked", os.waitpid(child, 0)[1])
    sys.stdout.flush()
    os.system("ls /proc/self/fd | wc -l")
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; os.write(2, b'from a subprocess\\n'); print('PYTHONPATH' in os.environ)",
        ]
    )
    say_weights(*trained)
