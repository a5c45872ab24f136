"""`tuitrain check`: is this training sound? A preset or a script, for a person or for CI."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from tuitrain.arguments import Whole
from tuitrain.errors import UserError
from tuitrain.preset import find_preset, load_preset, preset_names
from tuitrain.verbs.check_report import as_github, as_json, as_text
from tuitrain.verbs.checking import Checked, check_preset, check_script
from tuitrain.verbs.rules import refuse_unknown

STEPS = 100


@click.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Check a script or a preset: what is wrong with its training?",
)
@click.option("--steps", type=Whole(1), default=STEPS, metavar="N", help=f"Train N steps [{STEPS}].")
@click.option("--json", "json_wanted", is_flag=True, help="One JSON object.")
@click.option("--github", is_flag=True, help="Annotations, as GitHub's workflows read them.")
@click.option("--strict", is_flag=True, help="Warnings fail the check, too.")
@click.option("--ignore", "ignored", multiple=True, metavar="RULE", help="Do not check a rule. Repeatable.")
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET [ARGUMENTS]...", required=True)
def check(
    target: tuple[str, ...], steps: int, json_wanted: bool, github: bool, strict: bool, ignored: tuple[str, ...]
) -> None:
    """Train a script or a preset for some steps, overfit one of its batches, and say what is wrong with it.

    Options that are none of these are the script's own, as is all that follows after --. Exit code: 0 where nothing is
    wrong; 1 where there are errors or, with --strict, warnings; 2 where it could not be run. Hints never fail a check.
    """
    if json_wanted and github:
        raise UserError("--json and --github cannot be had together: choose one.")
    refuse_unknown(ignored)
    checked = _checked(target, steps, ignored)
    report = as_json if json_wanted else as_github if github else as_text
    click.echo(report(checked, strict=strict))
    if checked.failed:
        _say_why(checked)
    sys.exit(exit_code(checked, strict=strict))


def exit_code(checked: Checked, *, strict: bool) -> int:
    """0 where nothing is wrong, 1 where something is, 2 where it could not be run."""
    if checked.failed:
        return 2
    failing = {"error", "warning"} if strict else {"error"}
    return int(any(finding.severity in failing for finding in checked.findings))


def _checked(target: Sequence[str], steps: int, ignored: Sequence[str]) -> Checked:
    name = target[0]
    if name in preset_names() or name.endswith(".toml"):
        if target[1:]:
            raise UserError(f"{name} is a preset, which takes no arguments: {target[1]} is one too many.")
        preset = load_preset(find_preset(name))
        ignore = (*preset.checks.ignore, *ignored)
        refuse_unknown(ignore)
        checks = msgspec.structs.replace(preset.checks, ignore=ignore)
        return check_preset(name, msgspec.structs.replace(preset, checks=checks), steps)
    if name == "-m" and len(target) > 1:
        return check_script(target, steps, ignored)
    if not Path(name).is_file():
        raise UserError(f"There is no script {name}, and no preset of that name: tuitrain --help lists the presets.")
    return check_script(target, steps, ignored)


def _say_why(checked: Checked) -> None:
    """Why it could not be run: the last that the script printed, most likely its traceback."""
    for line in checked.printed:
        click.echo(f"  {line}", err=True)
    reason = "it did not come to its end" if checked.end is None else f"it ended after {checked.steps:,} steps"
    click.echo(f"tuitrain: {checked.target} failed: {reason}.", err=True)
