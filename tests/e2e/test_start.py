"""The first frame comes before torch; what cannot start says so."""

import re
from contextlib import closing
from pathlib import Path

from tests.e2e.shim import Gate, first_of_all
from tests.e2e.watched import watched
from tuitrain.record.events import LogLine

HOLD_TORCH_UP = """
import sys
from importlib.machinery import PathFinder
class HoldUp:  # not here, where all imports would wait with it, but where the module's own code is run
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def wait_and_load(module):
            open({asked!r}, "x").close()
            with open({gate!r}, "rb", buffering=0) as gate:
                gate.read(1)
            load(module)
        spec.loader.exec_module = wait_and_load
        return spec
sys.meta_path.insert(0, HoldUp())
"""


def test_the_first_frame_is_drawn_and_keys_work_before_torch_is_there(tmp_path: Path) -> None:
    with closing(Gate(tmp_path / "gate")) as gate:
        asked = tmp_path / "asked"
        env = first_of_all(tmp_path / "shim", HOLD_TORCH_UP.format(asked=str(asked), gate=str(gate.path)))
        with watched(tmp_path, "mnist", "--threads", "1", "--steps", "3", env=env) as run:
            terminal = run.terminal
            terminal.wait_until(asked.exists, "torch to be asked for")
            terminal.wait_for("tuitrain · ", "LOADING", "Loading torch", "Tips", "q quit")
            terminal.press("question_mark")
            terminal.wait_for("tuitrain: the keys")
            terminal.press("escape")
            terminal.wait_gone("tuitrain: the keys")
            assert run.view.run is None  # all that was without torch
            assert run.view.status.message == "Loading torch"
            gate.open()
            terminal.wait_for("FINISHED", "MNIST digits", "embedded sample of MNIST", "epoch", "33,914")
            assert run.view.end is not None
            assert run.view.end.steps == 3
            terminal.press("q")
            assert terminal.wait_end() == 0
            assert terminal.unrestored() == []


def test_a_model_that_raises_is_shown_with_its_traceback_until_one_leaves(tmp_path: Path) -> None:
    preset = tmp_path / "broken.toml"
    preset.write_text('title = "Broken"\n[model]\nname = "mlp"\noptions = { in_channels = 3 }\n')
    with watched(tmp_path, str(preset), "--threads", "1") as run:
        terminal = run.terminal
        terminal.wait_for("FAILED", "q leaves", "RuntimeError: mat1 and mat2 shapes cannot be multiplied", "in forward")
        terminal.press("5", "home")
        terminal.wait_for("Traceback (most recent call last):")
        logged = [told.text for told in run.view.timeline if isinstance(told, LogLine)]
        assert "Traceback (most recent call last):" in logged
        terminal.press("q")
        assert terminal.wait_end() == 1
        assert terminal.unrestored() == []
        assert run.view.end is not None
        assert run.view.end.reason == "failed"


def test_what_turns_out_to_be_impossible_takes_the_screen_away_and_is_said_in_one_sentence(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    with watched(tmp_path, "mnist", "--threads", "1", "--data-dir", str(nothing)) as run:
        assert run.terminal.wait_end() == 2
        assert run.terminal.unrestored() == []
        said = "".join(run.terminal.rows)
        assert said.startswith("tuitrain: ")
        assert str(nothing) in said
        assert re.fullmatch(r"tuitrain: [^:]+.*[.?]", said)
        assert run.view.end is not None
        assert run.view.end.reason == "bad input"
