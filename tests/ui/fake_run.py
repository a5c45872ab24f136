"""A run that never trained: deterministic, realistic events for tests of the screen, written through the journal.

`write_fake_run(path)` writes a journal; `read_view(path)` folds one into a RunView; `fake_view()` does both in memory.
The builders below it give each kind of event on its own.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np

from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Checkpoint,
    End,
    Event,
    Finding,
    GradientNorms,
    LogLine,
    Mode,
    ModuleRow,
    ModuleTree,
    Rejected,
    Run,
    Status,
    Step,
    Switches,
    TipReport,
    Validation,
    Value,
    Vitals,
)
from tuitrain.record.journal import Journal, News, Reader
from tuitrain.record.state import RunView

_E = TypeVar("_E", bound=Event)

STEPS_PER_EPOCH = 468
EPOCHS = 10
STEPS_PER_SECOND = 412.0
SWITCHES: dict[str, Value] = {
    "overfit": False, "shuffle": True, "normalise": True, "clip": False, "max_norm": 1.0, "clip_by": "norm",
    "eval": True, "register": False, "lr": 1e-3, "pause": False,
}  # fmt: skip


def write_fake_run(path: Path, *, steps: int = 1200, seed: int = 0, end: bool = False) -> None:
    """Write the journal of a run of `steps` executed steps to `path`; with `end` it finished, else it goes on."""
    with Journal(path) as journal:
        journal.steps(fake_steps(steps, seed=seed))
        for event in fake_events(steps, end=end):
            journal.say(event)


def read_view(path: Path) -> RunView:
    """All that the journal at `path` says, as a viewer knows it."""
    view = RunView()
    with contextlib.closing(Reader(path)) as reader:
        view.update(reader.poll())
    return view


def fake_view(*, steps: int = 1200, seed: int = 0, end: bool = False) -> RunView:
    """The same run without a journal."""
    view = RunView()
    view.update(News(fake_steps(steps, seed=seed), fake_events(steps, end=end)))
    return view


def changes(steps: int) -> list[tuple[int, str, Value]]:
    """What was changed in a run of `steps` executed steps: (executed, word, value), in order."""
    overfit_on = steps // 3
    return [
        (steps // 8, "clip", True),
        (overfit_on, "overfit", True),
        (overfit_on + steps // 12, "overfit", False),
        (steps * 5 // 8, "max_norm", 0.5),
        (steps * 3 // 4, "normalise", False),
        (steps * 13 // 16, "normalise", True),
    ]


def values_at(executed: int, steps: int) -> dict[str, Value]:
    """Every switch after `executed` of `steps` executed steps."""
    return SWITCHES | {word: value for at, word, value in changes(steps) if at <= executed}


def own_steps(executed: int, steps: int) -> int:
    """The run's own steps among the first `executed`: all but those of the overfit section."""
    on, off = steps // 3, steps // 3 + steps // 12
    return executed - max(0, min(executed, off) - on)


def placed(event: _E, executed: int, steps: int) -> _E:
    """The event as if it was said after `executed` of `steps` executed steps."""
    time_s = executed / STEPS_PER_SECOND
    return msgspec.structs.replace(event, executed=executed, step=own_steps(executed, steps), time_s=time_s)


def fake_steps(steps: int, *, seed: int = 0) -> list[Step]:
    """The executed steps 1 to `steps`: noisy falling loss, one spike, gradient norms of which some are clipped."""
    random = np.random.default_rng(seed)
    noise = random.lognormal(0.0, 0.35, steps)
    norms = random.lognormal(0.1, 0.6, steps)
    return [_step(executed, steps, noise[executed - 1], norms[executed - 1]) for executed in range(1, steps + 1)]


def _step(executed: int, steps: int, noise: float, norm: float) -> Step:
    values = values_at(executed - 1, steps)
    own = own_steps(executed, steps)
    overfit = values["overfit"] is True
    into = executed - steps // 3
    loss = (2.3 * math.exp(-own / (steps / 9)) + 0.03) * noise
    loss = loss * math.exp(-into / (steps / 60)) + 1e-4 if overfit else loss * (1 if values["normalise"] else 2.5)
    before = norm * (14 if executed == steps - steps // 10 else 1) * (0.25 + min(loss, 1.0))
    max_norm = float(values["max_norm"]) if values["clip"] else math.nan
    after = before * min(1.0, max_norm / (before + 1e-6)) if values["clip"] else before
    return Step(
        executed=executed,
        step=own,
        time_s=executed / STEPS_PER_SECOND,
        epoch=own // STEPS_PER_EPOCH + 1,
        loss=float(loss),
        norm_before=float(before),
        norm_after=float(after),
        max_norm=max_norm,
        lr=1e-3,
        accuracy=min(1.0, into / (steps / 15)) if overfit else math.nan,
        overfit=overfit,
    )


def fake_events(steps: int, *, end: bool = False) -> list[AnyEvent]:
    """Every other event of a run of `steps` executed steps, in order."""
    parts = [
        *fake_start(),
        *fake_changes(steps),
        *fake_validations(steps),
        *fake_log(steps),
        *fake_reports(steps),
        fake_tree(executed=1),
        fake_norms(executed=steps),
        Mode(executed=steps, phase="train", root="train", modules=8, disagree=("bn",)),
        Vitals(executed=steps, memory_bytes=1_181_116_006),
        fake_finding(steps - steps // 10),
        *(fake_end(steps) if end else ()),
    ]
    return sorted(parts, key=lambda event: event.executed)  # stable: what happened at one step keeps its order


def fake_start() -> list[AnyEvent]:
    """What a run says before its first step."""
    run = Run(
        preset="mnist",
        title="mnist",
        about="A small CNN on handwritten digits.",
        device="cpu",
        data="MNIST, 60,000 + 10,000 digits",
        model="Net",
        optimizer="AdamW",
        parameters=21_860,
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        total_steps=EPOCHS * STEPS_PER_EPOCH,
        batch_size=128,
        seed=0,
        threads=1,
        torch="2.14.0",
    )
    return [
        Status(state="loading", message="importing torch", progress=0.2),
        run,
        Switches(values=dict(SWITCHES)),
        Status(state="running"),
    ]


def fake_changes(steps: int) -> Iterator[AnyEvent]:
    """Each change as Applied and the Switches after it, and one command that was rejected."""
    for number, (at, word, value) in enumerate(changes(steps)):
        applied = Applied(id=f"1-{number}", word=word, value=value, by="key")
        yield placed(applied, at, steps)
        yield placed(Switches(values=values_at(at, steps)), at, steps)
    rejected = Rejected(id="1-99", word="register", by="key", reason="every module is registered already")
    yield placed(rejected, steps // 2, steps)


def fake_validations(steps: int) -> Iterator[Validation]:
    """A validation at the end of each third of an epoch, and one asked for in both modes near the end."""
    for executed in range(STEPS_PER_EPOCH // 3, steps, STEPS_PER_EPOCH // 3):
        yield fake_validation(executed, steps)
    yield fake_validation(steps - steps // 20, steps, cause="asked")
    yield fake_validation(steps - steps // 20, steps, mode="train", cause="asked")


def fake_validation(
    executed: int, steps: int, *, mode: Literal["eval", "train"] = "eval", cause: Literal["epoch", "asked"] = "epoch"
) -> Validation:
    """One validation after `executed` of `steps` executed steps."""
    step = own_steps(executed, steps)
    loss = (2.0 * math.exp(-step / (steps / 10)) + 0.035) * (1.5 if mode == "train" else 1.0)
    validation = Validation(
        epoch=step // STEPS_PER_EPOCH + 1,
        mode=mode,
        loss=loss,
        accuracy=math.exp(-loss / 4),
        samples=10_000,
        seconds=0.31,
        cause=cause,
    )
    return placed(validation, executed, steps)


def fake_reports(steps: int) -> list[TipReport]:
    """What each of the tips measured, at the end of `steps` executed steps."""
    reports = [
        TipReport(
            tip="overfit", verdict="good", summary="PASS in 87 steps",
            rows=(("first loss", "0.412"), ("last loss", "0.0006"), ("accuracy", "100 %")),
        ),
        TipReport(
            tip="shuffle", verdict="good", summary="labels mixed",
            rows=(("labels in a batch", "10 of 10"), ("longest run", "3 of one label")),
        ),
        TipReport(
            tip="normalise", verdict="good", summary="mean 0.00 std 1.00",
            rows=(("channel 0", "mean 0.001  std 0.998"),),
        ),
        TipReport(
            tip="clipping", verdict="warning", summary="64 % of steps",
            rows=(("median norm", "1.12"), ("largest norm", "15.7"), ("threshold", "0.5")),
        ),
        TipReport(
            tip="modes", verdict="good", summary="gap 1.2 pts",
            rows=(("eval mode", "98.7 %"), ("train mode", "97.5 %")),
        ),
        TipReport(
            tip="registration", verdict="bad", summary="2,550 not registered",
            rows=(("registered", "21,860 parameters"), ("blocks[0]", "Linear, 2,550 parameters: used, never trained")),
        ),
    ]  # fmt: skip
    return [placed(report, steps, steps) for report in reports]


def fake_finding(executed: int, *, severity: Literal["error", "warning", "hint"] = "warning") -> Finding:
    """One spike of the gradient norm."""
    return Finding(
        executed=executed,
        step=executed,
        time_s=executed / STEPS_PER_SECOND,
        rule="gradient-spike",
        severity=severity,
        message="gradient norm 14x its median",
        where="clipping",
        remedy="Clip the gradients.",
        key="c",
    )


def fake_log(steps: int) -> list[AnyEvent]:
    """Lines from the run and from what it printed, and a checkpoint."""
    checkpoint = Checkpoint(path="checkpoints/last.pt", sha256="0" * 64, bytes=270_336)
    warning = "UserWarning: lr_scheduler.step() before optimizer.step()"
    return [
        LogLine(stream="run", text="MNIST in the user's cache: 60,000 + 10,000 digits"),
        placed(LogLine(stream="stderr", text=warning), 2, steps),
        placed(LogLine(stream="stdout", text="hello from the loop"), steps // 2, steps),
        placed(checkpoint, steps - 1, steps),
    ]


def fake_end(steps: int) -> list[AnyEvent]:
    """The last words of a run that finished."""
    end = End(
        steps=own_steps(steps, steps),
        executed_steps=steps,
        val_accuracy=0.987,
        val_loss=0.041,
        weights_sha256="ab" * 32,
        reason="all epochs done",
    )
    return [placed(end, steps, steps), placed(Status(state="finished"), steps, steps)]


def fake_tree(*, executed: int = 0) -> ModuleTree:
    """A small CNN with a frozen, a tied and a forgotten parameter, a norm layer in eval mode, and one plain list."""
    rows = [
        *_layer("conv1", "Conv2d", {"weight": (10, 1, 5, 5), "bias": (10,)}),
        *_layer("bn", "BatchNorm2d", {"weight": (10,), "bias": (10,)}, training=False),
        _buffer("bn.running_mean", (10,)),
        _buffer("bn.running_var", (10,)),
        *_layer("conv2", "Conv2d", {"weight": (20, 10, 5, 5), "bias": (20,)}, trainable=False),
        ModuleRow(path="dropout", kind="module", type="Dropout2d", training=True),
        *_layer("fc1", "Linear", {"weight": (50, 320), "bias": (50,)}, in_optimizer=False),
        *_layer("fc2", "Linear", {"weight": (10, 50), "bias": (10,)}),
        ModuleRow(
            path="decoder", kind="parameter", type="Parameter", shape=(10, 50), dtype="float32", device="cpu",
            count=500, trainable=True, in_optimizer=True, tied_to="fc2.weight",
        ),
        *_layer("blocks[0]", "Linear", {"weight": (50, 50), "bias": (50,)}, in_optimizer=False, registered=False),
    ]  # fmt: skip
    count = sum(row.count for row in rows if row.kind == "parameter" and row.registered and not row.tied_to)
    root = ModuleRow(path="", kind="module", type="Net", count=count, trainable=True, in_optimizer=True, training=True)
    return ModuleTree(executed=executed, step=executed, rows=(root, *rows))


def _layer(
    path: str,
    type_: str,
    shapes: dict[str, tuple[int, ...]],
    *,
    trainable: bool = True,
    in_optimizer: bool = True,
    training: bool = True,
    registered: bool = True,
) -> Iterator[ModuleRow]:
    yield ModuleRow(
        path=path,
        kind="module",
        type=type_,
        registered=registered,
        count=sum(math.prod(shape) for shape in shapes.values()),
        trainable=trainable,
        in_optimizer=in_optimizer,
        training=training,
        used=None if registered else True,
    )
    for name, shape in shapes.items():
        yield ModuleRow(
            path=f"{path}.{name}",
            kind="parameter",
            type="Parameter",
            registered=registered,
            shape=shape,
            dtype="float32",
            device="cpu",
            count=math.prod(shape),
            trainable=trainable,
            in_optimizer=in_optimizer,
            used=None if registered else True,
        )


def _buffer(path: str, shape: tuple[int, ...]) -> ModuleRow:
    return ModuleRow(
        path=path, kind="buffer", type="Tensor", shape=shape, dtype="float32", device="cpu", count=math.prod(shape)
    )


def fake_norms(*, executed: int = 0, scale: float = 1.0) -> GradientNorms:
    """The gradient norm of every trainable parameter of `fake_tree`."""
    paths = [row.path for row in fake_tree().rows if row.kind == "parameter" and row.trainable and row.registered]
    norms = {path: scale * 0.6 / (index + 1) for index, path in enumerate(paths)}
    return GradientNorms(executed=executed, step=executed, norms=norms)
