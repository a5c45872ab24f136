"""A script ends as it would without us: exit code, traceback, signals; and the journal says how."""

import os
from pathlib import Path

import pytest

from tests.engine.script.scripts import PROGRAMS, Outcome, arguments_of, bare, both, watched
from tuitrain.record.events import End, Status
from tuitrain.record.lease import owner_of

IN_ITS_OWN = ("exit 3", "at-once 4", "kill SIGINT", "plain")
"""What is shown in a Python of its own; the rest in a copy of one that has loaded torch."""


def both_of(program: str, directory: Path) -> tuple[Outcome, Outcome]:
    """What a program leaves behind without us, and with us."""
    if program.partition(" ")[2] in IN_ITS_OWN:
        return both(arguments_of(program), directory)
    return bare(program), watched(program, directory)


@pytest.mark.parametrize("place", ["plain", "backward", "clip", "dataset"])
def test_a_traceback_is_the_one_without_us(place: str, tmp_path: Path) -> None:
    plain, outcome = both_of(f"crash {place}", tmp_path)
    assert plain.returncode == outcome.returncode == 1
    assert "Traceback (most recent call last):" in plain.printed
    assert outcome.printed == plain.printed
    assert outcome.of(End)[0].reason == "failed"
    last = plain.printed[-1].strip()
    assert outcome.of(Status)[-1].message == f"crash.py exited with code 1; last line: {last}"


@pytest.mark.parametrize(
    ("how", "code", "reason", "message"),
    [
        ("none", 0, "finished", ""),
        ("exit 3", 3, "failed", "leave.py exited with code 3"),
        ("exit 0", 0, "finished", ""),
        ("sentence", 1, "failed", "leave.py exited with code 1"),
        ("at-once 4", 4, "failed", "leave.py exited with code 4"),
        ("kill SIGKILL", -9, "failed", "leave.py was killed by SIGKILL"),
        ("kill SIGSEGV", -11, "failed", "leave.py was killed by SIGSEGV"),
        ("kill SIGINT", -2, "stopped", "leave.py was ended by SIGINT"),
        ("kill SIGTERM", -15, "stopped", "leave.py was ended by SIGTERM"),
    ],
)
def test_a_script_leaves_with_its_own_code(how: str, code: int, reason: str, message: str, tmp_path: Path) -> None:
    plain, outcome = both_of(f"leave {how}", tmp_path)
    assert plain.returncode == outcome.returncode == code
    assert outcome.printed == plain.printed
    assert [end.reason for end in outcome.of(End)] == [reason]
    last = next((line.strip() for line in reversed(plain.printed) if line.strip()), "")
    shown = f"; last line: {last}" if last and "exited" in message else ""
    assert outcome.of(Status)[-1].message == message + shown
    assert owner_of(tmp_path) == "gone"


def test_processes_that_a_script_starts_are_its_own(tmp_path: Path) -> None:
    """Spawned and forked ones, with a pickled class of the script; none of them is observed."""
    plain, outcome = both(arguments_of("spawns"), tmp_path)
    assert plain.returncode == outcome.returncode == 0
    assert sorted(outcome.printed) == sorted(plain.printed)
    assert outcome.weights == plain.weights
    assert [step.executed for step in outcome.steps] == [1, 2, 3]
    assert len(outcome.of(End)) == 1
    assert outcome.log.decode().splitlines() == outcome.printed


def test_a_module_runs_as_with_python_m(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
    arguments = ["-m", "package", "-x", "y"]
    plain, outcome = both(arguments, tmp_path)
    assert plain.returncode == outcome.returncode == 0
    assert outcome.printed == plain.printed
    assert "__main__ package package.__main__ ['-x', 'y']" in plain.printed
    assert len(outcome.steps) == 4


def test_a_script_without_torch_is_not_given_it(tmp_path: Path) -> None:
    plain, outcome = both(arguments_of("plain"), tmp_path)
    assert plain.returncode == outcome.returncode == 5
    assert outcome.printed == plain.printed
    assert outcome.printed[0] == "False False"


def test_what_starts_us_is_gone_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's PYTHONPATH stands as it was, his sitecustomize is loaded."""
    (tmp_path / "sitecustomize.py").write_text("print('customised')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(PROGRAMS)]))
    arguments = [str(PROGRAMS / "leave.py"), "none"]
    plain, outcome = both(arguments, tmp_path / "run")
    assert outcome.printed == plain.printed
    assert plain.printed[0] == "customised"
    assert plain.printed[2] == "[]"
    assert len(outcome.steps) == 5


def test_what_cannot_be_begun_leaves_the_script_alone(tmp_path: Path) -> None:
    """Tips that cannot be imported: nothing is observed, the script trains, and stderr says why."""
    outcome = watched("vae", tmp_path, tips="no_such_module:TIPS")
    assert outcome.returncode == 0
    assert outcome.weights == bare("vae").weights
    assert not outcome.steps
    (why,) = [line for line in outcome.printed if line.startswith("tuitrain: this script cannot be watched")]
    assert "no_such_module" in why
