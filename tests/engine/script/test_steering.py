"""A script that runs on and on, steered live: each command is answered, and takes effect in the script itself."""

import math
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from tests.engine.script.scripts import answers, arguments_of, bare, outcome_of, running, wait_for, watched
from tuitrain.engine.script.host import ScriptHost
from tuitrain.record.commands import Checkpoint, Set, StepOnce, Stop, Validate
from tuitrain.record.events import Applied, Capabilities, End, Rejected, Status, Step


def live(how: str, directory: Path, *at: tuple[int, str]) -> AbstractContextManager[ScriptHost]:
    """A script that trains until it is stopped."""
    return running(arguments_of(f"live {how}"), directory, *at, attended=True)


def set_(host: ScriptHost, name: str, value: bool | float | str) -> Applied:
    """Give a switch a value, and wait until that is applied."""
    command = Set(name=name, value=value)
    host.inbox.send(command)
    return wait_for(host, Applied, lambda event: event.id == command.id)


def step_after(host: ScriptHost, executed: int) -> Step:
    """The first step after so many executed ones."""
    return wait_for(host, Step, lambda step: step.executed > executed)


def test_a_stop_unwinds_like_an_interruption(tmp_path: Path) -> None:
    """Its own finally runs; there is no traceback; a checkpoint was written; the exit code is 130."""
    with live("plain", tmp_path) as host:
        last = step_after(host, 5)
        host.inbox.send(Stop())
    outcome = outcome_of(host)
    assert outcome.returncode == 130
    assert outcome.printed == ["threads ['MainThread']", "tidied up"]
    (end,) = outcome.of(End)
    assert (end.reason, end.steps >= last.step) == ("stopped", True)
    assert outcome.of(Status)[-1].message == "live.py was stopped"
    (saved,) = (tmp_path / "checkpoints").glob("*.pt")
    assert f"step-{end.steps:09d}" in saved.name


def test_a_script_that_catches_it_ends_as_it_likes(tmp_path: Path) -> None:
    with live("catches", tmp_path) as host:
        step_after(host, 0)
        host.inbox.send(Stop())
    outcome = outcome_of(host)
    assert outcome.returncode == 0
    assert outcome.printed[1:3] == ["exiting from training early", "tidied up"]
    assert len(outcome.weights) == 1
    assert outcome.of(End)[0].reason == "stopped"


def test_a_checkpoint_holds_the_weights(tmp_path: Path) -> None:
    with live("plain", tmp_path) as host:
        step_after(host, 3)
        set_(host, "pause", True)
        host.inbox.send(Checkpoint())
        wait_for(host, Applied, lambda event: event.word == "checkpoint")
        host.inbox.send(Stop())
    (path,) = (tmp_path / "checkpoints").glob("*.pt")
    state = torch.load(path, weights_only=True)
    assert set(state["models"]) == {"model"}
    assert state["models"]["model"]["0.weight"].shape == (8, 4)
    assert state["step"] == outcome_of(host).of(End)[0].steps
    assert len(state["optimizers"]) == len(state["schedulers"]) == 1


def test_pause_holds_and_one_step_is_one_step(tmp_path: Path) -> None:
    with live("plain", tmp_path) as host:
        paused_at = set_(host, "pause", True).executed
        wait_for(host, Status, lambda status: status.state == "paused")
        for number in range(1, 4):
            once = StepOnce()
            host.inbox.send(once)
            applied = wait_for(host, Applied, lambda event: event.id == once.id)  # noqa: B023
            assert applied.executed == paused_at + number - 1
            wait_for(host, Step, lambda step: step.executed == paused_at + number)  # noqa: B023
        assert set_(host, "pause", False).executed == paused_at + 3
        step_after(host, paused_at + 10)
        host.inbox.send(Stop())
    assert [step.executed for step in outcome_of(host).steps[: paused_at + 3]] == list(range(1, paused_at + 4))


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    with live("plain", tmp_path) as host:
        set_(host, "pause", True)
        host.inbox.send(Stop())
    assert outcome_of(host).returncode == 130


def test_the_rate_is_set_and_the_schedule_carries_it_on(tmp_path: Path) -> None:
    with live("plain", tmp_path) as host:
        applied = set_(host, "lr", 0.004)
        assert applied.value == 0.004
        last = step_after(host, applied.executed + 20)
        host.inbox.send(Stop())
    rates = {step.lr for step in outcome_of(host).steps if step.executed > applied.executed}
    assert rates == {0.004}
    assert last.lr == 0.004


def test_gradients_are_clipped_where_the_script_never_does(tmp_path: Path) -> None:
    with live("plain", tmp_path, (0, "pause=on")) as host:
        set_(host, "max_norm", 0.01)
        on = set_(host, "clip", True)
        set_(host, "pause", False)
        step_after(host, 20)
        off = set_(host, "clip", False)
        step_after(host, off.executed + 3)
        host.inbox.send(Stop())
    for step in outcome_of(host).steps:
        if on.executed < step.executed <= off.executed:
            assert step.norm_before > 0.01
            assert step.norm_after == pytest.approx(0.01, rel=1e-3)
            assert step.max_norm == 0.01
        else:
            assert step.norm_after == step.norm_before
            assert math.isnan(step.max_norm)


def test_the_scripts_own_clip_can_be_changed_and_switched_off(tmp_path: Path) -> None:
    with live("clips", tmp_path) as host:
        first = step_after(host, 0)
        assert first.max_norm == 0.05
        assert first.norm_after == pytest.approx(0.05, rel=1e-3)
        changed = set_(host, "max_norm", 0.02)
        assert step_after(host, changed.executed).norm_after == pytest.approx(0.02, rel=1e-3)
        clamped = set_(host, "clip_by", "value")
        step = step_after(host, clamped.executed)
        assert step.norm_after <= 0.02 * math.sqrt(58)
        assert step.norm_after < step.norm_before
        off = set_(host, "clip", False)
        step = step_after(host, off.executed)
        assert step.norm_after == step.norm_before
        host.inbox.send(Stop())


def test_overfitting_is_seen_and_stopped_in_the_middle_is_undone(tmp_path: Path) -> None:
    with live("plain", tmp_path) as host:
        on = set_(host, "overfit", True)
        held = wait_for(host, Step, lambda step: step.overfit and step.executed > on.executed + 30)
        assert held.step == on.step
        host.inbox.send(Checkpoint())
        refused = wait_for(host, Rejected)
        assert "overfitted" in refused.reason
        host.inbox.send(Stop())
    outcome = outcome_of(host)
    own = [step for step in outcome.steps if not step.overfit]
    overfitted = [step.loss for step in outcome.steps if step.overfit]
    assert overfitted[-1] < overfitted[0]
    assert outcome.of(End)[0].steps == len(own) == on.step
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1


@pytest.mark.parametrize(
    ("program", "words", "reason"),
    [
        ("gpt", ["shuffle", "normalise", "eval"], "the script trains without a DataLoader: what it feeds"),
        ("lbfgs", ["register"], "the script's LBFGS has taken up its parameters for good."),
        ("compiled", ["register"], "the script's model is compiled, and would be compiled anew."),
        ("language", ["normalise"], "the script's batches begin with no tensor of floats."),
    ],
)
def test_what_a_script_does_not_allow_for_is_refused_with_the_reason(
    program: str, words: list[str], reason: str, tmp_path: Path
) -> None:
    outcome = watched(program, tmp_path, *((3, f"{word}=on") for word in words))
    answered = answers(outcome)
    assert [word for word, *_ in answered] == words
    assert all(why.startswith(reason) for *_, why in answered), answered
    assert outcome.weights == bare(program).weights
    panel = {row.name: row for row in outcome.of(Capabilities)[-1].rows if row.kind in ("steered", "unavailable")}
    assert all(panel[word].kind == "unavailable" and panel[word].text.startswith(reason) for word in words)


def test_to_validate_is_refused_and_what_comes_too_late_is_answered(tmp_path: Path) -> None:
    with live("plain", tmp_path, (10**9, "lr=1")) as host:
        host.inbox.send(Validate())
        assert "cannot be called" in wait_for(host, Rejected).reason
        host.inbox.send(Stop())
    word, _, reason = answers(outcome_of(host))[-1]
    assert word == "lr"
    assert reason.startswith("the script ended after")


def test_a_signal_reaches_the_scripts_own_handler(tmp_path: Path) -> None:
    with live("handler", tmp_path) as host:
        step_after(host, 0)
        host.signal(signal.SIGUSR1)
        step_after(host, outcome_steps(host) + 50)
        host.inbox.send(Stop())
    assert "told SIGUSR1" in outcome_of(host).printed


def outcome_steps(host: ScriptHost) -> int:
    """Executed steps so far, as the host knows."""
    return host.recorder.position.executed


def test_an_unobserved_script_outlives_its_host(tmp_path: Path) -> None:
    """The host's end of the wire is closed: the script goes on, and ends by itself."""
    with running(arguments_of("vae"), tmp_path) as host:
        host.inbox.close()
        host._socket.shutdown(2)
    assert host.returncode == 0
    assert len(outcome_of(host).weights) == 1
