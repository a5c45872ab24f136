"""What the model pane says of each row, in columns, and which of the columns have room."""

import math
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

from tuitrain.record.events import ModuleRow
from tuitrain.ui.glyphs import Glyphs
from tuitrain.ui.numerals import norm_text
from tuitrain.ui.outline import Outline

Column = Literal["type", "shape", "count", "dtype", "device", "mode", "norm"]
Tone = Literal["plain", "faint", "warning", "loose"]
"""How a cell is meant: "loose" is what was never registered, and what is as bad."""

ORDER: tuple[Column, ...] = ("type", "shape", "count", "dtype", "device", "mode", "norm")
IMPORTANCE: tuple[Column, ...] = ("count", "norm", "mode", "type", "shape", "dtype", "device")
"""Which columns are kept where not all have room, the first the longest."""
NUMBERS: tuple[Column, ...] = ("count", "norm")
"""These are flush right."""

GAP = 2
LEAST_NAME = 12
"""Cells for names below which other columns are rather left out."""
LEAST_REMARK = len("X not registered")
NORM_CELLS = 7


class Cell(NamedTuple):
    """A piece of a line, padded to its width, and how it is meant."""

    text: str
    tone: Tone


class Layout(NamedTuple):
    """Cells for the names, for each column that has room, and for the remarks at the end."""

    name: int
    columns: dict[Column, int]
    remarks: int


class Table:
    """The rows of an outline as lines of cells."""

    def __init__(self, outline: Outline, glyphs: Glyphs) -> None:
        self._outline = outline
        self._glyphs = glyphs
        self._is_ascii = glyphs.norm.isascii()
        self._remarks = [self._remark(row) for row in outline.rows]
        self._folded_remarks = self._summaries()
        names = zip(outline.depths, outline.labels, strict=True)
        self._name = max((2 * depth + 2 + cell_len(label) for depth, label in names), default=0)
        self._widths = self._column_widths()

    def layout(self, width: int) -> Layout:
        """The columns that have room in `width` cells; names and remarks always have some."""
        longest = max((len(text) for text in (*self._remarks, *self._folded_remarks)), default=0)
        remarks = min(longest, max(LEAST_REMARK, width // 3))
        fixed = remarks + GAP if remarks else 0
        room = width - fixed - min(self._name, max(LEAST_NAME, width // 4))
        kept: list[Column] = []
        for column in (column for column in IMPORTANCE if column in self._widths):
            room -= self._widths[column] + GAP
            if room < 0:
                break
            kept.append(column)
        columns = {column: cells for column, cells in self._widths.items() if column in kept}
        taken = fixed + sum(columns.values()) + GAP * len(columns)
        return Layout(min(self._name, max(0, width - taken)), columns, remarks)

    def head(self, layout: Layout) -> list[Cell]:
        """The names of the columns."""
        names = {"count": "params", "norm": self._glyphs.norm}
        columns = [_aligned(column, names.get(column, column), cells) for column, cells in layout.columns.items()]
        return [Cell(text, "faint") for text in (self._fitted("module", layout.name), *columns)]

    def line(self, index: int, layout: Layout, *, unfolded: bool, norm: float | None) -> list[Cell]:
        """A row of the outline; `norm` is its gradient norm where that is known."""
        row = self._outline.rows[index]
        tone: Tone = "loose" if not row.registered else "plain" if row.kind == "module" else "faint"
        cells = [Cell(self._fitted(self._name_of(index, layout.name, unfolded=unfolded), layout.name), tone)]
        for column, width in layout.columns.items():
            if column == "norm" and norm is not None:
                cells.append(Cell(_aligned(column, norm_text(norm), width), tone if math.isfinite(norm) else "loose"))
            else:
                cells.append(Cell(_aligned(column, self._text(column, row), width), self._tone(column, row, tone)))
        remark = (self._remarks if unfolded else self._folded_remarks)[index]
        if cell_len(remark) > layout.remarks:
            remark = remark.partition(",")[0]  # what matters most comes first
        text = " " * GAP + self._fitted(remark, layout.remarks) if remark else ""
        return [*cells, Cell(text, tone if tone == "loose" else "warning")]

    def _name_of(self, index: int, width: int, *, unfolded: bool) -> str:
        signs = "+-" if self._is_ascii else "▸▾"
        sign = signs[unfolded] if self._outline.has_children(index) else " "
        indent = min(2 * self._outline.depths[index], max(0, width // 2 - 2))
        return f"{' ' * indent}{sign} {self._outline.labels[index]}"

    def _column_widths(self) -> dict[Column, int]:
        """Cells of the columns that say something of this model."""
        widths: dict[Column, int] = {}
        for column in ORDER:
            texts = {self._text(column, row) for row in self._outline.rows}
            widest = NORM_CELLS if column == "norm" else max(map(cell_len, texts), default=0)
            if widest:
                widths[column] = max(widest, len("params") if column == "count" else len(column))
        return widths

    def _text(self, column: Column, row: ModuleRow) -> str:
        match column:
            case "type":
                return "buffer" if row.kind == "buffer" else row.type if row.path else ""
            case "shape":
                sizes = ("x" if self._is_ascii else "×").join(map(str, row.shape))
                return "" if row.kind == "module" else sizes or "scalar"
            case "count":
                return f"{row.count:,}" if row.count else ""
            case "mode":
                return "" if row.training is None else "train" if row.training else "eval"
            case "dtype" | "device":
                return str(getattr(row, column))
            case "norm":
                return ""

    def _tone(self, column: Column, row: ModuleRow, tone: Tone) -> Tone:
        """A module in another mode than the model stands out; what is not registered is marked as a whole."""
        if tone == "loose":
            return tone
        if column == "mode" and row.training is not None and row.training != self._outline.rows[0].training:
            return "warning"
        return "faint" if column in ("type", "dtype", "device") else tone

    def _remark(self, row: ModuleRow) -> str:
        """What is unusual about a row itself."""
        if not row.registered:
            use = {True: ", used", False: ", not used yet", None: ""}[row.used]
            return f"{self._glyphs.bad} not registered{use}"
        if row.tied_to:
            return f"tied to {row.tied_to}"
        if row.kind != "parameter":
            return ""
        return "frozen" if not row.trainable else "" if row.in_optimizer else "not in optimizer"

    def _summaries(self) -> list[str]:
        """The remark of each row when it is folded: that of its own, else what is unusual below it."""
        rows, parents = self._outline.rows, self._outline.parents
        tensors, frozen, left_out = [0] * len(rows), [0] * len(rows), [0] * len(rows)
        for index in reversed(range(len(rows))):
            row = rows[index]
            if row.kind == "parameter" and row.registered:
                tensors[index], frozen[index] = 1, int(not row.trainable)
                left_out[index] = int(row.trainable and not row.in_optimizer)
            if parents[index] >= 0:
                for counts in (tensors, frozen, left_out):
                    counts[parents[index]] += counts[index]
        return [
            remark or self._summary(len(self._outline.loose_under(index)), *counts)
            for index, (remark, counts) in enumerate(
                zip(self._remarks, zip(tensors, frozen, left_out, strict=True), strict=True)
            )
        ]

    def _summary(self, loose: int, tensors: int, frozen: int, left_out: int) -> str:
        if loose:
            return f"{self._glyphs.bad} {loose} not registered"
        unusual = ((frozen, "frozen"), (left_out, "not in optimizer"))
        return ", ".join(word if count == tensors else f"{count} {word}" for count, word in unusual if count)

    def _fitted(self, text: str, width: int) -> str:
        """`text` in exactly `width` cells, cut with an ellipsis."""
        ellipsis = "~" if self._is_ascii else "…"
        return set_cell_size(text if cell_len(text) <= width else set_cell_size(text, width - 1) + ellipsis, width)


def _aligned(column: Column, text: str, width: int) -> str:
    """`text` in `width` cells and the gap before them."""
    return " " * GAP + (text.rjust(width) if column in NUMBERS else set_cell_size(text, width))
