"""Every rule finds a faulty program, within its steps, and is silent on the repaired twin."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checks import test_built_in_loop
from tests.checks.judged import judged
from tests.checks.twins import TWINS, Twins, many_faults
from tuitrain.checks import RULES
from tuitrain.checks.data import model_on_cpu
from tuitrain.checks.seen.placing import Placing

ELSEWHERE = {"model-on-cpu"}
"""What takes an accelerator, tested by itself below."""

_found: dict[str, int] = {}
"""By rule and program, the step at which it was found."""


@pytest.fixture(autouse=True)
def torch_may_warn() -> Iterator[None]:
    """Of some of these faults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: f"{twins.rule}-{twins.program.__name__}")
def test_found_in_the_faulty_program_and_not_in_its_twin(twins: Twins, tmp_path: Path) -> None:
    bad = judged(lambda: twins.program(True), tmp_path)
    good = judged(lambda: twins.program(False), tmp_path)
    assert bad.failed == good.failed == []
    (found,) = bad.of(twins.rule)
    assert found.executed <= twins.within, f"found at step {found.executed}"
    assert not good.findings, good.findings
    _found[f"{twins.rule}, {twins.program.__name__}"] = found.executed


def test_faults_together_are_all_found(tmp_path: Path) -> None:
    found = judged(many_faults, tmp_path)
    assert not found.failed
    assert {
        *("unregistered-modules", "softmax-before-cross-entropy", "gradients-never-zeroed", "clip-after-step"),
        *("no-shuffle", "evaluation-in-train-mode", "graph-kept-alive", "not-in-optimizer"),
    } == set(found.rules)


def test_what_is_ignored_is_not_found(tmp_path: Path) -> None:
    twins = TWINS[0]
    assert not judged(lambda: twins.program(True), tmp_path, ignored=[twins.rule]).findings


def test_every_rule_has_twins() -> None:
    here, in_presets = ({twins.rule for twins in table} for table in (TWINS, test_built_in_loop.TWINS))
    assert {rule.slug for rule in RULES} == here | in_presets | ELSEWHERE


def test_the_report_of_all_twins(record_property: Callable[[str, object], None]) -> None:
    """ "rule, program - found at step - silent on its twin": printed with -s, and kept in pytest's report."""
    lines = [f"{name:<64} found at step {step:>3}   silent on its twin" for name, step in _found.items()]
    record_property("twins", "\n".join(lines))
    print("", *lines, sep="\n")


@pytest.mark.parametrize(
    ("accelerator", "device", "parameters", "found"),
    [("cuda", "cpu", 10**6, 1), ("", "cpu", 10**6, 0), ("cuda", "cuda", 10**6, 0), ("cuda", "cpu", 1000, 0)],
)
def test_a_large_model_beside_an_accelerator(accelerator: str, device: str, parameters: int, found: int) -> None:
    placing = Placing(devices=frozenset({device}), parameters=parameters, accelerator=accelerator)
    assert len(list(model_on_cpu.look(placing))) == found
