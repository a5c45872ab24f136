"""The storeys and what each may import: as contracts, and in fresh processes."""

import importlib
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tuitrain

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "textual", "plotext", "rich")

CHECK = """
import json, sys
{program}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy!r}))))
"""


def loaded_by(program: str, *, home: Path) -> list[str]:
    """Which of the heavy packages a fresh interpreter has loaded after running `program`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECK.format(program=program, heavy=HEAVY)],
        cwd=ROOT,
        env={"XDG_STATE_HOME": str(home), "XDG_CACHE_HOME": str(home), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: list[str] = json.loads(done.stdout.splitlines()[-1])
    return loaded


def modules() -> list[str]:
    """Every module of the package."""
    found = pkgutil.walk_packages(tuitrain.__path__, "tuitrain.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_the_contracts_hold() -> None:
    command = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("tuitrain", set()),
        ("tuitrain.cli", set()),
        ("tuitrain.preset", set()),
        ("tuitrain.engine.host", set()),
        ("tuitrain.ui.plain", set()),
        ("tuitrain.ui.terminal", set()),
        ("tuitrain.ui.app", {"textual", "plotext", "rich"}),
        ("tuitrain.engine.session", {"torch"}),
    ],
)
def test_what_an_import_loads(module: str, allowed: set[str], tmp_path: Path) -> None:
    assert set(loaded_by(f"import {module}", home=tmp_path)) <= allowed


@pytest.mark.parametrize(
    ("storey", "allowed"),
    [("record", set()), ("verbs", set()), ("ui", {"textual", "plotext", "rich"}), ("tips", {"torch"})],
)
def test_what_a_whole_storey_loads(storey: str, allowed: set[str], tmp_path: Path) -> None:
    names = [name for name in modules() if name.startswith(f"tuitrain.{storey}")]
    assert len(names) > 3
    assert set(loaded_by(f"import {', '.join(names)}", home=tmp_path)) <= allowed


def test_a_headless_run_loads_torch_alone(tmp_path: Path) -> None:
    program = """
from tuitrain.cli import tuitrain
try:
    tuitrain(["mnist", "--headless", "--threads", "1", "--steps", "1"])
except SystemExit as end:
    assert end.code == 0, end.code
"""
    assert loaded_by(program, home=tmp_path) == ["torch"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0), (["-V"], 0), (["mnist", "--help"], 0), (["ls"], 0), (["watch", "--headless"], 2),
        (["stop", "none"], 2), (["logs", "none"], 2), (["resume", "none"], 2),
    ],
)  # fmt: skip
def test_what_looks_at_runs_loads_neither_torch_nor_the_screen(words: list[str], code: int, tmp_path: Path) -> None:
    program = f"""
from tuitrain.cli import tuitrain
try:
    tuitrain({words!r})
except SystemExit as end:
    assert end.code == {code}, end.code
"""
    assert loaded_by(program, home=tmp_path) == []


@pytest.mark.parametrize("name", modules())
def test_what_a_module_promises_to_export_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is"
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    assert not missing


def test_the_public_names_exist() -> None:
    public = getattr(tuitrain, "__all__", ["__version__"])
    assert all(getattr(tuitrain, name) for name in public)
