"""Setting the learning rate of a running optimizer so that its scheduler carries it on."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# Where schedulers keep rates of their own inside a parameter group: the initial rate that closed forms start from, and
# the highest and lowest that OneCycleLR and CyclicLR move between.
_RATES_IN_GROUP = ("initial_lr", "max_lr", "min_lr")


def learning_rate(optimizer: Optimizer) -> float:
    """The rate of the first parameter group."""
    return float(optimizer.param_groups[0]["lr"])


def set_learning_rate(optimizer: Optimizer, scheduler: LRScheduler | None, lr: float) -> None:
    """Make `lr` the rate of the first group; the other groups, and what the scheduler holds, change by the same factor.

    So the schedule keeps its shape from here on, scaled.
    """
    factor = lr / learning_rate(optimizer)
    for group in optimizer.param_groups:
        for key in ("lr", *_RATES_IN_GROUP):
            if key in group:
                group[key] = group[key] * factor
    optimizer.param_groups[0]["lr"] = lr  # not off by a rounding of the factor
    if scheduler is not None and hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
