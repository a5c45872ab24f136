"""`tuitrain.watch`: what `tuitrain run` is for a script, for a loop in the user's own code."""

import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tuitrain.verbs.scripts import CHECKS, TIPS, plain_name

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def watch(*trained: "nn.Module | Optimizer", name: str | None = None) -> AbstractContextManager[None]:
    """Watch and steer the training within a `with` block: `with tuitrain.watch(model, optimizer):`.

    It is recorded as a run: `tuitrain watch` shows and steers it from any other terminal, and one line on stderr says
    its name. A stop ends the block without an exception; the code behind it goes on. Afterwards torch is as it was.
    Under `tuitrain run`, where everything is watched, this does nothing.

    Args:
        trained: Models and optimizers to be shown. Without a model, or without an optimizer: all there are.
        name: What the run is called; by default as the program is.

    Raises:
        TypeError: Something else than a model or an optimizer was given.
    """
    from torch import nn
    from torch.optim import Optimizer

    from tuitrain.engine.script.watching import Order, watching

    for each in trained:
        if not isinstance(each, nn.Module | Optimizer):
            raise TypeError(
                "tuitrain.watch takes models (torch.nn.Module) and optimizers (torch.optim.Optimizer), as in "
                f"tuitrain.watch(model, optimizer), not {_described(each)}."
            )
    models = [each for each in trained if isinstance(each, nn.Module)]
    optimizers = [each for each in trained if isinstance(each, Optimizer)]
    return watching(Order(plain_name(name or _program(), "training"), models, optimizers, TIPS, CHECKS))


def _described(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


def _program() -> str:
    """The name of the file that python runs; empty in an interactive session."""
    return os.path.splitext(os.path.basename(sys.argv[0]))[0] if sys.argv else ""
