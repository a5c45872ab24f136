# ruff: noqa
# mypy: ignore-errors
"""Makes one observer fail, named by the environment; found where tips would be."""

import os

from tuitrain.engine.script import (
    delivery,
    evaluation,
    feeding,
    loading,
    models,
    norms,
    overfitting,
    reports,
    rounds,
    steering,
    watch,
)


def fail(*args, **kwargs):
    raise RuntimeError("sabotaged")


match os.environ["SABOTAGE"]:
    case "the loss":
        watch.root_of = fail
    case "the optimizer":
        rounds.Rounds.begin_step = fail
    case "the DataLoader":
        loading.Loading.fetched = fail
    case "the gradient norm":
        norms.Gradients.measure = fail
    case "the clipping":
        norms.Gradients.script_clipped = fail
    case "the gradient scaler":
        rounds.Rounds.skip = fail
    case "the models":
        models.Models.look = fail
    case "the modes":
        models.Models.say_modes = fail
    case "the scalars":
        delivery.note_of = fail
    case "the steering":
        steering.ScriptSteering.between_steps = fail
    case "the reports":
        reports.Reports.publish = fail
    case "the run":
        delivery.Run = fail
    case "validation":
        evaluation.Evaluation._see = fail
    case "the data":
        feeding.Feeding.give = fail
    case "overfitting":
        overfitting.Overfitting.given_by = fail
    case "nothing, but see whether it is at rest":
        original = steering.ScriptSteering.between_steps

        def between_steps(self):
            gathered = self._watch.rounds.gathered.backwards
            if gathered:
                raise AssertionError(f"{gathered} backward passes wait")
            original(self)

        steering.ScriptSteering.between_steps = between_steps
    case "the end":
        steering.ScriptSteering.reject_the_rest = fail

TIPS = ()
