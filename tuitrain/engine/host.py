"""The host of a run: a thread of this process that loads torch, builds the run, trains it, and ends it well.

Importing this module loads no torch, so that a first frame is drawn before torch is.
"""

import os
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuitrain.engine.recorder import Recorder
from tuitrain.errors import UserError
from tuitrain.preset import Preset
from tuitrain.record.events import End, Status
from tuitrain.record.journal import Journal
from tuitrain.record.link import Inbox

if TYPE_CHECKING:
    from tuitrain.engine.tip import Tip


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train, and how."""

    preset_name: str
    preset: Preset
    directory: Path
    """Where checkpoints go."""
    tips: Callable[[], "Sequence[type[Tip]]"]
    """Loads the tips, once torch may be loaded."""
    data_dir: Path | None = None
    full: bool = False
    device: str = "auto"
    threads: int | None = None
    max_steps: int | None = None
    attended: bool = True
    """Whether anyone can send commands while the run goes on."""


class Host:
    """Runs an order in a thread of its own. `join` it, then read `exit_code`."""

    def __init__(self, order: Order, journal: Journal, inbox: Inbox) -> None:
        self.order = order
        self.recorder = Recorder(journal)
        self.inbox = inbox
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
            self.recorder.journal.close()

    def _run_session(self) -> None:
        self.recorder.say(Status, state="loading", message="Loading torch")
        _bound_openmp_spinning()
        from tuitrain.engine.session import Session

        Session(self.order, self.recorder, self.inbox).run()

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


def _bound_openmp_spinning() -> None:
    """Have torch's threads spin only briefly where they wait for each other. Counts only before torch is loaded.

    With as many threads as cores, any other busy thread (the screen's, another program's) makes one of them late, and
    those that spin for it keep it off its core: a tiny model was measured 10 to 50 times slower. Not to spin at all
    made a small CNN 1.5 times slower; this count was as fast as the default on idle cores. The user's settings stand.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
