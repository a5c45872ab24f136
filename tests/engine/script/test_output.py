"""What a script prints: lines in order, and a progress bar as what still changes, not as a line for each state."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tuitrain.engine.script import output
from tuitrain.engine.script.output import LOG, Output


@pytest.fixture(params=[0, 50], ids=["pipe", "terminal"])
def columns(request: pytest.FixtureRequest) -> int:
    """How wide a terminal the script finds."""
    value: int = request.param
    return value


class Printed:
    """What came out at the reading end, and the end that a script writes to."""

    def __init__(self, directory: Path, columns: int) -> None:
        self.lines: list[str] = []
        self.begun: list[str] = []
        self.output = Output(
            directory, lambda stream, text: self.lines.append(text), self.begun.append, columns=columns
        )

    def settle_until(self, condition: Callable[[], bool]) -> None:
        """Read and settle, as the host does, for as long as it takes."""
        while not condition():
            self.output.read()
            self.output.settle()


@pytest.fixture
def printed(tmp_path: Path, columns: int) -> Printed:
    """An output."""
    return Printed(tmp_path, columns)


def test_bars_change_and_lines_stay(
    printed: Printed, tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "SAY_BEGUN_S", 0.0)
    with printed.output.for_script() as end:
        os.write(end, b"\x1b[32mbegins\x1b[0m\n")
        printed.settle_until(lambda: printed.lines == ["begins"])
        for percent in range(3):
            os.write(end, b"\repochs %d %%\n\rbatches %d\x1b[A" % (percent, percent))
            printed.settle_until(lambda: printed.begun[-1:] == [f"epochs {percent} %\nbatches {percent}"])  # noqa: B023
        assert printed.lines == ["begins"]
        assert os.isatty(end) == bool(columns)
        assert not columns or os.get_terminal_size(end).columns == columns
    while printed.output.read():
        pass
    printed.output.close()
    assert printed.lines == ["begins", "epochs 2 %", "batches 2"]
    assert printed.begun[-1] == ""
    assert (tmp_path / LOG).read_bytes().startswith(b"\x1b[32mbegins\x1b[0m\n\repochs 0 %\n")


def test_a_bar_is_said_a_few_times_a_second_at_most(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr("tuitrain.engine.script.output.time.monotonic", lambda: next(clock) * output.SAY_BEGUN_S / 10)
    with printed.output.for_script() as end:
        for percent in range(200):
            os.write(end, b"\r%d" % percent)
            printed.output.read()
            printed.output.settle()
        printed.settle_until(lambda: printed.begun[-1:] == ["199"])
    assert 10 <= len(printed.begun) <= 25
    printed.output.close()
    assert printed.lines == ["199"]
