"""The console pane: findings first, then everything the run told and printed, in order, harmless and wrapped."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.ui.fake_run import fake_finding, fake_view
from tuitrain.record.events import AnyEvent, Applied, Checkpoint, End, Finding, LogLine, Rejected, Status, Validation
from tuitrain.record.journal import News
from tuitrain.record.state import TIMELINE_LENGTH, RunView
from tuitrain.ui.glyphs import ASCII, UNICODE, Glyphs
from tuitrain.ui.log_lines import MOST_ROWS, entry_of, wrapped
from tuitrain.ui.panes.console import ConsolePane, LogView, findings_text


class PaneApp(App[None]):
    def __init__(self, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self.pane = ConsolePane(glyphs=glyphs)

    def compose(self) -> ComposeResult:
        yield self.pane


def view_of(*events: AnyEvent) -> RunView:
    view = RunView()
    view.update(News([], list(events)))
    return view


def printed(*texts: str) -> list[AnyEvent]:
    return [LogLine(stream="stdout", text=text) for text in texts]


def seen(app: PaneApp) -> list[str]:
    """The log as it is on the screen, line by line."""
    log = app.query_one(LogView)
    return [log.render_line(y).text.rstrip() for y in range(log.size.height)]


TOLD: list[AnyEvent] = [
    LogLine(stream="run", text="MNIST in the user's cache"),
    Applied(step=1204, id="1", word="clip", value=True, by="key"),
    LogLine(step=1205, stream="stderr", text="UserWarning: look out"),
    Rejected(step=1206, id="2", word="register", by="--at", reason="nothing to repair"),
    Validation(
        step=1300, epoch=1, mode="eval", loss=0.041, accuracy=0.98756, samples=10, seconds=1.0, cause="epoch",
    ),
    Validation(
        step=1300, epoch=1, mode="train", loss=0.5, accuracy=float("nan"), samples=10, seconds=1.0, cause="asked",
    ),
    Applied(step=1301, id="3", word="validate", value=True, by="key"),
    Checkpoint(step=1302, path="checkpoints/last.pt", sha256="0", bytes=3 * 2**20),
    LogLine(step=1303, stream="stdout", text="hello"),
    Status(step=1304, state="failed", message="ValueError: no"),
    End(
        step=1304, steps=1304, executed_steps=1304, val_accuracy=None, val_loss=None, weights_sha256=None,
        reason="failed",
    ),
]  # fmt: skip

WORDS = [
    "· MNIST in the user's cache",
    "→ step 1,204  clip on",
    "! UserWarning: look out",
    "✗ step 1,206  register refused, asked by --at: nothing to repair",
    "◆ step 1,300  val 98.76 %  loss 0.0410  eval mode",
    "◆ step 1,300  val loss 0.500  train mode",
    "→ step 1,301  validate",
    "✓ step 1,302  checkpoint last.pt (3.0 MiB)",
    "  hello",
    "✗ step 1,304  failed: ValueError: no",
    "● step 1,304  end: failed",
]


async def test_everything_told_stands_in_the_order_in_which_it_came() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view_of(*TOLD))
        await pilot.pause()
        assert [line for line in seen(app) if line] == WORDS


async def test_only_what_is_new_is_appended() -> None:
    app = PaneApp()
    view = view_of(*printed("one", "two"))
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view)
        app.pane.show(view)
        view.update(News([], printed("three")))
        app.pane.show(view)
        await pilot.pause()
        assert app.pane.lines == ["one", "two", "three"]


async def test_what_was_told_before_the_pane_was_laid_out_is_shown_too() -> None:
    app = PaneApp()
    app.pane.show(view_of(*printed("early " * 30)))
    async with app.run_test(size=(40, 20)) as pilot:
        await pilot.pause()
        assert len(app.pane.lines) > 1
        assert max(map(len, app.pane.lines)) <= 36


async def test_control_characters_and_markup_never_act() -> None:
    app = PaneApp()
    nasty = "\x1b]0;title\x07\x1b[2J[bold]x[/bold]\x1b[31m\r\x9b31m\u202etxt[@click=app.quit]y[/]"
    finding = Finding(rule="r", severity="error", message=nasty, remedy=nasty)
    async with app.run_test(size=(120, 20)) as pilot:
        app.pane.show(view_of(*printed(nasty), finding, Rejected(id="1", word="lr", by="key", reason=nasty)))
        await pilot.pause()
        text = "\n".join(seen(app)) + str(app.query_one(Static).render())
        assert "[bold]x[/bold]" in text
        assert "[@click=app.quit]y[/]" in text
        assert not any(not character.isprintable() and character != "\n" for character in text)
        assert "title" not in text


async def test_the_oldest_lines_are_dropped() -> None:
    app = PaneApp()
    view = RunView()
    async with app.run_test(size=(60, 20)) as pilot:
        for start in range(0, 3 * TIMELINE_LENGTH, 700):
            view.update(News([], printed(*(f"line {n}" for n in range(start, start + 700)))))
            app.pane.show(view)
        await pilot.pause()
        last = start + 700
        assert app.pane.lines == [f"line {n}" for n in range(last - TIMELINE_LENGTH, last)]
        assert seen(app)[-1].strip() == f"line {last - 1}"


async def test_more_lines_than_are_kept_in_one_go_show_the_last() -> None:
    app = PaneApp()
    async with app.run_test(size=(60, 20)):
        app.pane.show(view_of(*printed(*map(str, range(5000)))))
        assert app.pane.lines == [str(n) for n in range(5000 - TIMELINE_LENGTH, 5000)]


async def test_it_follows_the_end_unless_it_was_scrolled_up() -> None:
    app = PaneApp()
    view = view_of(*printed(*(f"line {n}" for n in range(100))))
    async with app.run_test(size=(60, 20)) as pilot:
        app.pane.show(view)
        await pilot.pause()
        assert seen(app)[-1].strip() == "line 99"
        app.query_one(LogView).focus()
        await pilot.press("home")
        view.update(News([], printed("new")))
        app.pane.show(view)
        await pilot.pause()
        assert seen(app)[0].strip() == "line 0"
        await pilot.press("end")
        view.update(News([], printed("newer")))
        app.pane.show(view)
        await pilot.pause()
        assert seen(app)[-1].strip() == "newer"


async def test_another_width_wraps_anew_and_keeps_the_end_in_sight() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 12)) as pilot:
        app.pane.show(view_of(*printed(*(f"{n} " + "word " * 20 for n in range(30)))))
        await pilot.pause()
        wide = len(app.pane.lines)
        await pilot.resize_terminal(44, 12)
        await pilot.pause()
        assert len(app.pane.lines) > wide
        assert max(map(len, app.pane.lines)) <= 40
        assert seen(app)[-1].strip().endswith("word")
        assert app.query_one(LogView).is_vertical_scroll_end


async def test_findings_come_first_with_severity_step_remedy_and_key() -> None:
    app = PaneApp()
    view = fake_view()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view)
        await pilot.pause()
        text = str(app.query_one(Static).render()).splitlines()
        assert text == [
            "! warning  step 1,080  gradient norm 14x its median  clipping",
            "  → Clip the gradients.  press c",
        ]
        assert app.query_one(Static).region.y < app.query_one(LogView).region.y


async def test_without_findings_the_log_has_all_the_room() -> None:
    app = PaneApp()
    async with app.run_test(size=(100, 20)) as pilot:
        app.pane.show(view_of(*printed("x")))
        await pilot.pause()
        assert app.query_one(LogView).size.height == app.pane.size.height


def test_the_gravest_and_latest_findings_are_shown_each_once() -> None:
    findings = [
        fake_finding(1),
        fake_finding(2, severity="hint"),
        Finding(rule="a", severity="warning", message="older", executed=3, step=3),
        Finding(rule="b", severity="error", message="grave", executed=4, step=4),
        Finding(rule="c", severity="warning", message="newer", executed=5, step=5),
        fake_finding(6),
    ]
    lines = findings_text(findings, UNICODE).plain.splitlines()
    assert lines == [
        "✗ error  step 4  grave",
        "! warning  step 6  gradient norm 14x its median (3 times)  clipping",
        "  → Clip the gradients.  press c",
        "! warning  step 5  newer",
        "  and 1 more",
    ]


async def test_it_lives_at_any_size() -> None:
    for size in ((1, 1), (5, 3), (20, 6), (200, 60)):
        app = PaneApp()
        async with app.run_test(size=size) as pilot:
            view = fake_view(end=True)
            app.pane.show(view)
            await pilot.pause()
            log = app.query_one(LogView)
            assert {log.render_line(y).cell_length for y in range(log.size.height)} <= {
                log.scrollable_content_region.width
            }


def test_ascii_signs_are_ascii() -> None:
    for told in view_of(*TOLD).timeline:
        entry = entry_of(told, ASCII)
        assert (entry.sign + entry.text).isascii()


@given(st.text(max_size=300), st.integers(-2, 40))
def test_wrapping_fits_and_keeps_every_word(text: str, width: int) -> None:
    entry = entry_of(LogLine(stream="stdout", text=text), UNICODE)
    rows = wrapped(entry.text, width, "…")
    assert 1 <= len(rows) <= MOST_ROWS
    if width > 1:
        assert all(cell_len(row) <= width for row in rows)
    if rows[-1] != "…":
        assert "".join("".join(rows).split()) == "".join(entry.text.split())


def test_a_traceback_keeps_its_indentation() -> None:
    assert wrapped("    raise ValueError(message)", 20, "…")[0].startswith("    raise")
