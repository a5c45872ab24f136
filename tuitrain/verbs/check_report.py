"""What a check found: for a person, as one JSON object, or as annotations of GitHub's workflows."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator

import click
import msgspec

from tuitrain.record.events import Finding, Validation
from tuitrain.record.text import printable
from tuitrain.verbs.checking import Checked

WIDTH = 100
GRAVITY = ("error", "warning", "hint")
SIGNS = {"error": "✗", "warning": "!", "hint": "·", "good": "✓"}
COLOURS = {"error": "red", "warning": "yellow", "hint": "cyan", "good": "green"}
ANNOTATIONS = {"error": "error", "warning": "warning", "hint": "notice"}
SITE = re.compile(r"(?P<file>[^·]+):(?P<line>\d+)$")


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, in the object that --json prints."""

    rule: str
    severity: str
    step: int
    message: str
    where: str
    remedy: str


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints."""

    target: str
    steps: int
    overfit: str
    findings: list[FindingRow]


def by_gravity(checked: Checked) -> list[Finding]:
    """The gravest first, then in the order in which they were found."""
    return sorted(checked.findings, key=lambda finding: (GRAVITY.index(finding.severity), finding.executed))


def as_json(checked: Checked, *, strict: bool) -> str:
    """One object."""
    rows = [
        FindingRow(
            rule=finding.rule,
            severity=finding.severity,
            step=finding.step,
            message=finding.message,
            where=finding.where,
            remedy=finding.remedy,
        )
        for finding in by_gravity(checked)
    ]
    found = Object(target=checked.target, steps=checked.steps, overfit=checked.overfit, findings=rows)
    return msgspec.json.encode(found).decode()


def as_github(checked: Checked, *, strict: bool) -> str:
    """A workflow command for each finding, and the summary."""
    return "\n".join([*map(_annotation, by_gravity(checked)), _summary(checked, strict=strict)])


def as_text(checked: Checked, *, strict: bool) -> str:
    """A page for a person; colours where there is a terminal for them."""
    return "\n".join(_lines(checked, strict=strict))


def _lines(checked: Checked, *, strict: bool) -> Iterator[str]:
    yield f"{click.style(checked.target, bold=True)}  {_course(checked)}"
    yield ""
    for finding in by_gravity(checked):
        yield from _block(finding)
        yield ""
    yield _overfit(checked)
    for validation in _latest(checked):
        yield f"  validation in {validation.mode} mode: loss {validation.loss:.4g}, {100 * validation.accuracy:.1f} %"
    yield ""
    yield _summary(checked, strict=strict)


def _course(checked: Checked) -> str:
    """How many steps, and what the loss did in them."""
    loss = ""
    if checked.first_loss is not None and checked.last_loss is not None:
        loss = f", loss {checked.first_loss:.4g} to {checked.last_loss:.4g}"
    return f"{_number(checked.steps, 'step')}{loss}, {checked.seconds:.1f} s"


def _block(finding: Finding) -> Iterator[str]:
    colour = COLOURS[finding.severity]
    step = f"step {finding.step:,}"
    title = f"{SIGNS[finding.severity]} {finding.severity:<7}  {finding.rule}"
    yield f"{click.style(title, fg=colour, bold=True)}  {click.style(step, dim=True)}"
    yield from _indented("", finding.message)
    yield from _indented("at ", finding.where)
    yield from _indented("→  ", finding.remedy)


def _indented(sign: str, text: str) -> list[str]:
    indent = " " * 11
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=indent + sign, subsequent_indent=indent + " " * len(sign)
    )


def _overfit(checked: Checked) -> str:
    """The verdict on one batch."""
    kind = {"pass": "good", "fail": "warning", "unavailable": "hint"}[checked.overfit]
    says = checked.overfit_says or "it ended before a batch could be held."
    word = "" if checked.overfit != "unavailable" else "not tried: "
    return f"{click.style(SIGNS[kind], fg=COLOURS[kind])} overfit one batch: {word}{printable(says)}"


def _summary(checked: Checked, *, strict: bool) -> str:
    counts = Counter[str](finding.severity for finding in checked.findings)
    if checked.failed and not counts:
        return "It could not be run to its end."
    if not checked.steps and not counts:
        return "No optimizer stepped, so hardly anything could be checked: weights changed by hand are not seen."
    if not counts:
        return click.style("Nothing wrong was found.", fg="green")
    found = ", ".join(_number(counts[severity], severity) for severity in GRAVITY if counts[severity])
    strictly = " (strict: warnings fail, too)" if strict else ""
    return f"{found}{strictly}. tuitrain explain RULE says more."


def _annotation(finding: Finding) -> str:
    """A workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    site = SITE.search(finding.where)
    place = f"file={_property(site['file'].strip())},line={site['line']}," if site else ""
    text = f"{finding.message} {finding.remedy}"
    return f"::{ANNOTATIONS[finding.severity]} {place}title={_property('tuitrain: ' + finding.rule)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _latest(checked: Checked) -> list[Validation]:
    """The last validation in each mode."""
    return list({validation.mode: validation for validation in checked.validations}.values())


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
