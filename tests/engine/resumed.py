"""Runs through the host that are stopped, or killed, at a given point and resumed; and what became of them."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import pytest

from tests.engine import zoo
from tests.engine.listening import PATIENCE_S
from tests.engine.runs import SAMPLES, Scheduled, State, state_of, tiny_inputs, tiny_targets, tokens
from tuitrain import preset as settings
from tuitrain.engine import session
from tuitrain.engine.build import build_training
from tuitrain.engine.data import DATASETS, DataRequest, TaskData
from tuitrain.engine.files import digest_path, list_checkpoints
from tuitrain.engine.gradients import optimized
from tuitrain.engine.host import Host, resume_host
from tuitrain.engine.models import MODELS
from tuitrain.engine.order import Order
from tuitrain.engine.training import Training
from tuitrain.preset import Preset
from tuitrain.record.commands import AnyCommand, Stop, parse
from tuitrain.record.events import AnyEvent, End, Event, LogLine, Step, Switches, TipReport, Validation
from tuitrain.record.journal import Journal, Reader
from tuitrain.record.link import Inbox
from tuitrain.record.runs import CHECKPOINTS, JOURNAL
from tuitrain.tips import TIPS

_E = TypeVar("_E", bound=Event)

BATCH, EPOCHS = 16, 3
STEPS_PER_EPOCH = SAMPLES // BATCH
STEPS = EPOCHS * STEPS_PER_EPOCH


class Recipe(NamedTuple):
    """What a preset names."""

    model: str
    optimizer: settings.Optimizer = settings.Optimizer(name="sgd", lr=0.1, momentum=0.9)
    schedule: str = "none"
    data: str = "tiny"


RECIPES = {
    "momentum": Recipe("Plain"),
    "adamw-onecycle": Recipe("Plain", settings.Optimizer(name="adamw", lr=0.02), "onecycle"),
    "dropout-norm-step": Recipe("DropoutNorm", schedule="step"),
    "adadelta-cosine": Recipe("DropoutNorm", settings.Optimizer(name="adadelta", lr=1.0), "cosine"),
    "frozen-norm": Recipe("FrozenNorm"),
    "freezing": Recipe("Freezing"),
    "plain-attributes": Recipe("PlainAttributes"),
    "global-noise": Recipe("GlobalNoise"),
    "listed-norm": Recipe("ListedNorm"),
    "buffers": Recipe("Buffers"),
    "masking-tokens": Recipe("Masking", data="tokens"),
}


@contextmanager
def tiny_presets() -> Iterator[None]:
    """The tiny data and the zoo under names that a preset can use."""

    def features(request: DataRequest) -> TaskData:
        inputs, targets = tiny_inputs(), tiny_targets()
        return TaskData(inputs, targets, inputs[:20], targets[:20], zoo.CLASSES, "random numbers")

    def words(request: DataRequest) -> TaskData:
        return TaskData(tokens(), tokens(), tokens()[:20], tokens()[:20], None, "random tokens")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "tiny", features)
        patch.setitem(DATASETS, "tokens", words)
        for recipe in RECIPES.values():
            patch.setitem(MODELS, recipe.model, getattr(zoo, recipe.model))
        yield


class StoppingInbox(Inbox):
    """Sends a Stop of its own once so many steps were executed, or once a validation was looked in so often."""

    def __init__(
        self, scheduled: Sequence[tuple[int, AnyCommand]] = (), *, at: int | None = None, looks: int | None = None
    ) -> None:
        self._at, self._looks, self._stop = at, looks, False
        super().__init__(scheduled)

    @property
    def stop_sent(self) -> bool:
        """Looked at after each batch of a validation."""
        if self._looks is not None:
            self._looks -= 1
            if self._looks == 0:
                self.send(Stop())
        return self._stop

    @stop_sent.setter
    def stop_sent(self, sent: bool) -> None:
        self._stop = sent

    def due(self, executed: int) -> list[AnyCommand]:
        commands = super().due(executed)
        if self._at is not None and executed >= self._at:
            self._at = None
            commands.append(Stop())
        return commands


@dataclass(frozen=True)
class Interruption:
    """How a part of a run ends: after so many executed steps or in a validation; and what is lost of it."""

    at: int | None = None
    looks: int | None = None
    lost: int = 0
    """How many of the newest checkpoints are lost, as if it had been killed before it wrote them."""


class Became(NamedTuple):
    """All that is the same whether a run was interrupted or not."""

    state: State
    steps: list[str]
    validations: list[str]
    reports: dict[str, str]
    switches: dict[str, object]
    end: tuple[object, ...]


class Resumable:
    """One run in a directory, in as many parts as it takes."""

    def __init__(self, directory: Path, recipe: str, at: Scheduled = (), **order: object) -> None:
        self.directory, self._recipe, self._at, self._order = directory, RECIPES[recipe], at, order
        self.trainings: list[Training] = []

    def start(self, interruption: Interruption | None = None) -> Host:
        """The first part, to its end."""
        made = self._recipe
        preset = Preset(
            title="Tiny",
            data=settings.Data(name=made.data, batch_size=BATCH),
            model=settings.Model(name=made.model),
            optimizer=made.optimizer,
            schedule=msgspec.convert({"name": made.schedule}, settings.Schedule),
            clip=settings.Clip(max_norm=0.5),
            train=settings.Train(epochs=EPOCHS, overfit_steps=9),
        )
        order = Order(
            preset_name="tiny", preset=preset, directory=self.directory, tips=lambda: TIPS, device="cpu", threads=1,
            attended=False, **self._order,  # type: ignore[arg-type]
        )  # fmt: skip
        inbox = self._inbox(interruption, self._at)
        return self._run(Host(order, Journal(self.directory / JOURNAL), inbox), interruption)

    def resume(
        self,
        interruption: Interruption | None = None,
        *,
        at: Scheduled = (),
        max_steps: int | None = None,
    ) -> Host:
        """The next part, to its end."""
        inbox = self._inbox(interruption, at)
        host = resume_host(self.directory, tips=lambda: TIPS, inbox=inbox, attended=False, max_steps=max_steps)
        return self._run(host, interruption)

    def in_parts(self, interruptions: Sequence[Interruption]) -> "Became":
        """From its start through every interruption to its end; what became of it."""
        self.start(*interruptions[:1])
        for index in range(1, len(interruptions) + 1):
            if self.end.reason == "finished":
                break
            self.resume(*interruptions[index : index + 1])
        return self.became()

    def became(self) -> Became:
        """What the run is now, and what its journal holds."""
        assert self.end.reason == "finished", self.log
        for parameter in optimized(self.trainings[-1].optimizer):
            parameter.grad = None  # zeroed before the next step anyway: not part of a checkpoint
        end = self.end
        reports = {report.tip: report for report in self.all(TipReport)}
        return Became(
            state_of(self.trainings[-1]),
            self.told(Step),
            self.told(Validation),
            {tip: f"{reports[tip].summary} {reports[tip].rows}" for tip in ("overfit", "modes", "registration")},
            {word: value for word, value in self.all(Switches)[-1].values.items() if word != "lr"},  # see the steps
            (end.steps, end.executed_steps, end.val_accuracy, end.val_loss, end.weights_sha256, end.reason),
        )

    @property
    def end(self) -> End:
        """How the last part ended."""
        (end,) = self.all(End)
        return end

    @property
    def log(self) -> str:
        """Every line of the log."""
        return "\n".join(event.text for event in self.all(LogLine))

    @property
    def checkpoints(self) -> list[Path]:
        """Those there are, the newest first."""
        return [path for _, path in list_checkpoints(self.directory / CHECKPOINTS)]

    def events(self) -> list[AnyEvent]:
        """All that the journal holds."""
        with closing(Reader(self.directory / JOURNAL, whole=True)) as reader:
            news = reader.poll()
        return [*news.steps, *news.events]

    def all(self, kind: type[_E]) -> list[_E]:
        """All events of a kind."""
        return [event for event in self.events() if isinstance(event, kind)]

    def told(self, kind: type[Event]) -> list[str]:
        """All events of a kind as text, but for when they were and how long they took."""
        fields = [msgspec.structs.asdict(event) for event in self.all(kind)]
        return [
            repr({name: value for name, value in each.items() if name not in ("time_s", "seconds")}) for each in fields
        ]

    def _inbox(self, interruption: Interruption | None, at: Scheduled) -> Inbox:
        scheduled = [(step, parse(command) if isinstance(command, str) else command) for step, command in at]
        if interruption is None:
            return Inbox(scheduled)
        return StoppingInbox(scheduled, at=interruption.at, looks=interruption.looks)

    def _run(self, host: Host, interruption: Interruption | None) -> Host:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "build_training", self._build)
            host.start()
            assert host.join(PATIENCE_S), "the run hangs"
        if interruption is not None:
            for path in self.checkpoints[: min(interruption.lost, len(self.checkpoints) - 1)]:
                path.unlink()
                digest_path(path).unlink()
        return host

    def _build(self, *args: object) -> Training:
        self.trainings.append(build_training(*args))  # type: ignore[arg-type]
        return self.trainings[-1]
