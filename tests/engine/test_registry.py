"""What a model holds without registering it, and nothing that it does register."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from tuitrain.engine.registry import Loose, all_modules, all_tensors, loose_attributes, plain_attributes


def weight() -> Tensor:
    return torch.ones(2, requires_grad=True)


def found(model: nn.Module) -> dict[str, list[str]]:
    """Paths of what is loose, by the place of the attribute."""
    return {
        f"{loose.owner_path}.{loose.attribute}".lstrip("."): [path for path, _ in loose.held]
        for loose in loose_attributes(model)
    }


class Holder(nn.Module):
    """Holds whatever it is given, under the names it is given."""

    def __init__(self, **attributes: object) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def test_every_plain_container_is_searched() -> None:
    model = Holder(
        listed=[nn.Linear(1, 1), 3, nn.Linear(1, 1)],
        tupled=(nn.Linear(1, 1),),
        keyed={"a": nn.Linear(1, 1), 7: weight()},
        ordered=OrderedDict(x=nn.ReLU()),
        gathered={weight()},
        frozen=frozenset({nn.Linear(1, 1)}),
        alone=weight(),
    )
    assert found(model) == {
        "listed": ["listed[0]", "listed[2]"],
        "tupled": ["tupled[0]"],
        "keyed": ["keyed['a']", "keyed[7]"],
        "ordered": ["ordered['x']"],
        "gathered": ["gathered{0}"],
        "frozen": ["frozen{0}"],
        "alone": ["alone"],
    }


def test_containers_in_containers_are_searched() -> None:
    model = Holder(deep=[{"a": (nn.Linear(1, 1), [weight()])}])
    assert found(model) == {"deep": ["deep[0]['a'][0]", "deep[0]['a'][1][0]"]}


def test_it_is_found_below_registered_modules_and_named_by_its_owner() -> None:
    model = nn.Sequential(Holder(inner=Holder(layers=[nn.Linear(1, 1)])))
    assert found(model) == {"0.inner.layers": ["layers[0]"]}
    (loose,) = loose_attributes(model)
    assert isinstance(loose, Loose)
    assert loose.owner is model.get_submodule("0.inner")


def test_what_is_registered_is_not_loose() -> None:
    model = Holder(
        layers=nn.ModuleList([nn.Linear(1, 1)]),
        table=nn.ModuleDict({"a": nn.Linear(1, 1)}),
        weights=nn.ParameterList([nn.Parameter(torch.ones(1))]),
        alone=nn.Parameter(torch.ones(1)),
        recurrent=nn.LSTM(2, 2),
    )
    model.register_buffer("buffer", torch.ones(1))
    assert found(model) == {}


def test_aliases_of_what_is_registered_are_not_loose() -> None:
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    model = Holder(first=first, second=second)
    vars(model).update(order=[second, first], heads={"weights": [first.weight, second.bias]})
    assert found(model) == {}


def test_tensors_that_training_does_not_change_are_not_loose() -> None:
    model = Holder(constant=torch.ones(2), integer=[torch.ones(2, dtype=torch.int64)], derived=[weight() * 2], text="x")
    assert found(model) == {}


def test_all_modules_are_each_there_once() -> None:
    shared = nn.Linear(1, 1)
    below = Holder(hidden=[shared, nn.Dropout()])
    model = Holder(a=shared, b=shared, loose=[below, below], again=(below,))
    modules = all_modules(model)
    assert {type(module).__name__ for module in modules} == {"Holder", "Linear", "Dropout"}
    assert len(modules) == 4 == len({id(module) for module in modules})


def test_references_back_are_no_trap() -> None:
    model, block = Holder(), Holder()
    vars(block).update(parent=[model], itself=[block])
    vars(model).update(blocks=[block])
    assert all_modules(model) == [model, block]
    assert found(model) == {"blocks": ["blocks[0]"]}


def test_all_tensors_are_each_there_once() -> None:
    tied, loose, below = nn.Parameter(torch.ones(1)), weight(), weight()
    model = Holder(a=tied, b=tied, c=[loose, loose], layers=[Holder(inner=[below]), nn.BatchNorm1d(1)])
    tensors = all_tensors(model)
    assert len(tensors) == len({id(tensor) for tensor in tensors})
    ids = {id(tensor) for tensor in tensors}
    assert {id(tied), id(loose), id(below)} <= ids
    assert len(tensors) == 3 + 5, "and weight, bias and three buffers of the BatchNorm"


def test_plain_attributes_are_those_that_the_model_was_given() -> None:
    model = Holder(linear=nn.Linear(1, 1), size=3, layers=[nn.ReLU()])
    assert plain_attributes(model) == {"size": 3, "layers": model.layers}
