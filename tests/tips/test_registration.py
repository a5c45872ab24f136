"""Tip 5 on real runs: what stands unregistered, its repair, and the repair undone without a trace."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from tests.tips.conftest import MakeRun
from tests.tips.small_run import CLASSES, CPU, FEATURES, Report, SmallRun, features
from tuitrain.engine.digest import weights_sha256
from tuitrain.engine.gradients import optimized
from tuitrain.engine.tip import Refused
from tuitrain.record.events import Applied, ModuleRow, ModuleTree, Rejected
from tuitrain.tips.registration import Registration

WIDTH = 5


class Base(nn.Module):
    """A registered head behind whatever `hidden` makes of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, CLASSES)

    def hidden(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.hidden(inputs)))
        return logits


class InList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, WIDTH)]

    def hidden(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


class InDict(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers = {"first": nn.Linear(FEATURES, WIDTH), "second": nn.Linear(WIDTH, WIDTH)}

    def hidden(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layers["second"](self.layers["first"](inputs))
        return hidden


class InTuple(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers = (nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, WIDTH))

    def hidden(self, inputs: Tensor) -> Tensor:
        first, second = self.layers
        hidden: Tensor = second(first(inputs))
        return hidden


class InSet(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers = {nn.Linear(FEATURES, WIDTH), nn.Linear(FEATURES, WIDTH)}

    def hidden(self, inputs: Tensor) -> Tensor:
        return torch.stack([layer(inputs) for layer in self.layers]).sum(0)


class InNestedList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.layers: list[list[nn.Module]] = [[nn.Linear(FEATURES, WIDTH), nn.Tanh()], [nn.Linear(WIDTH, WIDTH)]]

    def hidden(self, inputs: Tensor) -> Tensor:
        for block in self.layers:
            for layer in block:
                inputs = layer(inputs)
        return inputs


class LooseTensor(Base):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn(FEATURES, WIDTH).requires_grad_()

    def hidden(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight


class TensorsInList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.weights = [torch.randn(FEATURES, WIDTH, requires_grad=True), nn.Parameter(torch.randn(WIDTH, WIDTH))]

    def hidden(self, inputs: Tensor) -> Tensor:
        for weight in self.weights:
            inputs = inputs @ weight
        return inputs


class TensorsInDict(Base):
    def __init__(self) -> None:
        super().__init__()
        self.weights = {
            "w": torch.randn(FEATURES, WIDTH, requires_grad=True),
            "b": torch.ones(WIDTH, requires_grad=True),
        }

    def hidden(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weights["w"] + self.weights["b"]


class InSubmodule(Base):
    def __init__(self) -> None:
        super().__init__()
        self.inner = _Stack()

    def hidden(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.inner(inputs)
        return hidden


class LooseInLoose(Base):
    """An unregistered module which itself holds a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [_Stack(), nn.Linear(WIDTH, WIDTH)]

    def hidden(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


class SetPastRegistration(Base):
    def __init__(self) -> None:
        super().__init__()
        vars(self)["layer"] = nn.Linear(FEATURES, WIDTH)

    def hidden(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layer(inputs)  # type: ignore[operator]
        return hidden


class _Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [nn.Linear(FEATURES, WIDTH)]

    def forward(self, inputs: Tensor) -> Tensor:
        for step in self.steps:
            inputs = step(inputs)
        return inputs


LINEAR_IN, LINEAR = FEATURES * WIDTH + WIDTH, WIDTH * WIDTH + WIDTH
CASES: dict[type[Base], tuple[str, int, str]] = {
    InList: ("layers", LINEAR_IN + LINEAR, "2 modules in a plain list"),
    InDict: ("layers", LINEAR_IN + LINEAR, "2 modules in a plain dict"),
    InTuple: ("layers", LINEAR_IN + LINEAR, "2 modules in a plain tuple"),
    InSet: ("layers", 2 * LINEAR_IN, "2 modules in a plain set"),
    InNestedList: ("layers", LINEAR_IN + LINEAR, "3 modules in a plain list"),
    LooseTensor: ("weight", FEATURES * WIDTH, "a plain tensor, no Parameter"),
    TensorsInList: ("weights", FEATURES * WIDTH + WIDTH * WIDTH, "2 tensors in a plain list"),
    TensorsInDict: ("weights", FEATURES * WIDTH + WIDTH, "2 tensors in a plain dict"),
    InSubmodule: ("inner.steps", LINEAR_IN, "1 module in a plain list"),
    LooseInLoose: ("layers", LINEAR_IN + LINEAR, "2 modules in a plain list"),
    SetPastRegistration: ("layer", LINEAR_IN, "a module set past the registration"),
}
every_case = pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)

HEAD = WIDTH * CLASSES + CLASSES


def adamw(model: nn.Module) -> Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def plain(model: nn.Module) -> dict[tuple[str, str], Any]:
    """Every plain container, tensor and module by where it stands: the very objects."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training"
    }


def same_objects(one: dict[tuple[str, str], Any], other: dict[tuple[str, str], Any]) -> bool:
    return one.keys() == other.keys() and all(one[place] is other[place] for place in one)


def loose_tensors(model: nn.Module) -> list[Tensor]:
    """Every tensor that can be reached from a model and is not among its parameters."""
    found: dict[int, Tensor] = {}

    def search(value: object) -> None:
        if isinstance(value, Tensor):
            found[id(value)] = value
        elif isinstance(value, nn.Module):
            search(list(vars(value).values()))
        elif isinstance(value, dict):
            search(list(value.values()))
        elif isinstance(value, list | tuple | set):
            for item in value:
                search(item)

    search(model)
    registered = {id(parameter) for parameter in model.parameters()}
    return [tensor for key, tensor in found.items() if key not in registered]


def optimizer_state(optimizer: Optimizer) -> object:
    """Everything in the optimizer, as numbers, and which parameters it holds."""
    state = [
        (id(parameter), {key: value.tolist() for key, value in entries.items()})
        for parameter, entries in optimizer.state.items()
    ]
    groups = [group | {"params": list(map(id, group["params"]))} for group in optimizer.param_groups]
    return state, groups


def unregistered(tree: ModuleTree) -> list[ModuleRow]:
    return [row for row in tree.rows if not row.registered]


def rows_below(tree: ModuleTree, path: str) -> list[ModuleRow]:
    return [row for row in tree.rows if row.path == path or row.path.startswith(f"{path}.")]


@every_case
def test_what_is_unregistered_is_found_and_described(make_run: MakeRun, kind: type[Base]) -> None:
    place, missing, text = CASES[kind]
    run = make_run(kind(), features())
    run.epoch()
    assert run.report(Registration)[:2] == ("bad", f"{missing:,} params unregistered")
    assert run.report(Registration).rows[place] == text
    assert "r registers them" in run.report(Registration).rows["so"]
    tree = run.said(ModuleTree)[-1]
    assert unregistered(tree)
    assert all(row.used for row in unregistered(tree) if row.count)  # a backward pass reached each
    assert not any(row.in_optimizer for row in unregistered(tree))


@every_case
def test_repaired_it_is_in_the_tree_in_the_optimizer_and_learns(make_run: MakeRun, kind: type[Base]) -> None:
    place, missing, _ = CASES[kind]
    model = kind()
    run = make_run(model, features(), optimizer=adamw(model), at=[(2, "register=on")])
    before = [(tensor, tensor.detach().clone()) for tensor in loose_tensors(model)]
    assert sum(tensor.numel() for tensor, _ in before) == missing
    run.epoch()
    assert not any(tensor.equal(values) for tensor, values in before)
    assert run.report(Registration)[:2] == ("good", f"all, {HEAD + missing:,} params")
    assert run.report(Registration).rows[place].startswith("registered now, was ")
    assert set(model.parameters()) == set(optimized(run.training.optimizer))
    assert sum(parameter.numel() for parameter in model.parameters()) == HEAD + missing
    weights = [received.weights for received in run.in_training()]
    assert len(set(weights)) == 4
    tree = run.said(ModuleTree)[-1]
    assert not unregistered(tree)
    assert {row.path for row in tree.rows if row.kind == "parameter"} == {name for name, _ in model.named_parameters()}
    assert all(row.in_optimizer for row in tree.rows if row.kind == "parameter")
    assert rows_below(tree, place)
    (applied,) = run.said(Applied)
    assert (applied.executed, applied.value) == (2, True)


def test_until_it_is_registered_it_learns_nothing(make_run: MakeRun) -> None:
    model = InList()
    run = make_run(model, features(), optimizer=adamw(model))
    before = [(tensor, tensor.detach().clone()) for tensor in loose_tensors(model)]
    run.epoch()
    assert all(tensor.equal(values) for tensor, values in before)


@every_case
def test_on_and_off_with_no_step_between_leaves_everything_as_it_was(make_run: MakeRun, kind: type[Base]) -> None:
    model = kind()
    run = make_run(model, features(), optimizer=adamw(model))
    run.epoch()
    tip = run.tip(Registration)
    objects, weights, state = plain(model), weights_sha256(model), optimizer_state(run.training.optimizer)
    values = [tensor.detach().clone() for tensor in loose_tensors(model)]
    tip.set("register", True)
    assert not same_objects(objects, plain(model))
    assert weights_sha256(model) != weights
    assert tip.read("register") is True
    tip.set("register", False)
    assert same_objects(objects, plain(model))
    assert weights_sha256(model) == weights
    assert optimizer_state(run.training.optimizer) == state
    assert tip.read("register") is False
    assert all(one.equal(other) for one, other in zip(loose_tensors(model), values, strict=True))


@every_case
def test_undone_after_training_the_very_objects_are_back_and_the_optimizer_forgets(
    make_run: MakeRun, kind: type[Base]
) -> None:
    model = kind()
    optimizer = adamw(model)
    run = make_run(model, features(), optimizer=optimizer)
    run.epoch()
    objects, own = plain(model), list(model.parameters())
    run.tell("register=on")
    run.epoch()
    assert len(optimizer.state) > len(own)
    run.tell("register=off")
    run.epoch()
    assert same_objects(objects, plain(model))
    assert list(model.parameters()) == own == optimized(optimizer)
    assert set(optimizer.state) == set(own)
    assert run.report(Registration).verdict == "bad"
    assert [applied.value for applied in run.said(Applied)] == [True, False]
    assert unregistered(run.said(ModuleTree)[-1])


def test_a_run_in_which_it_was_pressed_twice_goes_on_as_if_never_touched(make_run: MakeRun) -> None:
    digests = []
    for at in ([], [(2, "register=on"), (2, "register=off")]):
        torch.manual_seed(3)
        model = InList()
        run = make_run(model, features(), optimizer=adamw(model), at=at, shuffle=True)
        run.epoch()
        run.epoch()
        digests.append(run.digest())
    assert digests[0] == digests[1]


def test_pressed_again_while_on_changes_nothing_and_off_still_undoes_all(make_run: MakeRun) -> None:
    model = InList()
    run = make_run(model, features(), optimizer=adamw(model))
    own = list(model.parameters())
    tip = run.tip(Registration)
    tip.set("register", True)
    registered = list(model.parameters())
    tip.set("register", True)
    assert list(model.parameters()) == registered == optimized(run.training.optimizer)[:2] + registered[2:]
    tip.set("register", False)
    assert list(model.parameters()) == own == optimized(run.training.optimizer)


def test_what_the_person_left_out_of_the_optimizer_stays_out(make_run: MakeRun) -> None:
    model = InList()
    run = make_run(model, features(), optimizer=torch.optim.SGD([model.head.weight], lr=0.1))
    run.tip(Registration).set("register", True)
    held = {id(parameter) for parameter in optimized(run.training.optimizer)}
    assert id(model.head.bias) not in held
    assert len(held) == 1 + 4


def test_a_scheduler_goes_on_and_holds_for_what_was_added(make_run: MakeRun) -> None:
    rates = []
    for at in ([], [(2, "register=on")], [(2, "register=on"), (6, "register=off")]):
        model = InList()
        optimizer = adamw(model)
        run = make_run(
            model, features(), optimizer=optimizer, scheduler=OneCycleLR(optimizer, 0.05, total_steps=13), at=at
        )
        run.epoch()
        run.epoch()
        run.epoch()
        rates.append([step.lr for step in run.steps()])
        assert len(optimizer.param_groups) == 1
    assert rates[0] == rates[1] == rates[2]
    assert len(set(rates[0])) > 6


@pytest.mark.parametrize("kind", [InList, InDict, LooseTensor, TensorsInList], ids=lambda kind: kind.__name__)
def test_what_is_registered_moves_to_the_device_of_the_run(make_run: MakeRun, kind: type[Base]) -> None:
    model = kind()
    run = make_run(model, features())
    run.training.device = torch.device("meta")  # a device that every machine has
    run.tip(Registration).set("register", True)
    run.training.device = CPU
    devices = {name: parameter.device.type for name, parameter in model.named_parameters()}
    assert {device for name, device in devices.items() if not name.startswith("head")} == {"meta"}


def test_gradients_that_gathered_while_nobody_zeroed_them_are_dropped(make_run: MakeRun) -> None:
    model = InList()
    run = make_run(model, features())
    run.epoch()
    assert model.layers[0].weight.grad is not None
    run.tip(Registration).set("register", True)
    assert all(parameter.grad is None for parameter in model.layers[0].parameters())


# ---------------------------------------------------------------------- refusals


class Unrepairable(Base):
    """A list that can be registered, and then `other`, which cannot."""

    def __init__(self, other: object) -> None:
        super().__init__()
        self.layers = [nn.Linear(FEATURES, WIDTH)]
        self.other = other

    def hidden(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layers[0](inputs)
        return hidden


class Nested(nn.Module):
    """What comes to light only when it is itself registered, and cannot be repaired."""

    def __init__(self) -> None:
        super().__init__()
        self.table = {1: nn.Linear(2, 2)}

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


class Shadowed(Base):
    """An attribute that the class has too, and would hide once it is no longer the instance's own."""

    layers: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(FEATURES, WIDTH)]

    def hidden(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layers[0](inputs)
        return hidden


def mask() -> Tensor:
    return torch.zeros(3)


UNREPAIRABLE: dict[str, tuple[Callable[[], Base], str]] = {
    "keys that are numbers": (lambda: Unrepairable({1: nn.Linear(2, 2)}), "other"),
    "a key with a dot": (lambda: Unrepairable({"a.b": nn.Linear(2, 2)}), "other"),
    "a key that ModuleDict has": (lambda: Unrepairable({"keys": nn.Linear(2, 2)}), "other"),
    "a key that ParameterDict has": (lambda: Unrepairable({"get": torch.ones(2, requires_grad=True)}), "other"),
    "a function among modules": (lambda: Unrepairable([nn.Linear(2, 2), torch.tanh]), "other"),
    "a text among modules": (lambda: Unrepairable({"a": nn.Linear(2, 2), "name": "a"}), "other"),
    "a tensor among modules": (lambda: Unrepairable([nn.Linear(2, 2), torch.ones(2, requires_grad=True)]), "other"),
    "a constant among weights": (lambda: Unrepairable([torch.ones(2, requires_grad=True), mask()]), "other"),
    "whole numbers among weights": (lambda: Unrepairable([torch.ones(2, requires_grad=True), mask().long()]), "other"),
    "deep inside": (lambda: Unrepairable([[nn.Linear(2, 2)], [nn.Linear(2, 2), 3]]), "other"),
    "inside what was registered": (lambda: Unrepairable([Nested()]), "other.0.table"),
    "an attribute of the class": (Shadowed, "layers"),
}


@pytest.mark.parametrize(("make", "place"), UNREPAIRABLE.values(), ids=UNREPAIRABLE)
def test_what_cannot_be_repaired_is_refused_by_name_and_nothing_is_half_changed(
    make_run: MakeRun, make: Callable[[], Base], place: str
) -> None:
    model = make()
    run = make_run(model, features(), optimizer=adamw(model))
    run.epoch()
    objects, weights, state = plain(model), weights_sha256(model), optimizer_state(run.training.optimizer)
    report = run.report(Registration)
    with pytest.raises(Refused, match=rf"^{place} .*by hand\.$"):
        run.tip(Registration).set("register", True)
    assert same_objects(objects, plain(model))
    assert weights_sha256(model) == weights
    assert optimizer_state(run.training.optimizer) == state
    assert run.report(Registration) == report
    assert run.tip(Registration).read("register") is False


def rejected_after(run: SmallRun) -> str:
    run.epoch()
    (rejected,) = run.said(Rejected)
    assert rejected.word == "register"
    return rejected.reason


def test_the_refusal_is_an_event_and_training_goes_on(make_run: MakeRun) -> None:
    run = make_run(Unrepairable({1: nn.Linear(2, 2)}), features(), at=[(1, "register=on")])
    assert rejected_after(run).startswith("other has the key 1")
    assert len(run.steps()) == 4


@pytest.mark.parametrize("word", ["register=on", "register=off"])
def test_refused_while_a_batch_is_overfitted(make_run: MakeRun, word: str) -> None:
    run = make_run(InList(), features(), at=[(1, "overfit=on"), (3, word), (5, "overfit=off")])
    assert "while one batch is overfitted" in rejected_after(run)


def test_there_is_nothing_to_undo_where_all_was_registered(make_run: MakeRun) -> None:
    model = nn.Sequential(nn.Linear(FEATURES, CLASSES))
    run = make_run(model, features(), at=[(1, "register=off")])
    assert run.report(Registration) == Report("good", f"all, {FEATURES * CLASSES + CLASSES:,} params", {})
    assert "no repair to undo" in rejected_after(run)
