"""Processes that begin at once: forked from one that has imported what they need, which is all but torch."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.detached import Said
from tests.e2e.terminal import TIMEOUT_S
from tuitrain.cli import main

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.e2e.producing", "tests.e2e.forked"])


def say_at_once(home: Path, *words: str) -> Said:
    """What `tuitrain` with these words says, without a terminal, as `say` gives it but sooner."""
    out, err = home / "out", home / "err"
    process = FORKED.Process(target=_run, args=(home, words, out, err))
    process.start()
    process.join(TIMEOUT_S)
    code = process.exitcode
    assert code is not None, f"{words} did not end"
    return Said(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def _run(home: Path, words: Sequence[str], out: Path, err: Path) -> None:
    os.environ["XDG_STATE_HOME"] = str(home / "state")
    for path, descriptor in ((Path(os.devnull), 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv[:] = ["tuitrain", *words]
    main()
