"""Makes every screenshot from a real run: `python screenshots/make.py [NAME ...]`.

A scene trains a preset as `tuitrain PRESET` does, in a thread with its journal, or runs a script as `tuitrain run`
does. It opens the very screen on it, presses the keys a person would, and saves the screen as SVG. Nothing in a picture
is drawn by hand.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from textual.pilot import Pilot

from tuitrain.engine.host import Host, Order
from tuitrain.engine.script.host import ScriptHost, ScriptOrder
from tuitrain.preset import find_preset, load_preset
from tuitrain.record.commands import Stop
from tuitrain.record.journal import Journal
from tuitrain.record.link import Inbox
from tuitrain.record.state import RunView
from tuitrain.ui.app import TuitrainApp
from tuitrain.verbs.scripts import CHECKS, TIPS
from tuitrain.verbs.train import load_tips, make_checks

FOLDER = Path(__file__).parent
PATIENCE_S = 60.0
"""How long a scene waits for what it wants to show."""
EPOCHS = 10
"""At least so many (`--epochs`), so that no run ends before its picture is taken."""


@dataclass(frozen=True)
class Scene:
    """A preset or a script, a size in cells, and what happens before the picture is taken."""

    target: str
    size: tuple[int, int]
    play: Callable[["Stage"], Awaitable[None]]


class Stage:
    """A real run and the real screen on it."""

    def __init__(self, app: TuitrainApp, pilot: "Pilot[int]") -> None:
        self._app = app
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys as a person would."""
        await self._pilot.press(*keys)

    async def until(self, condition: Callable[[RunView], bool]) -> None:
        """Wait until the run has come so far; TimeoutError if it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self._app.view):
                await self._pilot.pause(0.05)

    async def executed(self, steps: int) -> None:
        """Wait until so many steps were executed."""
        await self.until(lambda view: len(view.curve) >= steps)


async def _healthy(stage: Stage) -> None:
    await stage.executed(95)
    await stage.press("o")
    await stage.until(lambda view: "PASS" in view.reports["overfit"].summary)
    await stage.executed(190)
    await stage.press("o")
    await stage.until(lambda view: view.switches.get("overfit") is False)
    await stage.press("v")
    await stage.until(lambda view: any(validation.cause == "asked" for validation in view.validations))
    await stage.executed(290)


async def _blind(stage: Stage) -> None:
    await stage.executed(60)
    await stage.press("o")
    await stage.until(lambda view: "FAIL" in view.reports["overfit"].summary)


async def _exploding(stage: Stage) -> None:
    await stage.executed(150)
    await stage.press("c")
    await stage.executed(420)


async def _unregistered(stage: Stage) -> None:
    await stage.executed(200)


async def _repaired(stage: Stage) -> None:
    await stage.executed(200)
    await stage.press("r")
    await stage.executed(420)
    await stage.until(lambda view: len(view.validations) >= 2)


async def _help(stage: Stage) -> None:
    await stage.executed(50)
    await stage.press("question_mark")


async def _running(stage: Stage) -> None:
    await stage.executed(200)


async def _script(stage: Stage) -> None:
    await stage.executed(400)
    await stage.until(lambda view: bool(view.validations) and bool(view.findings))
    await stage.press("o")
    await stage.until(lambda view: "FAIL" in view.reports["overfit"].summary)
    await stage.press("o")
    await stage.until(lambda view: view.switches.get("overfit") is False)
    await stage.executed(1200)


async def _capabilities(stage: Stage) -> None:
    await stage.executed(200)
    await stage.until(lambda view: view.capabilities is not None)
    await stage.press("i")


SCENES = {
    "mnist": Scene("mnist", (160, 48), _healthy),
    "blind": Scene("blind", (160, 48), _blind),
    "exploding": Scene("exploding", (160, 48), _exploding),
    "unregistered": Scene("unregistered", (160, 48), _unregistered),
    "repaired": Scene("unregistered", (160, 48), _repaired),
    "help": Scene("mnist", (110, 40), _help),
    "medium": Scene("mnist", (100, 30), _running),
    "narrow": Scene("mnist", (60, 20), _running),
    "script": Scene("spirals.py", (160, 48), _script),
    "capabilities": Scene("spirals.py", (110, 40), _capabilities),
}


async def take(name: str, scene: Scene) -> None:
    """Play one scene and save its picture."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        host: Host | ScriptHost = (
            _script_host(scene, journal) if scene.target.endswith(".py") else _host(scene, journal)
        )
        app = TuitrainApp(journal=journal.path, link=host.inbox, name=scene.target)
        async with app.run_test(size=scene.size) as pilot:
            host.start()
            await scene.play(Stage(app, pilot))
            app.poll()
            await pilot.pause()
            svg = app.export_screenshot(title=f"tuitrain {scene.target}")
            host.inbox.send(Stop())
            while not host.join(0):
                await pilot.pause(0.05)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{name}.svg")


def _host(scene: Scene, journal: Journal) -> Host | ScriptHost:
    preset = load_preset(find_preset(scene.target))
    train = msgspec.structs.replace(preset.train, epochs=max(EPOCHS, preset.train.epochs))
    preset = msgspec.structs.replace(preset, train=train)
    order = Order(
        preset_name=scene.target, preset=preset, directory=journal.path.parent, tips=load_tips, checks=make_checks
    )
    return Host(order, journal, Inbox())


def _script_host(scene: Scene, journal: Journal) -> Host | ScriptHost:
    script = str(FOLDER / scene.target)
    directory = journal.path.parent
    return ScriptHost(
        ScriptOrder(arguments=[script], directory=directory, tips=TIPS, checks=CHECKS, attended=True), journal
    )


def main(names: Sequence[str]) -> None:
    """Take the named pictures, or all of them."""
    for name in names or SCENES:
        asyncio.run(take(name, SCENES[name]))


if __name__ == "__main__":
    main(sys.argv[1:])
