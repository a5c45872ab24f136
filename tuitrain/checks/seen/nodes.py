"""Where a tensor comes from, read off its autograd graph: names and shapes, never values."""

from collections import deque
from collections.abc import Iterator
from typing import Any

REARRANGES = frozenset(
    (
        *("View", "UnsafeView", "ReshapeAlias", "Transpose", "T", "Permute", "Squeeze", "Unsqueeze", "Clone", "Copies"),
        *("Slice", "Select", "Index", "Gather", "ToCopy", "Alias", "Unbind", "Split", "Cat", "Stack", "CopySlices"),
    )
)
"""Nodes that give the same numbers, in another shape or order."""
MOST_STEPS = 12


def origin(node: Any) -> Any:  # noqa: ANN401 - a node has no class of its own in torch's types
    """The node that computed the numbers that a node gives, behind those that only rearrange them; None for None."""
    for _ in range(MOST_STEPS):
        if node is None or kind(node) not in REARRANGES:
            break
        node = next(iter(before(node)), None)
    return node


def kind(node: Any) -> str:  # noqa: ANN401
    """ "Softmax" for SoftmaxBackward0; empty for None."""
    return "" if node is None else str(node.name()).partition("Backward")[0]


def shape_of(node: Any) -> tuple[int, ...]:  # noqa: ANN401
    """The shape that a node computed; empty where that is not known."""
    metadata = getattr(node, "_input_metadata", None)
    return tuple(int(size) for size in metadata[0].shape) if metadata else ()


def before(node: Any) -> list[Any]:  # noqa: ANN401
    """The nodes whose results a node computed with, those that need a gradient."""
    return [each for each, _ in node.next_functions if each is not None]


def walk(root: Any, most: int) -> Iterator[Any]:  # noqa: ANN401
    """The nodes of a graph, the latest first, each once, and at most so many."""
    waiting, seen = deque([root]), {root}
    while waiting and most > 0:
        node = waiting.popleft()
        most -= 1
        yield node
        for each in before(node):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
