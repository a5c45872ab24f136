"""The keys: ONE table. The bindings, the footer, the command palette, the help screen and the rows of
the tips derive from it, each for the seat from which the run is watched.

A key that steers builds its command from what the run says now, and the command is a value ("overfit = on"), never
"flip": a command that arrives twice, or late, cannot do the opposite of what was meant.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from textual.binding import Binding

from tuitrain.record.commands import AnyCommand, Checkpoint, Set, StepOnce, Validate
from tuitrain.record.state import RunView
from tuitrain.ui.glyphs import Glyphs
from tuitrain.ui.seat import Kind

Group = Literal["The five tips", "The run", "The screen"]
Build = Callable[[RunView], AnyCommand | None]
"""Builds a command from what the run says now; None where this run has no such switch."""

FACTOR = 1.25
SENSIBLE = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.4, 8.0, 10.0)
"""The figures that `scaled` lands on: each about 1.25 times the one before, so that up and down undo each other."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key: what it is called, what it does, and the truth about it."""

    name: str
    keys: str
    """Textual's names of the keys, separated by commas."""
    shown: str
    """How the key is written on the screen."""
    label: str
    help: str
    group: Group
    command: Build | None = None
    """What is sent to the run; None for a key of the screen."""
    action: str = ""
    """Textual's action, for a key of the screen."""
    footer: tuple[int, str] | None = None
    """Rank (1 is the last to be dropped) and word in the footer; None: not there."""
    priority: bool = False
    """Whether it acts above a question and the palette, too."""
    label_elsewhere: str = ""
    """The label where the run trains in another process; empty: the same."""
    help_elsewhere: str = ""
    """The help where the run trains in another process; empty: the same."""
    footer_elsewhere: str = ""
    """The word in the footer where the run trains in another process; empty: the same."""
    switch: str = ""
    """The word under which a script says whether it can be had; empty: the key's name."""
    for_scripts: bool = False
    """Whether it is there for scripts alone."""
    help_of_script: str = ""
    """The help where the run is a script of the user's own; empty: the same."""

    @property
    def gist(self) -> str:
        """The first sentence of the help."""
        return re.split(r"(?<=\.) ", self.help, maxsplit=1)[0]

    @property
    def subject(self) -> str:
        """The word of what it steers."""
        return self.switch or self.name

    @property
    def click(self) -> str:
        """The action that does what the key does."""
        return self.action or f"app.press('{self.name}')"


@dataclass(frozen=True, kw_only=True)
class TipRow:
    """A row of the tips pane: the switch it shows, the report it shows, and how both are worded."""

    key: str
    word: str
    tip: str
    label: Callable[[RunView, Glyphs], str]
    state: Callable[[RunView], tuple[bool, str]]
    """Whether the switch is on, and the word for it."""


def toggled(word: str) -> Build:
    """Builds the command that gives the switch `word` the other value than it has, or will have."""

    def build(view: RunView) -> AnyCommand | None:
        value = view.wanted(word)
        return None if value is None else Set(name=word, value=value is not True)

    return build


def multiplied(word: str, factor: float) -> Build:
    """Builds the command that multiplies the number `word`."""

    def build(view: RunView) -> AnyCommand | None:
        value = view.wanted(word)
        return Set(name=word, value=scaled(value, factor)) if isinstance(value, int | float) else None

    return build


def scaled(value: float, factor: float) -> float:
    """`value` times `factor`, on the nearest of the sensible figures: 1.0, 1.25, 1.6, 2.0, ..."""
    goal = value * factor
    decade = math.floor(math.log10(goal))
    nearest = min(SENSIBLE, key=lambda figure: abs(math.log(figure * 10.0**decade / goal)))
    return float(f"{nearest * 10.0**decade:.3g}")


def other_clip(view: RunView) -> AnyCommand | None:
    """Clip by the other of norm and value."""
    value = view.wanted("clip_by")
    return None if value is None else Set(name="clip_by", value="norm" if value == "value" else "value")


KEYS: tuple[Key, ...] = (
    Key(
        name="overfit", keys="o", shown="o", label="Overfit one batch", group="The five tips", footer=(3, "overfit"),
        command=toggled("overfit"),
        help="Train on one batch alone. A sound model drives its loss to almost nothing within some hundred steps "
        "(PASS); one that cannot has a bug: look at the model, the loss, the learning rate, before you look "
        "at the data. Press it first, on every new model. Pressed again, everything is put back bit for bit, "
        "and the run goes on as if you had never looked.",
    ),
    Key(
        name="keep", keys="O", shown="O", label="End overfitting, keep its weights", group="The five tips",
        switch="overfit", command=lambda view: Set(name="overfit", value="keep"),
        help="Leave the one batch but stay with the overfitted weights, instead of going back to those from "
        "before.",
    ),
    Key(
        name="shuffle", keys="s", shown="s", label="Shuffle", group="The five tips", footer=(4, "shuffle"),
        command=toggled("shuffle"),
        help="Mix the samples, so that a batch holds every label; data sorted by class teach the model the last "
        "class it saw. Acts at once on what is left of the epoch: every sample is still seen exactly once. "
        "Press it when the loss goes up and down in waves.",
    ),
    Key(
        name="normalise", keys="n", shown="n", label="Normalise", group="The five tips", footer=(5, "normalise"),
        command=toggled("normalise"),
        help="Shift and scale the inputs to mean 0 and standard deviation 1, from the next batch on, in training "
        "and in validation alike. Shown is what the model really receives. Press it when training is slow, or "
        "needs a tiny learning rate.",
    ),
    Key(
        name="clip", keys="c", shown="c", label="Clip the gradients", group="The five tips", footer=(6, "clip"),
        command=toggled("clip"),
        help="Guard against single steps that throw the model away. When the TOTAL norm of all gradients exceeds "
        "max_norm, all of them are SCALED by one factor: the direction stays. Values are not clamped into "
        "[-1, 1]; that is clipping by value (b). Press it when the gradient norm has spikes, or the loss "
        "becomes nan.",
    ),
    Key(
        name="max_norm_down", keys="left_square_bracket", shown="[", label="Clip threshold down", group="The five tips",
        switch="clip", command=multiplied("max_norm", 1 / FACTOR),
        help="Lower max_norm to about 4/5. Where nearly every step is clipped, the threshold acts as a learning "
        "rate.",
    ),
    Key(
        name="max_norm_up", keys="right_square_bracket", shown="]", label="Clip threshold up", group="The five tips",
        switch="clip", command=multiplied("max_norm", FACTOR),
        help="Raise max_norm to about 5/4. A good threshold lies a little above the usual norm, and catches the "
        "spikes.",
    ),
    Key(
        name="clip_by", keys="b", shown="b", switch="clip", label="Clip by norm or by value", group="The five tips",
        command=other_clip,
        help="By norm scales all gradients by one factor; by value clamps each number into [-max, max] for itself, "
        "which bends the direction of the step.",
    ),
    Key(
        name="eval", keys="e", shown="e", label="Validate in eval mode", group="The five tips", footer=(7, "eval"),
        command=toggled("eval"),
        help="Whether validation runs in eval mode: dropout off, BatchNorm with its running statistics. Validation "
        "runs without gradients in any case. These are two different things: eval mode changes what the "
        "layers do, no_grad only saves memory and time. Off, you see how wrong the numbers of a forgotten "
        "model.eval() are.",
    ),
    Key(
        name="validate", keys="v", shown="v", label="Validate now, in both modes", group="The five tips",
        footer=(8, "validate"), command=lambda view: Validate(),
        help="Measure now, in eval and in train mode, and show the gap. BatchNorm's statistics, every random "
        "generator and each module's own mode are left as they were.",
    ),
    Key(
        name="register", keys="r", shown="r", label="Register what is used", group="The five tips",
        footer=(9, "register"), command=toggled("register"),
        help="A layer in a plain list, dict, tuple or set is used but not registered: the optimizer never learns "
        "of it, .to(device) leaves it behind, checkpoints lack it. The model tree shows such layers marked; r "
        "puts them into a ModuleList or ModuleDict, onto the device and into the optimizer. Pressed again, it "
        "is undone.",
    ),
    Key(
        name="pause", keys="space", shown="space", label="Pause / resume", group="The run", footer=(10, "pause"),
        command=toggled("pause"),
        help="Stand still between two steps, and go on. Everything else works meanwhile.",
    ),
    Key(
        name="step", keys="full_stop", shown=".", switch="pause", label="One step, then pause", group="The run",
        command=lambda view: StepOnce(),
        help="Execute one step, then stand still.",
    ),
    Key(
        name="lr_up", keys="plus,equals_sign", shown="+", label="Learning rate up", group="The run",
        switch="lr", command=multiplied("lr", FACTOR),
        help="Raise the learning rate to about 5/4 (= does the same).",
    ),
    Key(
        name="lr_down", keys="minus", shown="-", label="Learning rate down", group="The run",
        switch="lr", command=multiplied("lr", 1 / FACTOR),
        help="Lower the learning rate to about 4/5.",
    ),
    Key(
        name="checkpoint", keys="w", shown="w", label="Write a checkpoint now", group="The run",
        command=lambda view: Checkpoint(),
        help="Save the run as it stands between two steps; written whole or not at all.",
        help_of_script="Save the script's models and optimizers as they stand between two steps: for torch.load. "
        "tuitrain cannot resume a script from it.",
    ),
    Key(
        name="stop", keys="x", shown="x", label="Stop the run", group="The run", action="app.stop",
        help="End the run, asked first: finish the step, save a checkpoint, end; tuitrain resume goes on from there.",
        help_of_script="End the script, asked first: its step is finished, its models and optimizers are saved, then "
        "it unwinds as for ctrl+c.",
    ),
    Key(
        name="pane", keys="1,2,3,4,5", shown="1-5", label="Show a pane", group="The screen", action="",
        help="Loss, gradient norm, tips, model, log: bring it to the front where not all have room, and give it "
        "the arrow keys.",
    ),
    Key(
        name="next_pane", keys="tab", shown="tab", label="Next pane", group="The screen", action="next_pane(1)",
        help="The pane after the one in front (shift+tab: before).",
    ),
    Key(
        name="palette", keys="ctrl+p", shown="ctrl+p", label="Command palette", group="The screen", action="",
        help="Find any of these by typing its name; and the themes, dark and light.",
    ),
    Key(
        name="capabilities", keys="i", shown="i", label="What can be had of this script", group="The screen",
        footer=(3, "script"), action="app.capabilities", for_scripts=True,
        help="What is observed of your script, what can be steered in it, and what not and why.",
    ),
    Key(
        name="help", keys="question_mark", shown="?", label="Help", group="The screen", footer=(1, "help"),
        action="app.keys_help",
        help="This page.",
    ),
    Key(
        name="quit", keys="q", shown="q", label="Quit", group="The screen", footer=(2, "quit"), action="app.quit",
        help="Leave. While the run trains it asks first: stop, save and leave, or keep training.",
        label_elsewhere="Leave, the run goes on", footer_elsewhere="leave, the run goes on",
        help_elsewhere="Leave this screen. The run trains in a process of its own and goes on.",
    ),
    Key(
        name="interrupt", keys="ctrl+c", shown="ctrl+c", label="Stop and leave", group="The screen",
        action="app.interrupt", priority=True,
        help="Once: finish the step, save, leave. Twice: leave now; what was not saved is lost.",
        label_elsewhere="Leave, the run goes on", help_elsewhere="The same as q: the run goes on.",
    ),
    Key(
        name="suspend", keys="ctrl+z", shown="ctrl+z", label="Suspend", group="The screen",
        action="app.suspend_process",
        help="Back to the shell, fg returns. It suspends the training too, which runs in this process.",
        help_of_script="Back to the shell, fg returns. The script goes on meanwhile, until it has printed more than "
        "waits for you.",
        help_elsewhere="Back to the shell, fg returns. The run goes on meanwhile.",
    ),
)  # fmt: skip


def _clip_label(view: RunView, glyphs: Glyphs) -> str:
    value = view.wanted("max_norm")
    if not isinstance(value, int | float):
        return "Clip"
    number = f"{value:.1f}" if value == round(value, 1) else f"{value:g}"
    pending = glyphs.pending if view.pending_value("max_norm") or view.pending_value("clip_by") else ""
    by_value = view.wanted("clip_by") == "value"
    return f"Clamp to {pending}{glyphs.plus_minus}{number}" if by_value else f"Clip to {pending}{number}"


def _always(label: str) -> Callable[[RunView, Glyphs], str]:
    return lambda view, glyphs: label


def _on_off(word: str) -> Callable[[RunView], tuple[bool, str]]:
    return lambda view: (view.switches.get(word) is True, "on" if view.switches.get(word) is True else "off")


def _registered(view: RunView) -> tuple[bool, str]:
    if view.switches.get("register") is True:
        return True, "all"
    report = view.reports.get("registration")
    if report is not None and report.verdict in ("warning", "bad"):
        return False, "some"
    return report is not None, "all" if report is not None else "?"


TIP_ROWS: tuple[TipRow, ...] = (
    TipRow(key="o", word="overfit", tip="overfit", label=_always("Overfit one batch"), state=_on_off("overfit")),
    TipRow(key="s", word="shuffle", tip="shuffle", label=_always("Shuffle"), state=_on_off("shuffle")),
    TipRow(key="n", word="normalise", tip="normalise", label=_always("Normalise"), state=_on_off("normalise")),
    TipRow(key="c", word="clip", tip="clipping", label=_clip_label, state=_on_off("clip")),
    TipRow(key="e", word="eval", tip="modes", label=_always("Eval in validation"), state=_on_off("eval")),
    TipRow(key="r", word="register", tip="registration", label=_always("Registered"), state=_registered),
)
"""The rows of the tips pane, in the order of the tips."""


def bindings() -> list[Binding]:
    """Every key as a binding of the main screen."""
    return [
        Binding(key.keys, key.click, key.label, show=False)
        for key in KEYS
        if not key.priority and (key.action or key.command)
    ]


def priority_bindings() -> list[Binding]:
    """The keys that act whatever is open, as bindings of the app."""
    return [Binding(key.keys, key.action, key.label, show=False, priority=True) for key in KEYS if key.priority]


def by_name(name: str) -> Key:
    """The key of that name."""
    return next(key for key in KEYS if key.name == name)


def command(name: str, view: RunView) -> AnyCommand | None:
    """What the key of that name sends now; None where this run has no such switch."""
    build = by_name(name).command
    return None if build is None else build(view)


def keys_of(seat: Kind) -> tuple[Key, ...]:
    """The keys that a seat has, in the words that hold there: all of them, or those of the screen alone."""
    if seat == "own":
        return KEYS
    return tuple(_elsewhere(key) for key in KEYS if seat == "viewer" or key.group == "The screen")


def _elsewhere(key: Key) -> Key:
    rank, word = key.footer or (0, "")
    return replace(
        key,
        label=key.label_elsewhere or key.label,
        help=key.help_elsewhere or key.help,
        footer=key.footer and (rank, key.footer_elsewhere or word),
        help_of_script="" if key.help_elsewhere else key.help_of_script,
    )


def commands(keys: Sequence[Key]) -> Iterator[Key]:
    """Those that send a command, or act on the app: what the palette offers."""
    return (key for key in keys if key.command or key.action.startswith("app."))


def groups(keys: Sequence[Key]) -> Iterator[tuple[Group, list[Key]]]:
    """The keys by group, in order: what the help screen shows."""
    return ((group, list(members)) for group, members in groupby(keys, key=lambda key: key.group))
