"""The parts of the header: each function says one thing of a run, in one or more lengths."""

import math

from textual.content import Content

from tuitrain.record.events import End
from tuitrain.record.state import RunView
from tuitrain.ui import facts
from tuitrain.ui.fit import Part, part
from tuitrain.ui.glyphs import Glyphs
from tuitrain.ui.numerals import bytes_text, duration_text, loss_text, norm_text, percent_text, rate_text, speed_text

BADGE = {"good": "bold $text-success", "busy": "bold $text-warning", "bad": "bold $text-error"}
SHOWN_ELSEWHERE = {"overfit", "shuffle", "normalise", "clip", "max_norm", "clip_by", "eval", "register", "lr", "stop"}
"""Words whose pending state a row of the tips, or a part of the header, shows itself."""


def labelled(label: str, value: str, style: str = "bold") -> Content:
    """A faint label and its value."""
    return Content.assemble((f"{label} ", "dim"), (value, style))


def mode_part(view: RunView, glyphs: Glyphs, rank: int, *, tiny: bool = False) -> Part:
    """The mode that really holds, and how many modules disagree with it; a sign alone will do where it is `tiny`."""
    if view.mode is None:
        return part(rank, Content.styled(f"{glyphs.busy} mode ?", "dim"), *([glyphs.busy] if tiny else []))
    evaluates = view.mode.root == "eval"
    glyph = glyphs.eval if evaluates else glyphs.train
    style = "bold $text-accent" if evaluates else "bold $text-primary"
    shortest = [Content.styled(glyph, style)] if tiny else []
    word = Content.styled(f"{glyph} {view.mode.root.upper()}", style)
    count = len(view.mode.disagree)
    if not count:
        return part(rank, word, *shortest)
    differ = f"{count} module{'s differ' if count > 1 else ' differs'}"
    return part(
        rank,
        Content.assemble(word, (f"  {glyphs.warning} {differ}", "$text-warning")),
        Content.assemble(word, (f" {glyphs.warning}{count}", "$text-warning")),
        *shortest,
    )


def state_part(view: RunView, glyphs: Glyphs, rank: int) -> Part | None:
    """What the run does, where it is not plain training."""
    overfits = view.last_step is not None and view.switches.get("overfit") is True
    if facts.is_stopping(view):
        text = f"{glyphs.pending} STOPPING: finishing the step, saving; ctrl+c leaves now", f"{glyphs.pending} STOPPING"
    elif view.status.state == "paused":
        text = f"{glyphs.paused} PAUSED", f"{glyphs.paused} PAUSED"
    elif view.status.state == "validating":
        text = f"{glyphs.busy} VALIDATING", f"{glyphs.busy} VALIDATING"
    elif overfits:
        text = f"{glyphs.busy} OVERFIT ONE BATCH", f"{glyphs.busy} OVERFIT"
    else:
        return None
    return part(rank, *(Content.styled(form, BADGE["busy"]) for form in text))


def loss_part(view: RunView, rank: int) -> Part | None:
    """The loss of the last step."""
    if view.last_step is None:
        return None
    loss = view.last_step.loss
    if math.isnan(loss) and view.unavailable("loss") is not None:
        return None
    style = "bold" if math.isfinite(loss) else BADGE["bad"]
    return part(rank, labelled("loss", loss_text(loss).ljust(6), style), labelled("loss", loss_text(loss), style))


def accuracy_part(view: RunView, rank: int) -> Part | None:
    """The accuracy on the one batch, while it is measured; else that of the latest validation."""
    step = view.last_step
    if step is not None and step.overfit and not math.isnan(step.accuracy):
        return part(rank, labelled("batch", percent_text(step.accuracy)))
    validation = facts.latest_validation(view)
    if validation is None:
        return None
    label = "val" if validation.mode == "eval" else "val in train mode"
    if math.isnan(validation.accuracy):
        return part(rank, labelled(f"{label} loss", loss_text(validation.loss)))
    return part(rank, labelled(label, percent_text(validation.accuracy, 1)))


def norm_part(view: RunView, glyphs: Glyphs, rank: int) -> Part | None:
    """The gradient norm of the last step, before and after clipping."""
    step = view.last_step
    if step is None or math.isnan(step.norm_before):
        return None
    before = norm_text(step.norm_before)
    if math.isnan(step.norm_after) or (math.isnan(step.max_norm) and step.norm_after == step.norm_before):
        return part(rank, labelled(glyphs.norm, before))
    both = f"{before} {glyphs.to} {norm_text(step.norm_after)}"
    return part(rank, labelled(glyphs.norm, both.ljust(11)), labelled(glyphs.norm, both), labelled(glyphs.norm, before))


def clipped_part(view: RunView, rank: int) -> Part | None:
    """The share of the last steps that were clipped by norm."""
    share = facts.clipped_share(view)
    return None if math.isnan(share) else part(rank, labelled("clipped", percent_text(share).ljust(5)))


def rate_part(view: RunView, glyphs: Glyphs, rank: int) -> Part | None:
    """The learning rate of the last step, and the one asked for."""
    if view.last_step is None:
        return None
    now, asked = rate_text(view.last_step.lr), view.pending_value("lr")
    if isinstance(asked, int | float):
        now += f" {glyphs.pending} {rate_text(asked)}"
    return part(rank, labelled("lr", now.ljust(7)))


def memory_part(view: RunView, rank: int) -> Part | None:
    """The memory of the process, and of the device where there is one."""
    if view.vitals is None:
        return None
    host = labelled("mem", bytes_text(view.vitals.memory_bytes))
    if view.vitals.device_memory_bytes is None:
        return part(rank, host)
    device = labelled("device mem", bytes_text(view.vitals.device_memory_bytes))
    return part(rank, Content("  ").join([host, device]), device)


def pending_part(view: RunView, glyphs: Glyphs, rank: int) -> Part | None:
    """What was sent and not yet answered, and has no place of its own on the screen."""
    words = {pending.word for pending in view.pending.values()} - SHOWN_ELSEWHERE
    text = " ".join(f"{glyphs.pending} {'step' if word == 'steponce' else word}" for word in sorted(words))
    return part(rank, Content.styled(text, BADGE["busy"])) if words else None


def message_part(view: RunView, rank: int) -> Part | None:
    """What the run says of its own state; the beginning of it where there is no room for more."""
    message = view.status.message
    forms = dict.fromkeys((message, message.partition(";")[0]))
    return part(rank, *(Content.styled(form, "dim") for form in forms)) if message else None


def step_part(view: RunView, rank: int) -> Part:
    """The run's own steps, and how many there will be where that is known."""
    step = view.last_step.step if view.last_step else 0
    if view.run is None or not view.run.total_steps:
        return part(rank, labelled("step", f"{step:,}"))
    total = f"{view.run.total_steps:,}"
    padded = f"{step:,}".rjust(len(total))
    long = Content.assemble(labelled("step", padded), (f" / {total}", "dim"))
    return part(rank, long, labelled("step", padded), labelled("step", f"{step:,}"))


def speed_part(view: RunView, glyphs: Glyphs, rank: int) -> Part:
    """Executed steps a second, while they are being executed."""
    speed = facts.steps_per_second(view)
    known = facts.is_live(view) and not facts.stands_still(view) and not math.isnan(speed)
    text = speed_text(speed) if known else glyphs.dash
    padded, short = (Content.assemble((form, "bold"), (" it/s", "dim")) for form in (text.rjust(5), text))
    return part(rank, padded, short)


def time_part(view: RunView, glyphs: Glyphs, rank: int) -> Part | None:
    """Time until the run is done; of a run without an end, the time since it began; None once it has ended."""
    if view.run is not None and not view.run.total_steps:
        return part(rank, labelled("elapsed", duration_text(view.last_step.time_s))) if view.last_step else None
    if not facts.is_live(view):
        return None
    left_s = facts.seconds_left(view)
    return part(rank, labelled("ETA", (duration_text(left_s) if not math.isnan(left_s) else glyphs.dash).rjust(5)))


def switched_off_part(view: RunView, glyphs: Glyphs, rank: int, *, tiny: bool = False) -> Part | None:
    """What of a script is no more observed, because the observer failed; how many such there are where it is `tiny`."""
    names = [each.name for each in view.capabilities if each.kind == "switched_off"]
    if not names:
        return None
    sign = glyphs.warning
    count = f"{len(names)} observer{'s' if len(names) > 1 else ''} off"
    long = f"observer of {names[0]} off" if len(names) == 1 else count
    forms = (f"{sign}{len(names)} off",) if tiny else (f"{sign} {long}: i says why", f"{sign} {count}: i")
    return part(rank, *(Content.styled(form, BADGE["busy"]) for form in forms))


def end_parts(view: RunView, glyphs: Glyphs, *, tiny: bool = False) -> list[Part | None]:
    """The last words of a run: how it ended, its final numbers, and how to leave."""
    if view.died:
        return _death_parts(view, glyphs, tiny=tiny)
    failed, finished = view.status.state == "failed", view.status.state == "finished"
    glyph, style = (glyphs.bad, "bad") if failed else (glyphs.good, "good") if finished else (glyphs.off, "busy")
    word = view.status.state.upper() if view.status.state in ("failed", "finished") else "STOPPED"
    badge = Content.styled(f"{glyph} {word}", BADGE[style])
    return [
        part(0, badge, *([Content.styled(glyph, BADGE[style])] if tiny else [])),
        message_part(view, 4 if failed else 8),
        *(_end_numbers(view, view.end) if view.end else [loss_part(view, 3)]),
        part(1, Content.assemble(("q", "bold $text-accent"), " leaves")),
        switched_off_part(view, glyphs, 2),
    ]


def _death_parts(view: RunView, glyphs: Glyphs, *, tiny: bool) -> list[Part | None]:
    """Of a run whose process is gone: after which step, what it last said, and where it can go on from."""
    at = f"step {view.last_step.step if view.last_step else 0:,}"
    forms = (f"{glyphs.bad} DIED at {at}", f"{glyphs.bad} DIED", *([glyphs.bad] if tiny else []))
    saved = view.checkpoint
    return [
        part(0, *(Content.styled(form, BADGE["bad"]) for form in forms)),
        part(5, "its process is gone"),
        loss_part(view, 2),
        part(3, labelled("last checkpoint", f"step {saved.step:,}")) if saved else part(3, "no checkpoint"),
        part(1, Content.assemble(("q", "bold $text-accent"), " leaves")),
    ]


def _end_numbers(view: RunView, end: End) -> list[Part | None]:
    repeats = end.executed_steps != end.steps
    return [
        part(3, labelled("val", percent_text(end.val_accuracy, 2))) if end.val_accuracy is not None else None,
        part(5, labelled("val loss", loss_text(end.val_loss))) if end.val_loss is not None else loss_part(view, 5),
        part(6, labelled("executed", f"{end.executed_steps:,}")) if repeats else None,
        part(7, labelled("weights", end.weights_sha256[:12], "")) if end.weights_sha256 else None,
    ]
