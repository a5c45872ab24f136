"""Commands to a script, applied at the boundary between two of its steps, each answered by Applied or Rejected.

The boundary lies within a call that the script itself makes: for its next batch, or for an optimizer's step.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tuitrain.engine.script.stopped import Stopped
from tuitrain.engine.script.unavailable import VALIDATE, unavailable
from tuitrain.engine.tip import Refused, Tip
from tuitrain.errors import UserError
from tuitrain.record import commands
from tuitrain.record.commands import AnyCommand, Set
from tuitrain.record.events import Applied, Rejected, Switches, Value
from tuitrain.record.link import Inbox

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch

PAUSE_POLL_S = 0.1
HEARING_INTERVAL_S = 0.01
"""How often the wire is listened to at most: each time costs a call of the system."""


class ScriptSteering:
    """Takes commands from the wire and carries them out on the watch it belongs to."""

    def __init__(self, watch: "Watch", inbox: Inbox, tips: Sequence[type[Tip]], *, attended: bool) -> None:
        self.paused = False
        self.stopping = False
        self.wants_batch = False
        """Whether a command waits for the next batch to train on."""
        self._watch = watch
        self._inbox = inbox
        self._attended = attended
        self._tips: dict[str, Tip] = {}
        self._tip_classes = tips
        self._due: deque[AnyCommand] = deque()
        self._awaiting_batch: list[Set] = []
        self._steps_allowed = 0
        self._steps_seen = 0
        self._next_hearing_s = 0.0
        self._said: dict[str, Value] = {}

    @property
    def tips(self) -> list[Tip]:
        """The tips that fit a script, once it is known what it trains."""
        return list({id(tip): tip for tip in self._tips.values()}.values())

    def take_up_tips(self) -> None:
        """Take up the tips."""
        for kind in self._tip_classes:
            tip = kind(self._watch.probe)
            self._tips.update(dict.fromkeys(kind.words, tip))

    def between_steps(self) -> None:
        """Apply what is due, and wait while paused; raises Stopped where the script is to end."""
        self._count_steps()
        if self._watch.recorder.now_s >= self._next_hearing_s:
            self._hear()
        self._due.extend(self._inbox.due(self._watch.position.executed))
        if self._due or self._awaiting_batch or self.paused or self.stopping or not self._attended:
            self._attend()

    @torch.no_grad()
    def _attend(self) -> None:
        """Something waits, or may have to end by itself."""
        self._apply_what_can_be()
        self._let_go_of_what_waits_in_vain()
        if not self._attended:
            self._let_go()
        if self.paused and not self._steps_allowed:
            self._wait_while_paused()
        self._stop_if_told()

    def between_validation_batches(self) -> None:
        """Nothing is applied within a validation but a stop."""
        self._hear()
        if self._inbox.stop_sent:
            self._due.extend(self._inbox.due(self._watch.position.executed))
            for stop in [command for command in self._due if isinstance(command, commands.Stop)]:
                self._due.remove(stop)
                self._apply(stop)
            self._stop_if_told()

    def batch_at_hand(self) -> None:
        """Apply what waited for a batch to train on."""
        awaiting, self._awaiting_batch = self._awaiting_batch, []
        self.wants_batch = False
        for command in awaiting:
            self._apply(command, batch_at_hand=True)

    def reject_the_rest(self) -> None:
        """Answer, at the script's end, every command that was not."""
        self._hear()
        self._inbox.close()
        executed = self._watch.position.executed
        for command in [*self._awaiting_batch, *self._due, *self._inbox.due(executed)]:
            if isinstance(command, commands.Stop):
                self._say_applied(command, True)
            else:
                self._reject(command, "the script has ended.")
        for at, command in self._inbox.scheduled:
            self._reject(command, f"the script ended after {executed} executed steps, before {at}.")

    def switches(self) -> dict[str, Value]:
        """The value of every switch that this script has, read back from where it holds."""
        values = {word: tip.read(word) for word, tip in self._tips.items()}
        return values | {"lr": self._watch.trained.lr, "pause": self.paused}

    def say_switches(self) -> None:
        """Say the value of every switch."""
        self._said = self.switches()
        self._watch.recorder.say(Switches, values=self._said)
        self._watch.gradients.changed = False

    def say_what_changed(self) -> None:
        """Say it, if it is other than it was said last: the script may have changed it itself."""
        if self.switches() != self._said:
            self.say_switches()

    def _hear(self) -> None:
        self._next_hearing_s = self._watch.recorder.now_s + HEARING_INTERVAL_S
        for command in self._watch.wire.commands():
            self._put_in(command)

    def _put_in(self, command: AnyCommand) -> None:
        try:
            self._inbox.send(command)
        except UserError as error:
            self._reject(command, str(error))

    def _apply_what_can_be(self) -> None:
        """Apply what is due; to let go of a held batch waits until the script asks for it."""
        later: list[AnyCommand] = []
        while self._due:
            command = self._due.popleft()
            if self._watch.probe.overfitting and not self._watch.probe.at_held_batch and command.word == "overfit":
                later.append(command)
            else:
                self._apply(command)
        self._due.extend(later)

    def _let_go_of_what_waits_in_vain(self) -> None:
        """What waits for a batch although this script turned out to have none is refused."""
        if self._awaiting_batch and self._watch.probe.no_batch_to_hold() is not None:
            self.batch_at_hand()

    def _count_steps(self) -> None:
        executed = self._watch.position.executed
        self._steps_allowed = max(0, self._steps_allowed - (executed - self._steps_seen))
        self._steps_seen = executed

    def _let_go(self) -> None:
        """With nobody there, what would go on for ever ends by itself."""
        watch = self._watch
        if self.paused:
            self._apply(Set(name="pause", value=False, by="tuitrain"))
        if (
            watch.probe.at_held_batch
            and not self._inbox.scheduled
            and watch.probe.steps_held >= watch.probe.training.overfit_steps
        ):
            self._apply(Set(name="overfit", value=False, by="tuitrain"))

    def _wait_while_paused(self) -> None:
        watch = self._watch
        watch.delivery.flush(wait=True)
        watch.probe.say_state("paused")
        watch.wire.flush()
        while self.paused and not self._steps_allowed and not self.stopping and watch.wire.is_open:
            for command in watch.wire.wait(PAUSE_POLL_S):
                self._put_in(command)
            self._due.extend(self._inbox.due(watch.position.executed))
            self._apply_what_can_be()
            watch.wire.flush()
        if not watch.wire.is_open:
            self.paused = False  # nobody is left to end the pause
        if not self.paused:
            watch.probe.say_state("running")
        watch.reports.start_the_clock_anew()

    def _stop_if_told(self) -> None:
        if self.stopping:
            self.stopping = False  # once: a script that catches it ends as it likes
            self._watch.probe.save_at_stop()
            raise Stopped("stopped by tuitrain")

    def _apply(self, command: AnyCommand, *, batch_at_hand: bool = False) -> None:
        """Apply a command now, or when the next batch is at hand."""
        if isinstance(command, Set) and not batch_at_hand and self._must_await_batch(command):
            self._awaiting_batch.append(command)
            self.wants_batch = True
            return
        watch = self._watch
        watch.delivery.flush(wait=True)  # so that what came before it is said before it
        try:
            value = self._carry_out(command)
        except Refused as refusal:
            self._reject(command, str(refusal))
            return
        except Exception as error:  # the guard switches the steering off; answered before it does
            self._reject(command, f"it failed: {error}")
            raise
        self._say_applied(command, value)
        self.say_switches()
        watch.delivery.publish()
        watch.wire.flush()

    def _must_await_batch(self, command: Set) -> bool:
        """Whether it needs the next batch, or must not overtake one that does."""
        if any(waiting.name == command.name for waiting in self._awaiting_batch):
            return True
        tip = self._tips.get(command.name)
        if tip is None or not tip.needs_batch(command.name, command.value):
            return False
        return self._watch.probe.no_batch_to_hold() is None

    def _carry_out(self, command: AnyCommand) -> Value:
        """Do what a command says; the value read back."""
        watch = self._watch
        match command:
            case Set(name="pause", value=bool(paused)):
                self.paused = paused
                return self.paused
            case Set(name="lr", value=float(lr)):
                return watch.probe.set_lr(lr)
            case Set(name=word, value=value):
                return self._switch(word, value)
            case commands.StepOnce():
                self.paused, self._steps_allowed = True, 1
            case commands.Validate():
                raise Refused(VALIDATE)
            case commands.Checkpoint():
                watch.probe.save()
            case commands.Stop():
                self.stopping = True
        return True

    def _switch(self, word: str, value: Value) -> Value:
        tip = self._tips.get(word)
        if tip is None:
            raise Refused(f"a script has no switch {word}.")
        reason = unavailable(self._watch).get(word)
        if reason is not None and value is True:
            raise Refused(reason)
        tip.set(word, value)
        if word in ("clip", "max_norm", "clip_by"):
            self._watch.probe.clipping_is_the_users()
        return tip.read(word)

    def _say_applied(self, command: AnyCommand, value: Value) -> None:
        self._watch.recorder.say(Applied, id=command.id, word=command.word, value=value, by=command.by)

    def _reject(self, command: AnyCommand, reason: str) -> None:
        self._watch.recorder.say(Rejected, id=command.id, word=command.word, by=command.by, reason=reason)
