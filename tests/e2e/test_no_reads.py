"""With the screen open and all tips at work, no step reads a tensor: nothing in 1,000 of them waits for the device."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from tuitrain.engine.host import Host, Order
from tuitrain.engine.loop import fit
from tuitrain.engine.probe import Probe
from tuitrain.engine.tip import Tip
from tuitrain.engine.training import Training
from tuitrain.preset import find_preset, load_preset
from tuitrain.record.journal import Journal
from tuitrain.record.link import Inbox
from tuitrain.ui.app import TuitrainApp

STEPS = 1000
VALIDATIONS = 10
READS_OF_A_VALIDATION = 2
"""Its loss and its accuracy, once it is over."""


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that bring a value to the host, in the thread where it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        self.counts[func._schema.name] += 1
        return func(*args, **(kwargs or {}))


def tips() -> Sequence[type[Tip]]:
    from tuitrain.tips import TIPS

    return TIPS


@pytest.mark.parametrize("greedy", [False, True])
async def test_no_tensor_is_read_in_a_thousand_steps_with_the_screen_open(
    greedy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads()

    def counted(training: Training, probe: Probe) -> None:
        if greedy:  # the count must see what it is there to see
            criterion = training.criterion
            training.criterion = lambda predictions, targets: (
                criterion(predictions, targets) * float(targets.max() >= 0)
            )
        with reads:
            fit(training, probe)

    monkeypatch.setattr("tuitrain.engine.session.fit", counted)
    monkeypatch.delenv("TUITRAIN_DATA", raising=False)
    preset = load_preset(find_preset("mnist"))
    preset = msgspec.structs.replace(
        preset,
        model=msgspec.structs.replace(preset.model, name="mlp"),
        data=msgspec.structs.replace(preset.data, batch_size=100),
        train=msgspec.structs.replace(preset.train, epochs=VALIDATIONS),
    )
    inbox = Inbox()
    journal = Journal(tmp_path / "journal.sqlite")
    host = Host(
        Order(preset_name="mnist", preset=preset, directory=tmp_path, tips=tips, threads=1),
        journal,
        inbox,
    )
    app = TuitrainApp(journal=journal.path, link=inbox, name="mnist")
    async with app.run_test(size=(160, 48)) as pilot:
        host.start()
        while not host.join(0):
            await pilot.pause(0.01)
        app.poll()
        assert app.view.end is not None
        assert (app.view.end.reason, app.view.end.steps) == ("finished", STEPS)
    # The last validation is over when the loop is; each reads its two results when it is done, and nothing else reads.
    per_step = STEPS if greedy else 0
    validated = VALIDATIONS * READS_OF_A_VALIDATION
    extra = VALIDATIONS * 4 if greedy else 0  # four batches of 500 in each validation
    assert reads.counts["aten::_local_scalar_dense"] == per_step + validated + extra
    assert reads.counts["aten::mm"] + reads.counts["aten::addmm"] >= STEPS
