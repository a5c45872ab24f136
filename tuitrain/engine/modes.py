"""The train/eval mode that really holds: each module's own flag, read one by one."""

from typing import Literal, NamedTuple

from torch import nn

Word = Literal["train", "eval"]


class Census(NamedTuple):
    """The modes of a model's modules: the root's, how many modules there are, and the paths of those that differ."""

    root: Word
    modules: int
    disagree: tuple[str, ...]


def census(model: nn.Module) -> Census:
    """Count the modes of all registered modules."""
    named = list(model.named_modules())
    return Census(
        "train" if model.training else "eval",
        len(named),
        tuple(path for path, module in named if module.training != model.training),
    )
