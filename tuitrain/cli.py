"""The command line: one function a verb, which parses and calls."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tuitrain import __version__
from tuitrain.arguments import CommandText, Positive, SentenceGroup, Whole
from tuitrain.engine.host import Host, Order
from tuitrain.preset import Preset, find_preset, load_preset, preset_names
from tuitrain.record.commands import WORDS, AnyCommand, Stop
from tuitrain.record.journal import Reader
from tuitrain.record.link import Inbox
from tuitrain.record.runs import NewRun, create_run, list_runs
from tuitrain.ui.plain import Printer, follow
from tuitrain.ui.terminal import OwnTerminal, is_terminal

if TYPE_CHECKING:
    from tuitrain.engine.tip import Tip


class _Presets(SentenceGroup):
    """Every preset, and every path of a .toml file, is a command; so are the verbs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*preset_names(), *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return super().get_command(context, name) or _train_command(name)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        return name, self.get_command(context, name), args[1:]


@click.group(
    cls=_Presets,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="tuitrain")
@click.pass_context
def tuitrain(context: click.Context) -> None:
    """Watch and steer a PyTorch training run in the terminal: try `tuitrain mnist`."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@tuitrain.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(as_json: bool) -> None:
    """List the runs, the newest first."""
    runs = list_runs()
    if not runs:
        click.echo("No run is recorded yet: try tuitrain mnist.", err=True)
    for run in runs:
        if as_json:
            click.echo(json.dumps(run._asdict()))
        else:
            total = "" if run.total_steps is None else f" of {run.total_steps:,}"
            loss = "" if run.last_loss is None else f"loss {run.last_loss:.4g}"
            click.echo(f"{run.name:<32} {run.state:<24} {f'step {run.steps:,}{total}':<24} {loss}".rstrip())


def _train_command(name: str) -> click.Command:
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
    callback: Callable[..., None] = lambda **options: _train(path.stem, preset, **options)  # noqa: E731
    return click.Command(
        name, params=params, callback=callback, short_help=preset.title, help=f"{preset.title}\n\n{preset.about}"
    )


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
    )
    with_screen = not headless and not as_json and is_terminal()
    run = create_run(name)
    order = Order(
        preset_name=name,
        preset=changed,
        directory=run.directory,
        tips=_load_tips,
        data_dir=data_dir,
        full=full,
        device=device,
        threads=threads,
        max_steps=steps,
        attended=with_screen,
    )
    host = Host(order, run.journal, Inbox(at))
    if run.trouble:
        host.recorder.log(run.trouble)
    code = _with_screen(host, run, ascii_only) if with_screen else _with_lines(host, run, as_json)
    _leave(host, code)


def _changed(table: Any, **values: object) -> Any:  # noqa: ANN401 - one of the preset's tables, and the same kind back
    return msgspec.structs.replace(table, **{key: value for key, value in values.items() if value is not None})


def _load_tips() -> "Sequence[type[Tip]]":
    from tuitrain.tips import TIPS  # loads torch: only once the first frame is drawn

    return TIPS


def _with_screen(host: Host, run: NewRun, ascii_only: bool) -> int:
    """The screen in this terminal, the run in a thread; the exit code of the screen.

    When the terminal goes away the screen goes with it, and the run trains on to its end.
    """
    from tuitrain.ui.app import LEFT_NOW, TuitrainApp  # Textual is loaded only where it is shown

    with OwnTerminal(host.recorder.printed) as own:
        app = TuitrainApp(
            journal=run.journal.path, link=host.inbox, name=run.name, ascii_only=ascii_only, on_ready=own.catch_prints
        )
        _stop_on_signals(host.inbox, leave_now=lambda number: app.exit(LEFT_NOW))
        signal.signal(signal.SIGHUP, lambda number, frame: app.exit(0))
        host.start()
        code = app.run() or 0
        if not code:
            host.join()  # before the descriptors lead back to a terminal that may be gone
        return code


def _with_lines(host: Host, run: NewRun, as_json: bool) -> int:
    """The run in a thread, its journal as lines on standard output."""
    _stop_on_signals(host.inbox, leave_now=lambda number: os._exit(128 + number))
    host.start()
    printer = Printer(sys.stdout, as_json=as_json)
    with closing(Reader(run.journal.path)) as reader:
        follow(reader, printer, lambda: host.join(0))
    if printer.trouble:
        click.echo(f"tuitrain: {printer.trouble}", err=True)
    return 0


def _stop_on_signals(inbox: Inbox, *, leave_now: Callable[[int], None]) -> None:
    """Once: finish the step, save, leave. Twice: leave now."""

    def stop(number: int, frame: FrameType | None) -> None:
        if inbox.stop_sent:
            leave_now(number)
        else:
            inbox.send(Stop(by=signal.Signals(number).name))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _leave(host: Host, code: int) -> None:
    """Exit: at once where the screen was told to, else when the run has ended, with its code."""
    if code:
        sys.stderr.flush()
        os._exit(code)
    host.join()
    for sentence in (host.bad_input, host.recorder.journal.trouble):
        if sentence:
            click.echo(f"tuitrain: {sentence}", err=True)
    sys.exit(host.exit_code)


def main() -> None:
    """The entry point: bad input becomes one sentence and exit code 2."""
    tuitrain(prog_name="tuitrain")
