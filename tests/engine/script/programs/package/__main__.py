# ruff: noqa
# mypy: ignore-errors
"""What runs: a relative import, and who it is."""

import sys

import torch

from .part import train

print(__name__, __package__, __spec__.name, sys.argv[1:])
print("trained", train(torch))
