"""A call right after a module was imported for the first time, by whomever."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(name: str, then: Callable[[], None]) -> None:
    """Call `then` as soon as the module `name` was imported, before anyone can use it; at once if that is so."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Awaiting(name, then))


class _Awaiting:
    """A finder that finds one module as the others do, and has it report that it was loaded."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then
        self._looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders behind this one find."""
        if name != self._name or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            self._report_loading(spec)
        return spec

    def _report_loading(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        load = getattr(loader, "exec_module", None)
        if load is None:
            return

        def load_and_report(module: ModuleType) -> None:
            try:
                load(module)
            finally:
                del loader.exec_module  # type: ignore[union-attr]  # this function: the class has its own
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self._then()

        loader.exec_module = load_and_report  # type: ignore[union-attr, method-assign]
