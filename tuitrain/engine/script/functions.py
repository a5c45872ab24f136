"""Our place in torch's functions: dropout, batch norm, unscaling, and the making of parameters.

Each does what it did. None is changed for the compiler, which is told nothing, nor for TorchScript, which compiles the
original; no graph is another than it was.
"""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from tuitrain.engine.observer import Observer
    from tuitrain.engine.script.patches import _Here

Function = Callable[..., Any]

DROPOUTS = ("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d")
"""Functions that take (input, p, training), p being 0.5 and training True unless given."""


class Wrapping(NamedTuple):
    """A function to be replaced, wherever it is held by its name."""

    name: str
    original: Function
    wrapped: Function


class Method(NamedTuple):
    """A method to be replaced in its class."""

    owner: type
    name: str
    wrap: Callable[[Function], Function]


def wrapped_functions(here: "_Here") -> Iterator[Wrapping]:
    """The functions of torch.nn.functional that are observed."""
    for name in DROPOUTS:
        yield _wrapping(name, functools.partial(_wrapped_dropout, here, name))
    yield _wrapping("batch_norm", functools.partial(_wrapped_batch_norm, here))


def wrapped_methods(here: "_Here") -> Iterator[Method]:
    """The methods that are observed."""
    yield Method(torch.amp.GradScaler, "unscale_", functools.partial(_wrapped_unscale, here))
    yield Method(nn.Module, "register_parameter", functools.partial(_wrapped_making, here))


def _wrapping(name: str, wrap: Callable[[Function], Function]) -> Wrapping:
    original = getattr(functional, name)
    wrapped = wrap(original)
    # What TorchScript, and the compiler, take in its place.
    vars(wrapped).update({"__script_if_tracing_wrapper": True, "__original_fn": original})
    return Wrapping(name, original, wrapped)


def _told(here: "_Here") -> "Observer":
    return here.watch.observers


def _wrapped_dropout(here: "_Here", name: str, original: Function) -> Function:
    @functools.wraps(original)
    def dropout(input: Tensor, p: float = 0.5, training: bool = True, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if here:
            _told(here).layer_called(name, input, active=training and p > 0)
        return original(input, p, training, *args, **kwargs)

    @functools.wraps(original)
    def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return dropout(input, p, training, *args, **kwargs)

    return alpha_dropout if name == "alpha_dropout" else dropout


def _wrapped_batch_norm(here: "_Here", original: Function) -> Function:
    @functools.wraps(original)
    def batch_norm(
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - as torch has it
        if here and running_mean is not None:
            _told(here).layer_called("batch_norm", input, active=training)
        return original(input, running_mean, running_var, weight, bias, training, *args, **kwargs)

    return batch_norm


def _wrapped_unscale(here: "_Here", original: Function) -> Function:
    @functools.wraps(original)
    def unscale(scaler: Any, optimizer: Any) -> Any:  # noqa: ANN401 - as torch has it
        if not here:
            return original(scaler, optimizer)
        _told(here).before_unscale(optimizer)
        result = original(scaler, optimizer)
        _told(here).after_unscale(optimizer)
        return result

    return unscale


def _wrapped_making(here: "_Here", original: Function) -> Function:
    @functools.wraps(original)
    def register_parameter(module: nn.Module, name: str, param: Any) -> Any:  # noqa: ANN401 - as torch has it
        result = original(module, name, param)
        if here and here.watch.trained.steps and param is not None:
            _told(here).parameter_made(module, name)
        return result

    return register_parameter
