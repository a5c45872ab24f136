"""The table of runs: aligned, with ages that a person reads at a glance."""

import json

import pytest

from tuitrain.record.runs import RunSummary
from tuitrain.verbs.ls import ago, json_lines, table_lines

NOW_S = 1_000_000.0
RUNS = [
    RunSummary("mnist-1124-090306", "running", 1204, 2814, 0.03124, NOW_S - 200),
    RunSummary("b", "died at step 99", 99, None, None, NOW_S - 7300),
]


def test_the_table_is_aligned() -> None:
    assert table_lines(RUNS, NOW_S) == [
        "RUN                STATE                      STEP  STARTED       LOSS",
        "mnist-1124-090306  running          1,204 of 2,814  3 min ago  0.03124",
        "b                  died at step 99              99  2 h ago",
    ]


def test_as_json_nothing_is_lost() -> None:
    assert [RunSummary(**json.loads(line)) for line in json_lines(RUNS)] == RUNS


def test_as_json_a_loss_that_is_no_number_is_null() -> None:
    (line,) = json_lines([RUNS[0]._replace(last_loss=float("nan"))])
    assert json.loads(line, parse_constant=pytest.fail)["last_loss"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "0 s ago"),
        (0.9, "0 s ago"),
        (59.9, "59 s ago"),
        (60.0, "1 min ago"),
        (3599.0, "59 min ago"),
        (3600.0, "1 h ago"),
        (86399.0, "23 h ago"),
        (86400.0, "1 d ago"),
        (8640000.0, "100 d ago"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert ago(seconds) == text
