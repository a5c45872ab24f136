"""Between two steps of a script: one step is closed, what the script trains is taken up, commands are applied."""

from typing import TYPE_CHECKING

import torch

from tuitrain.engine.script.finding import living_optimizers, schedulers_of
from tuitrain.engine.script.frames import script_frames

if TYPE_CHECKING:
    from tuitrain.engine.script.watch import Watch


class Boundary:
    """The place between two steps: within a call that the script makes, no backward pass or step being under way."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch
        self.took_up = False
        """Whether it is known what the script trains."""

    def reach(self) -> None:
        """The one place where anything is applied."""
        self.close_step()
        if self.took_up or self._take_up():
            self._watch.delivery.keep_up()
            self._watch.steering.between_steps()

    def close_step(self) -> None:
        """If an optimizer has stepped since the last boundary, that was a step of the run."""
        watch = self._watch
        phases = watch.rounds.close()
        if not phases:
            return
        phase = phases[0]
        if len(phases) > 1:
            leaders = watch.trained.optimizers[:1]
            phase = next((each for each in phases if each.optimizer in leaders), phase)
        position = watch.position
        position.executed += 1
        position.step += not watch.probe.overfitting
        position.epoch = watch.loading.epoch
        watch.trained.last_lr = phase.lr
        if watch.probe.lr_to_hold is not None:
            watch.probe.see_whether_lr_holds(phase.lr)
        watch.loading.step_done()
        watch.guard("the scalars", watch.delivery.send, phase)
        watch.reports.step_done(phases, phase)
        if position.executed == 1:
            watch.guard("the run", watch.delivery.say_run)

    def look_at_models(self) -> None:
        """Look for the models anew, and say their tree."""
        watch = self._watch
        watch.guard("the models", watch.models.look, watch.trained.optimizers, script_frames())
        watch.trained.schedulers = tuple(type(each).__name__ for each in schedulers_of(watch.trained.optimizers))

    def end(self) -> None:
        """The script ends: say what is left to say."""
        watch = self._watch
        self.close_step()
        watch.evaluation.end()
        if self.took_up:
            watch.steering.reject_the_rest()
            watch.delivery.flush(wait=True)
        watch.reports.say_capabilities()

    @torch.no_grad()
    def _take_up(self) -> bool:
        """Look for what the script trains; whether there is something."""
        watch = self._watch
        optimizers = watch.trained.optimizers or living_optimizers()
        if not optimizers:
            return False
        watch.trained.know(optimizers)
        self.took_up = True
        self.look_at_models()
        watch.steering.take_up_tips()
        watch.probe.say_state("running")
        watch.steering.say_switches()
        return True
