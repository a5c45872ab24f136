"""A preset: what a run trains, on what, how. Typed data out of a TOML file; it never imports anything it names."""

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from tuitrain.errors import UserError

MAX_SEED = 2**63 - 1
"""The largest seed that every generator takes."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a preset; an unknown key is an error."""


class Data(_Table, frozen=True, kw_only=True):
    """Which data, and how batches are cut from them."""

    name: str = "mnist"
    batch_size: int = 128
    shuffle: bool = True
    normalise: bool = True


class Model(_Table, frozen=True, kw_only=True):
    """Which model, and the options its constructor takes."""

    name: str = "cnn"
    options: dict[str, bool | int | float | str] = {}


class Optimizer(_Table, frozen=True, kw_only=True):
    """Which optimizer of torch.optim, and its settings; those that it does not take must be left out."""

    name: Literal["sgd", "adam", "adamw", "adadelta"] = "adamw"
    lr: float = 1e-3
    momentum: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None


class Schedule(_Table, frozen=True, kw_only=True):
    """How the learning rate changes: `optimizer.lr` is the highest it reaches, the run's end is where it ends."""

    name: Literal["none", "onecycle", "cosine", "step"] = "none"
    pct_start: float = 0.3
    """onecycle: share of the run in which the rate rises."""
    div_factor: float = 25.0
    """onecycle: how many times lower than its highest the rate starts."""
    final_div_factor: float = 1e4
    """onecycle: how many times lower than its start the rate ends."""
    gamma: float = 0.7
    """step: factor after each epoch."""


class Clip(_Table, frozen=True, kw_only=True):
    """Gradient clipping as the run begins."""

    on: bool = True
    max_norm: float = 1.0
    by: Literal["norm", "value"] = "norm"


class Train(_Table, frozen=True, kw_only=True):
    """How long, and from which seed."""

    epochs: int = 3
    seed: int = 0
    eval: bool = True
    """Validate in eval mode."""
    overfit_steps: int = 300
    """Steps after which overfitting one batch has failed."""


class Checks(_Table, frozen=True, kw_only=True):
    """What is checked."""

    ignore: tuple[str, ...] = ()
    """Rules that are left out (`tuitrain rules` lists them all)."""


class Preset(_Table, frozen=True, kw_only=True):
    """A run, as its file describes it."""

    title: str
    about: str = ""
    """What to press and what to look for."""
    data: Data = Data()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    clip: Clip = Clip()
    train: Train = Train()
    checks: Checks = Checks()


def presets_directory() -> Path:
    """Where the presets lie: in the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("tuitrain")))
    installed = package / "presets"
    return installed if installed.is_dir() else package.parent / "presets"


def preset_names() -> list[str]:
    """The names of the presets that come with tuitrain, in alphabetical order."""
    return sorted(path.stem for path in presets_directory().glob("*.toml"))


def find_preset(name: str) -> Path:
    """The file of a preset, by name or by path; UserError if there is none."""
    if name.endswith(".toml"):
        return Path(name)
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(
            f"There is no preset {name!r}.{hint} There are {', '.join(names)}; a path to a .toml file works too."
        )
    return presets_directory() / f"{name}.toml"


def load_preset(path: Path) -> Preset:
    """The preset in a file; UserError names the file, the key, and what is allowed there."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The preset {path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The preset {path} cannot be read: it is not text in UTF-8.") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The preset {path} is not valid TOML: {error}.") from error
    _reject_unknown_keys(path, Preset, table, "")
    try:
        preset = msgspec.convert(table, Preset)
    except msgspec.ValidationError as error:
        raise UserError(_type_error_sentence(path, str(error))) from error
    _reject_impossible_values(path, preset)
    return preset


def _reject_unknown_keys(path: Path, kind: type[_Table], table: dict[str, Any], prefix: str) -> None:
    hints = get_type_hints(kind)
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UserError(f"{path}: unknown key {prefix}{key}{hint}; allowed here: {', '.join(hints)}.")
        if isinstance(hints[key], type) and issubclass(hints[key], _Table) and isinstance(value, dict):
            _reject_unknown_keys(path, hints[key], value, f"{prefix}{key}.")


def _type_error_sentence(path: Path, error: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.train.epochs`" as one sentence with the allowed values."""
    what, _, where = error.partition(" - at `$.")
    key = where.rstrip("`")
    choices = _choices(key)
    allowed = f"; allowed: {choices}" if choices else ""
    return f"{path}: {key or 'the file'} is wrong: {what[0].lower()}{what[1:]}{allowed}."


def _choices(key: str) -> str:
    kind: Any = Preset
    for part in key.split("."):
        if not (isinstance(kind, type) and issubclass(kind, _Table)):
            return ""
        kind = get_type_hints(kind).get(part)
    return ", ".join(map(str, get_args(kind))) if getattr(kind, "__origin__", None) is Literal else ""


def _reject_impossible_values(path: Path, preset: Preset) -> None:
    optimizer, schedule = preset.optimizer, preset.schedule
    above_zero = {
        "data.batch_size": preset.data.batch_size,
        "optimizer.lr": optimizer.lr,
        "schedule.div_factor": schedule.div_factor,
        "schedule.final_div_factor": schedule.final_div_factor,
        "schedule.gamma": schedule.gamma,
        "clip.max_norm": preset.clip.max_norm,
        "train.epochs": preset.train.epochs,
        "train.overfit_steps": preset.train.overfit_steps,
    }
    at_least_zero = {
        "optimizer.momentum": optimizer.momentum or 0.0,
        "optimizer.weight_decay": optimizer.weight_decay or 0.0,
        "train.seed": preset.train.seed,
    }
    for key, value in above_zero.items():
        if not 0 < value < float("inf"):
            raise UserError(f"{path}: {key} is {value}; it must be above 0.")
    for key, value in at_least_zero.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{path}: {key} is {value}; it must be 0 or above.")
    if not 0 <= schedule.pct_start <= 1:
        raise UserError(f"{path}: schedule.pct_start is {schedule.pct_start}; it must be between 0 and 1.")
    if preset.train.seed > MAX_SEED:
        raise UserError(f"{path}: train.seed is {preset.train.seed}; it must be at most {MAX_SEED}.")
    if optimizer.nesterov and not optimizer.momentum:
        raise UserError(f"{path}: optimizer.nesterov is true, which needs optimizer.momentum above 0.")
    if schedule.name == "onecycle" and optimizer.name == "adadelta":
        raise UserError(f"{path}: schedule.name is onecycle, which needs an optimizer with momentum, not adadelta.")
