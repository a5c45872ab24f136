"""A run that goes on from a checkpoint while it is watched: the screen forgets what is void."""

from pathlib import Path

from tests.ui.fake_run import fake_finding, fake_start
from tests.ui.screen_run import make_app, polled_until, screen_text
from tests.ui.test_console import PaneApp, printed, view_of
from tests.ui.test_figures import named, steps_of
from tuitrain.record.events import Applied, LogLine
from tuitrain.record.journal import Journal, News
from tuitrain.ui.figures import gradient_figure, loss_figure
from tuitrain.ui.panes.console import ConsolePane


async def test_the_log_begins_again_and_findings_that_are_void_go() -> None:
    app = PaneApp()
    view = view_of(*printed("one", "two"), fake_finding(5))
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view)
        view.update(News([], printed("one", "three"), anew=True))
        app.pane.show(view)
        await pilot.pause()
        assert app.pane.lines == ["one", "three"]
        assert not view.findings
        assert app.query_one(".console--findings").has_class("-none")


def test_the_charts_show_what_is_recorded_now() -> None:
    view = view_of()
    view.update(News(steps_of([1.0, 2.0, 3.0]), []))
    loss_figure(view), gradient_figure(view)
    view.update(News(steps_of([1.0, 9.0, 9.0]), [], anew=True))
    assert named(loss_figure(view), "loss").y.tolist() == [1.0, 9.0, 9.0]
    assert len(named(gradient_figure(view), "norm").x) == 3


async def test_a_screen_that_watches_shows_the_new_life_without_what_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        for event in fake_start():
            journal.say(event)
        journal.steps(steps_of([0.5] * 10))
        journal.say(LogLine(executed=10, stream="run", text="printed before it died"))
        journal.say(Applied(executed=9, id="1", word="clip", value=True, by="another"))
        journal.say(fake_finding(9))
    app = make_app(path)
    async with app.run_test(size=(160, 48)) as pilot:
        await polled_until(app, pilot, lambda: bool(app.view.findings))
        await pilot.pause()
        assert "gradient norm 14x" in screen_text(app)
        with Journal.reopen(path, executed=5) as journal:
            journal.say(LogLine(executed=5, stream="run", text="goes on"))
            journal.steps(steps_of([0.25], first=6))
            await polled_until(app, pilot, lambda: app.view.last_step is not None and app.view.last_step.executed == 6)
        await pilot.pause()
        text = screen_text(app)
        assert "gradient norm 14x" not in text
        assert "6 / 4,680" in text
        lines = app.query_one(ConsolePane).lines
        assert [line for line in lines if "printed" in line or "goes on" in line] == [
            "printed before it died",
            "goes on",
        ]
        assert not app.view.changes
