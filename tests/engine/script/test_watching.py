"""`tuitrain.watch`: a loop in the user's own process, recorded and steered by another."""

import contextlib
import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

import tuitrain
from tests.engine.script.forking import run_copy
from tests.engine.script.scripts import arguments_of, bare, watched
from tests.engine.script.small_loop import Viewer, ended, recorded, runs, small, trained_alone
from tuitrain.engine.script import steering
from tuitrain.record.commands import Set, Stop
from tuitrain.record.events import Applied, Rejected, Run
from tuitrain.record.lease import owner_of


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(steering, "HEARING_INTERVAL_S", 0.0)  # what is sent is heard at the next boundary


def test_a_loop_is_recorded_as_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    each, losses = small(), list[float]()
    threads = threading.enumerate()
    with tuitrain.watch(each.model, each.optimizer):
        for _ in range(20):
            losses.append(each.step(*each.batches()))
        assert threading.enumerate() == threads
    news = recorded(tmp_path)
    assert [step.loss for step in news.steps] == pytest.approx(losses)
    assert {step.max_norm for step in news.steps} == {0.5}
    (run,) = [event for event in news.events if isinstance(event, Run)]
    assert (run.model, run.optimizer, run.parameters) == ("Sequential", "SGD", 58)
    assert ended(news) == ("finished", "")
    (directory,) = runs(tmp_path)
    assert owner_of(directory) == "gone"
    told = f"tuitrain: watch this training from any terminal: tuitrain watch {directory.name}\n"
    assert capfd.readouterr() == ("", told)
    state = each.state
    assert state == trained_alone(20).state


def places() -> dict[str, object]:
    """Everything in torch that is ours while we watch."""
    owners: Sequence[Any] = (torch.autograd, torch.amp.GradScaler, _BaseDataLoaderIter, nn.utils, nn.functional)
    owners = (*owners, nn.utils.clip_grad, torch.optim.lr_scheduler.LRScheduler, nn.Module, Tensor, DataLoader)
    found = {f"{owner.__name__}.{name}": value for owner in owners for name, value in vars(owner).items()}
    hooks = (torch_optimizer._global_optimizer_pre_hooks, torch_optimizer._global_optimizer_post_hooks)
    return found | {"hooks": [list(each.values()) for each in hooks]}


def test_afterwards_torch_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In modules, too, that were imported meanwhile; what one has kept does what it did."""
    before, each = places(), small()
    monkeypatch.setitem(sys.modules, "imported_meanwhile", module := ModuleType("imported_meanwhile"))
    with contextlib.suppress(ZeroDivisionError), tuitrain.watch(each.model):
        exec("from torch.nn.utils import clip_grad_norm_", vars(module))
        kept = nn.utils.clip_grad_norm_
        assert places() != before
        each.step(*each.batches())
        raise ZeroDivisionError
    changed = [name for name, value in places().items() if name not in before or before[name] is not value]
    assert changed == ["hooks"]  # new lists of the same
    assert places() == before
    assert vars(module)["clip_grad_norm_"] is nn.utils.clip_grad_norm_ is not kept
    assert kept(each.model.parameters(), 0.1) == pytest.approx(0.5, rel=1e-3)  # to which it was clipped before
    assert ended(recorded(tmp_path)) == ("failed", "ZeroDivisionError: ")


@pytest.mark.parametrize(("on", "off"), [(1, 2), (4, 12), (9, 10)])
def test_overfitting_without_a_loader_leaves_no_trace(on: int, off: int, tmp_path: Path) -> None:
    each, losses, rounds = small(), list[float](), itertools.count(1)
    with tuitrain.watch(each.model, each.optimizer), closing(Viewer(tmp_path)) as viewer:
        for i, (x, y) in enumerate(tuitrain.batches(each.batches, 14)):
            round_ = next(rounds)
            if round_ in (on, off):
                viewer.send(Set(name="overfit", value=round_ == on))
            losses.append(each.step(x, y))
            each.optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
    news, state = recorded(tmp_path), each.state
    alone, expected = small(), list[float]()
    for i in range(14):
        expected.append(alone.step(*alone.batches()))
        alone.optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
    assert losses == expected
    assert state == alone.state
    assert [step.executed for step in news.steps if step.overfit] == list(range(on + 1, off + 1))
    assert [event.value for event in news.events if isinstance(event, Applied)] == [True, False]


def test_a_batch_of_a_loader_that_is_cut_short_can_be_held(tmp_path: Path) -> None:
    """What makes the batches is a DataLoader of its own: it is not one more that is trained on."""
    each, rounds = small(), itertools.count(1)
    loader = DataLoader(TensorDataset(torch.randn(80, 4), torch.randint(0, 2, (80,))), batch_size=8)
    with tuitrain.watch(each.model, each.optimizer), closing(Viewer(tmp_path)) as viewer:
        for x, y in tuitrain.batches(loader, 6):
            round_ = next(rounds)
            if round_ in (3, 5):
                viewer.send(Set(name="overfit", value=round_ == 3))
            each.step(x, y)
    news = recorded(tmp_path)
    assert not [event.reason for event in news.events if isinstance(event, Rejected)]
    assert [step.executed for step in news.steps if step.overfit] == [4, 5]
    assert len(news.steps) == 8
    (run,) = [event for event in news.events if isinstance(event, Run)]
    assert run.steps_per_epoch == 6


def test_a_batch_that_is_still_held_at_the_end_is_let_go(tmp_path: Path) -> None:
    """The loop is left, its iterator is not."""
    each, rounds = small(), itertools.count(1)
    batches = tuitrain.batches(each.batches)
    with tuitrain.watch(each.model, each.optimizer), closing(Viewer(tmp_path)) as viewer:
        for x, y in batches:
            round_ = next(rounds)
            if round_ == 5:
                viewer.send(Set(name="overfit", value=True))
            each.step(x, y)
            if round_ == 9:
                break
        overfitted = each.state
    assert sum(step.overfit for step in recorded(tmp_path).steps) == 4
    state, alone = each.state, trained_alone(5)
    alone.batches()  # the batch that was held had been made by then
    assert state == alone.state != overfitted


def test_asked_for_in_a_loop_that_counts_it_is_refused(tmp_path: Path) -> None:
    each = small()
    with tuitrain.watch(each.model, each.optimizer), closing(Viewer(tmp_path)) as viewer:
        batches = tuitrain.batches(each.batches)
        for i in range(6):
            if i == 2:
                viewer.send(Set(name="overfit", value=True))
            each.step(*next(batches))
    (refused,) = [event for event in recorded(tmp_path).events if isinstance(event, Rejected)]
    assert "within a loop over something else" in refused.reason


def test_a_stop_ends_the_block_and_not_the_program(tmp_path: Path) -> None:
    each = small()
    with tuitrain.watch(each.model, each.optimizer), closing(Viewer(tmp_path)) as viewer:
        for i in itertools.count():
            each.step(*each.batches())
            if i == 3:
                viewer.send(Stop())
    news = recorded(tmp_path)
    assert ended(news)[0] == "stopped"
    assert len(news.steps) == 4
    (directory,) = runs(tmp_path)
    assert len(list((directory / "checkpoints").glob("*.pt"))) == 1


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (KeyboardInterrupt(), "stopped", "It was interrupted."),
        (SystemExit(), "finished", ""),
        (SystemExit("no more"), "failed", "It exited with code 1."),
        (ValueError("too large"), "failed", "ValueError: too large"),
    ],
)
def test_what_the_block_raises_is_raised_and_recorded(
    error: BaseException, reason: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)) as raised, tuitrain.watch(name="a loop"):
        raise error
    assert raised.value is error
    assert ended(recorded(tmp_path)) == (reason, message)
    assert runs(tmp_path)[0].name.startswith("a-loop-")


def test_what_was_not_named_is_not_shown(tmp_path: Path) -> None:
    each, other = small(), small()
    with tuitrain.watch(each.optimizer, each.model):
        for _ in range(4):
            each.step(*each.batches())
            other.step(*other.batches())
            other.step(*other.batches())
    news = recorded(tmp_path)
    assert len(news.steps) == 4
    (run,) = [event for event in news.events if isinstance(event, Run)]
    assert (run.model, run.optimizer) == ("Sequential", "SGD")


def test_one_within_another_adds_nothing(tmp_path: Path) -> None:
    each = small()
    with tuitrain.watch(each.model, each.optimizer):
        with tuitrain.watch(each.model):
            each.step(*each.batches())
        each.step(*each.batches())
    assert len(recorded(tmp_path).steps) == 2


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        (nn.Linear, "not the class Linear"),
        ([nn.Linear(1, 1)], "not a list"),
        (nn.Linear(1, 1).parameters(), "not a generator"),
        (DataLoader(TensorDataset(torch.zeros(1))), "not a DataLoader"),
        (None, "not a NoneType"),
    ],
)
def test_what_is_no_model_is_named(given_: Any, named: str, tmp_path: Path) -> None:  # noqa: ANN401
    with pytest.raises(TypeError) as raised:
        tuitrain.watch(nn.Linear(1, 1), given_)
    assert str(raised.value) == (
        "tuitrain.watch takes models (torch.nn.Module) and optimizers (torch.optim.Optimizer), as in "
        f"tuitrain.watch(model, optimizer), {named}."
    )
    assert not runs(tmp_path)


@pytest.mark.parametrize("python", ["/bin/true", "/nowhere/python", ""])
def test_where_nothing_can_be_recorded_the_loop_goes_on(
    python: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    before, each = places(), small()
    with tuitrain.watch(each.model):
        assert places() == before
        each.step(*each.batches())
    assert re.fullmatch(r"tuitrain: this training is not watched, and goes on: .+\.\n", capfd.readouterr().err)


def test_when_the_recording_dies_the_loop_goes_on(tmp_path: Path) -> None:
    each = small()
    with tuitrain.watch(each.model, each.optimizer):
        for i in range(10):
            if i == 5:
                _kill_the_host()
            each.step(*each.batches())
    state = each.state
    assert state == trained_alone(10).state


def _kill_the_host() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    hosts = [int(pid) for pid in children if b"alongside" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in hosts:
        os.kill(pid, signal.SIGKILL)
    assert len(hosts) == 1


@pytest.mark.parametrize(
    ("how", "code", "end"),
    [
        ("plain", 0, ("finished", "")),
        ("raises", 1, ("failed", "ValueError: the loop's own")),
        ("at-once", 4, ("failed", "Its process ended in the middle of it.")),
    ],
)
def test_a_program_with_workers_is_as_without_us(how: str, code: int, end: tuple[str, str], tmp_path: Path) -> None:
    """Forked workers, a forked child that trains, an exit without a farewell: each seen once."""
    # what records it has the same stderr: when that comes to its end, so has the recording
    returncode, printed = run_copy([sys.executable, *arguments_of(f"in_code {how}")])
    plain = bare(f"in_code {how} --bare")
    assert returncode == plain.returncode == code
    lines = printed.splitlines()
    (told,) = [line for line in lines if line.startswith("tuitrain: ")]
    assert told.startswith("tuitrain: watch this training from any terminal: tuitrain watch the-code-")
    own = [line for line in lines if line != told]
    assert sorted(own) == sorted(plain.printed) if how != "raises" else own[-1] == plain.printed[-1]
    news = recorded(tmp_path)
    assert ended(news) == end
    assert [step.epoch for step in news.steps] == ([1] * 5 + [2] * 5)[: len(news.steps)]
    assert len(news.steps) == 10 or how != "plain"


def test_under_tuitrain_run_it_is_the_same_run(tmp_path: Path) -> None:
    outcome = watched("in_code plain", tmp_path / "run", (3, "overfit=on"), (5, "overfit=off"))
    assert outcome.printed == bare("in_code plain --bare").printed
    assert len([step for step in outcome.steps if not step.overfit]) == 10
    assert sum(step.overfit for step in outcome.steps) == 2
    assert not runs(tmp_path)
