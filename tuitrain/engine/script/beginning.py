"""The beginning with torch: what watches the script takes its place, before the script can use what it has imported."""

import atexit
import functools
import importlib
import os
from typing import Any

import msgspec

from tuitrain.engine.script.messages import Briefing
from tuitrain.engine.script.patches import install
from tuitrain.engine.script.watch import Watch
from tuitrain.engine.script.wire import Wire
from tuitrain.engine.tip import Tip


def begin_to_watch(briefing: str) -> None:
    """Watch this process from now on, as its host has it."""
    told = msgspec.json.decode(briefing, type=Briefing)
    watch = Watch(told, Wire(told.descriptor), fitting_tips(told.tips))
    add_checks(watch, told)
    install(watch)
    os.register_at_fork(after_in_child=watch.leave_to_parent, after_in_parent=watch.has_forked)
    atexit.register(watch.end)


def fitting_tips(where: str) -> list[type[Tip]]:
    """The tips that are found at "module:sequence"."""
    return list(_named(where)) if where else []


def add_checks(watch: Watch, told: Briefing) -> None:
    """Have a watch's training looked at by the checks that were handed in by name."""
    if told.checks:
        watch.observe(functools.partial(_named(told.checks), ignored=told.ignored))


def _named(where: str) -> Any:  # noqa: ANN401 - what was handed in
    """What stands at "module:name"."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
