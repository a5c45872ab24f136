"""The loss functions of torch, heard while a script evaluates, and only then: each wrapped so that it does what it did.

`nn.CrossEntropyLoss` and the like look them up at the call, so that they are heard, too. What is compiled is not.
"""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

HEARD = (
    *("cross_entropy", "nll_loss", "kl_div", "binary_cross_entropy", "binary_cross_entropy_with_logits"),
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "gaussian_nll_loss"),
    *("soft_margin_loss", "hinge_embedding_loss", "multi_margin_loss"),
    *("multilabel_margin_loss", "multilabel_soft_margin_loss"),
)
"""Functions of torch.nn.functional that take (input, target) and a reduction."""

Function = Callable[..., Tensor]
Hear = Callable[[str, Mapping[str, Any], Tensor], None]
"""Called with a function's name, its arguments by name, and what it returned; must raise nothing."""


class Losses:
    """Puts what hears loss functions in their place, and takes it out again."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._thread = threading.get_ident()
        self._listens = self._within = False
        self._originals: dict[str, Function] = {}
        self._wrapped: dict[str, Function] = {}
        self._sites: list[tuple[ModuleType, str]] = []
        self._modules = 0

    def listen(self) -> None:
        """Hear the functions from now on, wherever a module holds them by their names."""
        if self._listens:
            return
        self._find()
        for module, name in self._sites:
            setattr(module, name, self._wrapped[name])
        self._listens = True

    def leave(self) -> None:
        """Put the functions back where they were."""
        for module, name in self._sites if self._listens else ():
            if getattr(module, name, None) is self._wrapped[name]:
                setattr(module, name, self._originals[name])
        self._listens = False

    def _find(self) -> None:
        """Look for where the functions stand, if that may be other than it was."""
        present = {name: getattr(functional, name) for name in HEARD}
        if present == self._originals and len(sys.modules) == self._modules:
            return
        for name, function in present.items():
            if function is not self._originals.get(name):
                self._originals[name], self._wrapped[name] = function, self._wrap(name, function)
        self._modules = len(sys.modules)
        self._sites = [
            (module, name)
            for module in list(sys.modules.values())
            for held in [getattr(module, "__dict__", {})]
            for name, function in present.items()
            if held.get(name) is function
        ]

    def _wrap(self, name: str, original: Function) -> Function:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def loss(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - as torch has it
            if torch.compiler.is_compiling() or self._within or threading.get_ident() != self._thread:
                return original(*args, **kwargs)
            if torch.overrides.has_torch_function((*args, *kwargs.values())):
                with self._out_of_place():  # what stands in for it there knows it by its identity
                    return original(*args, **kwargs)
            self._within = True
            try:
                value = original(*args, **kwargs)
            finally:
                self._within = False
            if _is_computed(value):
                self._hear(name, signature.bind(*args, **kwargs).arguments, value)
            return value

        # What TorchScript, and the compiler, take in its place.
        vars(loss).update({"__script_if_tracing_wrapper": True, "__original_fn": original})
        return loss

    @contextmanager
    def _out_of_place(self) -> Iterator[None]:
        self.leave()
        try:
            yield
        finally:
            self.listen()


def _is_computed(value: Tensor) -> bool:
    """Whether a tensor has values: it is not traced, nor captured into a graph, nor one for many."""
    return (
        type(value) is Tensor
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        and not (value.is_cuda and torch.cuda.is_current_stream_capturing())
    )
