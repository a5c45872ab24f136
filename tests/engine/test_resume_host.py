"""Resuming through the host: which checkpoint is taken, what is said and refused, and processes that are killed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine import zoo
from tests.engine.listening import PATIENCE_S
from tests.engine.resumed import (
    RECIPES,
    STEPS,
    STEPS_PER_EPOCH,
    Interruption,
    Recipe,
    Resumable,
    StoppingInbox,
    tiny_presets,
)
from tuitrain.engine.files import digest_path
from tuitrain.engine.host import resume_host
from tuitrain.engine.order import ORDER, load_order
from tuitrain.errors import UserError
from tuitrain.record.commands import Set, StepOnce, Stop
from tuitrain.record.events import Applied, End, Rejected, Run, Status, Step, Switches, Validation
from tuitrain.record.link import Inbox
from tuitrain.record.runs import JOURNAL
from tuitrain.tips import TIPS

E = STEPS_PER_EPOCH


@pytest.fixture(autouse=True)
def _tiny_presets() -> Iterator[None]:
    with tiny_presets():
        yield


def stopped(directory: Path, *, at: int = 9, **order: Any) -> Resumable:  # noqa: ANN401
    """A run that was stopped, with three checkpoints."""
    run = Resumable(directory, "momentum", checkpoint_every=2, **order)
    run.start(Interruption(at=at))
    return run


def resuming(directory: Path, **changes: Any) -> Any:  # noqa: ANN401
    return resume_host(directory, tips=lambda: TIPS, inbox=Inbox(), attended=False, **changes)


# ---------------------------------------------------------------- what is said


def test_it_says_from_where_it_goes_on_and_everything_anew(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    before = run.events()
    run.resume()
    assert "Resumed at step 9 from step-000000009.pt." in run.log
    assert len(run.all(Run)) == 2
    assert [event for event in run.events() if isinstance(event, Status)][-1].state == "finished"
    times = [step.time_s for step in run.all(Step)]
    assert times == sorted(times), "it goes on counting from where it was"
    assert times[9] >= max(event.time_s for event in before if isinstance(event, Step))
    assert [step.executed for step in run.all(Step)] == list(range(1, STEPS + 1))


def test_what_came_after_the_checkpoint_is_gone(tmp_path: Path) -> None:
    run = Resumable(tmp_path, "momentum", [(7, "lr=0.3")], checkpoint_every=5)
    run.start(Interruption(at=8, lost=1))
    assert [event.executed for event in run.all(Applied)] == [7, 8]
    run.resume(Interruption(at=5))
    assert "Resumed at step 5 from step-000000005.pt (the run had reached step 8)." in run.log
    assert [event.word for event in run.all(Applied)] == ["stop"], "nor is what was changed between the same two steps"
    assert [event.executed for event in run.all(Step)] == [1, 2, 3, 4, 5]
    assert [event.executed for event in run.all(Validation)] == []
    run.resume()
    assert [(event.word, event.executed) for event in run.all(Applied)] == [("stop", 5), ("lr", 7)]


def test_a_stop_says_what_comes_if_it_is_resumed(tmp_path: Path) -> None:
    run = Resumable(tmp_path, "momentum", [(4, "overfit=on"), (7, "overfit=off"), (9, "lr=0.2")])
    run.start(Interruption(at=4))
    reasons = [event.reason for event in run.all(Rejected)]
    assert reasons[0] == "the run has ended: it comes if the run is resumed."
    assert reasons[1] == "the run ended after 4 executed steps, before 7: it comes if the run is resumed."
    run.resume()
    assert [(event.word, event.executed) for event in run.all(Applied)] == [
        ("stop", 4), ("overfit", 4), ("overfit", 7), ("lr", 9),
    ]  # fmt: skip
    assert run.all(Rejected) == []


def test_what_it_was_saved_with_is_compared(tmp_path: Path) -> None:
    stopped(tmp_path)
    host = resuming(tmp_path, threads=2)
    host.start()
    assert host.join(PATIENCE_S)
    assert (
        "It was saved with threads 1, now 2: it may not go on to the same bits." in Resumable(tmp_path, "momentum").log
    )


# ---------------------------------------------------------------- which checkpoint is taken


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_newest_one_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    assert [path.name for path in run.checkpoints] == [f"step-00000000{step}.pt" for step in (9, 8, 6)]
    spoil(run.checkpoints[0])
    digest_path(run.checkpoints[1]).unlink()
    run.resume()
    assert "step-000000009.pt cannot be resumed from: it is damaged" in run.log
    assert "step-000000008.pt cannot be resumed from: " in run.log
    assert "Resumed at step 6 from step-000000006.pt (the run had reached step 9)." in run.log
    assert run.end.reason == "finished"
    assert (tmp_path / "checkpoints" / "step-000000009.pt.unusable").exists(), "out of the way of a later resume"


def test_with_none_left_it_is_a_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    steps, kept = run.all(Step), run.checkpoints
    for path in kept:
        spoil(path)
    host = run.resume()
    assert host.exit_code == 2
    assert str(host.bad_input).startswith(f"None of 3 checkpoints in {tmp_path / 'checkpoints'} can be resumed from")
    assert (run.end.reason, run.end.steps) == ("bad input", 9)
    assert run.all(Step) == steps
    assert run.checkpoints == kept


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(victims=st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 1)), min_size=1, max_size=4))
def test_damage_anywhere_is_an_older_one_or_a_sentence(
    victims: list[tuple[int, bool, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("run")
    run = stopped(directory)
    files = [file for path in run.checkpoints for file in (path, digest_path(path))]
    for index, cut, where in victims:
        data = bytearray(files[index].read_bytes())
        place = min(int(where * len(data)), len(data) - 1)
        if cut:
            del data[place:]
        elif data:
            data[place] ^= 64
        files[index].write_bytes(data)
    host = run.resume()
    assert (host.exit_code, run.end.reason) in [(0, "finished"), (2, "bad input")]
    assert "Traceback" not in run.log


def test_other_data_than_it_was_trained_on_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tests.engine.resumed.tiny_targets", lambda: torch.zeros(80, dtype=torch.int64))
        patch.setattr("tests.engine.zoo.CLASSES", 3)
        patch.setitem(
            sys.modules["tuitrain.engine.data"].DATASETS, "tiny", sys.modules["tuitrain.engine.data"].DATASETS["tokens"]
        )
        host = run.resume()
    assert "trained on random numbers, and what is found now is random tokens" in str(host.bad_input)


# ---------------------------------------------------------------- what is refused at once


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    Resumable(tmp_path, "momentum").start()
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(UserError, match="has finished after 15 steps: there is nothing left to resume"):
        resuming(tmp_path)
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_run_that_made_its_steps_goes_on_with_more(tmp_path: Path) -> None:
    whole, run = (
        Resumable(tmp_path / "whole", "dropout-norm-step"),
        Resumable(tmp_path / "part", "dropout-norm-step", max_steps=E),
    )
    for made in (whole, run):
        made.directory.mkdir()
        made.start()
    assert run.end.reason == "steps"
    with pytest.raises(UserError, match=r"has made the 5 steps it was to make: resume it with more \(--steps\)"):
        resuming(run.directory)
    with pytest.raises(UserError, match="has made 5 steps already: --steps must be more than that"):
        resuming(run.directory, max_steps=E)
    run.resume(max_steps=E + 2)
    assert (run.end.reason, run.end.steps) == ("steps", E + 2)
    run.resume(max_steps=100)
    assert run.end.weights_sha256 == whole.end.weights_sha256
    causes = [(event.executed, event.cause) for event in run.all(Validation)]
    assert causes == [(5, "end"), (7, "end"), (10, "epoch"), (15, "epoch")], "where it ended it was validated once"


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    for path in run.checkpoints:
        path.unlink()
    with pytest.raises(UserError, match="has no checkpoint to resume from"):
        resuming(tmp_path)


@pytest.mark.parametrize("where", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_order_is_a_sentence(where: float, how: str, tmp_path: Path) -> None:
    stopped(tmp_path)
    path = tmp_path / ORDER
    data = bytearray(path.read_bytes())
    place = min(int(where * len(data)), len(data) - 1)
    data[place] ^= 1
    path.write_bytes(data if how == "flip" else data[:place])
    with pytest.raises(UserError, match=r"order\.json is (damaged|of format)"):
        resuming(tmp_path)


def test_every_flipped_bit_of_an_order_is_found(tmp_path: Path) -> None:
    stopped(tmp_path)
    path = tmp_path / ORDER
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"order\.json is (damaged|of format)"):
            load_order(tmp_path, tips=lambda: TIPS)


def test_a_missing_order_is_a_sentence(tmp_path: Path) -> None:
    stopped(tmp_path)
    (tmp_path / ORDER).unlink()
    with pytest.raises(UserError, match=r"There is no .*order\.json"):
        resuming(tmp_path)


def test_the_order_is_kept_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = stopped(tmp_path, keep_checkpoints=7, data_dir=Path("here"), max_steps=11)
    order, scheduled = load_order(tmp_path, tips=lambda: TIPS)
    assert (order.checkpoint_every, order.keep_checkpoints, order.max_steps) == (2, 7, 11)
    assert (order.data_dir, order.preset.model.name, scheduled) == (tmp_path / "here", "Plain", [])
    run.resume(max_steps=12)
    assert load_order(tmp_path, tips=lambda: TIPS)[0].max_steps == 12


def test_to_prepare_a_resume_loads_no_torch(tmp_path: Path) -> None:
    stopped(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tuitrain.engine.host import resume_host\n"
        "from tuitrain.record.link import Inbox\n"
        "host = resume_host(Path(sys.argv[1]), tips=lambda: (), inbox=Inbox())\n"
        "host.recorder.journal.close()\n"
        "sys.exit('torch' in sys.modules)"
    )
    (tmp_path / "owner").unlink(missing_ok=True)
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


# ---------------------------------------------------------------- paused, held, failed


def test_a_paused_run_is_resumed_paused_and_a_single_step_is_not_lost(tmp_path: Path) -> None:
    run = stopped(tmp_path, at=4)

    def attended(inbox: Inbox) -> None:
        host = resume_host(tmp_path, tips=lambda: TIPS, inbox=inbox)
        host.start()
        assert host.join(PATIENCE_S), "it waits for ever"

    inbox = Inbox()
    for command in (Set(name="pause", value=True), StepOnce(), Stop()):
        inbox.send(command)
    attended(inbox)
    assert run.end.executed_steps == 4
    attended(StoppingInbox(at=5))
    assert run.end.executed_steps == 5, "the step that was still allowed"
    inbox = Inbox()
    inbox.send(Stop())
    attended(inbox)
    assert run.end.executed_steps == 5
    assert [event.values["pause"] for event in run.all(Switches)][-1] is True


class Failing(zoo.Plain):
    """Raises in its eighth training step, once for all of this process."""

    failed = False

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def between(self, states: torch.Tensor) -> torch.Tensor:
        self.calls += torch.is_grad_enabled()
        if self.calls == 8 and not Failing.failed:
            Failing.failed = True
            raise RuntimeError("out of luck")
        return states


@pytest.mark.parametrize("every", [None, 7])
def test_a_failed_run_does_the_failed_step_again(
    every: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "Failing", Failing, raising=False)
    monkeypatch.setitem(RECIPES, "failing", Recipe("Failing"))
    monkeypatch.setattr(Failing, "failed", True)
    with tiny_presets():
        whole, run = (
            Resumable(tmp_path / "whole", "failing"),
            Resumable(tmp_path / "part", "failing", checkpoint_every=every),
        )
        for made in (whole, run):
            made.directory.mkdir()
        whole.start()
        Failing.failed = False
        assert run.start().exit_code == 1
        assert (run.end.reason, run.end.steps) == ("failed", 7)
        if every is not None:  # once more in the first step after it was resumed
            Failing.failed = False
            assert run.resume().exit_code == 1
        run.resume()
    assert ("when a step failed" in run.log) == (every is None), "else one from between two steps is there"
    assert run.end.weights_sha256 == whole.end.weights_sha256


# ---------------------------------------------------------------- the disk is full, the process is killed

FULL = """
import resource, sys
from pathlib import Path
import pytest
from tests.engine.resumed import Resumable, tiny_presets
import torch
torch.set_num_threads(1)
with tiny_presets():
    run = Resumable(Path(sys.argv[1]), "momentum", checkpoint_every=1)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    import tuitrain.engine.steering as steering
    save = steering.Steering.try_to_save
    def limited(self):
        if self._probe.position.step >= 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
        save(self)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    steering.Steering.try_to_save = limited
    run.start()
"""


@pytest.mark.parametrize("room", [0, 1000, 9000])
def test_a_full_disk_leaves_training_going_on_and_the_last_good_checkpoint(room: int, tmp_path: Path) -> None:
    """The limit makes of every write beyond it what a full disk does, and sends SIGXFSZ."""
    child = subprocess.run([sys.executable, "-c", FULL, str(tmp_path), str(room)], check=False, cwd=os.getcwd())
    assert child.returncode == 0
    run = Resumable(tmp_path, "momentum")
    assert (run.end.reason, run.end.steps) == ("finished", STEPS)
    assert run.log.count("no checkpoint could be written") == STEPS - 4 + 2, "at every step, and at the end"
    assert [path.name for path in run.checkpoints] == [f"step-00000000{step}.pt" for step in (3, 2, 1)]
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


TRAIN = """
import sys
from pathlib import Path
import torch
from tests.engine.resumed import Resumable, tiny_presets
import tests.engine.resumed as resumed
resumed.EPOCHS = 60
torch.set_num_threads(1)
with tiny_presets():
    commands = [(40, "overfit=on"), (60, "overfit=off")]
    run = Resumable(Path(sys.argv[1]), "dropout-norm-step", commands, checkpoint_every=7)
    run.resume() if sys.argv[2:] else run.start()
"""
"""300 steps of its own and 20 of an overfitted batch."""


def child(directory: Path, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", TRAIN, str(directory), *words], cwd=os.getcwd())


def test_killed_at_random_and_resumed_it_comes_to_the_same_end(tmp_path: Path) -> None:
    whole, run = (Resumable(tmp_path / name, "dropout-norm-step") for name in ("whole", "part"))
    for made in (whole, run):
        made.directory.mkdir()
    assert child(whole.directory).wait(PATIENCE_S) == 0
    chance = random.Random(0)
    killed, words = 0, list[str]()
    while not run.all(End) if run.checkpoints else not killed:
        process = child(run.directory, *words)
        if killed < 3:
            wait_for_another_checkpoint(run, run.checkpoints[:1], process)
            for _ in range(chance.randrange(20_000)):
                pass  # some moment later: in a step, in a write, in a validation
            process.kill()
        killed += process.wait(PATIENCE_S) == -signal.SIGKILL
        words = ["resume"]
    assert killed == 3
    assert run.end.weights_sha256 == whole.end.weights_sha256
    assert untimed(run) == untimed(whole)
    assert run.log.count("Resumed at step") == 3


def wait_for_another_checkpoint(run: Resumable, begun: list[Path], process: "subprocess.Popen[bytes]") -> None:
    while run.checkpoints[:1] == begun and process.poll() is None:
        os.sched_yield()


def untimed(run: Resumable) -> list[str]:
    """Steps and validations but for when they were."""
    return run.told(Step) + run.told(Validation)
