"""Our place in torch: a few functions that every training loop calls, each wrapped so that it does what it did.

All is put in before the script's own imports, so that `from torch.nn.utils import clip_grad_norm_` gets the wrapped
one. Nothing here hooks into a forward pass: a compiled model keeps its graph.
"""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data.dataloader import _BaseDataLoaderIter

from tuitrain.engine.script import batches
from tuitrain.engine.script.functions import wrapped_functions, wrapped_methods

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

Function = Callable[..., Any]
Undo = Callable[[], None]


def install(watch: "Watch") -> Undo:
    """Wrap what is observed, on the thread whose calls are; what is returned puts torch back as it was.

    For one watch at a time in a process.
    """
    here = _Here(watch)
    scaler, undo = torch.amp.GradScaler, contextlib.ExitStack()
    undo.callback(register_optimizer_step_pre_hook(functools.partial(_before_step, here)).remove)
    undo.callback(register_optimizer_step_post_hook(functools.partial(_after_step, here)).remove)
    _replace(torch.autograd, "backward", functools.partial(_wrapped_backward, here), undo)
    _replace_everywhere("clip_grad_norm_", clip_grad_norm_, _wrapped_clip_by_norm(here, clip_grad_norm_), undo)
    _replace_everywhere("clip_grad_value_", clip_grad_value_, _wrapped_clip_by_value(here, clip_grad_value_), undo)
    _replace(scaler, "scale", functools.partial(_wrapped_scale, here), undo)
    _replace(scaler, "step", functools.partial(_wrapped_scaler_step, here), undo)
    _replace(_BaseDataLoaderIter, "__next__", functools.partial(_wrapped_next, here), undo)
    batches.next_batch = functools.partial(_next_batch, here)
    undo.callback(setattr, batches, "next_batch", None)
    for each in wrapped_functions(here):
        _replace_everywhere(*each, undo)
    for owner, name, wrap in wrapped_methods(here):
        _replace(owner, name, wrap, undo)
    return undo.close


class _Here:
    """Whether a call is to be observed: on the main thread of the script's own process, and not while compiling."""

    def __init__(self, watch: "Watch") -> None:
        self.watch = watch
        self.depth = 0
        """Backward passes under way, one within another."""
        self.fetching = False
        """Whether a batch is being made: what it is made of is not observed as batches of its own."""
        self._thread = threading.get_ident()

    def __bool__(self) -> bool:
        return self.watch.on and not torch.compiler.is_compiling() and threading.get_ident() == self._thread


def _before_step(here: _Here, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ANN401 - as torch calls it
    if here:  # of args the first is the optimizer
        here.watch.before_step(optimizer, by_closure=callable(kwargs.get("closure", (*args, None)[1])))


def _after_step(here: _Here, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ANN401 - as torch calls it
    if here:
        here.watch.after_step(optimizer)


def _wrapped_backward(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as torch has it
        if not here or here.depth:  # one within another recomputes a part of a checkpointed model
            return original(tensors, *args, **kwargs)
        here.watch.before_backward(tensors)
        here.depth += 1
        try:
            result = original(tensors, *args, **kwargs)
        finally:
            here.depth -= 1
        here.watch.after_backward()
        return result

    return backward


def _wrapped_clip_by_norm(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def clip_by_norm(parameters: Any, max_norm: Any, norm_type: Any = 2.0, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not here:
            return original(parameters, max_norm, norm_type, *args, **kwargs)
        listed, parameters = _listed(parameters)
        here.watch.observers.before_clip(listed, max_norm, by_value=False)
        norms = here.watch.clip_instead(listed)
        if norms is not None:
            here.watch.observers.after_clip(listed)
            return norms.before
        norm = original(parameters, max_norm, norm_type, *args, **kwargs)
        here.watch.observers.after_clip(listed)
        here.watch.clipped_by_norm(listed, norm, max_norm, norm_type)
        return norm

    return clip_by_norm


def _wrapped_clip_by_value(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def clip_by_value(parameters: Any, clip_value: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not here:
            return original(parameters, clip_value, *args, **kwargs)
        listed, parameters = _listed(parameters)
        here.watch.observers.before_clip(listed, clip_value, by_value=True)
        if here.watch.clip_instead(listed) is not None:
            here.watch.observers.after_clip(listed)
            return None
        before = here.watch.norm_before_clamping(listed)
        result = original(parameters, clip_value, *args, **kwargs)
        here.watch.observers.after_clip(listed)
        here.watch.clipped_by_value(listed, before, clip_value)
        return result

    return clip_by_value


def _wrapped_scale(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def scale(scaler: Any, outputs: Any) -> Any:  # noqa: ANN401 - as torch has it
        scaled = original(scaler, outputs)
        if here and isinstance(outputs, Tensor) and scaled is not outputs:
            here.watch.scaled(scaled, outputs)
        return scaled

    return scale


def _wrapped_scaler_step(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as torch has it
        if not here:
            return original(scaler, optimizer, *args, **kwargs)
        steps = here.watch.trained.steps
        result = original(scaler, optimizer, *args, **kwargs)
        if here.watch.trained.steps == steps:
            here.watch.skipped()
        return result

    return step


def _wrapped_next(here: _Here, original: Function) -> Function:
    @functools.wraps(original)
    def next_batch(iterator: Any) -> Any:  # noqa: ANN401 - an iterator of a DataLoader, and a batch
        return _next_batch(here, iterator, original)

    return next_batch


def _next_batch(here: _Here, iterator: Any, original: Function) -> Any:  # noqa: ANN401
    """What the script gets as an iterator's next batch; `original` fetches it."""
    if not here or here.fetching:
        return original(iterator)
    if not torch.is_grad_enabled() or here.watch.loading.only_evaluates(iterator):
        return _next_to_evaluate(here, iterator, original)
    held = here.watch.before_batch(iterator)
    if held is not None:
        return held.batch
    began_s = time.perf_counter()
    try:
        batch = _fetched(here, iterator, original)
    except StopIteration:
        here.watch.no_more_batches(iterator)
        raise
    return here.watch.after_batch(iterator, batch, time.perf_counter() - began_s)


def _next_to_evaluate(here: _Here, iterator: Any, original: Function) -> Any:  # noqa: ANN401
    here.watch.before_evaluation()
    try:
        batch = _fetched(here, iterator, original)
    except StopIteration:
        here.watch.evaluation_ended()
        raise
    return here.watch.evaluates(iterator, batch)


def _fetched(here: _Here, iterator: Any, original: Function) -> Any:  # noqa: ANN401
    observers, grad = here.watch.observers, torch.is_grad_enabled()
    observers.asked(iterator, grad=grad)
    here.fetching = True
    try:
        batch = original(iterator)
    except StopIteration:
        observers.pass_ended(iterator, grad=grad)
        raise
    finally:
        here.fetching = False
    observers.batch(iterator, batch, grad=grad)
    return batch


def _listed(parameters: Any) -> tuple[list[Tensor], Any]:  # noqa: ANN401 - what torch's clipping takes
    """The parameters as a list, and as what can still be handed on: a generator gives them only once."""
    if isinstance(parameters, Tensor):
        return [parameters], parameters
    listed = list(parameters)
    return listed, listed or (parameter for parameter in listed)


def _replace(owner: Any, name: str, wrap: Callable[[Function], Function], undo: contextlib.ExitStack) -> None:  # noqa: ANN401
    """Wrap one function of a module or a class."""
    original = vars(owner)[name]
    setattr(owner, name, wrap(original))
    undo.callback(setattr, owner, name, original)


def _replace_everywhere(name: str, original: Function, wrapped: Function, undo: contextlib.ExitStack) -> None:
    """Wrap a function in every module that has it; undone, in every module that has it by then."""
    _put_everywhere(name, original, wrapped)
    undo.callback(_put_everywhere, name, wrapped, original)


def _put_everywhere(name: str, old: Function, new: Function) -> None:
    """Put a function in the place of another in every module that has it, ours excepted."""
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", {})
        if held.get(name) is old and not held.get("__name__", "").startswith("tuitrain."):
            setattr(module, name, new)
