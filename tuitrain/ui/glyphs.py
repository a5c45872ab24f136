"""The signs of the screen: one set in Unicode, one in ASCII. A colour never stands without one of them or a word."""

from dataclasses import dataclass

from tuitrain.record.events import Verdict


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """A set of signs; each is one to three cells wide and stands for the same thing everywhere."""

    on: str = "●"
    off: str = "○"
    train: str = "●"
    eval: str = "◆"
    paused: str = "‖"
    busy: str = "◌"
    good: str = "✓"
    warning: str = "!"
    bad: str = "✗"
    unknown: str = "·"
    pending: str = "…"
    cut: str = "…"
    bar: str = "━"
    bar_end: str = "╸"
    bar_rest: str = "─"
    norm: str = "‖g‖"
    to: str = "→"
    dot: str = "·"
    dash: str = "—"
    plus_minus: str = "±"

    def verdict(self, verdict: Verdict) -> str:
        """The sign of a verdict."""
        signs: dict[Verdict, str] = {
            "good": self.good, "warning": self.warning, "bad": self.bad, "unknown": self.unknown,
        }  # fmt: skip
        return signs[verdict]


UNICODE = Glyphs()
ASCII = Glyphs(
    on="[x]", off="[ ]", train="*", eval="#", paused="||", busy="~", good="+", bad="X", unknown=".", pending="..",
    cut="~", bar="=", bar_end=">", bar_rest="-", norm="|g|", to="->", dot="-", dash="-", plus_minus="+/-",
)  # fmt: skip

VERDICT_STYLE: dict[Verdict, str] = {
    "good": "$text-success", "warning": "$text-warning bold", "bad": "$text-error bold", "unknown": "dim",
}  # fmt: skip
