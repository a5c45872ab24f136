"""`tuitrain ls`: the runs there are, one a line."""

from collections.abc import Iterable, Sequence

import msgspec

from tuitrain.record.runs import RunSummary

TITLES = ("RUN", "STATE", "STEP", "STARTED", "LOSS")
RIGHT = ("STEP", "LOSS")
"""Columns of numbers."""
GAP = "  "

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def json_lines(runs: Iterable[RunSummary]) -> list[str]:
    """Each run as a JSON object; a loss that is no number is null there."""
    return [msgspec.json.encode(run._asdict()).decode() for run in runs]


def table_lines(runs: Sequence[RunSummary], now_unix_s: float) -> list[str]:
    """The runs as a table with a title over each column."""
    rows = [TITLES, *(_row(run, now_unix_s) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [GAP.join(map(_padded, row, widths, TITLES)).rstrip() for row in rows]


def ago(seconds: float) -> str:
    """How long ago that was, in the largest unit of which one has passed."""
    for unit_s, name in _UNITS:
        if seconds >= unit_s:
            return f"{int(seconds / unit_s)} {name} ago"
    return f"{max(0, int(seconds))} s ago"


def _row(run: RunSummary, now_unix_s: float) -> tuple[str, ...]:
    total = "" if run.total_steps is None else f" of {run.total_steps:,}"
    loss = "" if run.last_loss is None else f"{run.last_loss:.4g}"
    return run.name, run.state, f"{run.steps:,}{total}", ago(now_unix_s - run.started_unix_s), loss


def _padded(cell: str, width: int, title: str) -> str:
    return cell.rjust(width) if title in RIGHT else cell.ljust(width)
