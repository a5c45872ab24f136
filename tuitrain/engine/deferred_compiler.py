"""torch's compiler is loaded by the first thing that needs it, not by the first optimizer.

`torch.optim` imports torch._dynamo whenever an optimizer is built or steps (torch/_compile.py, `_disable_dynamo`;
torch/optim/optimizer.py, `_use_grad_for_differentiable`), only to keep the compiler out of what is not compiled. That
import takes about as long as half of torch itself. No model of a preset is compiled.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


def defer_compiler() -> None:
    """Put a stand-in in the place of torch._dynamo, unless that is loaded. Loads torch."""
    import torch

    if NAME not in sys.modules:
        torch._dynamo = sys.modules[NAME] = _Deferred(NAME)  # the attribute: else torch looks for it at every step


class _Deferred(ModuleType):
    """Answers what eager optimizers ask of torch._dynamo; whatever else is asked loads it, and is asked of it."""

    @staticmethod
    def graph_break(*_args: object, **_named: object) -> None:
        """Nothing is compiled: there is no graph to break."""

    @staticmethod
    def disable(function: Callable[..., Any], *_args: object, **_named: object) -> Callable[..., Any]:
        """Nothing is compiled: the function is as good as disabled."""
        return function

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__path__":  # asked by whoever goes through all modules
            raise AttributeError(name)
        return getattr(_loaded(self), name)


def _loaded(stand_in: ModuleType) -> ModuleType:
    """The real one, from now on in its place."""
    if sys.modules.get(NAME) is stand_in:
        del sys.modules[NAME]
    return importlib.import_module(NAME)
