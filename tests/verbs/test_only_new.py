"""Of a journal that comes anew after a run was resumed, what is new, whatever was removed from it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.fake_run import fake_start, fake_steps
from tuitrain.record.events import AnyEvent, LogLine, Run, Status
from tuitrain.record.journal import News
from tuitrain.verbs.only_new import OnlyNew

RUN = next(event for event in fake_start() if isinstance(event, Run))


def told(count: int, word: str) -> list[AnyEvent]:
    """Events of which half hold a NaN."""
    return [
        Status(state="loading", message=f"{word} {n}") if n % 2 else LogLine(stream="run", text=f"{word} {n}")
        for n in range(count)
    ]


@given(st.integers(0, 20), st.integers(0, 5), st.data())
def test_what_was_there_before_is_left_out_and_no_more(old: int, between: int, data: st.DataObject) -> None:
    before, said, new = told(old, "old"), told(between, "between"), told(3, "new")
    kept = [event for event in [*before, *said] if data.draw(st.booleans())]
    at = data.draw(st.integers(0, 9))
    again = [*new, msgspec.structs.replace(RUN, executed=at)]
    only_new = OnlyNew(before)
    assert only_new(News([], said)) == News([], said)
    assert only_new(News(fake_steps(10), [*kept, *again], anew=True)) == News(fake_steps(10)[at:], again)
    assert only_new(News(fake_steps(11)[10:], told(1, "later"))) == News(fake_steps(11)[10:], told(1, "later"))


def test_before_the_run_has_said_that_it_goes_on_no_step_is_new() -> None:
    only_new = OnlyNew([RUN])
    assert only_new(News(fake_steps(5), [RUN, *told(1, "resumed")], anew=True)) == News([], told(1, "resumed"))
