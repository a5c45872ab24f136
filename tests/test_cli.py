"""The command line: bad input in this process, whole runs as a person starts them."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pytest
import torch
from click.testing import CliRunner, Result

from tuitrain.cli import tuitrain
from tuitrain.record.commands import WORDS
from tuitrain.record.events import Checkpoint, End, LogLine, Run, Status
from tuitrain.record.journal import News, Reader
from tuitrain.record.runs import JOURNAL, list_runs

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120
VERBS = ("bench", "check", "explain", "logs", "ls", "resume", "rules", "run", "stop", "watch")
PRESETS = ("blind", "chars", "exploding", "mnist", "modes", "sorted", "unregistered", "unscaled")


def journal_of(directory: Path) -> News:
    """Everything that the only run recorded below `directory` said."""
    (path,) = directory.rglob(JOURNAL)
    with closing(Reader(path)) as reader:
        return reader.poll()


def end_of(directory: Path) -> End:
    """How the only run recorded below `directory` ended."""
    last = journal_of(directory).events[-1]
    assert isinstance(last, End)
    return last


# ---------------------------------------------------------------------- in this process


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of its own; signal handlers and threads are put back afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TUITRAIN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield tmp_path / "state"
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_here(*words: str) -> Result:
    """`tuitrain` with these words; no screen where a terminal runs the tests."""
    return CliRunner().invoke(tuitrain, list(words), prog_name="tuitrain", env={"TERM": "dumb"})


def refused(*words: str) -> str:
    """The one sentence with which these words are turned down."""
    result = run_here(*words)
    assert result.exit_code == 2, result.output
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("tuitrain: ")
    assert sentence[-1] in ".?"
    assert "Traceback" not in result.output
    return sentence.removeprefix("tuitrain: ")


def test_help_lists_presets_and_verbs() -> None:
    result = run_here("--help")
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line]
    assert listed == [*PRESETS, *VERBS]
    assert run_here().stdout == run_here("-h").stdout == result.stdout
    assert run_here().exit_code == 0


def test_the_help_of_a_preset_says_what_to_look_for_and_what_can_be_changed() -> None:
    result = run_here("unscaled", "--help")
    assert result.exit_code == 0
    assert "Press n" in " ".join(result.stdout.split())
    for option in ("--epochs", "--steps", "--lr", "--device", "--data-dir", "--headless", "--json", "--at"):
        assert option in result.stdout
    assert all(word in result.stdout for word in WORDS)


def test_the_version() -> None:
    assert run_here("--version").stdout.startswith("tuitrain, version ")


def test_without_any_run_ls_says_so(state: Path) -> None:
    result = run_here("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No run is recorded yet" in result.stderr
    assert not state.exists()  # looking leaves nothing behind


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["mnits"], ["'mnits'", "Did you mean mnist?", *PRESETS]),
        (["there/train.py"], ["there/train.py is no preset", "tuitrain run there/train.py"]),
        (["run"], ["needs a script", "tuitrain run train.py"]),
        (["run", "nowhere.py", "--lr", "1"], ["no script nowhere.py"]),
        (["--bogus"], ["'--bogus'", "tuitrain --help"]),
        (["mnist", "--bogus"], ["'--bogus'", "tuitrain mnist --help"]),
        (["mnist", "--epoch", "1"], ["'--epoch'", "Did you mean", "'--epochs'"]),
        (["mnist", "extra"], ["extra", "tuitrain mnist --help"]),
        (["ls", "extra"], ["extra", "tuitrain ls --help"]),
        (["mnist", "--lr"], ["'--lr' requires an argument"]),
        (["mnist", "--epochs", "0"], ["'--epochs'", "'0'", "at least 1"]),
        (["mnist", "--epochs", "many"], ["'--epochs'", "'many'", "whole number"]),
        (["mnist", "--epochs", str(10**30)], ["'--epochs'", "is more than"]),
        (["mnist", "--steps", "-1"], ["'--steps'", "'-1'", "at least 0"]),
        (["mnist", "--batch-size", "1.5"], ["'--batch-size'", "'1.5'", "whole number"]),
        (["mnist", "--seed", str(2**63)], ["'--seed'", "is more than"]),
        (["mnist", "--threads", "9999999"], ["'--threads'", "is more than 1,024"]),
        (["mnist", "--lr", "-1"], ["'--lr'", "'-1'", "above 0"]),
        (["mnist", "--lr", "0"], ["'--lr'", "'0'", "above 0"]),
        (["mnist", "--lr", "nan"], ["'--lr'", "'nan'", "above 0"]),
        (["mnist", "--lr", "inf"], ["'--lr'", "'inf'", "above 0"]),
        (["mnist", "--max-norm", "nan"], ["'--max-norm'", "'nan'", "above 0"]),
        (["mnist", "--at", "5"], ["'--at' requires 2 arguments"]),
        (["mnist", "--at", "soon", "overfit=on"], ["'--at'", "'soon'", "whole number"]),
        (["mnist", "--at", "5", "bogus=on"], ["'bogus=on'", *WORDS]),
        (["mnist", "--at", "5", "overfit"], ["'overfit'", "= and a value"]),
        (["mnist", "--at", "5", "overfit=maybe"], ["overfit=maybe", "on, off, keep"]),
        (["mnist", "--at", "5", "lr=-1"], ["lr=-1", "above 0"]),
        (["mnist", "--at", "5", "clip_by=size"], ["clip_by=size", "norm, value"]),
        (["missing.toml"], ["missing.toml", "cannot be read"]),
        (["mnist", "--checkpoint-every", "0"], ["'--checkpoint-every'", "at least 1"]),
        (["mnist", "--keep-checkpoints", "none"], ["'--keep-checkpoints'", "whole number"]),
        (["watch"], ["No run is live", "tuitrain ls"]),
        (["watch", "mnist-1"], ["'mnist-1'", "tuitrain ls"]),
        (["stop"], ["'RUN'", "tuitrain stop --help"]),
        (["stop", "mnist-1"], ["'mnist-1'", "tuitrain ls"]),
        (["stop", "mnist-1", "--timeout", "0"], ["'--timeout'", "above 0"]),
        (["logs", "mnist-1"], ["'mnist-1'", "tuitrain ls"]),
        (["resume", "mnist-1"], ["'mnist-1'", "tuitrain ls"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_one_sentence(state: Path, words: list[str], named: list[str]) -> None:
    sentence = refused(*words)
    assert all(name in sentence for name in named), sentence
    assert not state.exists()  # turned down before a run was recorded


def preset_file(directory: Path, text: str) -> Path:
    """A preset that says `text` after its title."""
    path = directory / "mine.toml"
    path.write_text(f'title = "Mine"\n{text}\n')
    return path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[train]\nepoch = 3", ["unknown key train.epoch", "did you mean epochs?", "epochs, seed"]),
        ("[trian]\nepochs = 3", ["unknown key trian", "did you mean train?", "data, model, optimizer"]),
        ('[train]\nepochs = "three"', ["train.epochs", "int", "str"]),
        ('[optimizer]\nname = "adamm"', ["optimizer.name", "sgd, adam, adamw, adadelta"]),
        ("[optimizer]\nlr = 0", ["optimizer.lr", "above 0"]),
        ("[train", ["not valid TOML"]),
    ],
)
def test_a_preset_file_that_is_wrong_is_named_with_the_key_and_what_is_allowed(
    tmp_path: Path, state: Path, text: str, named: list[str]
) -> None:
    path = preset_file(tmp_path, text)
    sentence = refused(str(path))
    assert all(name in sentence for name in [str(path), *named]), sentence
    assert not state.exists()


@pytest.mark.parametrize(
    ("text", "words", "named"),
    [
        ('[model]\nname = "cnnn"', [], ["model.name", "'cnnn'", "cnn, mlp"]),
        ('[data]\nname = "mnits"', [], ["data.name", "'mnits'", "mnist, mnist-"]),
        ('[model]\nname = "mlp"\noptions = { depth = 3 }', [], ["model.options.depth", "mlp", "in_channels"]),
        ('[optimizer]\nname = "adamw"\nmomentum = 0.9', [], ["optimizer.momentum", "adamw"]),
        ("", ["--device", "warp"], ["--device warp", "auto, cpu"]),
        ("", ["--device", "cuda:99"], ["--device cuda:99", "not there", "cpu"]),
        ("", ["--data-dir", "/nonexistent"], ["/nonexistent", "train-images-idx3-ubyte", "--full"]),
    ],
    ids=["model", "data", "model option", "optimizer option", "no such device", "device not there", "data not there"],
)
def test_what_turns_out_to_be_impossible_ends_the_run_with_one_sentence(
    tmp_path: Path, state: Path, text: str, words: list[str], named: list[str]
) -> None:
    sentence = refused(str(preset_file(tmp_path, text)), "--headless", *words)
    assert all(name in sentence for name in named), sentence
    end = end_of(state)
    assert (end.reason, end.steps, end.weights_sha256) == ("bad input", 0, None)


@pytest.mark.parametrize(
    "content",
    [b"", b"not an IDX file", struct.pack(">iiii", 2051, 60000, 28, 28) + bytes(99)],
    ids=["empty", "something else", "cut short"],
)
def test_damaged_data_are_named(tmp_path: Path, state: Path, content: bytes) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{stem}-ubyte").write_bytes(content)
    assert "-ubyte" in refused("mnist", "--headless", "--data-dir", str(tmp_path))
    assert end_of(state).reason == "bad input"


def test_a_state_directory_that_cannot_be_written_is_told_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    state.write_text("a file where the directory should be")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    result = run_here("mnist", "--headless", "--steps", "3", "--threads", "1")
    assert result.exit_code == 0
    assert result.stderr == ""
    told = next(line for line in result.stdout.splitlines() if "cannot be written" in line)
    assert str(state) in told
    assert "XDG_STATE_HOME" in told
    assert str(elsewhere) in told
    assert (end_of(elsewhere).steps, end_of(elsewhere).reason) == (3, "steps")
    assert state.read_text().startswith("a file")


def test_an_exception_inside_the_model_ends_the_run_as_failed_with_its_traceback(tmp_path: Path, state: Path) -> None:
    preset = preset_file(tmp_path, '[model]\nname = "mlp"\noptions = { in_channels = 3 }')
    result = run_here(str(preset), "--headless", "--threads", "1")
    assert result.exit_code == 1
    news = journal_of(state)
    logged = [event.text for event in news.events if isinstance(event, LogLine)]
    assert "Traceback (most recent call last):" in logged
    assert any("in forward" in line for line in logged)
    states = [event.state for event in news.events if isinstance(event, Status)]
    assert states[-1] == "failed"
    end = end_of(state)
    assert (end.reason, end.steps, end.val_accuracy, end.weights_sha256) == ("failed", 0, None, None)
    assert any(line.startswith("failed: RuntimeError") for line in result.stdout.splitlines())
    (listed,) = run_here("ls").stdout.splitlines()[1:]
    assert listed.split()[1] == "failed"


# ---------------------------------------------------------------------- as a person starts it


class Child(NamedTuple):
    """A run in a process of its own that has ended."""

    home: Path
    code: int
    out: str
    err: str

    def events(self) -> list[dict[str, Any]]:
        """Its lines as JSON objects."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(home: Path) -> dict[str, str]:
    """Ours, with all that tuitrain keeps in `home`."""
    places = {"XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
    return {key: value for key, value in os.environ.items() if key != "TUITRAIN_DATA"} | places


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    """`python -m tuitrain` with these words, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tuitrain", *words],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run(home: Path, *words: str) -> Child:
    """Start it, and wait until it has ended."""
    with start(home, *words) as child:
        out, err = child.communicate(timeout=TIMEOUT_S)
    return Child(home, child.returncode, out, err)


def first_line(child: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Read a child's JSON lines until the first event of a kind."""
    assert child.stdout is not None
    for line in child.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"it ended before any {event}")


STEPS = 60
SAME_RUN = ("mnist", "--threads", "1", "--seed", "7", "--steps", str(STEPS))


@pytest.fixture(scope="module")
def json_run(tmp_path_factory: pytest.TempPathFactory) -> Child:
    return run(tmp_path_factory.mktemp("json"), *SAME_RUN, "--json")


@pytest.fixture(scope="module")
def overfit_run(tmp_path_factory: pytest.TempPathFactory) -> Child:
    at = ("--at", "50", "overfit=on", "--at", "90", "overfit=off")
    return run(tmp_path_factory.mktemp("overfit"), *SAME_RUN, "--json", *at)


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Child:
    return run(tmp_path_factory.mktemp("text"), *SAME_RUN)


def test_json_is_one_object_a_line_and_the_last_is_the_end(json_run: Child) -> None:
    assert (json_run.code, json_run.err) == (0, "")
    events = json_run.events()
    assert [event["event"] for event in events].count("end") == 1
    end = events[-1]
    assert end["event"] == "end"
    assert (end["steps"], end["executed_steps"], end["reason"]) == (STEPS, STEPS, "steps")
    assert 0.3 < end["val_accuracy"] <= 1
    assert len(bytes.fromhex(end["weights_sha256"])) == 32
    steps = [event for event in events if event["event"] == "step"]
    assert [step["executed"] for step in steps] == list(range(1, STEPS + 1))
    assert all(math.isfinite(step["loss"]) for step in steps)
    (run_said,) = (event for event in events if event["event"] == "run")
    assert (run_said["preset"], run_said["seed"], run_said["threads"], run_said["total_steps"]) == (
        "mnist",
        7,
        1,
        STEPS,
    )


def test_the_end_is_that_of_the_journal(json_run: Child) -> None:
    end = end_of(json_run.home)
    said = json_run.events()[-1]
    assert end.weights_sha256 == said["weights_sha256"]
    assert end.val_accuracy == said["val_accuracy"]


def test_overfit_steps_are_executed_but_not_the_runs_own(overfit_run: Child) -> None:
    assert (overfit_run.code, overfit_run.err) == (0, "")
    end = overfit_run.events()[-1]
    assert (end["steps"], end["executed_steps"]) == (STEPS, STEPS + 40)
    held = [event["executed"] for event in overfit_run.events() if event["event"] == "step" and event["overfit"]]
    assert held == list(range(51, 91))
    applied = [event for event in overfit_run.events() if event["event"] == "applied"]
    assert [(event["executed"], event["word"], event["value"], event["by"]) for event in applied] == [
        (50, "overfit", True, "--at"),
        (90, "overfit", False, "--at"),
    ]


def test_the_same_run_twice_and_overfitted_in_between_is_the_same_bit_for_bit(
    json_run: Child, overfit_run: Child, text_run: Child
) -> None:
    digest = json_run.events()[-1]["weights_sha256"]
    assert end_of(text_run.home).weights_sha256 == digest
    assert overfit_run.events()[-1]["weights_sha256"] == digest


def test_on_a_pipe_it_speaks_in_plain_lines(text_run: Child) -> None:
    assert (text_run.code, text_run.err) == (0, "")
    lines = text_run.out.splitlines()
    assert lines[0] == "loading: Loading torch"
    assert any(line.startswith("mnist: ") and "parameters" in line for line in lines)
    assert any(line.startswith("step 1  epoch 1  loss ") for line in lines)
    assert any(line.startswith(f"validation at step {STEPS} in eval mode: ") for line in lines)
    assert any(line.startswith("checkpoint ") for line in lines)
    assert lines[-1].startswith(f"steps after {STEPS} steps, validation accuracy ")
    assert all(line.isprintable() for line in lines)


def test_ls_lists_the_run(json_run: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(json_run.home / "state"))
    titles, line = run_here("ls").stdout.splitlines()
    assert titles.split() == ["RUN", "STATE", "STEP", "STARTED", "LOSS"]
    assert line.startswith("mnist-")
    assert f" {STEPS} of {STEPS} " in line
    assert " ago " in line
    assert "finished" in line
    listed = json.loads(run_here("ls", "--json").stdout)
    loss = [event["loss"] for event in json_run.events() if event["event"] == "step"][-1]
    assert (listed["state"], listed["steps"], listed["total_steps"]) == ("finished", STEPS, STEPS)
    assert listed["last_loss"] == loss
    assert line.split()[0] == listed["name"]


def test_a_run_that_has_ended_is_shown_as_lines_where_there_is_no_terminal(
    text_run: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(text_run.home / "state"))
    name = run_here("ls").stdout.splitlines()[1].split()[0]
    watched = run_here("watch", name)
    assert (watched.exit_code, watched.stderr) == (0, "")
    assert set(text_run.out.splitlines()) <= set(watched.stdout.splitlines())
    assert watched.stdout.splitlines()[-1] == text_run.out.splitlines()[-1]
    events = [json.loads(line) for line in run_here("watch", name, "--json").stdout.splitlines()]
    assert [event["executed"] for event in events if event["event"] == "step"] == list(range(1, STEPS + 1))


def test_logs_have_all_that_was_told_but_no_step(text_run: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(text_run.home / "state"))
    (name,) = (event.name for event in list_runs())
    result = run_here("logs", name)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines == [line for line in text_run.out.splitlines() if not line.startswith("step ")]
    assert run_here("logs", name, "--follow").stdout == result.stdout  # it has ended: there is nothing to wait for
    told = {json.loads(line)["event"] for line in run_here("logs", name, "--json").stdout.splitlines()}
    assert "step" not in told
    assert {"run", "end", "checkpoint"} <= told


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(
    text_run: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(text_run.home / "state"))
    (name,) = (event.name for event in list_runs())
    for verb in ("watch", "stop", "logs", "resume"):
        assert f"did you mean {name}?" in refused(verb, name.replace("mnist", "mnits"))


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-W", "error", "-m", "tuitrain", "mnist", "--threads", "1", "--steps", "2"],
        cwd=str(ROOT),
        env=environment(tmp_path) | {"TERM": "dumb"},
        encoding="utf-8",
        timeout=TIMEOUT_S,
        dimensions=(24, 80),
    )
    child.expect(pexpect.EOF)
    child.close()
    shown = child.before or ""
    assert child.exitstatus == 0
    assert "\x1b" not in shown
    assert shown.splitlines()[-1].startswith("steps after 2 steps")


def test_interrupted_once_it_finishes_the_step_saves_and_leaves(tmp_path: Path) -> None:
    with start(tmp_path, "mnist", "--json", "--threads", "1", "--epochs", "1000000") as child:
        first_line(child, "step")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=TIMEOUT_S)
    assert (child.returncode, err) == (0, "")
    end = json.loads(out.splitlines()[-1])
    assert (end["event"], end["reason"]) == ("end", "stopped")
    news = journal_of(tmp_path)
    assert news.steps[-1].step == end["steps"] > 0
    (saved,) = (event for event in news.events if isinstance(event, Checkpoint))
    checkpoint = torch.load(saved.path, weights_only=True)
    assert checkpoint["counters"]["step"] == end["steps"]
    assert news.events[-1] == end_of(tmp_path)


def test_interrupted_twice_it_leaves_at_once(tmp_path: Path) -> None:
    slow = preset_file(tmp_path, '[model]\nname = "classic"\n[data]\nbatch_size = 1000')  # a step takes seconds
    with start(tmp_path, str(slow), "--json", "--threads", "1") as child:
        first_line(child, "run")
        while child.poll() is None:
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.05)
        _, err = child.communicate(timeout=TIMEOUT_S)
    assert (child.returncode, err) == (130, "")
    news = journal_of(tmp_path)
    assert any(isinstance(event, Run) for event in news.events)
    assert not any(isinstance(event, End) for event in news.events)


def test_when_its_reader_goes_away_the_run_goes_on(tmp_path: Path) -> None:
    with start(tmp_path, "mnist", "--threads", "1", "--steps", "20") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "loading: Loading torch\n"
        child.stdout.close()
        err = child.stderr.read()
        assert child.wait(TIMEOUT_S) == 0
    assert err == ""
    assert (end_of(tmp_path).steps, end_of(tmp_path).reason) == (20, "steps")
