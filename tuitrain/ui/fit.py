"""One line of parts that fits its width: the least important parts are shortened, then dropped; none is cut."""

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content


class Part(NamedTuple):
    """A piece of a line; `forms` are ways to say it, the longest first. Rank 0 is the last to be dropped."""

    rank: int
    forms: tuple[Content, ...]


def part(rank: int, *forms: Content | str) -> Part:
    """A part said in one of `forms`, the longest first."""
    return Part(rank, tuple(form if isinstance(form, Content) else Content(form) for form in forms))


def fit(parts: Sequence[Part], width: int, *, gap: int = 3) -> Content:
    """The parts in their order, `gap` cells apart, in at most `width` cells.

    Parts enter by rank, in their shortest form, as long as there is room, then grow by rank.
    """
    chosen: dict[int, Content] = {}
    by_rank = sorted(range(len(parts)), key=lambda index: parts[index].rank)
    for index in by_rank:
        candidate = chosen | {index: parts[index].forms[-1]}
        if _width(candidate, gap) > width:
            break
        chosen = candidate
    for index in (index for index in by_rank if index in chosen):
        grown = (chosen | {index: form} for form in parts[index].forms)
        chosen = next((candidate for candidate in grown if _width(candidate, gap) <= width), chosen)
    return Content(" " * gap).join(chosen[index] for index in sorted(chosen))


def shorten(text: str, width: int, ellipsis: str) -> str:
    """`text` in at most `width` cells, cut between two words, so that no number loses its last digits."""
    if Content(text).cell_length <= width:
        return text
    words = text.split(" ")
    while words and Content(" ".join(words) + ellipsis).cell_length > width:
        words.pop()
    return " ".join(words) + ellipsis if words else ellipsis[:width]


def _width(chosen: dict[int, Content], gap: int) -> int:
    return sum(form.cell_length for form in chosen.values()) + gap * max(0, len(chosen) - 1)
