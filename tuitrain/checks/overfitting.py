"""Tip 1, overfitting one batch: what the tip's verdict says."""

from tuitrain.checks.rule import Rule, Severity, Trouble, Troubles, rule
from tuitrain.checks.seen.reports import Report

HARDLY_FALLEN = 0.9
"""A loss of which more than this share is left has not been learned from at all."""


@rule(
    slug="cannot-overfit",
    number=1,
    family="overfitting",
    severity="error",
    cost="F",
    title="one batch cannot be learned by heart",
    why="A model that cannot learn a single batch has a bug, whatever the data: an input that does not arrive, "
    "weights that "
    "are not trained, a loss that measures something else.",
    silent="Where no batch was held (o), and while the verdict is not in. In a script, whose loss may have a lower "
    "end of its "
    "own (a VAE, label smoothing), a warning where the loss hardly falls, else a hint; nothing with several "
    "optimizers.",
    remedy="Look for an error or a warning beside this one first; then follow one sample from the input to the loss.",
    within=300,
    hits=1,
    bad="attention across the samples of a batch: TransformerEncoderLayer without batch_first=True",
    good="nn.TransformerEncoderLayer(width, heads, batch_first=True)",
)
def cannot_overfit(report: Report) -> Troubles:
    """The tip's verdict is FAIL."""
    if not report.says("overfit", "bad"):
        return
    severity: Severity | None = None
    if not report.own_loop:
        severity = "hint" if report.left_of_loss < HARDLY_FALLEN else "warning"
    yield Trouble(
        message=f"Overfitting one batch: {report.summary} (loss {report.row('loss')}).", site="", severity=severity
    )


OVERFITTING: tuple[Rule, ...] = (cannot_overfit,)
"""Tip 1."""
