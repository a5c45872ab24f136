"""What a run may be told: frozen values ("overfit = on", never "flip overfit"), each with an id and its sender.

A person types the same words after `--at K`: see `parse`.
"""

import itertools
import math
import os
from typing import Annotated, Literal

import msgspec

from tuitrain.errors import UserError
from tuitrain.record.events import Value

SCHEDULED = "--at"
"""Who sends what was scheduled on the command line."""

_serial = itertools.count(1)

Kind = Literal["switch", "positive", "choice"]
Token = Annotated[str, msgspec.Meta(pattern=r"\A[\w.-]{1,64}\Z")]
"""A short name without spaces or control characters: checked where a command comes from elsewhere."""


class Word(msgspec.Struct, frozen=True):
    """A word of the vocabulary: how its value is written, and what it does."""

    kind: Kind
    help: str
    choices: tuple[str, ...] = ()


WORDS: dict[str, Word] = {
    "overfit": Word("switch", "train on one batch alone; keep = stay with the overfitted weights", ("keep",)),
    "shuffle": Word("switch", "shuffle what is left of the epoch"),
    "normalise": Word("switch", "shift and scale the inputs to mean 0 and standard deviation 1"),
    "clip": Word("switch", "clip the gradients"),
    "max_norm": Word("positive", "the clipping threshold"),
    "clip_by": Word("choice", "scale by the total norm, or clamp each value", ("norm", "value")),
    "eval": Word("switch", "validate in eval mode"),
    "register": Word("switch", "register modules and tensors that stand in plain containers"),
    "lr": Word("positive", "the learning rate"),
    "pause": Word("switch", "pause between two steps"),
}
"""Every word that `--at` and the keys can set."""


def new_id() -> str:
    """An id no other command of this machine bears: the process, and a serial number in it."""
    return f"{os.getpid():x}-{next(_serial)}"


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag=str.lower):
    """Something to do between two steps."""

    id: Token = msgspec.field(default_factory=new_id)
    by: str = "key"
    """Who sent it: "key", "--at", or the name of a viewer."""

    @property
    def word(self) -> str:
        """The word this command is answered under."""
        return type(self).__name__.lower()


class Set(Command, frozen=True, kw_only=True):
    """Give a switch a value."""

    name: Token
    value: bool | float | Token

    @property
    def word(self) -> str:
        """The name of the switch."""
        return self.name


class StepOnce(Command, frozen=True, kw_only=True):
    """Execute one step, then pause."""


class Validate(Command, frozen=True, kw_only=True):
    """Validate now, in eval and in train mode, and leave no trace."""


class Checkpoint(Command, frozen=True, kw_only=True):
    """Write a checkpoint now."""


class Stop(Command, frozen=True, kw_only=True):
    """Finish the step, save, and end the run."""


AnyCommand = Set | StepOnce | Validate | Checkpoint | Stop


def parse(text: str, *, by: str = SCHEDULED) -> Set:
    """`word=value` as a command; UserError names the word and what it allows."""
    name, equals, raw = (part.strip() for part in text.partition("="))
    if name not in WORDS or not equals:
        raise UserError(f"{text!r} is no command: write one of {', '.join(WORDS)}, then = and a value (overfit=on).")
    return Set(name=name, value=parse_value(name, raw), by=by)


def parse_value(name: str, raw: str) -> Value:
    """The value written as `raw` for the word `name`, or UserError naming the word and what it allows."""
    word = WORDS[name]
    if word.kind == "switch" and raw.lower() in ("on", "off"):
        return raw.lower() == "on"
    if word.kind == "positive" and _is_positive(raw):
        return float(raw)
    if raw in word.choices:
        return raw
    raise UserError(f"{name}={raw} is not possible: {name} takes {allowed(name)}.")


def check(command: AnyCommand) -> None:
    """UserError if a command gives a word a value that the word does not take; an unknown word is left to the run."""
    if isinstance(command, Set) and command.name in WORDS and not _is_possible(WORDS[command.name], command.value):
        raise UserError(
            f"{command.name}={spell(command.value)} is not possible: {command.name} takes {allowed(command.name)}."
        )


def allowed(name: str) -> str:
    """What may be written after `name=`, in words."""
    word = WORDS[name]
    if word.kind == "positive":
        return "a number above 0"
    return ", ".join((("on", "off") if word.kind == "switch" else ()) + word.choices)


def spell(value: Value) -> str:
    """A value as a person writes it: on, off, a number, or the name of the choice."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else f"{value:.4g}"


def _is_possible(word: Word, value: Value) -> bool:
    if isinstance(value, str):
        return value in word.choices
    if isinstance(value, bool):
        return word.kind == "switch"
    return word.kind == "positive" and value > 0 and math.isfinite(value)


def _is_positive(raw: str) -> bool:
    try:
        number = float(raw)
    except ValueError:
        return False
    return number > 0 and math.isfinite(number)
