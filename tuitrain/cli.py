"""The command line: one function a verb, which parses and calls."""

import sys
import time

import click

from tuitrain import __version__
from tuitrain.arguments import Positive, SentenceGroup
from tuitrain.errors import UserError
from tuitrain.preset import preset_names
from tuitrain.record.runs import find_run, list_runs
from tuitrain.ui.terminal import is_terminal
from tuitrain.verbs import logs as logs_verb
from tuitrain.verbs import ls as ls_verb
from tuitrain.verbs import stop as stop_verb
from tuitrain.verbs import watch as watch_verb
from tuitrain.verbs.bench import bench
from tuitrain.verbs.check import check
from tuitrain.verbs.rules import explain, rules
from tuitrain.verbs.run_script import run
from tuitrain.verbs.train import resume_command, train_command


class _Presets(SentenceGroup):
    """Every preset, and every path of a .toml file, is a command; so are the verbs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*preset_names(), *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name.endswith(".py"):
            raise UserError(f"{name} is no preset but a script: tuitrain run {name} runs it, watched.")
        return super().get_command(context, name) or train_command(name)

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
@click.version_option(__version__, "-V", "--version", prog_name="tuitrain")
@click.pass_context
def tuitrain(context: click.Context) -> None:
    """Watch and steer a PyTorch training run in the terminal.

    Try `tuitrain mnist`, or `tuitrain run train.py` with a script of your own.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@tuitrain.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(as_json: bool) -> None:
    """List the runs, the newest first."""
    runs = list_runs()
    if not runs:
        click.echo("No run is recorded yet: try tuitrain mnist.", err=True)
    elif as_json:
        click.echo("\n".join(ls_verb.json_lines(runs)))
    else:
        click.echo("\n".join(ls_verb.table_lines(runs, time.time())))


@tuitrain.command(short_help="Show a run, live or finished, and steer it.")
@click.argument("run", required=False)
@click.option("--read-only", is_flag=True, help="Look, and change nothing.")
@click.option("--headless", is_flag=True, help="Lines of text instead of the screen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, without the screen.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only.")
def watch(run: str | None, read_only: bool, headless: bool, as_json: bool, ascii_only: bool) -> None:
    """Show a run, live or finished, and steer it; the newest live one unless RUN names another.

    RUN is a name that ls lists, or the beginning of one. Leaving the screen leaves the run alone.
    """
    directory = find_run(run)
    if headless or as_json or not is_terminal():
        sys.exit(watch_verb.as_lines(directory, as_json=as_json))
    sys.exit(watch_verb.on_screen(directory, read_only=read_only, ascii_only=ascii_only))


@tuitrain.command(short_help="Stop a run: it saves a checkpoint, and ends.")
@click.argument("run")
@click.option("--timeout", type=Positive(), metavar="S", help="Wait for its end at most S seconds, not for ever.")
def stop(run: str, timeout: float | None) -> None:
    """Stop a run: it finishes its step, saves a checkpoint, and ends."""
    sys.exit(stop_verb.stop(find_run(run), timeout))


@tuitrain.command()
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def logs(run: str, follow: bool, as_json: bool) -> None:
    """Print what a run told and printed, without its steps."""
    logs_verb.logs(find_run(run), follow=follow, as_json=as_json)


tuitrain.add_command(resume_command())
tuitrain.add_command(run)
tuitrain.add_command(bench)
tuitrain.add_command(check)
tuitrain.add_command(rules)
tuitrain.add_command(explain)


def main() -> None:
    """The entry point: bad input becomes one sentence and exit code 2."""
    tuitrain(prog_name="tuitrain")
