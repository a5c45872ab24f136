"""Tip 5, registration: what the model uses and does not register, and what the optimizer has of it."""

from collections import Counter

from torch import Tensor, nn

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.sites import made_at
from tuitrain.checks.seen.structure import Structure, joined, parameters_in
from tuitrain.engine.gradients import optimized

ENOUGH_STEPS = 20
"""A parameter that so many steps have not reached is never reached."""
SHOWN = 3


@rule(
    slug="unregistered-modules",
    number=33,
    family="registration",
    severity="error",
    cost="G",
    title="modules stand in a plain list, dict, tuple or set",
    why="parameters() does not see them: no optimizer trains them, .to() does not move them, train() and eval() do not "
    "switch them, and a checkpoint does not have them.",
    silent="What no backward pass reaches: a frozen teacher that is hidden on purpose. A warning only where an "
    "optimizer "
    "was given the parameters by hand.",
    remedy="Hold them in nn.ModuleList or nn.ModuleDict.",
    key="r",
    word="register",
    within=4,
    bad="self.layers = [nn.Linear(8, 8), nn.Linear(8, 8)]",
    good="self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])",
)
def unregistered_modules(structure: Structure) -> Troubles:
    """Loose modules that a backward pass has reached."""
    for name, loose in structure.loose:
        parameters = [each for each in parameters_in(loose) if id(each) in structure.reached]
        modules = [item for _, item in loose.held if isinstance(item, nn.Module)]
        if not parameters or not modules:
            continue
        trained = all(id(each) in structure.optimized for each in parameters)
        kind = type(vars(loose.owner)[loose.attribute]).__name__
        count = sum(each.numel() for each in parameters)
        yield Trouble(
            message=f"{_number(len(modules), 'module')} in a plain {kind} with {count:,} parameters: "
            + ("trained, but neither moved nor saved with the model." if trained else "used, but never trained."),
            place=joined(name, joined(loose.owner_path, loose.attribute)),
            site=made_at(loose.owner),
            severity="warning" if trained else None,
        )


@rule(
    slug="plain-tensor-weight",
    number=34,
    family="registration",
    severity="error",
    cost="G",
    title="a plain tensor is used as a weight",
    why="A tensor with requires_grad=True that is no nn.Parameter gets gradients, and nobody steps with them.",
    silent="Tensors that an optimizer holds, that change by hand, or that only one step has seen: inputs.",
    remedy="Make it an nn.Parameter (last, after .to() and after any arithmetic).",
    key="r",
    word="register",
    within=4,
    bad="self.scale = torch.ones(8, requires_grad=True)",
    good="self.scale = nn.Parameter(torch.ones(8))",
)
def plain_tensor_weight(structure: Structure) -> Troubles:
    """Loose trainable tensors that have a gradient and no optimizer."""
    for name, loose in structure.loose:
        for where, item in loose.held:
            if isinstance(item, Tensor) and id(item) in structure.reached and id(item) not in structure.optimized:
                yield Trouble(
                    message=f"A plain tensor {list(item.shape)} gets gradients and is in no optimizer: "
                    "it never changes.",
                    place=joined(name, joined(loose.owner_path, where)),
                    site=made_at(loose.owner),
                )


@rule(
    slug="not-in-optimizer",
    number=35,
    family="registration",
    severity="warning",
    cost="G",
    title="a parameter gets gradients but is in no optimizer",
    why="Its gradients are computed and never used: it stays as it was initialised. Most often a layer was made or "
    "replaced after the optimizer was built.",
    silent="Models none of whose parameters are in an optimizer (a fixed network that measures a loss). A hint only "
    "where "
    "all that is left out stands before all that is trained: a backbone that was not frozen.",
    remedy="Build the optimizer after the model is complete, or add_param_group what is new; freeze what is to stay.",
    within=4,
    bad="optimizer = SGD(model.parameters(), lr=0.1)\nmodel.head = nn.Linear(8, 10)",
    good="model.head = nn.Linear(8, 10)\noptimizer = SGD(model.parameters(), lr=0.1)",
)
def not_in_optimizer(structure: Structure) -> Troubles:
    """Registered parameters with gradients that no optimizer holds."""
    for name, model in structure.trained_models.items():
        listed = list(model.named_parameters())
        held = [id(parameter) in structure.optimized for _, parameter in listed]
        out = [
            (index, path, parameter)
            for index, (path, parameter) in enumerate(listed)
            if not held[index] and parameter.requires_grad and id(parameter) in structure.reached
        ]
        if not out:
            continue
        before = out[-1][0] < held.index(True)
        count = sum(parameter.numel() for _, _, parameter in out)
        yield Trouble(
            message=f"{count:,} parameters get gradients and are in no optimizer: {_some([p for _, p, _ in out])}.",
            place=name,
            site="",
            severity="hint" if before else None,
        )


@rule(
    slug="stale-optimizer",
    number=36,
    family="registration",
    severity="error",
    cost="G",
    title="the optimizer holds parameters that no model has any more",
    why="The model, or a layer, was replaced after the optimizer was built: the optimizer trains what is no longer "
    "used.",
    silent="Tensors that are optimized by themselves (an image, a temperature): only what was a module's nn.Parameter "
    "counts, and only while no backward pass reaches it.",
    remedy="Build the optimizer from the model that is trained, after the last layer was replaced.",
    within=4,
    bad="optimizer = Adam(model.parameters())\nmodel = Net()",
    good="model = Net()\noptimizer = Adam(model.parameters())",
)
def stale_optimizer(structure: Structure) -> Troubles:
    """Parameters of an optimizer that stand in no living module, and that nothing reaches."""
    held = optimized(structure.stepping)
    stale = [
        each
        for each in held
        if isinstance(each, nn.Parameter) and each.requires_grad and id(each) not in structure.reached
    ]
    stale = [each for each in stale if id(each) not in structure.registered]  # looked for only where it may matter
    if stale:
        count = sum(each.numel() for each in stale)
        yield Trouble(
            message=f"{type(structure.stepping).__name__} holds {count:,} parameters in {len(stale)} of {len(held)} "
            "tensors that no model has any more.",
            site="",
        )


@rule(
    slug="everything-frozen",
    number=37,
    family="registration",
    severity="error",
    cost="G",
    title="nothing that the optimizer holds can be trained",
    why="requires_grad is False on every parameter: no gradient is computed, and steps change nothing.",
    silent="Optimizers of which at least one parameter is trainable. A hint only where there are other optimizers.",
    remedy="Set requires_grad_(True) on what is to be trained.",
    within=4,
    bad="for parameter in model.parameters():\n    parameter.requires_grad = False",
    good="for parameter in model.backbone.parameters():\n    parameter.requires_grad = False",
)
def everything_frozen(structure: Structure) -> Troubles:
    """No parameter of the stepping optimizer requires a gradient."""
    held = optimized(structure.stepping)
    if held and not any(parameter.requires_grad for parameter in held):
        yield Trouble(
            message=f"All {len(held)} tensors of {type(structure.stepping).__name__} are frozen.",
            site="",
            severity="hint" if len(structure.optimizers) > 1 else None,
        )


@rule(
    slug="never-a-gradient",
    number=38,
    family="registration",
    severity="warning",
    cost="E",
    title="parameters never receive a gradient",
    why="The loss does not depend on them: a layer is not called in forward(), or a detach(), .data, .item() or "
    "no_grad() cuts the graph before it.",
    silent="Frozen parameters. A hint only where others in the same ModuleList or ModuleDict are reached: experts, or "
    "branches taken by chance. Nothing where no parameter at all is reached (see backward-missing).",
    remedy="Call the layer in forward(), look for a cut between it and the loss, or freeze it.",
    within=22,
    bad="features = self.encoder(x).detach()\nreturn self.head(features)",
    good="features = self.encoder(x)\nreturn self.head(features)",
)
def never_a_gradient(structure: Structure) -> Troubles:
    """Trainable parameters of the stepping optimizer without a gradient so far."""
    if structure.steps <= ENOUGH_STEPS:
        return
    own = set(map(id, optimized(structure.stepping)))
    if own.isdisjoint(structure.reached):
        return
    for name, model in structure.trained_models.items():
        missing = [
            (path, parameter)
            for path, parameter in model.named_parameters()
            if parameter.requires_grad and id(parameter) in own and id(parameter) not in structure.reached
        ]
        if missing:
            spared = all(_has_reached_sibling(model, path, structure.reached) for path, _ in missing)
            count = sum(parameter.numel() for _, parameter in missing)
            yield Trouble(
                message=f"{count:,} parameters had no gradient in {structure.steps:,} steps: "
                f"{_some([path for path, _ in missing])}.",
                place=name,
                site="",
                severity="hint" if spared else None,
            )


@rule(
    slug="one-module-many-times",
    number=39,
    family="registration",
    severity="warning",
    cost="G",
    title="one module stands several times in a container",
    why="[layer] * n repeats one layer, not n: all have the same weights, and the model is as deep but not as large.",
    silent="Modules without parameters, and modules that stand in different containers (weight tying).",
    remedy="Make a new module for each: [make() for _ in range(n)], or copy.deepcopy.",
    within=4,
    bad="nn.ModuleList([nn.Linear(8, 8)] * 3)",
    good="nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])",
)
def one_module_many_times(structure: Structure) -> Troubles:
    """Containers in which a module with parameters stands next to itself."""
    for name, model in structure.trained_models.items():
        for path, module in model.named_modules():
            if not isinstance(module, nn.ModuleList | nn.Sequential):
                continue
            counts = Counter(map(id, module._modules.values()))
            repeated = {id(m): m for m in module._modules.values() if m is not None and counts[id(m)] > 1}
            for each in repeated.values():
                if any(True for _ in each.parameters()):
                    yield Trouble(
                        message=f"One {type(each).__name__} stands {counts[id(each)]} times in this "
                        f"{type(module).__name__}: they share their weights.",
                        place=joined(name, path),
                        site="",
                    )


def _has_reached_sibling(model: nn.Module, path: str, reached: frozenset[int]) -> bool:
    """Whether a path leads through a ModuleList or ModuleDict of which something else was reached."""
    parts = path.split(".")
    for depth in range(len(parts)):
        module = model.get_submodule(".".join(parts[:depth]))
        if isinstance(module, nn.ModuleList | nn.ModuleDict):
            others = [child for key, child in module.named_children() if key != parts[depth]]
            if any(id(parameter) in reached for child in others for parameter in child.parameters()):
                return True
    return False


def _some(paths: list[str]) -> str:
    more = len(paths) - SHOWN
    return ", ".join(paths[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


REGISTRATION: tuple[Rule, ...] = (
    unregistered_modules,
    plain_tensor_weight,
    not_in_optimizer,
    stale_optimizer,
    everything_frozen,
    never_a_gradient,
    one_module_many_times,
)
