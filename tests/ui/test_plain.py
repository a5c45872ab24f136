"""The journal as lines: what each event says, in which order, and what happens where nobody reads."""

import io
import json
import math
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tuitrain.record.events import (
    AnyEvent,
    Applied,
    Capabilities,
    Capability,
    Checkpoint,
    End,
    Finding,
    GradientNorms,
    LogLine,
    Mode,
    Rejected,
    Run,
    Status,
    Step,
    Switches,
    TipReport,
    Validation,
    Vitals,
)
from tuitrain.record.journal import Journal, News, Reader
from tuitrain.ui import plain
from tuitrain.ui.plain import Printer, follow, text_of


def step(executed: int, *, time_s: float = 0.0, loss: float = 0.5, overfit: bool = False) -> Step:
    return Step(
        executed=executed,
        step=executed,
        time_s=time_s,
        epoch=1,
        loss=loss,
        norm_before=3.0,
        norm_after=1.0,
        max_norm=1.0,
        lr=0.001,
        accuracy=math.nan,
        overfit=overfit,
    )


def end(*, accuracy: float | None = 0.9912) -> End:
    return End(steps=3, executed_steps=5, val_accuracy=accuracy, val_loss=0.1, weights_sha256="ab", reason="finished")


VALIDATION = Validation(
    epoch=1, mode="eval", loss=0.25, accuracy=0.5, samples=2000, seconds=1.5, cause="epoch", step=1500
)

RUN = Run(
    preset="mnist",
    title="MNIST",
    about="",
    device="cpu",
    data="embedded sample",
    model="DigitCNN",
    optimizer="AdamW",
    parameters=21840,
    epochs=3,
    steps_per_epoch=1000,
    total_steps=3000,
    batch_size=64,
    seed=0,
    threads=1,
    torch="2.6",
)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            RUN,
            "mnist: DigitCNN, 21,840 parameters, AdamW, on cpu; embedded sample; 3 epochs of 1,000 steps",
        ),
        (step(1234), "step 1,234  epoch 1  loss 0.5  norm 3 -> 1  lr 0.001"),
        (step(7, overfit=True), "overfit, executed step 7  epoch 1  loss 0.5  norm 3 -> 1  lr 0.001"),
        (VALIDATION, "validation at step 1,500 in eval mode: loss 0.25, accuracy 50.00 % of 2,000 (1.5 s)"),
        (
            Applied(id="1", word="lr", value=0.01, by="--at", executed=1500),
            "applied after 1,500 executed steps: lr=0.01 (--at)",
        ),
        (Rejected(id="1", word="register", by="key", reason="it cannot be."), "rejected register (key): it cannot be."),
        (TipReport(tip="overfit", verdict="good", summary="PASS in 87 steps"), "overfit one batch: PASS in 87 steps"),
        (TipReport(tip="overfit", verdict="unknown", summary="loss 1.2"), ""),
        (TipReport(tip="modes", verdict="bad", summary="gap"), ""),
        (Finding(rule="nan", severity="error", message="It is NaN.", remedy="Press -."), "error: It is NaN. Press -."),
        (Finding(rule="slow", severity="hint", message="It is slow."), "hint: It is slow."),
        (LogLine(stream="stdout", text="hello"), "hello"),
        (Checkpoint(path="/x/step-3.pt", sha256="ab", bytes=3 << 20), "checkpoint /x/step-3.pt (3.0 MiB)"),
        (Status(state="loading", message="Loading torch"), "loading: Loading torch"),
        (Status(state="failed", message="ValueError: no"), "failed: ValueError: no"),
        (Status(state="running"), ""),
        (Status(state="validating", progress=0.5), ""),
        (Switches(values={"clip": True}), ""),
        (Vitals(memory_bytes=1), ""),
        (GradientNorms(norms={"w": 1.0}), ""),
        (Mode(phase="train", root="train", modules=1, disagree=()), ""),
        (end(), "finished after 3 steps, validation accuracy 99.12 %"),
        (end(accuracy=None), "finished after 3 steps"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_each_event_says_so_much(event: AnyEvent, text: str) -> None:
    assert text_of(event) == text


def printed(*news: News, as_json: bool = False) -> list[str]:
    out = io.StringIO()
    printer = Printer(out, as_json=as_json)
    for some in news:
        printer.show(some)
    return out.getvalue().splitlines()


def test_lines_come_in_the_order_in_which_things_happened_and_the_end_last() -> None:
    events: list[AnyEvent] = [
        end(),
        LogLine(stream="run", text="between", executed=1, time_s=1.5),
        LogLine(stream="run", text="first"),
    ]
    lines = printed(News([step(1, time_s=1.0), step(2, time_s=2.0)], events))
    assert [line.split()[0] for line in lines] == ["first", "step", "between", "step", "finished"]


def test_steps_are_printed_once_a_second_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "STEP_LINE_INTERVAL_S", 1.0)
    steps = [step(executed, time_s=executed / 10) for executed in range(35)]
    lines = printed(News(steps[:7], []), News(steps[7:], []))
    assert [line.split()[1] for line in lines] == ["0", "10", "20", "30"]


def test_a_verdict_is_printed_once_though_its_evidence_changes() -> None:
    def report(summary: str, *, passed: bool = True, rows: tuple[tuple[str, str], ...] = ()) -> TipReport:
        return TipReport(tip="overfit", verdict="good" if passed else "unknown", summary=summary, rows=rows)

    held = [report("PASS in 9 steps", rows=(("loss", f"{k}"),)) for k in range(3)]
    again = [report("loss 1.2, step 1 of 300", passed=False), report("PASS in 9 steps")]
    assert printed(News([], [*held]), News([], [*held, *again])) == ["overfit one batch: PASS in 9 steps"] * 2


def test_json_holds_every_event_and_every_step() -> None:
    steps = [step(1), step(2, loss=math.nan)]
    lines = printed(News(steps, [Vitals(memory_bytes=5), end()]), as_json=True)
    objects = [json.loads(line) for line in lines]
    assert [said["event"] for said in objects] == ["vitals", "step", "step", "end"]
    assert objects[2]["loss"] is None  # JSON knows no NaN
    assert objects[1] == json.loads(msgspec.json.encode(steps[0]))
    assert objects[-1] | {"weights_sha256": "ab", "reason": "finished", "steps": 3} == objects[-1]


def test_text_from_anywhere_cannot_reach_into_the_terminal() -> None:
    hostile = "boom\n\x1b[2J\x1b]0;title\x07second\r\u202eline"
    rejected = Rejected(id="", word="w", by="b", reason=hostile)
    lines = printed(News([], [Status(state="failed", message=hostile), rejected]))
    assert lines == ["failed: boom second line", "rejected w (b): boom second line"]


@pytest.mark.parametrize(("as_json", "encoding", "expected"), [(True, "utf-8", "±"), (False, "ascii", "\\xb1")])
def test_what_the_encoding_cannot_show_is_written_out(as_json: bool, encoding: str, expected: str) -> None:
    raw = io.BytesIO()
    Printer(io.TextIOWrapper(raw, encoding="ascii"), as_json=as_json).show(News([], [LogLine(stream="run", text="±")]))
    assert expected in raw.getvalue().decode(encoding)


class Failing(io.StringIO):
    """A stream on a descriptor of its own that cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error
        self.writes = 0
        self._descriptor = os.open(os.devnull, os.O_WRONLY)

    def write(self, text: str) -> int:
        self.writes += 1
        raise self.error

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)
        super().close()


@pytest.mark.parametrize(
    ("error", "trouble"), [(BrokenPipeError(), None), (OSError(28, "No space left on device"), "No space left")]
)
def test_where_nobody_reads_it_falls_silent_and_still_knows_the_end(error: OSError, trouble: str | None) -> None:
    with closing(Failing(error)) as out:
        printer = Printer(out, as_json=False)
        printer.show(News([step(1)], []))
        printer.show(News([step(2, time_s=5.0)], [end()]))
        assert out.writes == 1
    assert printer.end == end()
    assert (printer.trouble is None) if trouble is None else (trouble in (printer.trouble or ""))


def test_it_knows_when_nobody_reads_any_more() -> None:
    with closing(Failing(BrokenPipeError())) as out:
        printer = Printer(out, as_json=True)
        assert not printer.is_closed
        printer.show(News([step(1)], []))
        assert printer.is_closed


@pytest.mark.parametrize("as_json", [False, True])
def test_without_steps_what_was_told_comes_as_it_was_told(as_json: bool) -> None:
    told = [LogLine(stream="run", text=str(executed), executed=executed) for executed in (5, 3, 4)]  # 4: resumed
    out = io.StringIO()
    Printer(out, as_json=as_json, steps=False).show(News([step(1), step(2)], list(told)))
    lines = out.getvalue().splitlines()
    assert ([json.loads(line)["text"] for line in lines] if as_json else lines) == ["5", "3", "4"]


def test_python_does_not_complain_at_exit_about_what_could_not_be_written() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    out = os.fdopen(write_end, "w")
    printer = Printer(out, as_json=False)
    printer.show(News([step(1)], []))
    out.close()  # would raise: what is buffered is written here
    assert printer.trouble is None


def follow_until(path: Path, is_over: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(plain, "POLL_INTERVAL_S", 0.0)
    out = io.StringIO()
    with closing(Reader(path)) as reader:
        follow(reader, Printer(out, as_json=False).show, is_over)
    return out.getvalue().splitlines()


def test_following_prints_what_was_said_until_the_end_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    polls = 0

    def is_over() -> bool:
        nonlocal polls
        polls += 1
        if polls == 1:
            journal.say(LogLine(stream="run", text="one"))
        if polls == 3:
            journal.say(LogLine(stream="run", text="two"))
            journal.say(end())
            journal.close()
        return polls == 3

    lines = follow_until(tmp_path / "journal.sqlite", is_over, monkeypatch)
    assert lines == ["one", "two", "finished after 3 steps, validation accuracy 99.12 %"]


def test_the_progress_of_a_download_is_one_line() -> None:
    downloads = [Status(state="loading", message="Downloading images", progress=share / 10) for share in range(10)]
    lines = printed(News([], [*downloads, Status(state="loading", message="Loading the data")]))
    assert lines == ["loading: Downloading images", "loading: Loading the data"]


def of_a_script(*names: str, executed: int = 0) -> Capabilities:
    """What can be had of a script, of which more is observed as it goes on."""
    return Capabilities(
        executed=executed,
        rows=(
            *(Capability(kind="observed", name=name, text=f"how {name}") for name in names),
            Capability(kind="steered", name="lr", text="the first optimizer's"),
            Capability(kind="unavailable", name="shuffle", text="there is no DataLoader."),
            Capability(kind="switched_off", name="the modes", text="it failed."),
        ),
    )


def test_what_can_be_had_of_a_script_is_told_once_it_is_known_and_then_only_what_is_new() -> None:
    out = io.StringIO()
    printer = Printer(out, as_json=False)
    printer.show(News([step(1)], [of_a_script("loss")]))
    assert "observed" not in out.getvalue()
    printer.show(News([step(19), step(20)], [of_a_script("loss", "lr", executed=19)]))
    told = out.getvalue().splitlines()[-4:]
    assert told == [
        "observed: loss (how loss), lr (how lr)",
        "steered: lr",
        "no shuffle: there is no DataLoader.",
        "switched off: the observer of the modes: it failed.",
    ]
    printer.show(News([step(21)], [of_a_script("loss", "lr", "validation", executed=21)]))
    assert out.getvalue().splitlines()[-1] == "observed: validation (how validation)"
    printer.show(News([step(22)], [of_a_script("loss", "lr", "validation", executed=22)]))
    assert out.getvalue().count("observed") == 2


@pytest.mark.parametrize("news", [News([], [of_a_script("loss")]), News([], [of_a_script("loss"), end()])])
def test_a_short_script_and_logs_tell_it_too(news: News) -> None:
    out = io.StringIO()
    Printer(out, as_json=False, steps=len(news.events) > 1).show(news)
    assert "no shuffle: there is no DataLoader." in out.getvalue()


def test_lines_say_no_number_that_a_script_does_not_give() -> None:
    run = Run(
        preset="train.py", title="train.py", about="", device="cpu", data="its own", model="Net", optimizer="SGD",
        parameters=10, epochs=0, steps_per_epoch=0, total_steps=0, batch_size=0, seed=0, threads=1, torch="2",
    )  # fmt: skip
    assert text_of(run) == "train.py: Net, 10 parameters, SGD, on cpu; its own"
    assert text_of(msgspec.structs.replace(run, steps_per_epoch=50)).endswith("; its own; 50 steps an epoch")
    bare = msgspec.structs.replace(step(1), epoch=0, norm_before=math.nan, norm_after=math.nan)
    assert text_of(bare) == "step 1  loss 0.5  lr 0.001"
    assert "accuracy" not in text_of(msgspec.structs.replace(VALIDATION, accuracy=math.nan))
    assert "loss nan" not in text_of(msgspec.structs.replace(VALIDATION, loss=math.nan))
