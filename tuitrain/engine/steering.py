"""Commands, applied: between two steps, in order, each answered by an Applied or a Rejected event."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tuitrain.engine.learning_rate import learning_rate, set_learning_rate
from tuitrain.engine.tip import Refused, Tip
from tuitrain.record import commands
from tuitrain.record.commands import AnyCommand, Set
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
        attended: bool,
    ) -> None:
        """`save` writes a checkpoint; `attended` says whether anyone can send commands while the run goes on."""
        self.paused = False
        self._probe = probe
        self._inbox = inbox
        self._save = save
        self._max_steps = max_steps
        self._attended = attended
        self._due: deque[AnyCommand] = deque()
        self._awaiting_batch: list[Set] = []
        self._steps_allowed = 0
        self._stopping = False

    def between_steps(self) -> None:
        """Apply what is due, wait while paused; raises StopTraining where the run ends."""
        self._steps_allowed -= self._steps_allowed > 0
        self._due.extend(self._inbox.due(self._probe.position.executed))
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

    def release_batch(self) -> None:
        """Let go of a held batch as if by command."""
        if self._probe.overfitting:
            self._apply(Set(name="overfit", value=False, by="tuitrain"))

    def reject_the_rest(self) -> None:
        """Answer, at the end of the run, every command that was not; a Stop has what it wanted."""
        executed = self._probe.position.executed
        left = [*self._awaiting_batch, *self._due, *self._inbox.due(executed)]
        self._awaiting_batch.clear()
        self._due.clear()
        for command in left:
            if isinstance(command, commands.Stop):
                self._say_applied(command, True)
            else:
                self._reject(command, "the run has ended.")
        for at, command in self._inbox.scheduled:
            self._reject(command, f"the run ended after {executed} executed steps, before {at}.")

    def switches(self) -> dict[str, Value]:
        """The value of every switch, read back from where it holds."""
        values: dict[str, Value] = {word: tip.read(word) for tip in self._probe.tips for word in tip.words}
        return values | {"lr": learning_rate(self._probe.training.optimizer), "pause": self.paused}

    def say_switches(self) -> None:
        """Say the value of every switch."""
        self._probe.recorder.say(Switches, values=self.switches())

    def _let_go(self) -> None:
        """With nobody there, what would go on for ever ends by itself."""
        probe = self._probe
        if self.paused:  # what is scheduled comes after executed steps, of which there would be none
            self._apply(Set(name="pause", value=False, by="tuitrain"))
        if probe.overfitting and not self._inbox.scheduled and probe.steps_held >= probe.training.overfit_steps:
            self.release_batch()

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
        except Exception as error:  # it ends the run; answered before it does
            self._reject(command, "the run was stopped." if isinstance(error, StopTraining) else f"it failed: {error}")
            raise
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
                self._save(probe)
            case commands.Stop():
                self._stopping = True
        return True

    def _tip_for(self, word: str) -> Tip | None:
        return next((tip for tip in self._probe.tips if word in tip.words), None)

    def _say_applied(self, command: AnyCommand, value: Value) -> None:
        self._probe.recorder.say(Applied, id=command.id, word=command.word, value=value, by=command.by)

    def _reject(self, command: AnyCommand, reason: str) -> None:
        self._probe.recorder.say(Rejected, id=command.id, word=command.word, by=command.by, reason=reason)
