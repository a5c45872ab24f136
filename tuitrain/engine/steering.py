"""Commands, applied: between two steps, in order, each answered by an Applied or a Rejected event."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tuitrain.engine.learning_rate import learning_rate, set_learning_rate
from tuitrain.engine.tip import Refused, Tip
from tuitrain.record import commands
from tuitrain.record.commands import SCHEDULED, AnyCommand, Set
from tuitrain.record.events import Applied, Rejected, Switches, Value
from tuitrain.record.link import Inbox

if TYPE_CHECKING:
    from tuitrain.engine.probe import Probe

PAUSE_POLL_S = 0.1


class StopTraining(Exception):
    """Ends the loop between two steps; `reason` is why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Steering:
    """Takes commands out of the inbox and carries them out on the probe it belongs to."""

    def __init__(
        self,
        probe: "Probe",
        inbox: Inbox,
        *,
        save: Callable[["Probe"], None],
        max_steps: int | None,
        checkpoint_every: int | None,
        attended: bool,
    ) -> None:
        """Steer `probe`.

        `save` writes a checkpoint; after every `checkpoint_every` of the run's own steps it is called unasked.
        `attended` says whether anyone can send commands while the run goes on.
        """
        self.paused = False
        self._probe = probe
        self._inbox = inbox
        self._save = save
        self._max_steps = max_steps
        self._checkpoint_every = checkpoint_every
        self._attended = attended
        self._due: deque[AnyCommand] = deque()
        self._awaiting_batch: list[Set] = []
        self._carried: list[tuple[int, AnyCommand]] = []
        """What was scheduled before the run was resumed."""
        self._steps_allowed = 0
        self._set_by: dict[str, str] = {}
        """Who last set each switch."""
        self._stopping = False
        self._resumed = False
        """Whether the next boundary between two steps is the one that the run was saved at."""
        self.saved_step = 0
        """The run's own step of the last checkpoint."""
        self._tried_step = 0
        """The one at which it was last tried."""

    def between_steps(self) -> None:
        """Apply what is due, wait while paused; raises StopTraining where the run ends."""
        self._steps_allowed -= self._steps_allowed > 0 and not self._resumed
        self._resumed = False
        self._save_if_due()
        self.take_what_is_due()
        while self._due:
            self._apply(self._due.popleft())
        if not self._attended:
            self._let_go()
        if self.paused and not self._steps_allowed:
            self._wait_while_paused()
        if self._stopping:
            raise StopTraining("stopped")
        if self._max_steps is not None and self._probe.position.step >= self._max_steps and not self._probe.overfitting:
            raise StopTraining("steps")

    def batch_at_hand(self) -> None:
        """Apply what waited for the next batch."""
        awaiting, self._awaiting_batch = self._awaiting_batch, []
        for command in awaiting:
            self._apply(command, batch_at_hand=True)

    def raise_if_stop_was_sent(self) -> None:
        """For what takes long between two steps: StopTraining if a Stop waits in the inbox."""
        if self._inbox.stop_sent and not self._stopping:
            raise StopTraining("stopped")

    def reject_the_rest(self) -> None:
        """Answer, at the end of the run, every command that was not; a Stop has what it wanted."""
        self._inbox.close()
        executed = self._probe.position.executed
        later = "" if self._probe.at_the_end else ": it comes if the run is resumed"
        left = [*self._awaiting_batch, *self._due, *self._inbox.due(executed)]
        self._awaiting_batch.clear()
        self._due.clear()
        for command in left:
            if isinstance(command, commands.Stop):
                self._say_applied(command, True)
            else:
                self._reject(command, f"the run has ended{later}.")
        for at, command in self._scheduled:
            self._reject(command, f"the run ended after {executed} executed steps, before {at}{later}.")

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: whether it pauses, and every command that still waits."""
        return {
            "paused": self.paused,
            "steps_allowed": self._steps_allowed,
            "awaiting_batch": msgspec.to_builtins(self._awaiting_batch),
            "due": msgspec.to_builtins([command for command in self._due if not isinstance(command, commands.Stop)]),
            "scheduled": msgspec.to_builtins(self._scheduled),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on at the boundary between two steps at which the state was taken."""
        self.paused, self._steps_allowed = state["paused"], state["steps_allowed"]
        self._awaiting_batch = msgspec.convert(state["awaiting_batch"], list[Set])
        self._due.extend(msgspec.convert(state["due"], list[AnyCommand]))
        self._carried = msgspec.convert(state["scheduled"], list[tuple[int, AnyCommand]])
        self._resumed = True
        self.saved_step = self._tried_step = self._probe.position.step

    def switches(self) -> dict[str, Value]:
        """The value of every switch, read back from where it holds."""
        values: dict[str, Value] = {word: tip.read(word) for tip in self._probe.tips for word in tip.words}
        return values | {"lr": learning_rate(self._probe.training.optimizer), "pause": self.paused}

    def say_switches(self) -> None:
        """Say the value of every switch."""
        self._probe.recorder.say(Switches, values=self.switches())

    @property
    def _scheduled(self) -> list[tuple[int, AnyCommand]]:
        """What is scheduled and not yet due."""
        return [*self._carried, *self._inbox.scheduled]

    def take_what_is_due(self) -> None:
        """Take every command that was sent, or scheduled for now, to those that wait."""
        executed = self._probe.position.executed
        while self._carried and self._carried[0][0] <= executed:
            self._due.append(self._carried.pop(0)[1])
        self._due.extend(self._inbox.due(executed))

    def _save_if_due(self) -> None:
        """Write the checkpoint of every so many steps, once at each."""
        step = self._probe.position.step
        if self._checkpoint_every is not None and step != self._tried_step and step % self._checkpoint_every == 0:
            self.try_to_save()

    def try_to_save(self) -> None:
        """Write a checkpoint; where it cannot be written, say so and go on."""
        try:
            self._save_now()
        except Refused as refusal:
            self._probe.recorder.log(str(refusal))

    def _save_now(self) -> None:
        self._tried_step = self._probe.position.step
        self._save(self._probe)
        self.saved_step = self._tried_step

    def _let_go(self) -> None:
        """With nobody there, what was scheduled and would go on for ever ends by itself; not what a viewer wanted."""
        probe = self._probe
        if self.paused and self._nobody_wanted("pause"):  # what is scheduled comes after executed steps: there are none
            self._apply(Set(name="pause", value=False, by="tuitrain"))
        held_for_long = probe.overfitting and probe.steps_held >= probe.training.overfit_steps
        if held_for_long and not self._scheduled and self._nobody_wanted("overfit"):
            self._apply(Set(name="overfit", value=False, by="tuitrain"))

    def _nobody_wanted(self, word: str) -> bool:
        """Whether a switch is as it is by schedule, or since before the run was resumed."""
        return self._set_by.get(word, SCHEDULED) == SCHEDULED

    def _wait_while_paused(self) -> None:
        self._probe.flush(wait=True)
        self._probe.say_state("paused")
        while self.paused and not self._steps_allowed and not self._stopping:
            for command in self._inbox.wait(PAUSE_POLL_S):
                self._apply(command)
        if not self.paused:
            self._probe.say_state("running")

    def _apply(self, command: AnyCommand, *, batch_at_hand: bool = False) -> None:
        """Apply a command now, or when the next batch is at hand."""
        if isinstance(command, Set) and not batch_at_hand and self._must_await_batch(command):
            self._awaiting_batch.append(command)
            return
        self._probe.flush(wait=True)  # so that what came before it is said before it
        try:
            value = self._carry_out(command)
        except Refused as refusal:
            self._reject(command, str(refusal))
            return
        except StopTraining:
            self._due.appendleft(command)  # broken off: answered with those that wait, and done if the run is resumed
            raise
        except Exception as error:  # it ends the run; answered before it does
            self._reject(command, f"it failed: {error}")
            raise
        self._set_by["pause" if isinstance(command, commands.StepOnce) else command.word] = command.by
        self._say_applied(command, value)
        self.say_switches()
        self._probe.publish()

    def _must_await_batch(self, command: Set) -> bool:
        """Whether it needs the next batch, or must not overtake one that does."""
        if any(waiting.name == command.name for waiting in self._awaiting_batch):
            return True
        tip = self._tip_for(command.name)
        return tip is not None and tip.needs_batch(command.name, command.value)

    def _carry_out(self, command: AnyCommand) -> Value:
        """Do what a command says; the value read back."""
        probe = self._probe
        match command:
            case Set(name="pause", value=bool(paused)):
                self.paused = paused
                return self.paused
            case Set(name="lr", value=float(lr)):
                set_learning_rate(probe.training.optimizer, probe.training.scheduler, lr)
                return learning_rate(probe.training.optimizer)
            case Set(name=word, value=value):
                tip = self._tip_for(word)
                if tip is None:
                    raise Refused(f"this run has no switch {word}.")
                tip.set(word, value)
                return tip.read(word)
            case commands.StepOnce():
                self.paused, self._steps_allowed = True, 1
            case commands.Validate():
                probe.validate("asked", ("eval", "train"))
            case commands.Checkpoint():
                self._save_now()
            case commands.Stop():
                self._stopping = True
        return True

    def _tip_for(self, word: str) -> Tip | None:
        return next((tip for tip in self._probe.tips if word in tip.words), None)

    def _say_applied(self, command: AnyCommand, value: Value) -> None:
        self._probe.recorder.say(Applied, id=command.id, word=command.word, value=value, by=command.by)

    def _reject(self, command: AnyCommand, reason: str) -> None:
        self._probe.recorder.say(Rejected, id=command.id, word=command.word, by=command.by, reason=reason)
