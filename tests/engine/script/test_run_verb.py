"""`tuitrain run` as a command: what it prints, its exit code, the signals that it passes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.script.scripts import arguments_of, bare

VERB = [sys.executable, "-m", "tuitrain", "run"]


@contextmanager
def started(home: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, begun, in a session of its own."""
    environment = os.environ | {"XDG_STATE_HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    process = subprocess.Popen(
        [*VERB, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, to its end."""
    with started(home, *arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def events(out: str) -> list[dict[str, Any]]:
    """What was printed, as JSON."""
    return [json.loads(line) for line in out.splitlines()]


def read_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """The lines up to the first that has a text in it."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text} was never printed: {lines}")


def test_lines_and_the_exit_code(tmp_path: Path) -> None:
    done = run(tmp_path, *arguments_of("leave exit 3"))
    assert (done.returncode, done.stderr) == (3, "")
    lines = done.stdout.splitlines()
    assert set(bare("leave exit 3").printed) < set(lines)
    assert lines[-1] == "failed after 5 steps"


def test_json_and_commands_on_the_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--at", "2", "lr=0.5", "--at", "3", "overfit=on", *arguments_of("vae"))
    assert done.returncode == 0
    said = events(done.stdout)
    assert [event["lr"] for event in said if event["event"] == "step"][:4] == [0.001, 0.001, 0.5, 0.5]
    assert said[-1]["event"] == "end"


def test_options_behind_the_script_are_its_own(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", *arguments_of("classifier --epochs 1"))
    assert done.returncode == 0
    assert sum(event["event"] == "step" for event in events(done.stdout)) == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_ends_both(number: signal.Signals, tmp_path: Path) -> None:
    """As a script ends that python runs: by the same signal, its own finally blocks run where they would."""
    with started(tmp_path, *arguments_of("live plain")) as process:
        read_until(process, "step 1 ")
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == -number
    assert err == ""
    assert ("tidied up" in out) == (number == signal.SIGINT)
    assert ("KeyboardInterrupt" in out) == (number == signal.SIGINT)


def test_a_handler_of_the_scripts_own_is_called(tmp_path: Path) -> None:
    with started(tmp_path, *arguments_of("live handler")) as process:
        read_until(process, "step 1 ")
        process.send_signal(signal.SIGUSR1)
        read_until(process, "told SIGUSR1")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(("arguments", "sentence"), [([], "needs a script"), (["nowhere.py"], "no script nowhere.py")])
def test_what_is_no_script_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_progress_bars_are_a_line_each(tmp_path: Path) -> None:
    """Of one below the other, too; colours and other sequences are none of the text."""
    script = tmp_path / "bars.py"
    script.write_text(
        'print("\\x1b[32mbegins\\x1b[0m")\n'
        "for percent in range(100):\n"
        '    print(f"\\repochs {percent} %\\n\\rbatches {percent} %\\x1b[A", end="", flush=True)\n'
        'print("\\n\\ndone")\n'
    )
    done = run(tmp_path, "--json", str(script))
    printed = [event["text"] for event in events(done.stdout) if event.get("stream") == "stdout"]
    assert (done.returncode, printed) == (0, ["begins", "epochs 99 %", "batches 99 %", "done"])


def test_the_run_is_one_as_all_others(tmp_path: Path) -> None:
    """`tuitrain ls`, `tuitrain logs` and `tuitrain stop` know it; `tuitrain resume` says what to do instead."""
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    def called(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tuitrain", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    def tuitrain(*arguments: str) -> str:
        done = called(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    with started(tmp_path, *arguments_of("live plain")) as process:
        read_until(process, "step 1 ")
        (listed,) = [json.loads(line) for line in tuitrain("ls", "--json").splitlines()]
        assert (listed["name"].partition("-")[0], listed["state"]) == ("live", "running")
        assert listed["total_steps"] is None
        tuitrain("stop", listed["name"])
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "tidied up" in out
    assert "tidied up" in tuitrain("logs", listed["name"])
    (sentence,) = (resumed := called("resume", listed["name"])).stderr.splitlines()
    assert resumed.returncode == 2
    assert "start it anew" in sentence
    (checkpoint,) = tmp_path.rglob("step-*.pt")
    assert str(checkpoint) in sentence
