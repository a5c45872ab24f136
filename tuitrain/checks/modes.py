"""Tip 4, modes: what dropout and batch norm do, in training and in evaluation."""

from collections import Counter

from torch import nn

from tuitrain.checks.rule import Rule, Trouble, Troubles, rule
from tuitrain.checks.seen.evaluations import Evaluation, TrainingModes, depends_on_mode
from tuitrain.checks.seen.making import Making
from tuitrain.checks.seen.reports import Report
from tuitrain.checks.seen.structure import joined

SHOWN = 3


@rule(
    slug="evaluation-in-train-mode",
    number=25,
    family="modes",
    severity="error",
    cost="E",
    title="evaluation runs in train mode",
    why="Dropout drops, and batch norm takes the statistics of the batch and goes on changing its running ones: the "
    "result is another than that of the model, and evaluating changes it.",
    silent="Models without dropout or batch norm, dropout that is switched on alone (Monte Carlo), update_bn, forward "
    "passes without gradients that belong to a training step.",
    remedy="Call model.eval() before evaluating, and model.train() after it.",
    key="e",
    word="eval",
    within=3,
    bad="with torch.no_grad():\n    for x, y in test_loader:\n        model(x)",
    good="model.eval()\nwith torch.no_grad():\n    for x, y in test_loader:\n        model(x)\nmodel.train()",
)
def evaluation_in_train_mode(evaluation: Evaluation | Report) -> Troubles:
    """Dropout or batch norm ran as in training, in modules that are in train mode."""
    if isinstance(evaluation, Report):
        if evaluation.own_loop and evaluation.says("modes", "bad"):  # of a script's evaluations more is seen
            yield Trouble(message=f"The model {evaluation.summary}.", site="")
    elif evaluation.active:
        yield Trouble(
            message=f"{_listed(evaluation.active)} as in training in {_batches(evaluation)}.",
            site=evaluation.site,
            certain=evaluation.grad,
        )


@rule(
    slug="dropout-always-on",
    number=28,
    family="modes",
    severity="warning",
    cost="E",
    title="dropout is on in eval mode too",
    why="F.dropout drops unless it is told not to: model.eval() does not reach it.",
    silent="Modules that are in train mode (another rule).",
    remedy="Pass training=self.training, or use nn.Dropout.",
    within=3,
    bad="x = F.dropout(x, 0.5)",
    good="x = F.dropout(x, 0.5, training=self.training)",
)
def dropout_always_on(evaluation: Evaluation) -> Troubles:
    """A function ran as in training although the module that calls it is in eval mode."""
    if evaluation.always_on:
        yield Trouble(message=f"{_listed(evaluation.always_on)} in evaluation, whatever the mode.")


@rule(
    slug="training-in-eval-mode",
    number=26,
    family="modes",
    severity="error",
    cost="E",
    title="training steps are made in eval mode",
    why="Dropout does nothing, and batch norm learns no statistics: most often model.train() is missing after an "
    "evaluation.",
    silent="Models without dropout or batch norm, batch norm that is frozen. A hint only where batch norm alone was "
    "in eval "
    "mode from the beginning.",
    remedy="Call model.train() before training, and again after each evaluation.",
    within=3,
    bad="evaluate(model)  # calls model.eval()\nfor x, y in loader: ...",
    good="evaluate(model)\nmodel.train()\nfor x, y in loader: ...",
)
def training_in_eval_mode(modes: TrainingModes) -> Troubles:
    """The whole model is in eval mode, and a part of it that is trained depends on that."""
    for name, model in modes.models.items():
        dependent = [module for module in model.modules() if depends_on_mode(module) and not _is_frozen(module)]
        if model.training or not dependent or any(module.training for module in dependent):
            continue
        kinds = Counter(type(module).__name__ for module in dependent)
        before = name in modes.trained_before
        only_norms = all(isinstance(module, nn.modules.batchnorm._NormBase) for module in dependent)
        yield Trouble(
            message=f"Steps are made while the model is in eval mode ({_counted(kinds)})"
            + (", since the last evaluation." if before else "."),
            place=name,
            site="",
            severity="hint" if only_norms and not before else None,
        )


@rule(
    slug="modules-disagree",
    number=27,
    family="modes",
    severity="warning",
    cost="E",
    title="a part of the model stays in eval mode while it is trained",
    why="Its dropout does nothing: train() was not called on it, or not passed on to it.",
    silent="Frozen parts, batch norm (often kept in eval mode on purpose), models that are in eval mode as a whole.",
    remedy="Call train() on the whole model; freeze what is meant to stay as it is.",
    within=3,
    bad="model.train()\nmodel.encoder.eval()",
    good="model.train()",
)
def modules_disagree(modes: TrainingModes) -> Troubles:
    """Dropout in eval mode, in a part with trainable parameters of a model in train mode."""
    for name, model in modes.models.items():
        if not model.training:
            continue
        paths = [
            joined(name, path)
            for path, module in model.named_modules()
            if not module.training
            and depends_on_mode(module)
            and not isinstance(module, nn.modules.batchnorm._NormBase)
            and _part_is_trained(model, path)
        ]
        if paths:
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            yield Trouble(
                message=f"In eval mode while the model trains: {', '.join(paths[:SHOWN])}{more}.", place=name, site=""
            )


@rule(
    slug="module-made-in-forward",
    number=29,
    family="modes",
    severity="error",
    cost="E",
    title="a module is made inside forward",
    why="Each call makes new random weights: none is ever trained, moved or saved.",
    silent="Modules without parameters, lazy modules, and what is made once.",
    remedy="Make it in __init__ and call it in forward.",
    within=3,
    bad="def forward(self, x):\n    return nn.Linear(8, 2)(x)",
    good="def __init__(self):\n    self.head = nn.Linear(8, 2)\n\ndef forward(self, x):\n    return self.head(x)",
)
def module_made_in_forward(making: Making) -> Troubles:
    """Parameters are made at the same line again and again, below a forward()."""
    yield Trouble(
        message=f"A {making.kind} with new weights is made in forward() of {making.within}, at each call.",
        place=making.within,
        site=making.site,
    )


@rule(
    slug="evaluation-with-gradients",
    number=30,
    family="modes",
    severity="warning",
    cost="E",
    title="evaluation builds a graph that nobody uses",
    why="Without torch.no_grad() every forward pass keeps its intermediate results for a backward pass that never "
    "comes: "
    "memory and time.",
    silent="Passes that a backward pass follows, passes of one batch, and what comes before training.",
    remedy="Evaluate under torch.no_grad() or torch.inference_mode().",
    within=3,
    hits=1,
    bad="model.eval()\nfor x, y in test_loader:\n    model(x)",
    good="model.eval()\nwith torch.no_grad():\n    for x, y in test_loader:\n        model(x)",
)
def evaluation_with_gradients(evaluation: Evaluation) -> Troubles:
    """A whole pass over a DataLoader made nodes, and no backward pass came."""
    if evaluation.grad and evaluation.nodes >= evaluation.batches:
        yield Trouble(
            message=f"{evaluation.batches} batches were evaluated with gradients enabled: {evaluation.nodes:,} nodes "
            f"of a "
            "graph for nothing.",
            site=evaluation.site,
        )


def _is_frozen(module: nn.Module) -> bool:
    """Whether it has parameters of its own, all of them frozen."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def _part_is_trained(model: nn.Module, path: str) -> bool:
    """Whether the module that holds the one at `path` has trainable parameters."""
    holder = model.get_submodule(path.rpartition(".")[0])
    return any(parameter.requires_grad for parameter in holder.parameters())


def _listed(calls: Counter[str]) -> str:
    return " and ".join(f"{name} ran {count} time{'s' * (count > 1)}" for name, count in calls.items())


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in kinds.items())


def _batches(evaluation: Evaluation) -> str:
    return f"an evaluation of {evaluation.batches} batches" if evaluation.grad else "an evaluation without gradients"


MODES: tuple[Rule, ...] = (
    evaluation_in_train_mode,
    dropout_always_on,
    training_in_eval_mode,
    modules_disagree,
    module_made_in_forward,
    evaluation_with_gradients,
)
