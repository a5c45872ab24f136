"""The rows of a model as an outline: what is under what, what shows when some is folded, norms of whole modules."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from tuitrain.record.events import ModuleRow
from tuitrain.ui.arrays import Ints

OPEN_AT_FIRST = 48
"""At first the root is unfolded, and what is below it from the top down, as long as this many rows are enough."""


class Outline:
    """Rows in depth-first order. A row is named by its index; below it are the rows from there up to `ends[index]`."""

    def __init__(self, rows: Sequence[ModuleRow] = ()) -> None:
        self.rows = rows
        self.parents: list[int] = []
        """The row above each, -1 at the top."""
        self.depths: list[int] = []
        self.labels: list[str] = []
        """What a row is called under its parent."""
        self.ends = [0] * len(rows)
        self._nest()
        self.loose = [i for i in range(len(rows)) if self._is_loose(i) and not self._is_loose(self.parents[i])]
        """The outermost rows of what is not registered."""
        self._parameters = {row.path: i for i, row in enumerate(rows) if row.kind == "parameter" and not row.tied_to}
        self._lineage = self._trace_lineage()

    def __len__(self) -> int:
        return len(self.rows)

    def has_children(self, index: int) -> bool:
        """Whether something is under a row."""
        return self.ends[index] > index + 1

    def loose_under(self, index: int) -> list[int]:
        """The outermost unregistered rows under a row."""
        return self.loose[bisect_left(self.loose, index + 1) : bisect_left(self.loose, self.ends[index])]

    def visible(self, unfolded: Collection[str]) -> list[int]:
        """The rows that show when the modules with these paths are unfolded.

        What is not registered shows however much is folded above it.
        """
        return list(self._visible(0, len(self.rows), unfolded))

    def unfolded_at_first(self) -> set[str]:
        """Paths of modules to unfold in a model not seen before: those that hold modules, the topmost first."""
        paths: set[str] = set()
        holders = {parent for i, parent in enumerate(self.parents) if self.rows[i].kind == "module" and parent >= 0}
        for index in sorted(holders, key=lambda index: self.depths[index]):
            if paths and len(self.visible(paths | {self.rows[index].path})) > OPEN_AT_FIRST:
                break
            paths.add(self.rows[index].path)
        return paths

    def norms(self, of_parameters: Mapping[str, float]) -> list[float | None]:
        """The gradient norm of each row, of a module over all parameters below it; None where none is known."""
        squares, known = np.zeros(len(self.rows)), np.zeros(len(self.rows), np.bool_)
        for path, norm in of_parameters.items():
            if (index := self._parameters.get(path)) is not None:
                squares[index], known[index] = norm * norm, True
        below, above = self._lineage
        sums = squares + np.bincount(above, weights=squares[below], minlength=len(self.rows))
        known[above[known[below]]] = True
        return [norm if is_known else None for norm, is_known in zip(np.sqrt(sums).tolist(), known, strict=True)]

    def _nest(self) -> None:
        above: list[int] = []
        for index, row in enumerate(self.rows):
            while above and not _is_under(row.path, self.rows[above[-1]].path):
                self.ends[above.pop()] = index
            self.parents.append(above[-1] if above else -1)
            self.depths.append(len(above))
            start = len(self.rows[above[-1]].path) if above else 0
            self.labels.append(row.path[start:].lstrip(".") or row.type)
            above.append(index)
        for index in above:
            self.ends[index] = len(self.rows)

    def _trace_lineage(self) -> tuple[Ints, Ints]:
        """Every pair of a parameter and a row above it, as two arrays of indices: (P,) below, (P,) above."""
        pairs = [(index, above) for index in self._parameters.values() for above in self._above(index)]
        below, above = np.array(pairs, np.int64).reshape(-1, 2).T
        return below, above

    def _above(self, index: int) -> Iterator[int]:
        while (index := self.parents[index]) >= 0:
            yield index

    def _visible(self, start: int, end: int, unfolded: Collection[str]) -> Iterator[int]:
        index = start
        while index < end:
            yield index
            if self.rows[index].path in unfolded:
                index += 1
                continue
            for loose in self.loose_under(index):
                yield from self._visible(loose, self.ends[loose], unfolded)
            index = self.ends[index]

    def _is_loose(self, index: int) -> bool:
        return index >= 0 and not self.rows[index].registered


def _is_under(path: str, above: str) -> bool:
    return not above or (path.startswith(above) and path[len(above) : len(above) + 1] in (".", "[", "{"))
