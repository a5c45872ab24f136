"""A script's run that never trained, as `fake_run` has a preset's: what a script does not say, and what it lacks."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.ui.fake_run import SWITCHES, fake_steps, fake_tree
from tuitrain.record.events import (
    AnyEvent,
    Capabilities,
    Capability,
    LinesBegun,
    LogLine,
    Mode,
    Run,
    Status,
    Step,
    Switches,
    TipReport,
    Vitals,
)
from tuitrain.record.journal import Journal, News
from tuitrain.record.state import RunView

STEPS, PER_EPOCH = 640, 300
NO_LOADER = "the script trains without a DataLoader: what it feeds its models, and when, is not seen."
BARS = "epochs:  67%|██████▋   | 2/3 [00:08<00:04]\nbatches:  13%|█▎        | 40/300 [00:01<00:06]"

OBSERVED = {"loss": "what backward() is called on", "gradient norm": "the script clips", "learning rate": ""}
STEERED = {"pause": "between two steps", "lr": "the first optimizer's", "clip": "at any max_norm", "stop": ""}
UNAVAILABLE = {
    "overfit": "the script trains without a DataLoader, from which a batch could be held.",
    "shuffle": NO_LOADER,
    "normalise": NO_LOADER,
    "eval": NO_LOADER,
    "validate": "the script validates with code of its own, which cannot be called from outside.",
}
OFF = {"the modes": "tuitrain's own observer failed: RuntimeError: sabotaged"}


def capabilities(*, off: bool = False, without: Sequence[str] = ()) -> Capabilities:
    """What can be had of it, less what is observed otherwise; with `off` one observer is switched off."""
    observed = {name: text for name, text in OBSERVED.items() if name not in without}
    unavailable = dict.fromkeys(without, "no backward pass starts from a single number.") | UNAVAILABLE
    rows = [
        *(Capability(kind="observed", name=name, text=text) for name, text in observed.items()),
        *(Capability(kind="steered", name=name, text=text) for name, text in STEERED.items()),
        *(Capability(kind="unavailable", name=name, text=text) for name, text in unavailable.items()),
        *(Capability(kind="switched_off", name=name, text=text) for name, text in OFF.items() if off),
    ]
    return Capabilities(rows=tuple(rows), executed=STEPS, step=STEPS)


def script_run(**changed: object) -> Run:
    """What is known of what it trains; nothing of how long."""
    run = Run(
        preset="train.py", title="train.py", about="A script, as it is.", device="cpu", data="the script's own data",
        model="Net", optimizer="AdamW", parameters=21_860, epochs=0, steps_per_epoch=PER_EPOCH, total_steps=0,
        batch_size=16, seed=0, threads=1, torch="2.14.0",
    )  # fmt: skip
    return msgspec.structs.replace(run, **changed)


def script_events(*, off: bool = False, lines_begun: str = BARS) -> list[AnyEvent]:
    """Every event but the steps."""
    switches = {word: value for word, value in SWITCHES.items() if word not in UNAVAILABLE}
    return [
        Status(state="loading", message="train.py has loaded torch"),
        script_run(),
        Status(state="running"),
        Switches(values=switches),
        capabilities(off=off),
        TipReport(tip="shuffle", verdict="warning", summary="waits 40 % for data", rows=(("step", "2.4 ms"),)),
        TipReport(tip="clipping", verdict="good", summary="off; norm 1.1"),
        TipReport(tip="modes", verdict="unknown", summary="no validation seen yet", rows=(("train", "train mode"),)),
        fake_tree(),
        Mode(phase="train", root="train", modules=8, disagree=()),
        Vitals(memory_bytes=712_000_000),
        LogLine(stream="stdout", text="epoch 1: accuracy 0.871"),
        LinesBegun(text=lines_begun),
    ]


def script_steps() -> list[Step]:
    """Its steps: two epochs and a piece."""
    steps = fake_steps(STEPS)
    return [
        msgspec.structs.replace(each, step=number, epoch=1 + (number - 1) // PER_EPOCH, overfit=False)
        for number, each in enumerate(steps, 1)
    ]


def script_view(*, off: bool = False) -> RunView:
    """The run, without a journal."""
    view = RunView()
    view.update(News(script_steps(), script_events(off=off)))
    return view


def script_journal(directory: Path, *, off: bool = False) -> Path:
    """The journal of such a run."""
    path = directory / "journal.sqlite"
    with Journal(path) as journal:
        journal.steps(script_steps())
        for event in script_events(off=off):
            journal.say(event)
    return path
