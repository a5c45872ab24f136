"""tuitrain: watch and steer a PyTorch training run in the terminal.

For those who prefer code to `tuitrain run train.py`:

    with tuitrain.watch(model, optimizer):
        for x, y in tuitrain.batches(loader):
            ...
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuitrain.engine.script.batches import batches
    from tuitrain.verbs.in_code import watch

__version__ = "0.1.0"
__all__ = ["__version__", "batches", "watch"]

_WHERE = {"batches": "tuitrain.engine.script.batches", "watch": "tuitrain.verbs.in_code"}


def __getattr__(name: str) -> object:
    """What is public is loaded when it is used: to import tuitrain loads nothing."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
