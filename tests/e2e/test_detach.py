"""Runs in a process of their own: started, listed, watched from several terminals at once, stopped, killed."""

import json
import os
import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import psutil

from tests.e2e.detached import detached, opened_by, say
from tests.e2e.shim import Gate, first_of_all
from tests.e2e.terminal import ROOT, TIMEOUT_S, environment, tuitrain
from tests.e2e.test_start import HOLD_TORCH_UP
from tests.e2e.watched import ENDLESS
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL
from tuitrain.verbs.raw_log import LOG

RUN = ("unregistered", *ENDLESS, "--batch-size", "8")


def test_it_trains_on_its_own_and_several_terminals_watch_and_steer_it(tmp_path: Path) -> None:
    with detached(tmp_path, *RUN) as run:
        assert run.launched.out == f"{run.name}\n"
        assert f"tuitrain watch {run.name}" in run.launched.err
        assert "It trains: step " in run.launched.err
        assert os.getsid(run.pid) == run.pid != os.getsid(0)
        log = str(run.directory / LOG)
        assert opened_by(run.pid) == [os.devnull, log, log]
        listed = json.loads(say(tmp_path, "ls", "--json").out)
        assert (listed["name"], listed["state"]) == (run.name, "running")

        with run.viewer() as one, run.viewer(run.name) as other, run.viewer("--read-only") as reader:
            one.wait_for("● TRAIN", "q leave, the run goes on", "○ some")
            assert "libtorch" not in Path(f"/proc/{one.process.pid}/maps").read_text()
            other.wait_for("○ some")
            reader.wait_for("READ-ONLY  ? help", "○ some")

            one.press("c")
            for terminal in (one, other, reader):
                terminal.wait_until(lambda: bool(re.search(r"Clip to 1\.0 +○ off", terminal.text)), "clip off")  # noqa: B023
            (applied,) = run.view.changes
            assert (applied.word, applied.value) == ("clip", False)
            assert applied.by.endswith(f"({one.process.pid})")
            other.wait_for(f"clip off, by {applied.by}")
            assert not one.shows(f"by {applied.by}")

            reader.press("c")
            reader.wait_for("This screen is read-only")
            other.press("e")
            one.wait_until(lambda: len(run.view.changes) == 2, "the other's key")
            assert [change.word for change in run.view.changes] == ["clip", "eval"]

            for terminal, key in ((one, "q"), (reader, "ctrl+c")):
                terminal.press(key)
                assert terminal.wait_end() == 0
                assert terminal.unrestored() == []
            before = run.executed
            other.wait_until(lambda: run.executed > before, "the run to go on")

            stopped = say(tmp_path, "stop", run.name)
            assert (stopped.code, stopped.err) == (0, "")
            saved, ended = stopped.out.splitlines()
            assert saved.startswith("checkpoint ")
            end = run.view.end
            assert end is not None
            assert ended.startswith(f"{run.name}: stopped after {end.steps:,} steps")
            assert run.view.changes[-1].by.startswith("tuitrain stop (")
            other.wait_for("○ STOPPED", "q leaves", "stop, by tuitrain stop")
            other.press("q")
            assert other.wait_end() == 0
        psutil.wait_procs([psutil.Process(run.pid)] if psutil.pid_exists(run.pid) else [], TIMEOUT_S)
        again = say(tmp_path, "stop", run.name)
        assert again.code == 0
        assert "nothing to stop" in again.err


def test_what_cannot_start_is_one_sentence_to_who_waits(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    launched = say(tmp_path, "mnist", "--detach", "--threads", "1", "--data-dir", str(nothing))
    assert launched.code == 2
    sentence = launched.err.splitlines()[-1]
    assert sentence.startswith("tuitrain: ")
    assert str(nothing) in sentence
    assert "Traceback" not in launched.err
    (journal,) = tmp_path.rglob(JOURNAL)
    assert launched.out == f"{journal.parent.name}\n"


def test_who_waits_may_be_interrupted_and_the_run_goes_on(tmp_path: Path) -> None:
    with closing(Gate(tmp_path / "gate")) as gate:
        asked = tmp_path / "asked"
        shim = first_of_all(tmp_path / "shim", HOLD_TORCH_UP.format(asked=str(asked), gate=str(gate.path)))
        command = tuitrain("mnist", "--threads", "1", "--steps", "3", "--detach", "--json")
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(tmp_path) | shim,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as launching:
            assert launching.stdout is not None
            begun = json.loads(launching.stdout.readline())
            host = psutil.Process(begun["pid"])
            launching.send_signal(signal.SIGINT)
            _, err = launching.communicate(timeout=TIMEOUT_S)
        assert launching.returncode == 130
        assert "the run goes on" in err
        assert "Traceback" not in err
        gate.open()
        host.wait(TIMEOUT_S)
    with closing(Reader(Path(begun["directory"]) / JOURNAL)) as reader:
        last = reader.last_step()
    assert last is not None
    assert last.step == 3
    assert json.loads(say(tmp_path, "ls", "--json").out)["state"] == "finished"


def test_a_killed_run_is_resumed_under_the_eyes_of_its_viewer(tmp_path: Path) -> None:
    with detached(tmp_path, *RUN) as run, run.viewer() as viewer:
        viewer.wait_for("○ some")
        viewer.press("c")
        viewer.wait_until(lambda: bool(run.view.changes), "clip off")
        viewer.press("w")
        viewer.wait_until(lambda: run.view.checkpoint is not None, "a checkpoint")
        saved = run.view.checkpoint
        assert saved is not None
        run.kill()
        viewer.wait_for("✗ DIED at step ", f"last checkpoint step {saved.step:,}")
        before = run.pid
        resumed = say(tmp_path, "resume", run.name, "--detach")
        assert (resumed.code, resumed.out) == (0, f"{run.name}\n")
        assert "Loading the data" in resumed.err  # not satisfied with the steps that were there before
        assert "It trains: step " in resumed.err
        assert run.pid != before
        viewer.wait_for("● TRAIN", f"Resumed at step {saved.step:,}", "q leave, the run goes on")
        viewer.wait_until(lambda: bool(re.search(r"Clip to 1\.0 +○ off", viewer.text)), "the switch as it was")
        viewer.press("e")
        viewer.wait_until(lambda: bool(run.view.changes) and run.view.changes[-1].word == "eval", "a key")
        refused = say(tmp_path, "resume", run.name)
        assert refused.code == 2
        assert f"trained by process {run.pid}" in refused.err


def test_a_run_that_is_killed_has_died_at_its_last_step_wherever_one_looks(tmp_path: Path) -> None:
    with detached(tmp_path, *RUN) as run, run.viewer() as viewer:
        viewer.wait_for("○ some", "it/s")
        run.kill()
        last = run.view.last_step
        assert last is not None
        died = f"died at step {last.step:,}"
        viewer.wait_for(f"✗ DIED at step {last.step:,}", "no checkpoint", "q leaves", "— it/s")
        assert not viewer.shows("ETA")
        viewer.press("c")
        viewer.wait_for("The run has died")
        (listed,) = say(tmp_path, "ls").out.splitlines()[1:]
        assert re.search(rf"{run.name} +{died} ", listed)
        logged = say(tmp_path, "logs", run.name)
        assert logged.code == 0
        assert died in logged.err
        watched = say(tmp_path, "watch", run.name)  # no terminal: as lines
        assert watched.code == 1
        assert "unregistered: PlainListNet, " in watched.out
        assert died in watched.err
        nothing_left = say(tmp_path, "stop", run.name)
        assert nothing_left.code == 1
        assert died in nothing_left.err
        viewer.press("q")
        assert viewer.wait_end() == 0
        assert viewer.unrestored() == []
