"""The screen leaves no trace: with it, watched, overfitted and asked, the weights are those of the bare run."""

import json
import subprocess
from pathlib import Path

from tests.e2e.terminal import ROOT, TIMEOUT_S, environment, tuitrain
from tests.e2e.watched import watched

STEPS = 100
SAME_RUN = ("mnist", "--threads", "1", "--seed", "7", "--steps", str(STEPS))
OVERFIT = ("--at", "50", "overfit=on", "--at", "90", "overfit=off")


def bare_digest(home: Path) -> str:
    """The digest of the weights of the run without a screen."""
    done = subprocess.run(
        tuitrain(*SAME_RUN, "--json"),
        cwd=ROOT, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    digest = json.loads(done.stdout.splitlines()[-1])["weights_sha256"]
    assert isinstance(digest, str)
    return digest


def test_with_the_screen_open_and_one_batch_overfitted_the_run_is_the_bare_one_bit_for_bit(tmp_path: Path) -> None:
    with watched(tmp_path / "screen", *SAME_RUN, *OVERFIT, "--at", "20", "pause=on") as run:
        run.terminal.wait_for("PAUSED")
        run.press_and_apply("v", word="validate", value=True)
        run.terminal.press("question_mark")
        run.terminal.wait_for("tuitrain: the keys")
        run.terminal.press("escape")
        run.terminal.wait_gone("tuitrain: the keys")
        run.terminal.press("2", "tab", "tab")
        run.press_and_apply("space", word="pause", value=False)
        run.terminal.wait_for("FINISHED", "q leaves", f"executed {STEPS + 40}")
        run.terminal.press("q")
        assert run.terminal.wait_end() == 0
        assert run.terminal.unrestored() == []
        end, changes = run.view.end, run.view.changes
        assert run.view.last_step is not None
    assert end is not None
    assert (end.reason, end.steps, end.executed_steps) == ("steps", STEPS, STEPS + 40)
    by_at = [(change.executed, change.word, change.value) for change in changes if change.by == "--at"]
    assert by_at == [(20, "pause", True), (50, "overfit", True), (90, "overfit", False)]
    assert [change.word for change in changes if change.by == "key"] == ["validate", "pause"]
    assert end.weights_sha256 == bare_digest(tmp_path / "bare")
