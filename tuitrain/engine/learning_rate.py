"""Setting the learning rate of a running optimizer so that its scheduler carries it on."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tuitrain.engine.tip import Refused

# Where schedulers keep rates of their own inside a parameter group: the initial rate that closed forms start from, and
# the highest and lowest that OneCycleLR and CyclicLR move between.
_RATES_IN_GROUP = ("initial_lr", "max_lr", "min_lr")
# And in themselves, one a group: where they start from, CyclicLR's highest, ReduceLROnPlateau's lowest.
_RATES_IN_SCHEDULER = ("base_lrs", "max_lrs", "min_lrs")


def learning_rate(optimizer: Optimizer) -> float:
    """The rate of the first parameter group."""
    return float(optimizer.param_groups[0]["lr"])


def set_learning_rate(optimizer: Optimizer, scheduler: LRScheduler | None, lr: float) -> None:
    """Make `lr` the rate of the first group; the other groups, and what the scheduler holds, change by the same factor.

    So the schedule keeps its shape from here on, scaled. Refused where the rate is 0 now: no factor changes that.
    """
    present = learning_rate(optimizer)
    if present == 0:
        raise Refused("the schedule is at a learning rate of 0 here, which cannot be scaled: set it earlier.")
    factor = lr / present
    for group in optimizer.param_groups:
        for key in ("lr", *_RATES_IN_GROUP):
            if key in group:
                group[key] = group[key] * factor
    optimizer.param_groups[0]["lr"] = lr  # not off by a rounding of the factor
    if scheduler is not None:
        _scale(scheduler, factor)


def _scale(scheduler: LRScheduler, factor: float) -> None:
    for name in _RATES_IN_SCHEDULER:
        if hasattr(scheduler, name):
            setattr(scheduler, name, [rate * factor for rate in getattr(scheduler, name)])
    if hasattr(scheduler, "eta_min"):  # the floor that cosine annealing comes down to
        scheduler.eta_min *= factor
    for part in getattr(scheduler, "_schedulers", ()):  # SequentialLR and ChainedScheduler
        _scale(part, factor)
