"""Training a preset: what the command takes, and the order it makes of that."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tuitrain.arguments import CommandText, Positive, Whole
from tuitrain.engine.host import Host, resume_host
from tuitrain.engine.order import Order
from tuitrain.preset import Preset, find_preset, load_preset
from tuitrain.record.commands import WORDS, AnyCommand
from tuitrain.record.link import Inbox
from tuitrain.record.runs import create_run, find_run
from tuitrain.ui.terminal import is_terminal
from tuitrain.verbs import detach, hosting
from tuitrain.verbs.following import refuse_script
from tuitrain.verbs.rules import ignore_option, refuse_unknown

if TYPE_CHECKING:
    from tuitrain.engine.observer import Observed, Observer
    from tuitrain.engine.tip import Tip


def train_command(name: str) -> click.Command:
    """The command that trains a preset; UserError if there is none of that name."""
    path = find_preset(name)
    preset = load_preset(path)
    params: list[click.Parameter] = [
        click.Option(["--epochs"], type=Whole(1), help=f"Passes over the data [{preset.train.epochs}]."),
        click.Option(["--steps"], type=Whole(0), help="Stop after so many of the run's own steps."),
        click.Option(["--batch-size"], type=Whole(1), help=f"Samples a step [{preset.data.batch_size}]."),
        click.Option(["--lr"], type=Positive(), help=f"Learning rate [{preset.optimizer.lr:g}]."),
        click.Option(["--max-norm"], type=Positive(), help=f"Clipping threshold [{preset.clip.max_norm:g}]."),
        click.Option(["--seed"], type=Whole(0, 2**63 - 1), help=f"Seed of everything random [{preset.train.seed}]."),
        click.Option(["--device"], default="auto", help="auto, cpu, cuda, cuda:1, mps, ... [auto]."),
        click.Option(["--threads"], type=Whole(1, 1024), help="Threads that torch computes with on the CPU."),
        click.Option(["--data-dir"], type=click.Path(path_type=Path), help="Where MNIST lies, as torchvision lays it."),
        click.Option(["--full"], is_flag=True, help="Download all of MNIST if it is not there."),
        click.Option(["--checkpoint-every"], type=Whole(1), metavar="N", help="Save after every N of its own steps."),
        click.Option(
            ["--keep-checkpoints"], type=Whole(1), default=3, metavar="K", help="Keep the last K checkpoints [3]."
        ),
        click.Option(
            ["--keep-every"], type=Whole(1), metavar="N", help="Of old steps keep every Nth and the spikes, not all."
        ),
        ignore_option(),
        *display_options(),
    ]
    callback: Callable[..., None] = lambda **options: _train(path.stem, preset, **options)  # noqa: E731
    return click.Command(
        name, params=params, callback=callback, short_help=preset.title, help=f"{preset.title}\n\n{preset.about}"
    )


def resume_command() -> click.Command:
    """The command that goes on with a run."""
    params: list[click.Parameter] = [
        click.Argument(["run"]),
        click.Option(["--steps"], type=Whole(0), help="Stop after so many of the run's own steps."),
        click.Option(["--device"], help="Another device than before: it may not go on to the same bits."),
        click.Option(["--threads"], type=Whole(1, 1024), help="Threads that torch computes with on the CPU."),
        *display_options(),
    ]
    callback: Callable[..., None] = lambda run, **options: resume(find_run(run), **options)  # noqa: E731
    return click.Command(
        "resume", params=params, callback=callback, help="Go on with a run that was stopped, failed or killed."
    )


def display_options() -> list[click.Parameter]:
    """The options that every command takes which trains: where its run is seen, and what is applied when."""
    return [
        click.Option(["--detach"], is_flag=True, help="Train in a process of its own; tuitrain watch shows it."),
        click.Option(["--headless"], is_flag=True, help="Lines of text instead of the screen."),
        click.Option(["--json", "as_json"], is_flag=True, help="One JSON object a line, without the screen."),
        click.Option(["--ascii", "ascii_only"], is_flag=True, help="Draw with ASCII characters only."),
        click.Option(
            ["--at"],
            type=(Whole(0), CommandText()),
            multiple=True,
            metavar="K WORD=VALUE",
            help=f"Apply a command after K executed steps: {', '.join(WORDS)}. May be repeated.",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Display:
    """Where a run that this process hosts is seen."""

    headless: bool
    as_json: bool
    ascii_only: bool
    report: detach.Report | None
    """The pipe to the process that launched this one with --detach; None: this process stands in a terminal."""

    @property
    def has_screen(self) -> bool:
        """Whether the run's own screen is shown."""
        return self.report is None and not self.headless and not self.as_json and is_terminal()

    @property
    def attended(self) -> bool:
        """Whether somebody is there, or may come, to end a pause or an overfitting."""
        return self.has_screen or self.report is not None


def display(*, detached: bool, headless: bool, as_json: bool, ascii_only: bool) -> Display:
    """What the options ask for; with --detach another process does it, and this one leaves with its code."""
    report = detach.reporting()
    if detached and report is None:
        sys.exit(detach.launch(as_json=as_json))
    return Display(headless=headless, as_json=as_json, ascii_only=ascii_only, report=report)


def host_run(host: Host, display: Display) -> None:
    """Host a run, seen as `display` says; exits with the run's code."""
    with hosting.steerable(host):
        if display.report is not None:
            code = hosting.detached(host, display.report)
        elif display.has_screen:
            code = hosting.with_screen(host, ascii_only=display.ascii_only)
        else:
            code = hosting.with_lines(host, as_json=display.as_json)
    hosting.leave(host, code)


def make_checks(run: "Observed", ignored: Sequence[str]) -> "Sequence[Observer]":
    """Those who judge a training; loads torch."""
    from tuitrain.checks import checks

    return checks(run, ignored)


def load_tips() -> "Sequence[type[Tip]]":
    """The tips; loads torch: only once the first frame is drawn."""
    from tuitrain.tips import TIPS

    return TIPS


def _train(
    name: str,
    preset: Preset,
    *,
    epochs: int | None,
    steps: int | None,
    batch_size: int | None,
    lr: float | None,
    max_norm: float | None,
    seed: int | None,
    device: str,
    threads: int | None,
    data_dir: Path | None,
    full: bool,
    checkpoint_every: int | None,
    keep_checkpoints: int,
    keep_every: int | None,
    ignored: Sequence[str],
    detach: bool,
    headless: bool,
    as_json: bool,
    ascii_only: bool,
    at: Sequence[tuple[int, AnyCommand]],
) -> None:
    """Train a preset, with the screen where there is a terminal for it; exits with the run's code."""
    changed = msgspec.structs.replace(
        preset,
        data=_changed(preset.data, batch_size=batch_size),
        optimizer=_changed(preset.optimizer, lr=lr),
        clip=_changed(preset.clip, max_norm=max_norm),
        train=_changed(preset.train, epochs=epochs, seed=seed),
        checks=msgspec.structs.replace(preset.checks, ignore=(*preset.checks.ignore, *ignored)),
    )
    refuse_unknown(changed.checks.ignore)
    shown = display(detached=detach, headless=headless, as_json=as_json, ascii_only=ascii_only)
    run = create_run(name, keep_every=keep_every)
    order = Order(
        preset_name=name,
        preset=changed,
        directory=run.directory,
        tips=load_tips,
        checks=make_checks,
        data_dir=data_dir,
        full=full,
        device=device,
        threads=threads,
        max_steps=steps,
        attended=shown.attended,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        keep_every=keep_every,
    )
    host = Host(order, run.journal, Inbox(at, trouble=lambda: host.recorder.journal.trouble))
    if run.trouble:
        host.recorder.log(run.trouble)
    host_run(host, shown)


def resume(
    directory: Path,
    *,
    steps: int | None,
    device: str | None,
    threads: int | None,
    detach: bool,
    headless: bool,
    as_json: bool,
    ascii_only: bool,
    at: Sequence[tuple[int, AnyCommand]],
) -> None:
    """Go on with the run in `directory`; exits with its code."""
    refuse_script(directory)
    shown = display(detached=detach, headless=headless, as_json=as_json, ascii_only=ascii_only)
    host = resume_host(
        directory,
        tips=load_tips,
        checks=make_checks,
        inbox=Inbox(at, trouble=lambda: host.recorder.journal.trouble),
        attended=shown.attended,
        max_steps=steps,
        device=device,
        threads=threads,
    )
    host_run(host, shown)


def _changed(table: Any, **values: object) -> Any:  # noqa: ANN401 - one of the preset's tables, and the same kind back
    return msgspec.structs.replace(table, **{key: value for key, value in values.items() if value is not None})
