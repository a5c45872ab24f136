"""What to train and how; kept in the run's directory, so that the very same run can be built again.

Loads no torch.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tuitrain.engine.files import sync_directory, write_synced
from tuitrain.errors import UserError
from tuitrain.preset import Preset
from tuitrain.record.commands import AnyCommand

if TYPE_CHECKING:
    from tuitrain.engine.observer import Observed, Observer
    from tuitrain.engine.tip import Tip

ORDER = "order.json"
FORMAT = 1

Tips = Callable[[], "Sequence[type[Tip]]"]
"""Loads the tips, once torch may be loaded."""
Checks = Callable[["Observed", Sequence[str]], "Sequence[Observer]"]
"""Makes those who listen to a training and judge it, by all rules but those named; may load torch."""
Scheduled = Sequence[tuple[int, AnyCommand]]
"""Commands, each after so many executed steps."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train, and how."""

    preset_name: str
    preset: Preset
    """As it is trained: with what the command line changed."""
    directory: Path
    """The run's directory, where checkpoints and this order are kept."""
    tips: Tips
    checks: Checks | None = None
    data_dir: Path | None = None
    full: bool = False
    device: str = "auto"
    threads: int | None = None
    max_steps: int | None = None
    attended: bool = True
    """Whether anyone can send commands while the run goes on."""
    checkpoint_every: int | None = None
    """After how many of the run's own steps a checkpoint is written; None: only at the end, at a stop and on demand."""
    keep_checkpoints: int = 3
    """How many checkpoints are kept, the newest."""
    keep_every: int | None = None
    """Of old steps the journal keeps only every so many-th; None: all."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of an order that can be kept, and what was scheduled."""

    preset_name: str
    preset: Preset
    data_dir: str | None
    full: bool
    device: str
    threads: int | None
    max_steps: int | None
    checkpoint_every: int | None
    keep_checkpoints: int
    keep_every: int | None
    scheduled: list[tuple[int, AnyCommand]]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: its format, and the order with its digest."""

    format: int
    sha256: str
    order: msgspec.Raw


def save_order(order: Order, scheduled: Scheduled) -> None:
    """Write order.json into the order's directory, whole or not at all; OSError where it cannot be."""
    kept = _Kept(
        preset_name=order.preset_name,
        preset=order.preset,
        data_dir=None if order.data_dir is None else str(order.data_dir.expanduser().absolute()),
        full=order.full,
        device=order.device,
        threads=order.threads,
        max_steps=order.max_steps,
        checkpoint_every=order.checkpoint_every,
        keep_checkpoints=order.keep_checkpoints,
        keep_every=order.keep_every,
        scheduled=list(scheduled),
    )
    body = msgspec.json.encode(kept)
    content = msgspec.json.encode(_File(format=FORMAT, sha256=_digest(body), order=msgspec.Raw(body)))
    temporary = order.directory / f"{ORDER}.tmp"
    try:
        write_synced(temporary, lambda file: file.write(content))
        temporary.replace(order.directory / ORDER)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(order.directory)


def load_order(
    directory: Path, *, tips: Tips, checks: Checks | None = None, attended: bool = True
) -> tuple[Order, Scheduled]:
    """The order of the run in `directory`, and what was scheduled as it began.

    UserError where the file is missing, damaged, or of another version.
    """
    kept = _read(directory / ORDER)
    fields = {name: getattr(kept, name) for name in kept.__struct_fields__ if name != "scheduled"}
    fields["data_dir"] = None if kept.data_dir is None else Path(kept.data_dir)
    return Order(**fields, directory=directory, tips=tips, checks=checks, attended=attended), kept.scheduled


def _read(path: Path) -> _Kept:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        if file.format != FORMAT:
            raise UserError(
                f"{path} is of format {file.format}, this tuitrain reads {FORMAT}: use the version that wrote it."
            )
        if file.sha256 != _digest(bytes(file.order)):
            raise UserError(f"{path} is damaged (its SHA-256 is not the one it was written with): {_REMEDY}")
        return msgspec.json.decode(file.order, type=_Kept)
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}, so what was trained there is not known: {_REMEDY}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}): {_REMEDY}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({str(error)[:100]}): {_REMEDY}") from error


_REMEDY = "that run cannot be resumed, start it anew."


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
