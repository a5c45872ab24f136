"""The console: what is wrong with the run, and below it what it told and printed, in order."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, get_args

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from tuitrain.record.events import Finding, Verdict
from tuitrain.record.state import TIMELINE_LENGTH, RunView
from tuitrain.record.text import printable
from tuitrain.ui.glyphs import UNICODE, VERDICT_STYLE, Glyphs
from tuitrain.ui.log_lines import Entry, Tone, entry_of, wrapped
from tuitrain.ui.panes.style_cache import StyleCache

MOST_FINDINGS = 3
"""Findings shown at once: the gravest, of those the latest."""

MOST_BEGUN = 4
"""Lines that may still change that are shown at once."""

GRAVITY = {"error": 0, "warning": 1, "hint": 2}
DRAWN_AS: dict[str, Verdict] = {"error": "bad", "warning": "warning", "hint": "unknown"}
"""The sign and the colour of each severity are those of a verdict."""


class ConsolePane(Widget):
    """Findings first, then the log."""

    DEFAULT_CSS: ClassVar[str] = """
    ConsolePane {
        width: 1fr;
        height: 1fr;
        padding: 0 1;
        border: round $panel-lighten-2;
        border-title-color: $text;
        color: $foreground;
        layout: vertical;
        &:focus-within { border: round $border; }
    }
    ConsolePane > .console--findings { height: auto; max-height: 60%; margin: 0 0 1 0; }
    ConsolePane > .console--findings.-none { display: none; }
    """

    def __init__(
        self, *, glyphs: Glyphs = UNICODE, me: str = "key", id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "Findings / Console"
        self._glyphs = glyphs
        self._me = me
        self._findings = Static(classes="console--findings -none")
        self._log = LogView(glyphs)
        self._found = 0
        self._told = 0
        self._life = 0

    def compose(self) -> ComposeResult:
        """The findings above the log."""
        yield self._findings
        yield self._log

    @property
    def lines(self) -> list[str]:
        """The rows of the log as they are shown, without their signs."""
        return [row.text for row in self._log.rows]

    def show(self, view: RunView) -> None:
        """Show what is new in `view`."""
        if view.life != self._life:  # the run went on from a checkpoint: all is told anew
            self._life, self._found = view.life, -1
            self._log.clear()
        if len(view.findings) != self._found:
            self._found = len(view.findings)
            self._findings.update(findings_text(view.findings, self._glyphs))
            self._findings.set_class(not view.findings, "-none")
        new = min(view.told - self._told, len(view.timeline))
        self._told = view.told
        if new:
            self._log.extend([entry_of(told, self._glyphs, self._me) for told in list(view.timeline)[-new:]])
        self._log.show_begun(view.lines_begun.splitlines()[-MOST_BEGUN:])


def findings_text(findings: Sequence[Finding], glyphs: Glyphs) -> Content:
    """The gravest findings, each once with how often it was found, and how many more there are."""
    latest = {(finding.rule, finding.where): finding for finding in findings}
    counts = Counter((finding.rule, finding.where) for finding in findings)
    order = sorted(latest.values(), key=lambda finding: (GRAVITY[finding.severity], -finding.executed))
    blocks = [_finding_text(finding, counts[finding.rule, finding.where], glyphs) for finding in order[:MOST_FINDINGS]]
    more = len(order) - len(blocks)
    return Content("\n").join([*blocks, Content.styled(f"  and {more} more", "dim")] if more else blocks)


def _finding_text(finding: Finding, count: int, glyphs: Glyphs) -> Content:
    verdict = DRAWN_AS[finding.severity]
    times = f" ({count} times)" if count > 1 else ""
    lines = [
        Content.assemble(
            (f"{glyphs.verdict(verdict)} {finding.severity}", VERDICT_STYLE[verdict]),
            f"  step {finding.step:,}  {printable(finding.message)}{times}",
            (f"  {printable(finding.where)}" if finding.where else "", "dim"),
        )
    ]
    if finding.remedy:
        key = Content.assemble("  press ", (finding.key, "bold $text-accent")) if finding.key else Content("")
        lines.append(Content.assemble(f"  {glyphs.to} {printable(finding.remedy)}", key))
    return Content("\n").join(lines)


class Row(NamedTuple):
    """A row of the log: one of those that an entry was wrapped into."""

    tone: Tone
    sign: str
    text: str


class LogView(ScrollView, can_focus=True):
    """The last lines of the log. Follows its end unless it was scrolled up; makes only the rows on the screen."""

    DEFAULT_CSS: ClassVar[str] = """
    LogView {
        width: 1fr;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
    }
    LogView > .log--run { color: $text-muted; }
    LogView > .log--stdout { color: $foreground; }
    LogView > .log--stderr { color: $text-warning; }
    LogView > .log--applied { color: $text-accent; }
    LogView > .log--rejected { color: $text-error; }
    LogView > .log--validation { color: $text-success; }
    LogView > .log--saved { color: $text-success; }
    LogView > .log--failed { color: $text-error; text-style: bold; }
    LogView > .log--end { color: $foreground; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log--{tone}" for tone in get_args(Tone)}

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self._ellipsis = glyphs.pending
        self._entries: deque[Entry] = deque(maxlen=TIMELINE_LENGTH)
        self._counts: deque[int] = deque()
        """Rows of each entry."""
        self.rows: deque[Row] = deque()
        self._begun: list[str] = []
        """Lines below all rows that may still change, a progress bar say: each in one row."""
        self._width = 0
        """Cells that the rows were wrapped for; 0 before the first layout."""
        self._styles = StyleCache(self)

    def notify_style_update(self) -> None:
        """Another theme: the styles are looked up anew."""
        super().notify_style_update()
        self._styles.clear()

    def on_mount(self) -> None:
        """Keep the end in sight, until the person scrolls away from it."""
        self.anchor()

    def extend(self, entries: Sequence[Entry]) -> None:
        """Append entries; the oldest are dropped."""
        before, dropped = len(self.rows), len(self._counts) + len(entries) > TIMELINE_LENGTH
        self._entries.extend(entries)
        for entry in entries[-TIMELINE_LENGTH:]:
            self._append(entry)
        while len(self._counts) > TIMELINE_LENGTH:
            self._drop_first()
        self._settle(first_new=0 if dropped else before)

    def show_begun(self, lines: list[str]) -> None:
        """Show lines that may still change below all others."""
        if lines != self._begun:
            self._begun = lines
            self._settle(first_new=len(self.rows))

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
        self._counts.clear()
        self.rows.clear()
        self._settle()

    def on_resize(self, event: events.Resize) -> None:
        """Wrap everything anew for another width."""
        if self.scrollable_content_region.width != self._width:
            self._width = self.scrollable_content_region.width
            self.rows.clear()
            self._counts.clear()
            for entry in self._entries:
                self._append(entry)
            self._settle()

    def render_line(self, y: int) -> Strip:
        """Line `y` of what is seen."""
        line = y + self.scroll_offset.y
        segments = []
        if line < len(self.rows):
            row = self.rows[line]
            segments = [Segment(f"{row.sign} {row.text}", self._styles[f"log--{row.tone}"])]
        elif line < self._height:
            text = _in_one_row(self._begun[line - len(self.rows)], self._width - 2, self._ellipsis)
            segments = [Segment(f"  {text}", self._styles["log--stdout"])]
        return Strip(segments).adjust_cell_length(self.scrollable_content_region.width, self._styles[""])

    @property
    def _height(self) -> int:
        return len(self.rows) + len(self._begun)

    def _append(self, entry: Entry) -> None:
        width = self._width - cell_len(entry.sign) - 1
        texts = wrapped(entry.text, width, self._ellipsis) if self._width else [entry.text]
        blank = " " * cell_len(entry.sign)
        self.rows.extend(Row(entry.tone, blank if row else entry.sign, text) for row, text in enumerate(texts))
        self._counts.append(len(texts))

    def _drop_first(self) -> None:
        for _ in range(self._counts.popleft()):
            self.rows.popleft()

    def _settle(self, *, first_new: int = 0) -> None:
        """Take in how many rows there are now; the end stays in sight if it was; rows from `first_new` on are drawn.

        Setting `virtual_size` as Textual means it would lay out the whole screen, at each new line.
        """
        if not self._width:  # the first layout settles it
            return
        follows = self.is_vertical_scroll_end
        self.set_reactive(LogView.virtual_size, Size(self._width, self._height))
        self.vertical_scrollbar.window_virtual_size = self._height
        if follows:
            self.scroll_y = self.scroll_target_y = self.max_scroll_y
        width, height = self.size
        top = max(0, first_new - self.scroll_offset.y)
        if top < height:
            self.refresh(Region(0, top, width, height - top))


def _in_one_row(text: str, width: int, ellipsis: str) -> str:
    """A line in one row; of one that is too long its middle is left out, as there is least in a progress bar."""
    text = printable(text)
    if cell_len(text) <= width:
        return text
    end = max(0, width - cell_len(ellipsis)) * 2 // 3
    head = set_cell_size(text, max(0, width - cell_len(ellipsis) - end))
    return head + ellipsis + set_cell_size(text[::-1], end)[::-1]
