"""A rule: what it is about as data, and one short function that looks at a subject and says what is wrong with it.

The subject is whatever the function's parameter is annotated with: one of the classes that `seen/` makes, or several.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

Severity = Literal["error", "warning", "hint"]
Family = Literal["overfitting", "data", "clipping", "modes", "registration", "loop"]
Cost = Literal["E", "G", "D", "F"]

COSTS: dict[Cost, str] = {
    "E": "an event or a flag in Python; no tensor is read",
    "G": "a walk over modules or one autograd graph, at the start and after a change",
    "D": "numbers that are read from the device in batches anyway",
    "F": "a probe on a copy of the model, on demand",
}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What a rule found: the evidence, and where."""

    message: str
    """One sentence, with the numbers."""
    place: str = ""
    """Which of several: the path of a module, say; each is spoken of once."""
    site: str | None = None
    """The line of the script; empty where none is to blame, None for the one under execution."""
    severity: Severity | None = None
    """Where it is not that of the rule."""
    certain: bool = False
    """Whether it needs no second time."""


Troubles = Iterator[Trouble]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that can be wrong."""

    slug: str
    number: int
    """Its number in the catalogue."""
    family: Family
    severity: Severity
    cost: Cost
    title: str
    """What is wrong, in a few words."""
    why: str
    """What it does to a training."""
    silent: str
    """Where the rule says nothing, though it might seem to apply."""
    remedy: str
    """One sentence: what to do."""
    key: str = ""
    """The key that repairs it live, if one does."""
    word: str = ""
    """The switch that the key stands for; not every training has every switch."""
    within: int
    """Optimizer steps within which it is found, where it is there from the start."""
    hits: int = 2
    """How often in a row it must be seen before it is said."""
    bad: str
    good: str
    subjects: tuple[type[Any], ...]
    look: Callable[[Any], Troubles]


def rule(**about: Any) -> Callable[[Callable[[Any], Troubles]], Rule]:  # noqa: ANN401 - the fields of Rule
    """Make a rule of the function that looks."""

    def made(look: Callable[[Any], Troubles]) -> Rule:
        hints = get_type_hints(look)
        hints.pop("return")
        (subject,) = hints.values()
        return Rule(**about, subjects=get_args(subject) or (subject,), look=look)

    return made
