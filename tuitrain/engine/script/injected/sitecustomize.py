"""What a watched script's interpreter loads before the script: the watch begins, and leaves the environment clean.

It stands in the way of a sitecustomize of the user's own, which is therefore loaded from here.
"""

import importlib
import importlib.util
import os
import sys


def _make_way() -> None:
    """Take this directory off the path again, so that the user's own sitecustomize is found, by children too."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    before = os.environ.pop("TUITRAIN_PYTHONPATH", None)
    if before is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = before


def _begin() -> None:
    """Begin to watch; what fails here is said by the interpreter, and the script runs all the same."""
    if importlib.util.find_spec("tuitrain") is not None:
        importlib.import_module("tuitrain.engine.script.child").begin()
        return
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4)))
    try:
        importlib.import_module("tuitrain.engine.script.child").begin()
    finally:
        sys.path.pop()


def _load_the_users_own() -> None:
    ours = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
        sys.modules[__name__] = ours


if "TUITRAIN_SCRIPT" in os.environ or "TUITRAIN_COUNT" in os.environ:
    _make_way()
    try:
        _begin()
    finally:
        _load_the_users_own()
