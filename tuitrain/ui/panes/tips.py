"""The tips: for each its key, its switch, its verdict, and beneath it the evidence as far as there is room."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import ClassVar, NamedTuple

from textual.content import Content

from tuitrain.record.commands import spell
from tuitrain.record.events import TipReport, Verdict
from tuitrain.record.state import RunView
from tuitrain.ui.fit import shorten
from tuitrain.ui.glyphs import UNICODE, VERDICT_STYLE, Glyphs
from tuitrain.ui.keymap import TIP_ROWS, TipRow
from tuitrain.ui.panes.text_lines import TextLines

URGENCY: tuple[Verdict, ...] = ("bad", "warning", "unknown", "good")
"""Whose evidence is shown first when there is not room for all."""
COMPACT_WIDTH = 50
"""Below this many cells the columns stand one cell apart instead of two."""


INDENT = "    "


class Columns(NamedTuple):
    """Cells of the columns of a row."""

    label: int
    state: int
    summary: int


class TipsPane(TextLines):
    """The rows of `keymap.TIP_ROWS` as the run reports them."""

    DEFAULT_CSS: ClassVar[str] = """
    TipsPane {
        height: 1fr;
        padding: 0 1;
        border: round $border-blurred;
        border-title-color: $text;
        color: $foreground;
    }
    """

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "Tips"
        self._glyphs = glyphs
        self._view = RunView()

    def show(self, view: RunView) -> None:
        """Show the switches and reports of `view`."""
        self._view = view
        self.renew()

    def make_lines(self, width: int, height: int) -> Sequence[Content]:
        """The rows, in as many lines as the pane is high."""
        return tip_lines(self._view, width, height, self._glyphs)


def tip_lines(view: RunView, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The rows of all tips, each followed by its evidence where the height allows, in at most `height` lines."""
    columns = _columns(view, width, glyphs)
    blocks = [[_head(view, row, columns, glyphs)] for row in TIP_ROWS]
    room = height - len(blocks)
    for index in sorted(range(len(TIP_ROWS)), key=lambda index: _urgency(view, TIP_ROWS[index])):
        for detail in _details(view, TIP_ROWS[index], columns, width):
            if len(detail) > room:
                break
            blocks[index] += detail
            room -= len(detail)
    spaced = room >= len(blocks) - 1
    return [line for block in blocks for line in ([*block, Content("")] if spaced else block)][: max(0, height)]


def _columns(view: RunView, width: int, glyphs: Glyphs) -> Columns:
    label = max(len(row.label(view, glyphs)) for row in TIP_ROWS) + (2 if width >= COMPACT_WIDTH else 1)
    state = max(len(_state(view, row, glyphs)[1]) for row in TIP_ROWS) + (2 if width >= COMPACT_WIDTH else 1)
    return Columns(label, max(state, 6), max(0, width - 2 - label - max(state, 6) - 2))


def _head(view: RunView, row: TipRow, columns: Columns, glyphs: Glyphs) -> Content:
    is_on, state = _state(view, row, glyphs)
    report = _report(view, row)
    pending = view.pending_value(row.word) is not None
    missing = _missing(view, row)
    state_style = "bold $text-warning" if pending else "$text-success" if is_on else "dim"
    key_style, label_style = ("bold $text-accent", "") if missing is None else ("dim", "dim")
    head = Content.assemble(
        (row.key, key_style), " ",
        (row.label(view, glyphs).ljust(columns.label), label_style),
        (state.ljust(columns.state), state_style),
    )  # fmt: skip
    if report is None:
        return Content.assemble(head, (shorten(missing, columns.summary + 2, glyphs.cut), "dim")) if missing else head
    style = VERDICT_STYLE[report.verdict]
    summary_style = style if report.verdict in ("warning", "bad") else ""
    summary = shorten(report.summary, columns.summary, glyphs.cut)
    return Content.assemble(head, (f"{glyphs.verdict(report.verdict)} ", style), (summary, summary_style))


def _state(view: RunView, row: TipRow, glyphs: Glyphs) -> tuple[bool, str]:
    """Whether the switch is on, and how that is written; what was sent and not yet answered comes first.

    A switch that a script does not have is neither on nor off.
    """
    pending = view.pending_value(row.word)
    if pending is not None:
        return False, f"{glyphs.pending} {spell(pending)}"
    if not view.switches:
        return False, glyphs.dash
    if _missing(view, row) is not None:
        return False, f"{glyphs.dash} n/a"
    is_on, word = row.state(view)
    return is_on, f"{glyphs.on if is_on else glyphs.off} {word}"


def _details(view: RunView, row: TipRow, columns: Columns, width: int) -> Iterator[list[Content]]:
    """The evidence, faint, each in one line or more; led by the whole summary where its row had no room for it.

    Of a switch that a script does not have: first why, unless its row had room for that.
    """
    report, missing = view.reports.get(row.tip), _missing(view, row)
    shown = _report(view, row)
    if missing is not None and shown is not None:
        yield _wrapped(f"no switch: {missing}", "", width)
    elif missing is not None and Content(missing).cell_length > columns.summary + 2:
        yield _wrapped(missing, "", width)
    if report is None:
        return
    if shown is not None and Content(report.summary).cell_length > columns.summary:
        yield _wrapped(report.summary, "", width)
    names = max((len(name) for name, _ in report.rows), default=0)
    hanging = " " * (names + 2) if names + 2 < width // 2 else "  "
    for name, text in report.rows:
        yield _wrapped(f"{name.ljust(names)}  {text}", hanging, width)


def _wrapped(text: str, hanging: str, width: int) -> list[Content]:
    lines = wrap(text, max(1, width - len(INDENT)), subsequent_indent=hanging, break_on_hyphens=False)
    return [Content.styled(INDENT + line, "dim") for line in lines]


def _report(view: RunView, row: TipRow) -> TipReport | None:
    """What a row sums up; where there is no switch and nothing was measured, why there is none says more."""
    report = view.reports.get(row.tip)
    unmeasured = report is not None and report.verdict == "unknown" and _missing(view, row) is not None
    return None if unmeasured else report


def _missing(view: RunView, row: TipRow) -> str | None:
    """Why a script does not have a switch; None if it has, or the run is no script."""
    absent = bool(view.capabilities) and row.word not in view.switches
    if not absent:
        return view.unavailable(row.word)
    none = "no step of the script is seen." if view.unavailable("steps") else f"the script has no switch {row.word}."
    return view.unavailable(row.word) or none


def _urgency(view: RunView, row: TipRow) -> int:
    report = view.reports.get(row.tip)
    if report is None and _missing(view, row) is not None:
        return URGENCY.index("unknown")
    return len(URGENCY) if report is None else URGENCY.index(report.verdict)
