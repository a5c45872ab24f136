"""The host of a run: a thread of this process that loads torch, builds the run, trains it, and ends it well.

`Host(order, journal, inbox)` trains a new run, as `create_run` made a directory and a journal for it;
`resume_host(directory, tips=..., inbox=...)` goes on with one that ended. Then `start()`, `join()`, `exit_code`.
Importing this module loads no torch, so that a first frame is drawn before torch is.
"""

import os
import sqlite3
import threading
import traceback
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tuitrain.engine.deferred_compiler import defer_compiler
from tuitrain.engine.files import list_checkpoints
from tuitrain.engine.order import Checks, Order, Tips, load_order
from tuitrain.engine.recorder import Position, Recorder
from tuitrain.errors import UserError
from tuitrain.record.events import End, Status, Step
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.link import Inbox
from tuitrain.record.runs import CHECKPOINTS, JOURNAL, release_lease, take_lease

__all__ = ["Host", "Order", "resume_host"]


class Host:
    """Runs an order in a thread of its own. `join` it, then read `exit_code`."""

    def __init__(self, order: Order, journal: Journal, inbox: Inbox, *, resumes: bool = False) -> None:
        """Train a new run; or one that `resumes`: from the newest good checkpoint in its directory."""
        self.order = order
        self.recorder = Recorder(journal)
        """Its journal is another one from the moment on at which the run is resumed."""
        self.inbox = inbox
        self.resumes = resumes
        self.exit_code = 0
        """0, or 1 when the run failed, or 2 when what was asked for is not possible."""
        self.bad_input: UserError | None = None
        self._thread = threading.Thread(target=self._train, name="trainer", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the run; whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _train(self) -> None:
        try:
            self._run_session()
        except UserError as error:
            self.bad_input, self.exit_code = error, 2
            self._fail(str(error), "bad input")
        except (Exception, SystemExit) as error:  # whatever the model raised is shown and recorded
            self.exit_code = 1
            self.recorder.log(traceback.format_exc())
            self._fail(f"{type(error).__name__}: {error}", "failed")
        finally:
            self.inbox.close()
            self.recorder.journal.close()
            release_lease(self.order.directory)

    def _run_session(self) -> None:
        self.recorder.say(Status, state="loading", message="Loading torch")
        _bound_openmp_spinning()
        from tuitrain.engine.session import Session

        defer_compiler()
        Session(self.order, self.recorder, self.inbox, resumes=self.resumes).run()

    def _fail(self, message: str, reason: str) -> None:
        position = self.recorder.position
        self.recorder.say(Status, state="failed", message=message)
        self.recorder.say(
            End,
            steps=position.step,
            executed_steps=position.executed,
            val_accuracy=None,
            val_loss=None,
            weights_sha256=None,
            reason=reason,
        )


def resume_host(
    directory: Path,
    *,
    tips: Tips,
    checks: Checks | None = None,
    inbox: Inbox,
    attended: bool = True,
    max_steps: int | None = None,
    **changes: object,
) -> Host:
    """The host that goes on with the run in `directory`, in the same directory and journal. This process takes it over.

    Looks only at what is cheap to look at, without torch: the checkpoints are read once the host is started, and if
    none is good, or the data or the device are missing, the host ends as it does for any bad input.

    Args:
        directory: Of a run that ended: stopped, failed or killed.
        tips: Loads the tips.
        checks: Makes what judges the training.
        inbox: Commands to the run. What was scheduled when it was saved is still to come without being in there.
        attended: Whether anyone can send commands while the run goes on.
        max_steps: The run ends after so many of its own steps; None leaves that as it was.
        changes: Fields of Order that do not change what is computed, such as checkpoint_every; None leaves them.

    Raises:
        UserError: The run lives, has nothing left to do, or has no order, journal or checkpoint to go on from.
    """
    order, _ = load_order(directory, tips=tips, checks=checks, attended=attended)
    given = {name: value for name, value in {"max_steps": max_steps, **changes}.items() if value is not None}
    order = replace(order, **given)  # type: ignore[arg-type]  # as dataclasses.replace checks them
    if not list_checkpoints(directory / CHECKPOINTS):
        raise UserError(f"{directory.name} has no checkpoint to resume from: start it anew.")
    _last_step(directory, max_steps)  # refused before anything of the run is touched
    take_lease(directory)
    try:
        last = _last_step(directory, max_steps)  # now that nobody else writes
        executed = 0 if last is None else last.executed
        journal = Journal.reopen(directory / JOURNAL, executed=executed, keep_every=order.keep_every)
    except UserError:
        release_lease(directory)
        raise
    host = Host(order, journal, inbox, resumes=True)
    if last is not None:
        host.recorder.go_on_from(Position(last.step, last.executed, last.epoch), last.time_s)
    return host


def _last_step(directory: Path, max_steps: int | None) -> Step | None:
    """The last recorded step of a run; UserError if it has nothing left to do."""
    try:
        with closing(Reader(directory / JOURNAL)) as reader:
            end, last = reader.last(End), reader.last_step()
    except sqlite3.OperationalError as error:
        raise UserError(f"The journal of {directory.name} cannot be read just now ({error}): try again.") from error
    reached = end.steps if end else last.step if last else 0
    if end is not None and end.reason == "finished":
        raise UserError(f"{directory.name} has finished after {reached:,} steps: there is nothing left to resume.")
    if end is not None and end.reason == "steps" and max_steps is None:
        raise UserError(
            f"{directory.name} has made the {reached:,} steps it was to make: resume it with more (--steps)."
        )
    if max_steps is not None and max_steps <= reached:
        raise UserError(f"{directory.name} has made {reached:,} steps already: --steps must be more than that.")
    return last


def _bound_openmp_spinning() -> None:
    """Have torch's threads spin only briefly where they wait for each other. Counts only before torch is loaded.

    With as many threads as cores, any other busy thread (the screen's, another program's) makes one of them late, and
    those that spin for it keep it off its core: a tiny model was measured 10 to 50 times slower. Not to spin at all
    made a small CNN 1.5 times slower; this count was as fast as the default on idle cores. The user's settings stand.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
