"""Whole runs through the host: how they end, and what is left of them, when all goes well and when it does not."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.engine import zoo
from tests.engine.listening import PATIENCE_S, ListeningJournal
from tests.engine.runs import read_back, tiny_inputs, tiny_targets
from tuitrain import preset as settings
from tuitrain.engine import checkpoint
from tuitrain.engine.data import DATASETS, DataRequest, TaskData
from tuitrain.engine.digest import weights_sha256
from tuitrain.engine.host import Host, Order
from tuitrain.engine.models import MODELS
from tuitrain.errors import UserError
from tuitrain.preset import Preset
from tuitrain.record.commands import AnyCommand, Set, StepOnce, Stop, Validate, parse
from tuitrain.record.commands import Checkpoint as CheckpointCommand
from tuitrain.record.events import (
    Applied,
    Checkpoint,
    End,
    LogLine,
    Rejected,
    Run,
    Status,
    Step,
    Validation,
)
from tuitrain.record.journal import News
from tuitrain.record.link import Inbox
from tuitrain.tips import TIPS

SAMPLES, BATCH, EPOCHS = 80, 16, 3
STEPS = 15


class Failing(zoo.Plain):
    """Raises in the forward pass of a given step, counted in training and in validation apart."""

    error: ClassVar[BaseException] = RuntimeError("the weights\x1b[31m are gone")
    at_training: ClassVar[int] = 0
    at_validation: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.calls = {True: 0, False: 0}

    def between(self, states: Tensor) -> Tensor:
        training = torch.is_grad_enabled()
        self.calls[training] += 1
        if self.calls[training] == (self.at_training if training else self.at_validation):
            raise self.error
        return states


class FailingWhileHeld(zoo.Plain):
    """Raises once one batch was overfitted for some steps: its loss is then far below that of any other."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def between(self, states: Tensor) -> Tensor:
        self.calls += torch.is_grad_enabled()
        if self.calls == 7:
            raise ValueError("too good to be true")
        return states


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def load(request: DataRequest) -> TaskData:
        inputs, targets = tiny_inputs(SAMPLES), tiny_targets(SAMPLES)
        return TaskData(inputs, targets, inputs[:20], targets[:20], zoo.CLASSES, "random numbers")

    monkeypatch.setitem(DATASETS, "tiny", load)
    for model in (zoo.DropoutNorm, zoo.Plain, Failing, FailingWhileHeld):
        monkeypatch.setitem(MODELS, model.__name__, model)
    yield
    Failing.at_training = Failing.at_validation = 0


class Ended:
    """A run that has ended, and what its journal says."""

    def __init__(self, host: Host, journal: ListeningJournal, directory: Path) -> None:
        assert host.join(PATIENCE_S), "the run hangs"
        self.host, self.directory = host, directory
        self.news: News = read_back(journal.path)

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.news.events if isinstance(event, kind)]

    @property
    def end(self) -> End:
        """The one End, which must be the last event."""
        assert self.news.events[-1] == self.all(End)[0]
        assert len(self.all(End)) == 1
        return self.all(End)[0]  # type: ignore[no-any-return]

    @property
    def log(self) -> str:
        return "\n".join(line.text for line in self.all(LogLine))

    @property
    def checkpoints(self) -> list[Path]:
        return sorted((self.directory / "checkpoints").glob("*.pt"))


def start(
    directory: Path, model: str = "Plain", *at: tuple[int, str | AnyCommand], **order: object
) -> tuple[Host, ListeningJournal, Inbox]:
    preset = Preset(
        title="Tiny",
        data=settings.Data(name="tiny", batch_size=BATCH),
        model=settings.Model(name=model),
        optimizer=settings.Optimizer(name="sgd", lr=0.1, momentum=0.9),
        schedule=settings.Schedule(name="onecycle"),
        train=settings.Train(epochs=EPOCHS, overfit_steps=20),
    )
    journal = ListeningJournal(directory / "journal.sqlite")
    inbox = Inbox([(step, parse(what) if isinstance(what, str) else what) for step, what in at])
    fields = {"preset_name": "tiny", "preset": preset, "directory": directory, "tips": lambda: TIPS, "device": "cpu"}
    host = Host(Order(**(fields | {"threads": 1, "attended": False} | order)), journal, inbox)  # type: ignore[arg-type]
    host.start()
    return host, journal, inbox


def run(directory: Path, model: str = "Plain", *at: tuple[int, str | AnyCommand], **order: object) -> Ended:
    host, journal, _ = start(directory, model, *at, **order)
    return Ended(host, journal, directory)


# ---------------------------------------------------------------- all goes well


def test_a_run_from_its_preset_to_its_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "DropoutNorm")
    said: Run = ended.all(Run)[0]
    assert (said.model, said.optimizer, said.data, said.device) == ("DropoutNorm", "SGD", "random numbers", "cpu")
    assert (said.steps_per_epoch, said.total_steps, said.threads) == (5, STEPS, 1)
    assert said.parameters == sum(parameter.numel() for parameter in zoo.DropoutNorm().parameters())
    assert ended.host.exit_code == 0
    last: Validation = ended.all(Validation)[-1]
    end = ended.end
    assert (end.steps, end.executed_steps, end.reason) == (STEPS, STEPS, "finished")
    assert (end.val_accuracy, end.val_loss) == (last.accuracy, last.loss)
    assert [status.state for status in ended.all(Status)][-1] == "finished"
    assert [step.step for step in ended.news.steps] == list(range(1, STEPS + 1))


@pytest.mark.parametrize("order", [{"max_steps": 2}, {"device": "none such"}], ids=["finished", "never begun"])
def test_a_run_that_has_ended_takes_no_commands(tmp_path: Path, order: dict[str, object]) -> None:
    host, _, inbox = start(tmp_path, "Plain", **order)
    assert host.join(PATIENCE_S)
    with pytest.raises(UserError, match="The run has ended"):
        inbox.send(Validate())


def test_the_last_checkpoint_holds_the_weights_of_the_end(tmp_path: Path) -> None:
    ended = run(tmp_path, "DropoutNorm")
    said: Checkpoint = ended.all(Checkpoint)[-1]
    path = Path(said.path)
    assert ended.checkpoints == [path]
    assert (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size) == (said.sha256, said.bytes)
    loaded = torch.load(path, weights_only=True)
    model = zoo.DropoutNorm()
    model.load_state_dict(loaded["model"])
    assert weights_sha256(model) == ended.end.weights_sha256
    assert loaded["counters"] == {"step": STEPS, "executed": STEPS, "epoch": EPOCHS}


def test_the_same_seed_gives_the_same_weights_overfitted_on_the_way_or_not(tmp_path: Path) -> None:
    directories = [tmp_path / name for name in "abc"]
    for directory in directories:
        directory.mkdir()
    plain = run(directories[0], "DropoutNorm", max_steps=11)
    again = run(directories[1], "DropoutNorm", max_steps=11)
    touched = run(directories[2], "DropoutNorm", (4, "overfit=on"), (9, "overfit=off"), max_steps=11)
    assert plain.end.weights_sha256 == again.end.weights_sha256 == touched.end.weights_sha256 is not None
    assert (touched.end.steps, touched.end.executed_steps, touched.end.reason) == (11, 16, "steps")
    assert plain.end.val_loss == touched.end.val_loss, "validated at its end"


def test_a_stop_saves_and_says_so(tmp_path: Path) -> None:
    host, journal, inbox = start(tmp_path, "Plain", (4, "pause=on"), attended=True)
    journal.wait_for(Status, lambda status: status.state == "paused")
    inbox.send(Stop())
    ended = Ended(host, journal, tmp_path)
    assert (ended.end.steps, ended.end.reason, ended.host.exit_code) == (4, "stopped", 0)
    assert ended.all(Status)[-1].state == "stopped"
    assert [path.name for path in ended.checkpoints] == ["step-000000004.pt"]


def test_a_checkpoint_on_request_while_it_runs_and_while_one_batch_is_held(tmp_path: Path) -> None:
    host, journal, inbox = start(tmp_path, "Plain", (4, "pause=on"), attended=True)
    journal.wait_for(Status, lambda status: status.state == "paused")
    inbox.send(CheckpointCommand())
    journal.wait_for(Checkpoint)
    for command in (parse("overfit=on"), StepOnce()):
        inbox.send(command)
    journal.wait_for(Applied, lambda applied: applied.word == "overfit")
    inbox.send(CheckpointCommand(id="while held"))
    journal.wait_for(Applied, lambda applied: applied.id == "while held")
    inbox.send(Stop())
    ended = Ended(host, journal, tmp_path)
    assert ended.end.steps == 4
    first, held, _ = (event.executed for event in ended.all(Checkpoint))
    assert (first, held) == (4, 5)
    model = zoo.Plain()
    model.load_state_dict(torch.load(ended.checkpoints[-1], weights_only=True)["model"])
    assert weights_sha256(model) == ended.end.weights_sha256, "those of the run itself, not the overfitted ones"


def test_unattended_it_waits_for_a_viewer_and_for_nobody_else(tmp_path: Path) -> None:
    """Through its socket a headless run can be paused; a pause that nobody is there to end ends by itself."""
    viewer = Set(name="pause", value=True, by="pts/3 (4711)")
    host, journal, inbox = start(tmp_path, "Plain", (4, "pause=on"), (6, viewer), attended=False)
    journal.wait_for(Status, lambda status: status.state == "paused")
    assert [(event.executed, event.value, event.by) for event in journal.all(Applied) if event.word == "pause"] == [
        (4, True, "--at"), (4, False, "tuitrain"), (6, True, viewer.by),
    ]  # fmt: skip
    inbox.send(Set(name="pause", value=False, by=viewer.by))
    assert Ended(host, journal, tmp_path).end.reason == "finished"


def test_unattended_a_viewer_may_overfit_for_as_long_as_it_likes(tmp_path: Path) -> None:
    viewer = Set(name="overfit", value=True, by="pts/3 (4711)")
    host, journal, inbox = start(tmp_path, "Plain", (2, viewer), attended=False)
    journal.wait_for(Step, lambda step: step.executed > 60)  # overfit_steps is 20
    inbox.send(Set(name="overfit", value=False, by=viewer.by))
    ended = Ended(host, journal, tmp_path)
    assert [event.by for event in ended.all(Applied) if event.word == "overfit"] == [viewer.by, viewer.by]
    assert ended.end.reason == "finished"


# ---------------------------------------------------------------- it does not


def test_an_exception_in_the_model_ends_the_run_and_nothing_is_lost(tmp_path: Path) -> None:
    Failing.at_training = 8
    ended = run(tmp_path, "Failing", (100, "clip=off"))
    assert ended.host.exit_code == 1
    assert (ended.end.reason, ended.end.steps, ended.end.executed_steps) == ("failed", 7, 7)
    assert [step.step for step in ended.news.steps] == list(range(1, 8)), "every step before it is delivered"
    last: Status = ended.all(Status)[-1]
    assert (last.state, "RuntimeError: the weights" in last.message) == ("failed", True)
    assert "Traceback (most recent call last):" in ended.log
    assert "in between" in ended.log
    assert "RuntimeError: the weights are gone" in ended.log, "without control characters"
    assert [path.name for path in ended.checkpoints] == ["step-000000007.pt"]
    assert [event.word for event in ended.all(Rejected)] == ["clip"], "what waited is answered"


def test_what_was_trained_before_the_exception_is_saved(tmp_path: Path) -> None:
    directories = [tmp_path / name for name in "ab"]
    for directory in directories:
        directory.mkdir()
    whole = run(directories[0], "Failing", max_steps=7)
    Failing.at_training = 8
    failed = run(directories[1], "Failing")
    model = Failing()
    model.load_state_dict(torch.load(failed.checkpoints[0], weights_only=True)["model"])
    assert weights_sha256(model) == whole.end.weights_sha256


def test_an_exception_while_one_batch_is_held_saves_the_weights_from_before(tmp_path: Path) -> None:
    directories = [tmp_path / name for name in "ab"]
    for directory in directories:
        directory.mkdir()
    whole = run(directories[0], "Plain", max_steps=3)
    failed = run(directories[1], "FailingWhileHeld", (3, "overfit=on"), (50, "overfit=off"))
    assert (failed.end.steps, failed.end.executed_steps) == (3, 6)
    assert sum(step.overfit for step in failed.news.steps) == 3
    model = zoo.Plain()
    model.load_state_dict(torch.load(failed.checkpoints[0], weights_only=True)["model"])
    assert weights_sha256(model) == whole.end.weights_sha256


@pytest.mark.parametrize("error", [ValueError("in validation"), SystemExit(3), MemoryError("no room")])
def test_an_exception_in_validation_ends_it_too(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    Failing.at_validation = 1
    ended = run(tmp_path, "Failing")
    assert (ended.end.reason, ended.end.steps, ended.host.exit_code) == ("failed", 5, 1)
    assert ended.all(Status)[-1].message == f"{type(error).__name__}: {error}"
    assert [path.name for path in ended.checkpoints] == ["step-000000005.pt"]


def test_an_exception_in_a_validation_that_was_asked_for_answers_the_command(tmp_path: Path) -> None:
    Failing.at_validation = 1
    host, journal, inbox = start(tmp_path, "Failing", (2, "pause=on"), attended=True)
    journal.wait_for(Status, lambda status: status.state == "paused")
    inbox.send(Validate(id="v"))
    ended = Ended(host, journal, tmp_path)
    assert [(event.id, "the weights" in event.reason) for event in ended.all(Rejected)] == [("v", True)]


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_synced", full)
    host, journal, inbox = start(tmp_path, "Plain", (2, "pause=on"), attended=True)
    journal.wait_for(Status, lambda status: status.state == "paused")
    inbox.send(CheckpointCommand(id="w"))
    refused = journal.wait_for(Rejected)
    assert (refused.id, "No space left on device" in refused.reason, "training goes on" in refused.reason) == (
        "w",
        True,
        True,
    )
    inbox.send(Set(name="pause", value=False))
    ended = Ended(host, journal, tmp_path)
    assert (ended.end.reason, ended.end.steps, ended.host.exit_code) == ("finished", STEPS, 0)
    assert "No space left on device" in ended.log, "the last checkpoint could not be written either"
    assert ended.checkpoints == []


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"device": "cuda:99"}, "--device cuda:99 is not there on this machine"),
        ({"device": "gpu"}, "--device gpu is no device of torch"),
    ],
)
def test_what_is_not_possible_is_one_sentence_and_no_traceback(
    order: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    ended = run(tmp_path, "Plain", **order)
    assert (ended.end.reason, ended.host.exit_code) == ("bad input", 2)
    assert str(ended.host.bad_input).startswith(sentence)
    assert ended.all(Status)[-1].message == str(ended.host.bad_input)
    assert ended.log == ""
    assert ended.end.weights_sha256 is None


def test_an_unknown_model_names_those_there_are(tmp_path: Path) -> None:
    ended = run(tmp_path, "imaginary")
    assert ended.host.exit_code == 2
    assert "model.name is 'imaginary'" in str(ended.host.bad_input)
    assert "DropoutNorm" in str(ended.host.bad_input)


def test_the_run_is_in_a_thread_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[threading.Thread] = []

    class Elsewhere(nn.Linear):
        def __init__(self) -> None:
            super().__init__(zoo.FEATURES, zoo.CLASSES)
            seen.append(threading.current_thread())

    monkeypatch.setitem(MODELS, "Elsewhere", Elsewhere)
    ended = run(tmp_path, "Elsewhere")
    assert ended.end.reason == "finished"
    assert seen[0] is not threading.current_thread()
    assert isinstance(ended.news.steps[0], Step)
