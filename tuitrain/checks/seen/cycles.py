"""What happens to the gradients of each optimizer from one of its steps to the next, in order."""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer

from tuitrain.checks.judge import Judge
from tuitrain.checks.seen.gradients import Samples
from tuitrain.checks.seen.sites import script_site
from tuitrain.engine.gradients import optimized
from tuitrain.engine.observer import Observed, Observer

IS_LOGGING = 1e6
"""A norm to clip to that no gradient reaches: whoever gives it wants to know the norm."""
MOST_READS = 4
"""Cycles of which it is read whether their gradients are zero."""
FIRST_STEPS = 100
"""Steps, of all optimizers together, in which every cycle is followed."""
WAKES_EVERY, AWAKE_STEPS = 128, 8
"""After them, so many steps of each so many: a loop that was right until then hardly changes."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A call that clips gradients of an optimizer."""

    backwards: int
    """Backward passes between the optimizer's last step and this call."""
    renewed: bool
    """Whether the gradients were touched, zeroed most likely, between the last step or backward pass and this call."""
    stepped: bool
    """Whether the gradients are those that the optimizer has stepped with, untouched since."""
    found: int
    """How many of the parameters had a gradient."""
    parameters: frozenset[int]
    """Their ids."""
    bound: float
    by_value: bool
    scaled: bool
    """Whether the gradients were still multiplied with the factor of a gradient scaler."""
    site: str

    @property
    def is_logging(self) -> bool:
        """Whether it cannot change anything."""
        return self.bound >= IS_LOGGING


@dataclass(kw_only=True)
class Cycle:
    """From one step of an optimizer to its next, which is about to come."""

    optimizer: Optimizer
    by_closure: bool
    backwards: int
    """Backward passes of the script, whichever gradients they reached."""
    marks: list[str]
    """What happened, in order: "backward" where one reached its gradients, "renewed", "clip", "unscale"."""
    clips: list[Clip]
    added_to_old: bool
    """Whether a backward pass added to gradients with which the optimizer had stepped, untouched since."""
    old_in_a_row: int
    """Cycles in a row, this one included, in which that was so."""
    ever_renewed: bool
    """Whether the gradients were ever touched between a step and the next backward pass."""
    steps: int
    """Steps of this optimizer before this one."""
    others: int
    """How many other optimizers have stepped."""
    may_read: Callable[[], bool]
    """Whether a value may be read from the device once more."""

    @property
    def reached(self) -> list[Tensor]:
        """Parameters that have a gradient."""
        return [parameter for parameter in optimized(self.optimizer) if parameter.grad is not None]

    def gradients_are_zero(self) -> bool:
        """Whether no gradient is left: each is None or 0. Reads from the device, and so only a few times in a run."""
        if not self.may_read():
            return False
        smallest_first = sorted(self.reached, key=Tensor.numel)
        return all(not bool(gradient.any()) for each in smallest_first if (gradient := each.grad) is not None)


@dataclass(frozen=True, kw_only=True)
class ClipCall:
    """A call that clips, whosever gradients they are."""

    parameters: int
    found: int
    of_optimizers: int
    """How many of the known optimizers hold one of the parameters."""
    optimizers: int
    is_logging: bool


@dataclass
class _Account:
    """One optimizer."""

    optimizer: "weakref.ref[Optimizer]"
    samples: Samples
    ids: frozenset[int]
    known: bool = False
    """Whether all was seen since its last step."""
    steps: int = 0
    marks: list[str] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    backwards: int = 0
    scaled: bool = False
    added_to_old: bool = False
    old_in_a_row: int = 0
    ever_renewed: bool = False

    def look(self) -> bool:
        """Whether the gradients were touched since all was last seen."""
        if not self.samples.changed():
            return False
        self.ever_renewed = self.ever_renewed or not self.backwards
        self.marks.append("renewed")
        self.added_to_old = False
        return True

    def begin(self, *, known: bool) -> None:
        """A cycle begins; `known` says whether it does so just now, with a step."""
        self.known = known
        self.marks, self.clips = [], []
        self.backwards, self.scaled, self.added_to_old = 0, False, False
        self.samples.remember()


class Cycles(Observer):
    """Follows each optimizer, and has its cycles judged."""

    name = "the checks of the optimizers"

    def __init__(self, run: Observed, judge: Judge) -> None:
        self._run = run
        self._judge = judge
        self._accounts: dict[int, _Account] = {}
        self._owned: dict[tuple[int, ...], tuple[frozenset[int], list[int]]] = {}
        self._scaled = False
        self._reads = 0
        self._steps = 0
        self._awake = True

    def before_backward(self, tensors: object) -> None:
        """Whether gradients were zeroed before it."""
        if not self._awake:
            return
        for account in self._accounts.values():
            account.look()

    def scaled(self) -> None:
        """The next backward pass gives scaled gradients."""
        self._scaled = True

    def after_backward(self) -> None:
        """Whose gradients it reached, and whether it added to old ones."""
        if not self._awake:
            return
        for account in self._accounts.values():
            adds = account.samples.added_to()
            if account.samples.changed():
                first = "backward" not in account.marks and "renewed" not in account.marks
                account.added_to_old = account.added_to_old or (adds and first and account.known)
                account.marks.append("backward")
                account.scaled = account.scaled or self._scaled
            account.backwards += 1
        self._scaled = False

    def before_clip(self, parameters: list[Tensor], bound: object, *, by_value: bool) -> None:
        """Remember how the gradients stand, and whose they are."""
        if not self._awake:
            return
        number = float(bound) if isinstance(bound, int | float) else math.nan
        found = sum(parameter.grad is not None for parameter in parameters)
        ids, owners = self._owners(parameters)
        site = script_site()
        for account in owners:
            renewed = account.look()
            stepped = account.samples.present and not account.marks and account.known
            account.clips.append(
                Clip(
                    backwards=account.backwards,
                    renewed=renewed or "renewed" in account.marks,
                    stepped=stepped,
                    found=found,
                    parameters=ids,
                    bound=number,
                    by_value=by_value,
                    scaled=account.scaled,
                    site=site,
                )
            )
            account.marks.append("clip")
        call = ClipCall(
            parameters=len(parameters),
            found=found,
            of_optimizers=len(owners),
            optimizers=len(self._accounts),
            is_logging=number >= IS_LOGGING,
        )
        self._judge(call, site)

    def after_clip(self, parameters: list[Tensor]) -> None:
        """What clipping did to the gradients is seen."""
        if self._awake:
            for account in self._accounts.values():
                account.samples.remember()

    def before_unscale(self, optimizer: Optimizer) -> None:
        """Whether gradients were touched before."""
        if self._awake and (account := self._accounts.get(id(optimizer))) is not None:
            account.look()

    def after_unscale(self, optimizer: Optimizer) -> None:
        """They are as without a scaler."""
        if self._awake and (account := self._accounts.get(id(optimizer))) is not None:
            account.marks.append("unscale")
            account.scaled = False
            account.samples.remember()

    def before_step(self, optimizer: Optimizer, *, by_closure: bool) -> None:
        """A cycle is complete."""
        if not self._awake:
            return
        account = self._accounts.get(id(optimizer)) or self._open(optimizer)
        account.look()
        account.old_in_a_row = account.old_in_a_row + 1 if account.added_to_old else 0
        if account.known:
            self._judge(_cycle(account, optimizer, self, by_closure=by_closure), id(optimizer))

    def after_step(self, optimizer: Optimizer) -> None:
        """A new one begins."""
        self._steps += 1
        if self._awake:
            account = self._accounts.get(id(optimizer)) or self._open(optimizer)
            account.steps += 1
            account.begin(known=True)
        awake = self._steps < FIRST_STEPS or self._steps % WAKES_EVERY < AWAKE_STEPS
        if awake and not self._awake:
            for account in self._accounts.values():
                account.begin(known=False)
        self._awake = awake

    def _may_read(self) -> bool:
        self._reads += 1
        return self._reads <= MOST_READS

    def _open(self, optimizer: Optimizer) -> _Account:
        parameters = optimized(optimizer)
        reference = weakref.ref(optimizer, lambda _: self._accounts.pop(key, None))
        key = id(optimizer)
        self._accounts[key] = _Account(reference, Samples(parameters), frozenset(map(id, parameters)))
        return self._accounts[key]

    def _owners(self, parameters: list[Tensor]) -> tuple[frozenset[int], list[_Account]]:
        """The ids of parameters, and the optimizers that hold some of them; kept, as a script clips the same ones."""
        ends = (len(parameters), *(id(each) for each in (parameters[:1] + parameters[-1:])), len(self._accounts))
        if ends not in self._owned:
            ids = frozenset(map(id, parameters))
            owners = [key for key, account in self._accounts.items() if not ids.isdisjoint(account.ids)]
            self._owned[ends] = ids, owners
        ids, owners = self._owned[ends]
        return ids, [account for key in owners if (account := self._accounts.get(key)) is not None]


def _cycle(account: _Account, optimizer: Optimizer, cycles: Cycles, *, by_closure: bool) -> Cycle:
    return Cycle(
        optimizer=optimizer,
        by_closure=by_closure,
        backwards=account.backwards,
        marks=account.marks,
        clips=account.clips,
        added_to_old=account.added_to_old,
        old_in_a_row=account.old_in_a_row,
        ever_renewed=account.ever_renewed,
        steps=account.steps,
        others=len(cycles._accounts) - 1,
        may_read=cycles._may_read,
    )
