"""Where a run goes on: at its newest good checkpoint, and its journal with it."""

from pathlib import Path

from tuitrain.engine.checkpoint import Unusable, read_checkpoint, set_aside
from tuitrain.engine.files import list_checkpoints
from tuitrain.engine.order import Order
from tuitrain.engine.recorder import Position, Recorder
from tuitrain.engine.saved import RunState, made_with, misfit_of, position_of
from tuitrain.engine.training import Training
from tuitrain.errors import UserError
from tuitrain.record.runs import CHECKPOINTS


def go_to_checkpoint(order: Order, recorder: Recorder, training: Training, data_origin: str) -> RunState:
    """The newest good checkpoint of a run; its recorder and its journal stand where that was taken afterwards.

    UserError if none is good; then nothing was changed.
    """
    directory = order.directory / CHECKPOINTS
    found = [path for _, path in list_checkpoints(directory)]
    reasons: list[str] = []
    for path in found:
        try:
            state, digest = read_checkpoint(path)
            _check(state, training, data_origin)
        except Unusable as error:
            reasons.append(str(error))
            recorder.log(f"{path.name} cannot be resumed from: {error}.")
        else:
            _set_aside(found[: len(reasons)], recorder)
            _reopen(recorder, order, position_of(state), digest)
            _say_where(path, state, recorder, training)
            return state
    raise UserError(
        f"None of {len(found)} checkpoints in {directory} can be resumed from; of the newest, {reasons[0]}."
        if reasons
        else f"There is no checkpoint in {directory} any more: start the run anew."
    )


def _check(state: RunState, training: Training, data_origin: str) -> None:
    if state["data"] != data_origin:
        raise Unusable(f"it was trained on {state['data']}, and what is found now is {data_origin}")
    if (reason := misfit_of(state, training)) is not None:
        raise Unusable(f"it does not fit the model ({reason})")


def _set_aside(unusable: list[Path], recorder: Recorder) -> None:
    for path in unusable:
        try:
            set_aside(path)
        except OSError as error:
            recorder.log(f"{path.name} could not be set aside ({error}): remove it, or a later resume may take it.")


def _reopen(recorder: Recorder, order: Order, position: Position, digest: str) -> None:
    journal = recorder.journal
    journal.close()
    recorder.journal = type(journal).reopen(
        journal.path, executed=position.executed, keep_every=order.keep_every, checkpoint=digest
    )


def _say_where(path: Path, state: RunState, recorder: Recorder, training: Training) -> None:
    reached, recorded, position = recorder.position.step, recorder.position.executed, position_of(state)
    recorder.go_on_from(position, state["time_s"])
    farther = f" (the run had reached step {reached:,})" if reached > position.step else ""
    recorder.log(f"Resumed at step {position.step:,} from {path.name}{farther}.")
    if recorded < position.executed:
        recorder.log(
            f"Of steps {recorded + 1:,} to {position.executed:,} nothing is recorded: the journal was full, or damaged."
        )
    if state["within_step"]:
        recorder.log("It was written when a step failed: that step is done again, after what it had changed already.")
    then, now = state["made_with"], made_with(training)
    if changed := [f"{name} {then[name]}, now {now[name]}" for name in now if then[name] != now[name]]:
        recorder.log(f"It was saved with {'; '.join(changed)}: it may not go on to the same bits.")
