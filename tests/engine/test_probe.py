"""The probe: commands applied between steps in order, pausing, single steps, stopping, and what nobody attends to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.engine import zoo
from tests.engine.fingerprint import fingerprint
from tests.engine.listening import PATIENCE_S, ListeningJournal, in_order
from tests.engine.runs import (
    RECIPES,
    STEPS,
    STEPS_PER_EPOCH,
    Outcome,
    Recipe,
    Scheduled,
    fit_to_the_end,
    inbox_of,
    open_probe,
    state_of,
    tiny_inputs,
    tiny_targets,
    train,
    train_bare,
)
from tuitrain.engine.probe import Probe
from tuitrain.engine.scalars import CAPACITY
from tuitrain.engine.tip import Refused
from tuitrain.engine.training import Training
from tuitrain.record.commands import SCHEDULED, Checkpoint, Set, StepOnce, Stop, Validate, parse
from tuitrain.record.events import (
    Applied,
    GradientNorms,
    LogLine,
    Mode,
    ModuleTree,
    Rejected,
    Status,
    Step,
    Switches,
    TipReport,
    Validation,
    Vitals,
)
from tuitrain.record.link import Inbox

RECIPE = RECIPES["dropout-norm-step"]


def applied(outcome: Outcome) -> list[tuple[str, object, int]]:
    """Word, value, and executed steps of what was applied."""
    return [(event.word, event.value, event.executed) for event in outcome.news.events if isinstance(event, Applied)]


def rejected(outcome: Outcome) -> list[Rejected]:
    return [event for event in outcome.news.events if isinstance(event, Rejected)]


class Running:
    """A run in a thread of its own, attended by the test."""

    def __init__(self, training: Training, journal: ListeningJournal, inbox: Inbox) -> None:
        self.training, self.journal, self.inbox = training, journal, inbox
        self.reason = "not ended"
        self.thread = threading.Thread(target=self._train, daemon=True)

    def _train(self) -> None:
        torch.set_num_threads(1)
        with open_probe(self.training, self.journal, self.inbox, attended=True) as probe:
            self.reason = fit_to_the_end(self.training, probe)

    def join(self) -> None:
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), "the run hangs"

    def states(self) -> list[str]:
        return [event.state for event in self.journal.all(Status)]

    def wait_until_paused_after(self, executed: int) -> None:
        self.journal.wait_for(Status, lambda status: status.state == "paused" and status.executed == executed)


@contextmanager
def running(recipe: Recipe, directory: Path, *commands: tuple[int, str]) -> Iterator[Running]:
    run = Running(recipe.make(), ListeningJournal(directory / "journal.sqlite"), inbox_of(commands))
    run.thread.start()
    yield run
    run.inbox.send(Stop())
    run.join()


# ---------------------------------------------------------------- pausing and single steps


def test_it_pauses_steps_once_and_goes_on(tmp_path: Path) -> None:
    with running(RECIPE, tmp_path, (3, "pause=on")) as run:
        run.wait_until_paused_after(3)
        assert len(run.journal.all(Step)) == 3, "all steps are delivered before it rests"
        for executed in (4, 5):
            run.inbox.send(StepOnce())
            run.wait_until_paused_after(executed)
            assert len(run.journal.all(Step)) == executed
        run.inbox.send(Set(name="pause", value=False))
        run.join()
        assert run.reason == "finished"
    assert state_of(run.training) == train_bare(RECIPE.make()), "having paused changes nothing"
    said = [(event.word, event.value, event.executed) for event in run.journal.all(Applied)]
    assert said == [("pause", True, 3), ("steponce", True, 3), ("steponce", True, 4), ("pause", False, 5)]


def test_a_single_step_out_of_a_run_in_motion_pauses_after_it(tmp_path: Path) -> None:
    inbox = Inbox([(4, StepOnce())])
    run = Running(RECIPE.make(), ListeningJournal(tmp_path / "journal.sqlite"), inbox)
    run.thread.start()
    run.wait_until_paused_after(5)
    run.inbox.send(Stop())
    run.join()
    assert run.reason == "stopped"
    assert len(run.journal.all(Step)) == 5


def test_commands_are_applied_while_it_is_paused(tmp_path: Path) -> None:
    with running(RECIPE, tmp_path, (2, "pause=on")) as run:
        run.wait_until_paused_after(2)
        for command in (parse("clip=off"), parse("lr=0.5"), Validate()):
            run.inbox.send(command)
        run.journal.wait_for(Applied, lambda event: event.word == "validate")
        switches = run.journal.all(Switches)[-1].values
        assert (switches["clip"], switches["lr"], switches["pause"]) == (False, 0.5, True)
        assert [event.mode for event in run.journal.all(Validation)] == ["eval", "train"]
        assert run.states()[-1] == "paused", "after validating it is still paused"


def test_overfitting_asked_for_while_paused_begins_with_the_next_step(tmp_path: Path) -> None:
    with running(RECIPE, tmp_path, (2, "pause=on")) as run:
        run.wait_until_paused_after(2)
        run.inbox.send(parse("overfit=on"))
        run.inbox.send(StepOnce())
        run.wait_until_paused_after(3)
        assert [step.overfit for step in run.journal.all(Step)] == [False, False, True]
        run.inbox.send(parse("overfit=off"))
        run.inbox.send(StepOnce())
        run.wait_until_paused_after(4)
        assert run.journal.all(Step)[-1].step == 3


def test_a_stop_ends_a_paused_run(tmp_path: Path) -> None:
    with running(RECIPE, tmp_path, (2, "pause=on")) as run:
        run.wait_until_paused_after(2)
    assert run.reason == "stopped"
    assert run.journal.all(Applied)[-1].word == "stop"


def test_a_stop_ends_a_run_that_overfits_and_undoes_that(tmp_path: Path) -> None:
    with running(RECIPE, tmp_path, (2, "overfit=on"), (5, "pause=on")) as run:
        run.wait_until_paused_after(5)
    assert run.reason == "stopped"
    stopped = RECIPE.make()
    train(stopped, max_steps=2)
    assert fingerprint(run.training.model) == fingerprint(stopped.model)


# ---------------------------------------------------------------- with nobody there


def test_unattended_a_pause_does_not_last() -> None:
    outcome = train(RECIPE.make(), [(3, "pause=on"), (6, StepOnce(by=SCHEDULED))])
    assert outcome.reason == "finished"
    assert applied(outcome) == [("pause", True, 3), ("pause", False, 3), ("steponce", True, 6), ("pause", False, 6)]
    assert outcome.state == train_bare(RECIPE.make())


def test_unattended_overfitting_ends_by_itself() -> None:
    outcome = train(replace(RECIPE, overfit_steps=9).make(), [(3, "overfit=on")])
    assert applied(outcome) == [("overfit", True, 3), ("overfit", False, 3 + 9)]
    assert outcome.state == train_bare(RECIPE.make())


def test_unattended_overfitting_goes_on_while_something_is_scheduled() -> None:
    outcome = train(replace(RECIPE, overfit_steps=9).make(), [(3, "overfit=on"), (30, "overfit=off")])
    assert applied(outcome) == [("overfit", True, 3), ("overfit", False, 30)]


def test_attended_it_overfits_until_it_is_told(tmp_path: Path) -> None:
    with running(replace(RECIPE, overfit_steps=5), tmp_path, (1, "overfit=on"), (40, "pause=on")) as run:
        run.wait_until_paused_after(40)
        assert sum(step.overfit for step in run.journal.all(Step)) == 39


# ---------------------------------------------------------------- every command is answered, in order


def test_commands_of_one_word_keep_their_order_while_waiting_for_a_batch() -> None:
    commands = [parse(f"overfit={value}") for value in ("on", "off", "on", "off", "on")]
    outcome = train(RECIPE.make(), [*((4, command) for command in commands), (8, "overfit=off")])
    answers = [event.id for event in outcome.news.events if isinstance(event, Applied)]
    assert answers[:5] == [command.id for command in commands]
    assert [value for _, value, _ in applied(outcome)] == [True, False, True, False, True, False]
    assert outcome.state == train_bare(RECIPE.make())


def test_overfitting_asked_for_at_the_end_of_an_epoch_waits_for_the_next_ones_first_batch() -> None:
    outcome = train(RECIPE.make(), [(STEPS_PER_EPOCH, "overfit=on"), (STEPS_PER_EPOCH + 4, "overfit=off")])
    kinds = in_order(outcome.news.events, Validation, Applied)
    assert isinstance(kinds[0], Validation), "the epoch is validated before the batch is held"
    assert [step.epoch for step in outcome.news.steps if step.overfit] == [2] * 4


def test_other_words_need_not_wait_for_a_batch() -> None:
    outcome = train(RECIPE.make(), [(4, "overfit=on"), (4, "clip=off"), (4, "overfit=off")])
    assert [word for word, _, _ in applied(outcome)] == ["clip", "overfit", "overfit"]


def test_what_is_never_reached_is_rejected_and_says_so() -> None:
    outcome = train(RECIPE.make(), [(STEPS + 1, "clip=off"), (STEPS + 900, Validate())])
    assert [(event.word, event.executed) for event in rejected(outcome)] == [("clip", STEPS), ("validate", STEPS)]
    assert str(STEPS + 900) in rejected(outcome)[1].reason
    assert str(STEPS) in rejected(outcome)[1].reason


def test_what_waits_for_a_batch_that_never_comes_is_rejected() -> None:
    outcome = train(RECIPE.make(), [(STEPS, "overfit=on"), (STEPS, "overfit=off")])
    assert [event.reason for event in rejected(outcome)] == ["the run has ended."] * 2


def test_keeping_without_overfitting_is_refused() -> None:
    outcome = train(RECIPE.make(), [(4, "overfit=keep")])
    assert "no batch is being overfitted" in rejected(outcome)[0].reason


def test_a_word_that_no_tip_answers_is_refused() -> None:
    outcome = train(RECIPE.make(), [(4, "shuffle=off")], tips=())
    assert [event.reason for event in rejected(outcome)] == ["this run has no switch shuffle."]
    assert outcome.state == train_bare(RECIPE.make()), "without tips it trains all the same"


def test_a_checkpoint_that_cannot_be_written_is_rejected_and_training_goes_on() -> None:
    def refuse(probe: Probe) -> None:
        raise Refused("no checkpoint could be written (the disk is full); training goes on.")

    outcome = train(RECIPE.make(), [(4, Checkpoint())], save=refuse)
    assert [(event.word, event.reason.split(" (")[0]) for event in rejected(outcome)] == [
        ("checkpoint", "no checkpoint could be written")
    ]
    assert outcome.state == train_bare(RECIPE.make())


def test_a_checkpoint_is_saved_between_two_steps() -> None:
    saved: list[tuple[int, int]] = []
    outcome = train(
        RECIPE.make(),
        [(4, Checkpoint())],
        save=lambda probe: saved.append((probe.position.step, probe.position.executed)),
    )
    assert saved == [(4, 4), (STEPS, STEPS)], "and at the end"
    assert applied(outcome) == [("checkpoint", True, 4)]


def test_checkpoints_are_saved_every_so_many_of_its_own_steps_once_at_each() -> None:
    saved: list[tuple[int, int]] = []
    training = RECIPE.make()

    def save(probe: Probe) -> None:
        saved.append((probe.position.step, probe.position.executed))

    train(training, [(4, "overfit=on"), (7, "overfit=off")], save=save, checkpoint_every=STEPS_PER_EPOCH - 1)
    assert saved == [(4, 4), (8, 11), (12, 15), (STEPS, STEPS + 3)]


def test_what_is_saved_by_itself_and_cannot_be_is_said_and_training_goes_on() -> None:
    def refuse(probe: Probe) -> None:
        raise Refused("no checkpoint could be written (the disk is full); training goes on.")

    outcome = train(RECIPE.make(), save=refuse, checkpoint_every=STEPS_PER_EPOCH)
    said = [event.executed for event in outcome.said if isinstance(event, LogLine) and "disk is full" in event.text]
    assert said == [5, 10, 15, 15], "every time, and at the end"
    assert outcome.state == train_bare(RECIPE.make())


def test_every_switch_is_read_back_where_it_holds() -> None:
    texts = ["clip=off", "max_norm=0.25", "clip_by=value", "eval=off", "shuffle=off", "normalise=off", "lr=0.3"]
    training = RECIPE.make()
    outcome = train(training, [(4, text) for text in texts])
    assert [word for word, _, _ in applied(outcome)] == [text.split("=")[0] for text in texts]
    values = [event for event in outcome.news.events if isinstance(event, Switches)][-1].values
    assert values | {"lr": 0.3} == {
        "overfit": False, "shuffle": False, "normalise": False, "clip": False, "max_norm": 0.25, "clip_by": "value",
        "eval": False, "register": True, "lr": 0.3, "pause": False,
    }  # fmt: skip
    probe = outcome.probe
    assert (probe.clipping.on, probe.clipping.max_norm, probe.clipping.by) == (False, 0.25, "value")
    assert (training.train.shuffle, training.prepare.enabled, probe.eval_in_validation) == (False, False, False)


# ---------------------------------------------------------------- stopping while it validates


class Stopping(zoo.FrozenNorm):
    """Sends commands from within the nth validation."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = Outside()

    def between(self, states: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            self.outside.called()
        return super().between(states)


class Outside:
    """What stands outside of the model: a person who presses q at the given validation batch."""

    def __init__(self) -> None:
        self.inbox: Inbox | None = None
        self.batches_until = -1

    def called(self) -> None:
        self.batches_until -= 1
        if self.batches_until == 0 and self.inbox is not None:
            self.inbox.send(Stop(id="stop"))


VALIDATION_BATCHES = 3


def stopped_in_validation(batch: int, scheduled: Scheduled) -> tuple[Outcome, Training]:
    training = Recipe(model=Stopping).make()
    inbox = inbox_of(scheduled)
    outside = training.model.outside
    assert isinstance(outside, Outside)
    outside.inbox, outside.batches_until = inbox, batch
    return train(training, inbox=inbox), training


def test_a_stop_breaks_a_validation_off_and_is_applied() -> None:
    outcome, training = stopped_in_validation(VALIDATION_BATCHES + 2, [])  # within the second epoch's
    assert outcome.reason == "stopped"
    assert [event.id for event in outcome.news.events if isinstance(event, Applied)] == ["stop"]
    assert rejected(outcome) == []
    assert len(outcome.news.steps) == 2 * STEPS_PER_EPOCH
    assert len([event for event in outcome.news.events if isinstance(event, Validation)]) == 1, "half of one is none"
    flags = {path: module.training for path, module in training.model.named_modules()}
    assert flags == {"": True, "body": True, "head": True, "norm": False, "dropout": True}


def test_a_stop_while_asked_to_validate_leaves_no_command_unanswered() -> None:
    validate, later = Validate(), parse("clip=off")
    outcome, _ = stopped_in_validation(2, [(3, validate), (3, later)])
    answers = {event.id: type(event).__name__ for event in in_order(outcome.news.events, Applied, Rejected)}  # type: ignore[attr-defined]
    assert answers == {validate.id: "Rejected", later.id: "Rejected", "stop": "Applied"}
    assert len(outcome.news.steps) == 3


# ---------------------------------------------------------------- what is said


def test_before_the_first_step_everything_is_said() -> None:
    before = [event for event in train(RECIPE.make()).said if event.executed == 0]
    said = {type(event) for event in before}
    assert {ModuleTree, Switches, Mode, TipReport, Status} <= said
    assert {event.tip for event in before if isinstance(event, TipReport)} == {
        "overfit", "shuffle", "normalise", "clipping", "modes", "registration",
    }  # fmt: skip


def test_steps_are_counted_and_come_in_order() -> None:
    news = train(RECIPE.make(), [(4, "overfit=on"), (9, "overfit=off")]).news
    assert [step.executed for step in news.steps] == list(range(1, STEPS + 6))
    assert [step.step for step in news.steps] == [1, 2, 3, 4, 4, 4, 4, 4, 4, *range(5, STEPS + 1)]
    assert [step.epoch for step in news.steps if not step.overfit] == [1] * 5 + [2] * 5 + [3] * 5
    assert all(0 <= step.accuracy <= 1 for step in news.steps if step.overfit)
    assert all(step.accuracy != step.accuracy for step in news.steps if not step.overfit), "measured only there"
    assert sorted(step.time_s for step in news.steps) == [step.time_s for step in news.steps]


def test_a_full_buffer_of_scalars_is_delivered_however_fast_the_steps_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.engine.probe.FLUSH_INTERVAL_S", 3600.0)
    samples = 2 * CAPACITY + 3
    recipe = replace(
        RECIPES["sgd-momentum"], inputs=tiny_inputs(samples), targets=tiny_targets(samples), batch_size=1, epochs=1
    )
    news = train(recipe.make(), tips=()).news
    assert [step.step for step in news.steps] == list(range(1, samples + 1))


def test_the_losses_are_those_of_the_loop() -> None:
    training = RECIPE.make()
    losses: list[float] = []
    criterion = training.criterion

    def noting(predictions: Tensor, targets: Tensor) -> Tensor:
        loss = criterion(predictions, targets)
        if torch.is_grad_enabled():
            losses.append(loss.item())
        return loss

    training.criterion = noting
    assert [step.loss for step in train(training).news.steps] == losses


def test_the_accuracy_on_the_held_batch_is_right() -> None:
    targets = torch.arange(80) % zoo.CLASSES
    training = replace(RECIPES["sgd-momentum"], targets=targets, shuffle=False).make()
    training.criterion = lambda predictions, targets: 0.0 * predictions.sum()  # learns nothing
    with torch.no_grad():
        right = (training.model(training.prepare(training.train.inputs[:16])).argmax(1) == targets[:16]).sum().item()
    assert 0 < right < 16
    news = train(training, [(0, "overfit=on"), (3, "overfit=off")]).news
    assert [step.accuracy for step in news.steps[:3]] == [right / 16] * 3


def test_the_mode_is_that_of_the_modules() -> None:
    modes = [event for event in train(Recipe(model=zoo.FrozenNorm).make()).said if isinstance(event, Mode)]
    assert [(mode.phase, mode.root, mode.disagree) for mode in modes[:3]] == [
        ("train", "train", ("norm",)),
        ("validation", "eval", ()),
        ("train", "train", ("norm",)),
    ]
    assert modes[0].modules == 5


def test_the_tree_is_said_again_only_when_it_has_changed() -> None:
    class Thawing(zoo.FrozenNorm):
        """Puts its frozen BatchNorm into train mode on the way, as schedules for fine-tuning do."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def between(self, states: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == STEPS_PER_EPOCH + 2:
                self.norm.train()
            return super().between(states)

    assert len(trees(Recipe(model=zoo.FrozenNorm))) == 1
    flags = [{row.path: row.training for row in tree.rows}["norm"] for tree in trees(Recipe(model=Thawing))]
    assert flags == [False, True]


def trees(recipe: Recipe) -> list[ModuleTree]:
    return [event for event in train(recipe.make()).said if isinstance(event, ModuleTree)]


def test_vitals_and_norms_are_said_now_and_then() -> None:
    kinds = {type(event) for event in train(RECIPE.make()).said}
    assert {Vitals, GradientNorms} <= kinds


def test_every_event_is_stamped_within_the_run() -> None:
    events = [event for event in train(RECIPE.make(), [(4, "clip=off")]).said if not isinstance(event, Step)]
    assert [event.executed for event in events] == sorted(event.executed for event in events)
    assert all(event.time_s >= 0 for event in events)
