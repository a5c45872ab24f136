"""`tuitrain run`: a script of the user's own, not one line changed, watched and steered."""

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType

import click

from tuitrain.engine.script.host import ScriptHost, ScriptOrder
from tuitrain.errors import UserError
from tuitrain.record.commands import AnyCommand
from tuitrain.record.control import ControlSocket
from tuitrain.record.journal import Reader
from tuitrain.record.runs import JOURNAL, create_run
from tuitrain.ui.plain import Printer
from tuitrain.ui.terminal import OwnTerminal, console_columns
from tuitrain.verbs.detach import Report
from tuitrain.verbs.leaving import left_in_time
from tuitrain.verbs.raw_log import LOG
from tuitrain.verbs.rules import ignore_option, refuse_unknown
from tuitrain.verbs.scripts import CHECKS, TIPS, plain_name
from tuitrain.verbs.train import Display, display, display_options

POLL_S = 0.1
LEAVE_WITHIN_S = 2.0
"""How long a script that is left at once has to end by itself."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to this process that the script gets. Those of the terminal's keys reach it by themselves."""
FROM_TERMINAL = 0x80
"""Linux: what a signal says that the system itself has sent, for a key; it was sent to the script, too."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    params=[
        click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="SCRIPT [ARGUMENTS]..."),
        click.Option(["-m", "module"], metavar="MODULE", help="Run a module, as python -m does."),
        *display_options(),
        ignore_option(),
    ],
    short_help="Run a script of your own, watched and steered.",
)
def run(
    arguments: tuple[str, ...],
    module: str | None,
    detach: bool,
    headless: bool,
    as_json: bool,
    ascii_only: bool,
    at: Sequence[tuple[int, AnyCommand]],
    ignored: Sequence[str] = (),
) -> None:
    """Run a PyTorch script as it is, not one line changed, watched and steered.

    It runs as python would run it, with what follows its name as its arguments; its exit code is the exit code. Stopped
    by a key or a command, it unwinds as for ctrl+c, and where it does not catch that, its exit code is 130. The key i
    shows what of it is observed, what can be steered, and what not and why.
    """
    command = ["-m", module, *arguments] if module is not None else list(arguments)
    _refuse_what_is_no_script(command)
    refuse_unknown(ignored)
    shown = display(detached=detach, headless=headless, as_json=as_json, ascii_only=ascii_only)
    sys.exit(run_script(command, shown, at, ignored))


def run_script(
    arguments: Sequence[str],
    shown: Display,
    scheduled: Sequence[tuple[int, AnyCommand]],
    ignored: Sequence[str] = (),
) -> int:
    """Run a script, seen as `shown` says and checked by all rules but those ignored; the exit code."""
    blocked = set(signal.pthread_sigmask(signal.SIG_BLOCK, () if shown.has_screen else PASSED_ON))
    created = create_run(_name(arguments))
    order = ScriptOrder(
        arguments=arguments,
        directory=created.directory,
        tips=TIPS,
        checks=CHECKS,
        ignored=ignored,
        attended=shown.attended,
        own_session=shown.has_screen,
        columns=_columns(shown),
        blocked_signals=tuple(blocked),
    )
    host = ScriptHost(order, created.journal, scheduled)
    if created.trouble:
        host.recorder.log(created.trouble)
    with closing(ControlSocket(created.directory, host.inbox)) as control:
        if control.trouble:
            host.recorder.log(control.trouble)
        _see(host, shown)
    if not shown.has_screen:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return _as_the_script_ended(host.returncode)


def _columns(shown: Display) -> int:
    """Columns of the terminal that the script finds where it prints: of the console on the screen, or of this one."""
    if shown.report is not None or not os.isatty(1):
        return 0
    columns = os.get_terminal_size(1).columns
    return console_columns(columns) if shown.has_screen else columns


def _see(host: ScriptHost, shown: Display) -> None:
    """Start the script, and be with it until it has ended."""
    if shown.report is not None:
        _be_detached(host, shown.report)
    elif shown.has_screen:
        _show_screen(host, ascii_only=shown.ascii_only)
    else:
        host.start()
        _print_lines(host, as_json=shown.as_json)


def _show_screen(host: ScriptHost, *, ascii_only: bool) -> None:
    """The screen in this terminal. When the terminal goes away the screen goes with it, and the script goes on."""
    from tuitrain.ui.app import TuitrainApp  # Textual is loaded only where it is shown

    directory = host.order.directory
    with OwnTerminal(host.recorder.printed) as own:
        app = TuitrainApp(
            journal=directory / JOURNAL,
            link=host.inbox,
            name=directory.name,
            ascii_only=ascii_only,
            on_ready=own.catch_prints,
        )
        told = threading.Event()

        def pass_on(number: int, frame: FrameType | None) -> None:
            host.signal(number)
            told.set()

        def leave() -> None:
            host.join()
            app.call_later(app.exit, 0)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pass_on)
        signal.signal(signal.SIGHUP, lambda number, frame: app.exit(0))
        host.start()
        with left_in_time(own, told, leave):
            code = app.run()
        if code:  # left at once: what was not saved is lost
            host.signal(signal.SIGTERM)
            if not host.join(LEAVE_WITHIN_S):
                host.signal(signal.SIGKILL)
        host.join()  # before the descriptors lead back to a terminal that may be gone


def _be_detached(host: ScriptHost, report: Report) -> None:
    """Without a terminal: what this process itself has to print goes to the run's log, as what the script prints."""
    descriptor = os.open(host.order.directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    host.start()
    report.begun(host.order.directory, resumed=False)
    while not host.join(0):
        _pass_signals_on(host)


def _print_lines(host: ScriptHost, *, as_json: bool) -> None:
    """Print the journal until the script has ended, and pass on the signals that come meanwhile."""
    printer = Printer(sys.stdout, as_json=as_json)
    with closing(Reader(host.recorder.journal.path)) as reader:
        over = False
        while not over:
            over = host.join(0)
            printer.show(reader.poll())
            if not over:
                _pass_signals_on(host)
    if printer.trouble:
        click.echo(f"tuitrain: {printer.trouble}", err=True)


def _pass_signals_on(host: ScriptHost) -> None:
    """Wait a moment for the end, then for no signal: the script gets one that came, unless it has it already.

    Not by signal.sigtimedwait: interrupted past its time, by SIGSTOP and SIGCONT, say, it gives what it never filled.
    """
    host.join(POLL_S)
    if signal.sigpending().isdisjoint(PASSED_ON):
        return
    told = signal.sigwaitinfo(PASSED_ON)
    if not (sys.platform == "linux" and told.si_code == FROM_TERMINAL):
        host.signal(told.si_signo)


def _as_the_script_ended(returncode: int) -> int:
    """The script's exit code; where a signal killed it, the same one kills this process."""
    if returncode >= 0:
        return returncode
    sys.stdout.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP have no handler to set
        signal.signal(-returncode, signal.SIG_DFL)
    os.kill(os.getpid(), -returncode)
    return 128 - returncode


def _refuse_what_is_no_script(arguments: Sequence[str]) -> None:
    if not arguments:
        raise UserError("tuitrain run needs a script: tuitrain run train.py, or tuitrain run -m package.module.")
    if arguments[0] != "-m" and not Path(arguments[0]).exists():
        raise UserError(f"There is no script {arguments[0]}: write its path as for python.")


def _name(arguments: Sequence[str]) -> str:
    """The script's name for a run."""
    name = arguments[1] if arguments[0] == "-m" else Path(arguments[0]).stem
    return plain_name(name, "script")
