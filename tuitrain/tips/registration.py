"""Tip 5, register modules: what stands in plain lists, dicts, tuples and sets is not trained, moved, saved or switched.

The repair turns such a container into ModuleList, ModuleDict, ParameterList or ParameterDict and such a tensor into a
Parameter, moves it to the device, and gives it to the optimizer; undoing it puts the very containers back.
"""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tuitrain.engine.gradients import optimized
from tuitrain.engine.probed import Probed
from tuitrain.engine.registry import Loose, all_tensors, loose_attributes, weights_in
from tuitrain.engine.tip import Refused, Tip
from tuitrain.record.events import Step, Value, Verdict

ADVICE = ("so", "they are neither trained nor saved nor moved: r registers them, live")


class _Repair(NamedTuple):
    """An attribute that was registered: where, and what stood there."""

    place: str
    owner: nn.Module
    attribute: str
    original: Any
    registered: nn.Module | nn.Parameter


class Registration(Tip):
    """Whether everything the model uses is registered; on repairs it, off undoes the repair."""

    name: ClassVar[str] = "registration"
    words: ClassVar[tuple[str, ...]] = ("register",)

    def __init__(self, probe: Probed) -> None:
        super().__init__(probe)
        self._repairs: list[_Repair] = []
        self._added: list[Tensor] = []
        self._confirmed = False

    def read(self, word: str) -> Value:
        """Whether nothing is left unregistered, from the last look at the model."""
        return not self.probe.tree.loose

    def set(self, word: str, value: Value) -> None:
        """On: register what is loose. Off: undo that, which leaves what was registered all along."""
        if self.probe.overfitting:
            raise Refused("the model cannot be rebuilt while one batch is overfitted: turn that off first (o).")
        if value:
            self._repair()
        elif self._repairs:
            self._undo()
        elif not self.probe.tree.loose:
            raise Refused("everything was registered by the model itself; there is no repair to undo.")
        self.probe.structure_changed()

    def state(self) -> dict[str, Any]:
        """Whether the repair is in force, and then the tensors that it stands in for, which undoing it brings back."""
        tensors = [(tensor.detach(), tensor.grad) for tensor in self._replaced()]
        return {"repaired": bool(self._repairs), "replaced": tensors, "confirmed": self._confirmed}

    def load_state(self, state: dict[str, Any]) -> None:
        """Repair the model as it was repaired."""
        self._confirmed = state["confirmed"]
        if not state["repaired"]:
            return
        self._repair()
        for tensor, (values, gradient) in zip(self._replaced(), state["replaced"], strict=True):
            tensor.detach().copy_(values)
            tensor.grad = None if gradient is None else gradient.to(tensor.device)

    def _replaced(self) -> list[Tensor]:
        """The tensors for which parameters of their own stand in the model."""
        held = [item for repair in self._repairs for item in weights_in(repair.original)]
        return [tensor for tensor in held if not isinstance(tensor, nn.Parameter)]

    def on_steps(self, steps: Sequence[Step]) -> None:
        """After the first steps look once more: by then a backward pass tells what is used."""
        if self.probe.tree.loose and not self._confirmed:
            self._confirmed = True
            self.probe.structure_changed()

    def report(self) -> tuple[Verdict, str, Sequence[tuple[str, str]]]:
        """How many parameters are registered, and where something is not."""
        loose = self.probe.tree.loose
        if not loose:
            count = sum(parameter.numel() for parameter in self.probe.training.model.parameters())
            rows = [(repair.place, f"registered now, was {_kind(repair.original)}") for repair in self._repairs]
            return "good", f"all, {count:,} params", rows
        rows = [(_place(entry), _what(entry)) for entry in loose]
        return "bad", f"{_count_missing(self.probe.training.model):,} params unregistered", [*rows, ADVICE]

    def _repair(self) -> None:
        """Register everything that is loose; Refused names what cannot be, and then nothing is changed."""
        model, device = self.probe.training.model, self.probe.training.device
        repairs: list[_Repair] = []
        try:
            while loose := loose_attributes(model):  # what is registered may itself hold something loose
                for entry in loose:
                    repairs.append(_planned(entry, device))
                    _put(repairs[-1])
        except Refused:
            _take_back(repairs)
            raise
        for repair in repairs:
            if isinstance(repair.registered, nn.Module):
                repair.registered.to(device)
        self._repairs += repairs
        self._add_to_optimizer(repairs)

    def _add_to_optimizer(self, repairs: Sequence[_Repair]) -> None:
        """Into the first group, so that its settings and its scheduler hold for them too."""
        optimizer = self.probe.training.optimizer
        held = {id(parameter) for parameter in optimized(optimizer)}
        registered = dict.fromkeys(parameter for repair in repairs for parameter in _parameters(repair.registered))
        added = [parameter for parameter in registered if id(parameter) not in held]
        for parameter in added:
            parameter.grad = None  # what gathered while nobody zeroed it
        optimizer.param_groups[0]["params"].extend(added)
        self._added += added

    def _undo(self) -> None:
        optimizer = self.probe.training.optimizer
        added = {id(parameter) for parameter in self._added}
        group = optimizer.param_groups[0]
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in added]
        for parameter in self._added:
            optimizer.state.pop(parameter, None)
        _take_back(self._repairs)
        self._repairs.clear()
        self._added.clear()


def _planned(entry: Loose, device: torch.device) -> _Repair:
    """What registering an attribute would put in place of what stands there; Refused where that cannot be."""
    place, original = _place(entry), vars(entry.owner)[entry.attribute]
    if hasattr(type(entry.owner), entry.attribute):
        raise Refused(f"{place} is an attribute of the class too, which would hide it: register it by hand.")
    if isinstance(original, Tensor):
        weight = original if isinstance(original, nn.Parameter) else nn.Parameter(original.detach().to(device))
        return _Repair(place, entry.owner, entry.attribute, original, weight)
    return _Repair(place, entry.owner, entry.attribute, original, _module_of(original, place))


def _put(repair: _Repair) -> None:
    del vars(repair.owner)[repair.attribute]
    setattr(repair.owner, repair.attribute, repair.registered)


def _take_back(repairs: Sequence[_Repair]) -> None:
    """Put the very objects back that stood there, past nn.Module's own registration, in the order they stood in."""
    for repair in repairs:
        delattr(repair.owner, repair.attribute)
        vars(repair.owner)[repair.attribute] = repair.original


def _module_of(value: object, place: str) -> nn.Module:
    """A container as the module that registers its items and is used in the same way; Refused where there is none."""
    match value:
        case nn.Module():
            return value
        case dict():
            _refuse_impossible_keys(value, place)
            if _are_weights(value.values()):
                return nn.ParameterDict(value)
            return nn.ModuleDict({key: _module_of(item, place) for key, item in value.items()})
        case list() | tuple() | set() | frozenset():
            if _are_weights(value):
                return nn.ParameterList(value)
            return nn.ModuleList([_module_of(item, place) for item in value])
    raise Refused(f"{place} holds a {type(value).__name__} beside modules or weights: register it by hand.")


def _refuse_impossible_keys(value: dict[object, object], place: str) -> None:
    taken = nn.ModuleDict(), nn.ParameterDict()
    for key in value:
        if not isinstance(key, str) or not key or "." in key or any(hasattr(module, key) for module in taken):
            raise Refused(f"{place} has the key {key!r}, which a ModuleDict cannot have: register it by hand.")


def _are_weights(items: Collection[object]) -> bool:
    return bool(items) and all(_is_weight(item) for item in items)


def _is_weight(item: object) -> bool:
    return isinstance(item, nn.Parameter) or (isinstance(item, Tensor) and item.requires_grad and item.is_leaf)


def _parameters(registered: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return list(registered.parameters()) if isinstance(registered, nn.Module) else [registered]


def _count_missing(model: nn.Module) -> int:
    """How many numbers the model could train and does not register."""
    registered = {id(parameter) for parameter in model.parameters()}
    missing = [tensor for tensor in all_tensors(model) if _is_weight(tensor) and id(tensor) not in registered]
    return sum(tensor.numel() for tensor in missing)


def _place(entry: Loose) -> str:
    return f"{entry.owner_path}.{entry.attribute}" if entry.owner_path else entry.attribute


def _what(entry: Loose) -> str:
    value = vars(entry.owner)[entry.attribute]
    if isinstance(value, Tensor | nn.Module):
        return _kind(value)
    modules = sum(isinstance(item, nn.Module) for _, item in entry.held)
    counts = ((modules, "module"), (len(entry.held) - modules, "tensor"))
    held = [f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts if count]
    return f"{' and '.join(held)} in {_kind(value)}"


def _kind(value: object) -> str:
    match value:
        case Tensor():
            return "a plain tensor, no Parameter"
        case nn.Module():
            return "a module set past the registration"
    return f"a plain {type(value).__name__}"
