"""The figures of the charts, and the traces they are drawn from."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.fake_run import changes, fake_finding, fake_steps, fake_validation, fake_view
from tuitrain.record.events import Applied, Step
from tuitrain.record.journal import News
from tuitrain.record.state import RunView
from tuitrain.record.traces import BUCKETS
from tuitrain.ui.figures import gradient_figure, loss_figure
from tuitrain.ui.plot import Figure, Marker, Series, draw
from tuitrain.ui.trace import smoothed

STEPS = 1200


def named(figure: Figure, word: str) -> Series:
    """The one series whose legend begins with this word."""
    (series,) = (series for series in figure.series if series.name.split()[0] == word)
    return series


def words(figure: Figure) -> list[str]:
    return [series.name.split()[0] for series in figure.series]


def view_of(losses: Sequence[float], *, norms: Sequence[float] = (), max_norm: float = math.nan) -> RunView:
    """A run of these losses, with gradient norms (1.0 if not given) clipped to a threshold."""
    view = RunView()
    view.update(News(steps_of(losses, norms=norms, max_norm=max_norm), []))
    return view


def steps_of(
    losses: Sequence[float], *, norms: Sequence[float] = (), max_norm: float = math.nan, first: int = 1
) -> list[Step]:
    return [
        Step(
            executed=first + index,
            step=first + index,
            epoch=1,
            loss=loss,
            norm_before=norm,
            norm_after=norm if math.isnan(max_norm) else min(norm, max_norm),
            max_norm=max_norm,
            lr=0.1,
            accuracy=math.nan,
            overfit=False,
        )
        for index, (loss, norm) in enumerate(zip(losses, norms or [1.0] * len(losses), strict=True))
    ]


def test_loss_figure_shows_raw_smoothed_overfit_and_both_validations_with_their_latest_values() -> None:
    view = fake_view(steps=STEPS)
    figure = loss_figure(view)
    assert words(figure) == ["loss", "smoothed", "overfit", "val", "train-mode"]
    raw = named(figure, "loss")
    assert raw.dim
    assert raw.name == f"loss {view.curve.column('loss')[-1]:.4f}"
    points = named(figure, "val")
    assert points.glyph == "points"
    evals = [validation for validation in view.validations if validation.mode == "eval"]
    assert points.x.tolist() == [validation.executed for validation in evals]
    assert points.y.tolist() == [validation.loss for validation in evals]
    assert points.name == f"val {evals[-1].loss:.4f}"
    trained = named(figure, "train-mode")
    assert trained.y.tolist() == [validation.loss for validation in view.validations if validation.mode == "train"]


def test_the_overfit_section_is_a_curve_of_its_own_and_a_gap_in_the_others() -> None:
    view = fake_view(steps=STEPS)
    figure = loss_figure(view)
    on, off = (at for at, word, _ in changes(STEPS) if word == "overfit")
    for word in ("loss", "smoothed"):
        series = named(figure, word)
        inside = (series.x > on) & (series.x <= off)
        assert np.isnan(series.y[inside]).all()
        assert inside.any()
        assert not np.isnan(series.y[~inside]).any()
    overfit = named(figure, "overfit")
    drawn = ~np.isnan(overfit.y)
    assert overfit.x[drawn].tolist() == list(range(on + 1, off + 1))
    assert overfit.y[drawn].tolist() == view.curve.column("loss")[on:off].tolist()


def test_the_smoothed_loss_goes_on_after_the_overfit_section_where_it_was_before() -> None:
    view = fake_view(steps=STEPS)
    own = view.curve.column("loss")[view.curve.column("overfit") == 0]
    assert named(loss_figure(view), "smoothed").y[-1] == pytest.approx(slow_average(own.tolist(), 0.98)[-1])


def test_each_change_of_a_switch_is_marked_with_its_key_and_what_was_found() -> None:
    view = fake_view(steps=STEPS)
    markers = [(marker.x, marker.label) for marker in loss_figure(view).markers]
    assert markers == [(150, "c"), (400, "o"), (500, "o"), (750, "[]"), (900, "n"), (975, "n"), (1080, "!")]
    for word, value in (("overfit", "keep"), ("pause", True), ("checkpoint", True), ("lr", 0.1)):
        view.update(News([], [Applied(executed=STEPS, id=word, word=word, value=value, by="key")]))
    assert [marker.label for marker in loss_figure(view).markers][6:] == ["O", "lr", "!"]
    assert [marker.label for marker in gradient_figure(view).markers][6:] == ["O", "lr", "!"]


def test_a_finding_is_marked_once_a_step_and_a_hint_is_not() -> None:
    view = view_of([1.0, 2.0, 3.0])
    before = loss_figure(view)
    view.update(News([], [fake_finding(2), fake_finding(2, severity="error"), fake_finding(3, severity="hint")]))
    assert loss_figure(view) is not before
    assert loss_figure(view).markers == gradient_figure(view).markers == [Marker(2.0, "!")]


def test_a_figure_is_the_same_object_until_there_is_something_new() -> None:
    view = fake_view(steps=STEPS)
    loss, gradient = loss_figure(view), gradient_figure(view)
    assert loss_figure(view) is loss
    assert gradient_figure(view) is gradient
    view.update(News([], [fake_validation(STEPS, STEPS)]))
    assert loss_figure(view) is not loss
    view.update(News(steps_of([0.5], first=STEPS + 1), []))
    assert named(loss_figure(view), "loss").y[-1] == 0.5
    assert gradient_figure(view) is not gradient


def test_two_runs_do_not_share_a_figure() -> None:
    one, other = view_of([1.0, 2.0]), view_of([3.0])
    assert named(loss_figure(one), "loss").y.tolist() == [1.0, 2.0]
    assert named(loss_figure(other), "loss").y.tolist() == [3.0]


def test_what_is_polled_in_pieces_gives_the_same_figure_as_all_at_once() -> None:
    whole, pieces = fake_view(steps=STEPS), RunView()
    steps = fake_steps(STEPS)
    for start in range(0, STEPS, 37):
        pieces.update(News(steps[start : start + 37], []))
        loss_figure(pieces)
        gradient_figure(pieces)
    for figure in (loss_figure, gradient_figure):
        for word in ("loss", "smoothed", "overfit") if figure is loss_figure else ("before", "after", "max_norm"):
            assert named(figure(pieces), word).name == named(figure(whole), word).name
            np.testing.assert_array_equal(named(figure(pieces), word).x, named(figure(whole), word).x)
            np.testing.assert_array_equal(named(figure(pieces), word).y, named(figure(whole), word).y)


def test_the_gradient_figure_shows_before_after_and_the_changing_threshold() -> None:
    view = fake_view(steps=STEPS)
    figure = gradient_figure(view)
    assert words(figure) == ["before", "after", "max_norm"]
    np.testing.assert_array_equal(named(figure, "before").y, view.curve.column("norm_before"))
    np.testing.assert_array_equal(named(figure, "after").y, view.curve.column("norm_after"))
    threshold = named(figure, "max_norm")
    np.testing.assert_array_equal(threshold.y, view.curve.column("max_norm"))
    assert threshold.nan == "gap"
    assert threshold.name == "max_norm 0.5"
    assert not figure.thresholds
    clipped = view.curve.column("norm_before")[-200:] > 0.5
    assert figure.title == f"clipped {100 * clipped.mean():.0f} %"


def test_a_threshold_that_was_always_in_force_is_a_line_across() -> None:
    figure = gradient_figure(view_of([1.0] * 4, norms=[0.5, 2.0, 3.0, 0.5], max_norm=1.0))
    assert [(threshold.y, threshold.label) for threshold in figure.thresholds] == [(1.0, "max_norm 1")]
    assert words(figure) == ["before", "after"]
    assert figure.title == "clipped 50 %"


def test_while_nothing_is_clipped_there_is_one_norm() -> None:
    figure = gradient_figure(view_of([1.0] * 3, norms=[0.5, 2.0, 3.0]))
    assert [series.name for series in figure.series] == ["norm 3.00"]
    assert figure.title == ""
    assert not figure.thresholds


def test_a_threshold_switched_off_ends() -> None:
    view = view_of([1.0] * 3, norms=[2.0] * 3, max_norm=1.0)
    view.update(News(steps_of([1.0, 1.0], norms=[2.0, 2.0], first=4), []))
    threshold = named(gradient_figure(view), "max_norm")
    assert threshold.name == "max_norm off"
    np.testing.assert_array_equal(threshold.y, [1.0, 1.0, 1.0, math.nan, math.nan])


def test_a_loss_that_becomes_nan_is_marked_where_it_did_and_does_not_spoil_the_rest() -> None:
    view = view_of([1.0, 2.0, math.nan, math.nan, 4.0, math.nan])
    figure = loss_figure(view)
    undefined = named(figure, "at")
    assert undefined.name == "at step 3:"
    assert undefined.x.tolist() == [3.0, 6.0]
    assert undefined.nan == "diverged"
    assert named(figure, "loss").name == "loss nan"
    np.testing.assert_array_equal(np.isnan(named(figure, "smoothed").y), [False, False, True, True, False, True])
    assert named(figure, "smoothed").y[4] == pytest.approx(slow_average([1.0, 2.0, 4.0], 0.98)[-1])


def test_an_infinite_loss_is_drawn_as_such_and_not_smoothed() -> None:
    figure = loss_figure(view_of([1.0, math.inf, 3.0]))
    assert named(figure, "loss").y.tolist() == [1.0, math.inf, 3.0]
    assert named(figure, "smoothed").y[-1] == pytest.approx(slow_average([1.0, 3.0], 0.98)[-1])


@pytest.mark.parametrize(
    "losses", [[], [math.nan], [math.inf, -math.inf], [0.0], [1.0, math.nan, 2.0], [1e300, -1e300]]
)
@pytest.mark.parametrize("size", [(60, 15), (10, 3), (1, 1)])
def test_figures_of_anything_can_be_drawn(losses: list[float], size: tuple[int, int]) -> None:
    view = view_of(losses, norms=losses)
    for figure in (loss_figure(view), gradient_figure(view)):
        assert [strip.cell_length for strip in draw(figure, *size)] == [size[0]] * size[1]


def test_the_axis_says_when_it_counts_overfit_steps_too() -> None:
    assert loss_figure(view_of([1.0])).x_label == "step"
    assert loss_figure(fake_view(steps=STEPS)).x_label == "executed steps"


def test_a_long_run_is_drawn_from_few_points_and_keeps_every_spike() -> None:
    losses = [1.0] * 100_000
    losses[77_777] = 50.0
    losses[33_333] = 0.01
    raw = named(loss_figure(view_of(losses)), "loss")
    assert len(raw.x) <= 2 * BUCKETS + 1
    assert raw.x[raw.y.argmax()] == 77_778
    assert raw.x[raw.y.argmin()] == 33_334
    assert raw.x[-1] == 100_000


def slow_average(values: Sequence[float], decay: float) -> list[float]:
    """The moving average by its definition."""
    average, averages = 0.0, []
    for count, value in enumerate(values, 1):
        average = decay * average + (1 - decay) * value
        averages.append(average / (1 - decay**count))
    return averages


@given(st.lists(st.floats(-1e6, 1e6), max_size=700), st.sampled_from([0.5, 0.9, 0.98]))
def test_smoothed_is_the_exponential_moving_average_with_its_bias_corrected(values: list[float], decay: float) -> None:
    expected = slow_average(values, decay)
    np.testing.assert_allclose(smoothed(np.array(values, np.float64), decay), expected, rtol=1e-9, atol=1e-6)


def test_smoothed_of_a_constant_is_that_constant() -> None:
    np.testing.assert_allclose(smoothed(np.full(10_000, 3.0), 0.98), 3.0)
