"""Overfitting one batch of a script: when its batch is held, what is given meanwhile, and how it is let go."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from tuitrain.engine.recorder import Recorder
from tuitrain.engine.script.frames import script_frames
from tuitrain.engine.script.holding import Held
from tuitrain.engine.script.loading import Loading
from tuitrain.engine.script.looping import comes_back, package_of_loop
from tuitrain.engine.tip import Refused

WITHOUT_LOADER = (
    "the script trains without a DataLoader, from which a batch could be held: "
    "with `for x, y in tuitrain.batches(get_batch, steps):` as its loop, one can be."
)
OF_PACKAGE = "the loop is that of {}, which counts and reports each batch itself, and would not stop doing so"
ADVICE = dict.fromkeys(
    ("lightning", "pytorch_lightning"), ": have Trainer(overfit_batches=1) overfit one batch in a run of its own."
)


class Given(NamedTuple):
    """A batch that an iterator gives in the place of a new one."""

    iterator: "weakref.ref[Any]"
    batch: Any


class Overfitting:
    """Holds one batch at a time."""

    def __init__(self, loading: Loading, recorder: Recorder, left: Callable[[], None]) -> None:
        """`left` is called if the script lets go of its loop while a batch is held; it then calls `give_up`."""
        self.held: Held | None = None
        self.held_since = 0
        """Executed steps when a batch was last held."""
        self._loading = loading
        self._recorder = recorder
        self._left = left
        self._at_hand: tuple[Any, Any] | None = None
        self._next: Given | None = None
        self._package: str | None = None
        """The installed package whose loop the script runs; empty: none; None: not known yet."""

    def at_hand(self, iterator: Any, batch: Any) -> bool:  # noqa: ANN401 - an iterator of a DataLoader, and its batch
        """A batch to train on was fetched, and not yet given; whether it is one that can be held."""
        self._at_hand = (iterator, batch) if comes_back(script_frames()) else None
        return self._at_hand is not None

    def is_held_by(self, iterator: Any) -> bool:  # noqa: ANN401
        """Whether an iterator gives the held batch."""
        return self.held is not None and iterator is not None and self.held.iterator() is iterator

    def may_be_let_go(self, iterator: Any) -> bool:  # noqa: ANN401
        """Whether the script asks for the held batch where it did when that was captured."""
        return self.is_held_by(iterator) and self.held is not None and self.held.at_its_place()

    def impossible(self) -> str | None:
        """Why no batch of this script can be held; None if one can, or it is not yet known."""
        if self._loading.several:
            return "the script trains on several DataLoaders at once, and only one batch can be held."
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return "the script trains in several processes, which would have to hold their batches together."
        if self._recorder.position.executed and self._loading.trained_on is None:
            return WITHOUT_LOADER
        return OF_PACKAGE.format(self._package) + ADVICE.get(self._package, ".") if self._package else None

    def hold(self, optimizers: list[Optimizer]) -> None:
        """Capture everything, and give the batch at hand again and again; Refused where that cannot be."""
        if self._at_hand is None or (reason := self.impossible()):
            raise Refused("no batch is at hand." if self._at_hand is None else str(reason))
        try:
            self.held = Held(*self._at_hand, optimizers, self._left)
        except Refused:
            raise
        except Exception as error:  # no memory, or an object that cannot be copied: nothing has changed yet
            raise Refused(f"the script's state cannot be captured ({type(error).__name__}: {error}).") from error
        self.held_since = self._recorder.position.executed

    def release(self, *, restore: bool) -> None:
        """The held batch is the script's next one. `restore` puts everything back as it was captured."""
        held, self.held = self.held, None
        if held is None:
            return
        batch, troubles = held.release(restore=restore)
        self._next = Given(held.iterator, batch)
        for trouble in troubles:
            self._recorder.log(f"Not put back: {trouble}.")

    def give_up(self) -> None:
        """The loop is over in which a batch is held: put everything back; nobody is left to give the batch to."""
        self._recorder.log("The script left its loop while one batch was overfitted: everything is put back.")
        self.release(restore=True)
        self._next = None

    def given_by(self, iterator: Any) -> Given | None:  # noqa: ANN401
        """What an iterator gives in the place of a new batch: the held one, or the one that was held till now."""
        self._at_hand = None
        if self._package is None and self._recorder.position.executed:  # once, now that it is in its loop
            self._package = package_of_loop(script_frames()) or ""
        if self.held is not None and self.is_held_by(iterator):
            if self.held.began_anew():
                self._left()
                return None
            return Given(self.held.iterator, self.held.again())
        given = self._next
        if given is None or given.iterator() is not iterator:
            return None
        self._next = None
        return given
