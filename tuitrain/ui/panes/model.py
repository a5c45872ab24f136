"""The model: its modules, parameters and buffers, their gradient norms, and what it uses without registering it."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuitrain.record.events import GradientNorms, ModuleTree
from tuitrain.record.state import RunView
from tuitrain.ui.glyphs import UNICODE, Glyphs
from tuitrain.ui.model_cells import Cell, Table
from tuitrain.ui.outline import Outline
from tuitrain.ui.panes.style_cache import StyleCache


class ModelPane(ScrollView, can_focus=True):
    """The rows of the model as a tree to fold. Only the lines on the screen are ever made."""

    DEFAULT_CSS: ClassVar[str] = """
    ModelPane {
        width: 1fr;
        height: 1fr;
        padding: 0 1;
        border: round $panel-lighten-2;
        border-title-color: $text;
        border-subtitle-color: $text-muted;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        &:focus { border: round $border; }
    }
    ModelPane > .model--plain { color: $foreground; }
    ModelPane > .model--faint { color: $text-muted; }
    ModelPane > .model--warning { color: $text-warning; }
    ModelPane > .model--loose { color: $text-error; text-style: bold; }
    ModelPane > .model--cursor { background: $block-cursor-blurred-background; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "model--plain", "model--faint", "model--warning", "model--loose", "model--cursor",
    }  # fmt: skip
    BINDINGS: ClassVar = [
        Binding("up", "cursor(-1)", "Row above", show=False),
        Binding("down", "cursor(1)", "Row below", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First row", show=False),
        Binding("end", "last", "Last row", show=False),
        Binding("enter", "fold", "Fold or unfold", show=False),
        Binding("left", "close", "Fold, or go to the row above it in the tree", show=False),
        Binding("right", "open", "Unfold", show=False),
    ]

    def __init__(self, *, glyphs: Glyphs = UNICODE, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = "Model"
        self._glyphs = glyphs
        self._tree: ModuleTree | None = None
        self._norms_said: GradientNorms | None = None
        self._norms: list[float | None] = []
        self._outline = Outline()
        self._table = Table(self._outline, glyphs)
        self._layout = self._table.layout(0)
        self._laid_out_for = 0
        """Cells that the layout is for; a scrollbar that appears takes one away."""
        self._unfolded: set[str] = set()
        self._visible: list[int] = []
        self._cursor = 0
        self._styles = StyleCache(self)

    def notify_style_update(self) -> None:
        """Another theme: the styles are looked up anew."""
        super().notify_style_update()
        self._styles.clear()

    @property
    def shown_paths(self) -> list[str]:
        """Paths of the rows that show, or would with enough room, from the top."""
        return [self._outline.rows[index].path for index in self._visible]

    @property
    def cursor_path(self) -> str | None:
        """Path of the row that the keys act on."""
        return self._outline.rows[self._visible[self._cursor]].path if self._visible else None

    def show(self, view: RunView) -> None:
        """Show the model and the gradient norms of `view`; what is folded and the cursor stay as they are."""
        if view.tree is self._tree and view.gradient_norms is self._norms_said:
            return
        if view.tree is not None and view.tree is not self._tree:
            self._tree = view.tree
            self._rebuild(Outline(view.tree.rows))
        self._norms_said = view.gradient_norms
        self._norms = self._outline.norms(self._norms_said.norms if self._norms_said else {})
        self.refresh()

    def _rebuild(self, outline: Outline) -> None:
        """Show other rows; a module that was not there before is unfolded as in a new model."""
        known = {row.path for row in self._outline.rows}
        self._unfolded |= {path for path in outline.unfolded_at_first() if path not in known}
        cursor_path = self.cursor_path
        self._outline, self._table = outline, Table(outline, self._glyphs)
        self._fold_to(cursor_path)

    def _fold_to(self, cursor_path: str | None) -> None:
        """Show the rows as they are folded now, the cursor on the row of this path if it shows."""
        self._visible = self._outline.visible(self._unfolded)
        paths = self.shown_paths
        self._cursor = paths.index(cursor_path) if cursor_path in paths else max(0, min(self._cursor, len(paths) - 1))
        self._lay_out()

    def _lay_out(self) -> None:
        self._laid_out_for = self.scrollable_content_region.width
        self._layout = self._table.layout(self._laid_out_for)
        self.border_subtitle = self._totals(self._laid_out_for)
        self.virtual_size = Size(self._laid_out_for, len(self._visible) + self._head)
        self.refresh()

    def _totals(self, width: int) -> str:
        """How much is registered, and how much is not: what has room in `width` cells, the worse first."""
        if not len(self._outline):
            return ""
        registered = f"{self._outline.rows[0].count:,} parameters"
        loose = sum(self._outline.rows[index].count for index in self._outline.loose)
        missing = f"{loose:,} not registered"
        forms = [f"{registered}, {missing}", missing] if loose else [registered]
        return next((form for form in forms if len(form) <= width), "")

    @property
    def _head(self) -> int:
        """Lines for the names of the columns."""
        return int(self.size.height > 3)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns that have room now."""
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """Line `y` of the pane: the names of the columns, which stay, then the rows."""
        width = self.scrollable_content_region.width
        if width != self._laid_out_for:
            self._lay_out()
        if self._tree is None:
            return self._strip([Cell("no model yet", "faint")] if y == 0 else [], width)
        line = y - self._head
        if line < 0:
            return self._strip(self._table.head(self._layout), width)
        line += self.scroll_offset.y
        if line >= len(self._visible):
            return self._strip([], width)
        index = self._visible[line]
        unfolded = self._outline.rows[index].path in self._unfolded
        cells = self._table.line(index, self._layout, unfolded=unfolded, norm=self._norms[index])
        return self._strip(cells, width, under_cursor=self.has_focus and line == self._cursor)

    def _strip(self, cells: list[Cell], width: int, *, under_cursor: bool = False) -> Strip:
        under = Style(bgcolor=self._styles["model--cursor"].bgcolor) if under_cursor else Style.null()
        segments = [Segment(text, self._styles[f"model--{tone}"] + under) for text, tone in cells]
        return Strip(segments).adjust_cell_length(width, self._styles[""] + under)

    def action_cursor(self, by: int) -> None:
        """Move the cursor by some rows."""
        self._go_to(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by as many rows as are seen."""
        self._go_to(self._cursor + by * max(1, self.size.height - self._head - 1))

    def action_first(self) -> None:
        """Move the cursor to the first row."""
        self._go_to(0)

    def action_last(self) -> None:
        """Move the cursor to the last row."""
        self._go_to(len(self._visible) - 1)

    def action_fold(self) -> None:
        """Fold what is unfolded under the cursor, unfold what is folded."""
        self._set_folded(self.cursor_path in self._unfolded)

    def action_open(self) -> None:
        """Unfold the row under the cursor; the first below it if it is already."""
        if self.cursor_path in self._unfolded:
            self._go_to(self._cursor + 1)
        else:
            self._set_folded(False)

    def action_close(self) -> None:
        """Fold the row under the cursor; go to the row above it in the tree if there is nothing to fold."""
        if self.cursor_path in self._unfolded:
            self._set_folded(True)
        elif self._visible:
            parent = self._outline.parents[self._visible[self._cursor]]
            self._go_to(self._visible.index(parent) if parent in self._visible else 0)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row, and fold or unfold it."""
        place = event.get_content_offset(self)
        if place is not None and self._head <= place.y < self._head + len(self._visible) - self.scroll_offset.y:
            self._go_to(place.y - self._head + self.scroll_offset.y)
            self.action_fold()

    def _set_folded(self, folded: bool) -> None:
        if not self._visible or not self._outline.has_children(self._visible[self._cursor]):
            return
        path = self._outline.rows[self._visible[self._cursor]].path
        self._unfolded = self._unfolded - {path} if folded else self._unfolded | {path}
        self._fold_to(path)

    def _go_to(self, line: int) -> None:
        """Put the cursor on a line, and the line on the screen."""
        self._cursor = max(0, min(line, len(self._visible) - 1))
        seen = max(1, self.size.height - self._head)
        top = min(self._cursor, max(self.scroll_offset.y, self._cursor - seen + 1))
        self.scroll_to(y=top, animate=False, immediate=True)
        self.refresh()
