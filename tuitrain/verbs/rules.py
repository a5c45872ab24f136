"""`tuitrain rules`, `tuitrain explain RULE`: what is checked, and a page on each rule; `--ignore RULE`."""

import difflib
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click
import msgspec

from tuitrain.errors import UserError

if TYPE_CHECKING:
    from tuitrain.checks.rule import Rule

FAMILIES = {
    "overfitting": "Tip 1, overfit one batch",
    "data": "Tip 2, the data",
    "clipping": "Tip 3, clipping",
    "modes": "Tip 4, train and eval mode",
    "registration": "Tip 5, registration",
    "loop": "The loop and the loss",
}
WIDTH = 100
INDENT = "    "


@click.command(short_help="List what is checked.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def rules(as_json: bool) -> None:
    """List all rules: what is wrong, how grave it is, and within how many steps it is found."""
    click.echo("\n".join(json_lines(_all()) if as_json else table_lines(_all())))


@click.command(short_help="A page on a rule: what it means, and what to do.")
@click.argument("rule")
def explain(rule: str) -> None:
    """Explain a RULE: why it matters, where it is silent, what to do, and a bad and a good snippet."""
    click.echo("\n".join(page_lines(find_rule(rule))))


def ignore_option() -> click.Option:
    """`--ignore RULE`, for every command that trains."""
    return click.Option(
        ["--ignore", "ignored"], multiple=True, metavar="RULE", help="Do not check a rule (tuitrain rules). Repeatable."
    )


def refuse_unknown(ignored: Sequence[str]) -> None:
    """UserError where a rule is to be ignored that is not there. Loads torch, if there is anything to look up."""
    for slug in ignored:
        find_rule(slug)


def find_rule(slug: str) -> "Rule":
    """The rule of a name; UserError names those that come near."""
    by_slug = {rule.slug: rule for rule in _all()}
    if slug not in by_slug:
        near = difflib.get_close_matches(slug, by_slug, n=1)
        hint = f"did you mean {near[0]}?" if near else "tuitrain rules lists them."
        raise UserError(f"There is no rule {slug!r}: {hint}")
    return by_slug[slug]


def table_lines(rules: Sequence["Rule"]) -> Iterator[str]:
    """One line a rule, by family."""
    width = max(len(rule.slug) for rule in rules)
    for family, members in groupby(rules, key=lambda rule: rule.family):
        yield f"{FAMILIES[family]}"
        for rule in members:
            yield f"  {rule.slug:<{width}}  {rule.severity:<7}  {rule.title}"
        yield ""
    yield f"{len(rules)} rules; tuitrain explain RULE says more, --ignore RULE leaves one out."


def json_lines(rules: Sequence["Rule"]) -> Iterator[str]:
    """One object a line."""
    keys = ("slug", "number", "family", "severity", "cost", "title", "why", "silent", "remedy", "key", "within")
    for rule in rules:
        yield msgspec.json.encode({key: getattr(rule, key) for key in keys}).decode()


def page_lines(rule: "Rule") -> Iterator[str]:
    """The page on a rule."""
    from tuitrain.checks.rule import COSTS

    steps = "1 step" if rule.within == 1 else f"{rule.within} steps"
    yield f"{rule.slug}: {rule.title}"
    yield f"{rule.severity}, number {rule.number} of the catalogue, {FAMILIES[rule.family].lower()}"
    yield ""
    yield from textwrap.wrap(rule.why, WIDTH)
    yield from _snippet("Bad", rule.bad)
    yield from _snippet("Good", rule.good)
    yield ""
    yield from _entry("Do", rule.remedy + (f" Live: press {rule.key}." if rule.key else ""))
    yield from _entry("Silent for", rule.silent)
    yield from _entry("Found", f"within {steps} if it is there from the start; costs {COSTS[rule.cost]}.")


def _snippet(title: str, code: str) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    yield from textwrap.indent(code, INDENT).splitlines()


def _entry(title: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(f"{title}: {text}", WIDTH, subsequent_indent=INDENT)


def _all() -> Sequence["Rule"]:
    from tuitrain.checks import RULES  # loads torch: only where the rules are asked for

    order = list(FAMILIES)
    return sorted(RULES, key=lambda rule: (order.index(rule.family), rule.number))
