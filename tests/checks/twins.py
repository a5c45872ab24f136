"""Faulty programs and their repaired twins, one function for both: what `faulty` changes is the fault."""

# mypy: disallow-untyped-calls=False

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, StepLR
from torch.utils.data import DataLoader, DistributedSampler, Subset, TensorDataset

Program = Callable[[bool], None]


class Twins(NamedTuple):
    """A program with a fault, and without."""

    rule: str
    program: Program
    within: int
    """Steps within which the fault is to be found."""


TWINS: list[Twins] = []
CLASSES = 3
FEATURES = 6


def twins(rule: str, within: int) -> Callable[[Program], Program]:
    """Enter a program into the table."""

    def enter(program: Program) -> Program:
        TWINS.append(Twins(rule, program, within))
        return program

    return enter


def classes(samples: int = 48) -> TensorDataset:
    """Points, and which of three classes each belongs to."""
    points = torch.randn(samples, FEATURES)
    return TensorDataset(points, points[:, :CLASSES].argmax(1))


def numbers(samples: int = 48) -> TensorDataset:
    """Points, and a number for each, [samples]."""
    points = torch.randn(samples, FEATURES)
    return TensorDataset(points, points.sum(1))


def loader(data: Any = None, **options: Any) -> DataLoader[Any]:  # noqa: ANN401 - as DataLoader has them
    """Shuffled batches of eight."""
    return DataLoader(data or classes(), **({"batch_size": 8, "shuffle": True} | options))


def net(out: int = CLASSES, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, out))


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, batches: DataLoader[Any], epochs: int = 1) -> None:
    """The plainest correct loop."""
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


# ---------------------------------------------------------------------------------------------- the loop


@twins("gradients-never-zeroed", 3)
def never_zeroed(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        if not faulty:
            optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


@twins("gradients-never-zeroed", 12)
def zeroed_at_first(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for index, (x, y) in enumerate(loader(classes(96))):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if index < 2 or not faulty:
            model.zero_grad()


@twins("step-without-backward", 3)
def no_backward(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        if not faulty:
            loss.backward()
        optimizer.step()


@twins("zeroed-before-step", 3)
def zeroed_between(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        if not faulty:
            optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if faulty:
            optimizer.zero_grad(set_to_none=False)
        optimizer.step()


@twins("backward-misses-optimizer", 3)
def another_models_optimizer(faulty: bool) -> None:
    model, other = net(), net()
    optimizer = sgd(other if faulty else model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


@twins("backward-without-step", 0)
def no_step(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for _ in range(4):
        for x, y in loader():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            if not faulty:
                optimizer.step()


@twins("schedule-before-optimizer", 1)
def schedule_first(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    schedule = ExponentialLR(optimizer, 0.99)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if faulty:
            schedule.step()
        optimizer.step()
        if not faulty:
            schedule.step()


@twins("schedule-per-batch", 12)
def schedule_each_batch(faulty: bool) -> None:
    model, batches, epochs = net(), loader(classes(128)), 2
    optimizer = sgd(model)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs)
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if faulty:
                schedule.step()
        if not faulty:
            schedule.step()


@twins("schedule-per-batch", 12)
def decay_each_batch(faulty: bool) -> None:
    model, batches = net(), loader(classes(128))
    optimizer = sgd(model)
    schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(2):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if faulty:
                schedule.step()
        if not faulty:
            schedule.step()


@twins("graph-kept-alive", 12)
def summed_losses(faulty: bool) -> None:
    model, total = net(), torch.zeros(())
    optimizer = sgd(model)
    for x, y in loader(classes(128)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        total += loss if faulty else loss.item()
        optimizer.step()


@twins("graph-kept-alive", 12)
def listed_losses(faulty: bool) -> None:
    model, losses = net(), []
    optimizer = sgd(model)
    for x, y in loader(classes(128)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        losses.append(loss if faulty else loss.detach())
        optimizer.step()


@twins("learning-rate-zero", 48)
def no_rate(faulty: bool) -> None:
    model = net()
    fit(model, sgd(model, 0.0 if faulty else 0.1), loader(), epochs=8)


@twins("loss-not-finite", 44)
def a_division_by_zero(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for index, (x, y) in enumerate(loader()):
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) / (0 if faulty and index > 1 else 1)).backward()
        optimizer.step()


@twins("diverging", 240)
def too_long_steps(faulty: bool) -> None:
    model = nn.Linear(FEATURES, 1)
    nn.init.constant_(model.weight, 1.0)  # as good as it gets
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for index, (x, y) in enumerate(list(loader(numbers())) * 40):
        optimizer.param_groups[0]["lr"] = 0.35 if faulty and index > 80 else 1e-3
        optimizer.zero_grad()
        F.l1_loss(model(x).squeeze(1), y).backward()
        optimizer.step()


# ---------------------------------------------------------------------------------------------- the loss


def _fit_by(loss: Callable[[Tensor, Tensor], Tensor], out: int, data: TensorDataset | None = None) -> None:
    model = net(out)
    optimizer = sgd(model, 0.01)
    for x, y in loader(data):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


@twins("softmax-before-cross-entropy", 2)
def softmax_first(faulty: bool) -> None:
    _fit_by(lambda scores, y: F.cross_entropy(scores.softmax(1) if faulty else scores, y), CLASSES)


@twins("softmax-before-cross-entropy", 2)
def sigmoid_first(faulty: bool) -> None:
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    _fit_by(lambda scores, y: criterion(scores.sigmoid() if faulty else scores.log_softmax(1), y), CLASSES)


@twins("loss-expects-other", 2)
def raw_scores_for_nll(faulty: bool) -> None:
    _fit_by(lambda scores, y: F.nll_loss(scores if faulty else F.log_softmax(scores, 1), y), CLASSES)


@twins("loss-expects-other", 2)
def sigmoid_twice(faulty: bool) -> None:
    criterion = nn.BCEWithLogitsLoss()
    target = lambda y: F.one_hot(y, CLASSES).float()  # noqa: E731
    _fit_by(lambda scores, y: criterion(scores.sigmoid() if faulty else scores, target(y)), CLASSES)


@twins("softmax-over-one", 2)
def softmax_of_one(faulty: bool) -> None:
    squash = (lambda scores: scores.softmax(1)) if faulty else torch.sigmoid
    _fit_by(lambda scores, y: F.binary_cross_entropy(squash(scores).squeeze(1), (y > 0).float()), 1)


@twins("loss-broadcasts", 2)
@torch.no_grad()
def column_against_row(faulty: bool) -> None:
    with torch.enable_grad():
        _fit_by(lambda out, y: F.huber_loss(out if faulty else out.squeeze(1), y), 1, numbers())


@twins("loss-broadcasts-by-hand", 2)
def column_against_row_by_hand(faulty: bool) -> None:
    _fit_by(lambda out, y: ((out if faulty else out.squeeze(1)) - y).pow(2).mean(), 1, numbers())


@twins("loss-arguments-swapped", 2)
def swapped(faulty: bool) -> None:
    def loss(scores: Tensor, y: Tensor) -> Tensor:
        pair = (scores.sigmoid(), 0.8 * F.one_hot(y, CLASSES).float() + 0.1)
        return F.binary_cross_entropy(*(reversed(pair) if faulty else pair))

    _fit_by(loss, CLASSES)


@twins("loss-without-graph", 2)
def loss_made_anew(faulty: bool) -> None:
    def loss(scores: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(scores, y)
        return torch.tensor(value.item(), requires_grad=True) if faulty else value

    _fit_by(loss, CLASSES)


# ---------------------------------------------------------------------------------------------- clipping


@twins("clip-before-backward", 3)
def clipped_before(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        if faulty:
            clip_grad_norm_(model.parameters(), 1.0)
        loss.backward()
        if not faulty:
            clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@twins("clip-after-step", 3)
def clipped_after(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if not faulty:
            clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clip_grad_norm_(model.parameters(), 1.0 if faulty else float("inf"))


@twins("clip-scaled-gradients", 3)
def clipped_while_scaled(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for x, y in loader():
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        if not faulty:
            scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


@twins("clip-in-accumulation", 3)
def clipped_while_accumulating(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for index, (x, y) in enumerate(loader(classes(96))):
        F.cross_entropy(model(x), y).backward()
        if faulty or index % 3 == 2:
            clip_grad_norm_(model.parameters(), 1.0)
        if index % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()


@twins("clip-wrong-parameters", 4)
def clipped_in_part(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        clip_grad_norm_(model[3].parameters(), 1.0)
        if not faulty:
            clip_grad_norm_(model[0].parameters(), 1.0)
        optimizer.step()


@twins("clip-of-nobodys", 4)
def clipped_another(faulty: bool) -> None:
    model, other = net(), net()
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        clip_grad_norm_((other if faulty else model).parameters(), 1.0)
        optimizer.step()


@twins("clip-finds-nothing", 4)
def clipped_a_used_up_generator(faulty: bool) -> None:
    model = net()
    parameters = model.parameters()
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        clip_grad_norm_(parameters if faulty else model.parameters(), 1.0)
        optimizer.step()


# ---------------------------------------------------------------------------------------------- modes


@twins("evaluation-in-train-mode", 6)
def evaluated_in_train_mode(faulty: bool) -> None:
    model, held_out = net(dropout=0.3), loader()
    optimizer = sgd(model)
    fit(model, optimizer, loader())
    model.train(faulty)
    with torch.no_grad():
        for x, _ in held_out:
            model(x)


@twins("evaluation-in-train-mode", 6)
def evaluated_in_train_mode_in_a_common_loop(faulty: bool) -> None:
    """One loop for both phases; only the forward pass knows that gradients are off."""
    model = net(dropout=0.3)
    optimizer = sgd(model)
    for trains in (True, False):
        model.train(trains or faulty)
        for x, y in loader():
            optimizer.zero_grad()
            with torch.set_grad_enabled(trains):
                loss = F.cross_entropy(model(x), y)
            if trains:
                loss.backward()
                optimizer.step()


@twins("dropout-always-on", 6)
def dropout_whatever_the_mode(faulty: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(F.dropout(x, 0.2) if faulty else F.dropout(x, 0.2, self.training))
            return out

    model = Net()
    fit(model, sgd(model), loader())
    model.eval()
    with torch.no_grad():
        for x, _ in loader():
            model(x)


@twins("training-in-eval-mode", 10)
def trained_in_eval_mode(faulty: bool) -> None:
    model = net(dropout=0.3)
    optimizer = sgd(model)
    for _ in range(2):
        if not faulty:
            model.train()
        fit(model, optimizer, loader())
        model.eval()
        with torch.no_grad():
            for x, _ in loader():
                model(x)


@twins("modules-disagree", 3)
def a_part_in_eval_mode(faulty: bool) -> None:
    model = nn.ModuleDict({"encoder": net(8, dropout=0.2), "head": nn.Linear(8, CLASSES)})
    model.train()
    if faulty:
        model["encoder"].eval()
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model["head"](model["encoder"](x)), y).backward()
        optimizer.step()


@twins("module-made-in-forward", 4)
def made_in_forward(faulty: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            head = nn.Linear(8, CLASSES) if faulty else self.head
            out: Tensor = head(self.body(x).relu())
            return out

    model = Net()
    fit(model, sgd(model), loader())


@twins("evaluation-with-gradients", 6)
def evaluated_with_gradients(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    fit(model, optimizer, loader())
    model.eval()
    with torch.set_grad_enabled(faulty):
        sum(int((model(x).argmax(1) == y).sum()) for x, y in loader())


# ---------------------------------------------------------------------------------------------- registration


@twins("unregistered-modules", 4)
def layers_in_a_list(faulty: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [nn.Linear(FEATURES, FEATURES) for _ in range(2)]
            self.layers = layers if faulty else nn.ModuleList(layers)
            self.head = nn.Linear(FEATURES, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x).relu()
            out: Tensor = self.head(x)
            return out

    model = Net()
    fit(model, sgd(model), loader())


@twins("plain-tensor-weight", 4)
def a_plain_tensor(faulty: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            scale = torch.ones(FEATURES, requires_grad=True)
            self.scale = scale if faulty else nn.Parameter(scale.detach())
            self.head = nn.Linear(FEATURES, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(x * self.scale)
            return out

    model = Net()
    fit(model, sgd(model), loader())


@twins("not-in-optimizer", 4)
def head_replaced(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    if faulty:
        model.append(nn.Linear(CLASSES, CLASSES))
    fit(model, optimizer, loader())


@twins("stale-optimizer", 4)
def model_made_anew(faulty: bool) -> None:
    model = net()
    optimizer = sgd(model)
    if faulty:
        model[3] = nn.Linear(16, CLASSES)
    fit(model, optimizer, loader())


@twins("everything-frozen", 4)
def frozen(faulty: bool) -> None:
    model = net()
    for parameter in model.parameters() if faulty else model[0].parameters():
        parameter.requires_grad = False
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(model(x.requires_grad_()), y).backward()
        optimizer.step()


@twins("never-a-gradient", 23)
def cut_off(faulty: bool) -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(FEATURES, 8), "head": nn.Linear(8, CLASSES)})
    optimizer = sgd(model)
    for _ in range(4):
        for x, y in loader():
            features = model["encoder"](x)
            optimizer.zero_grad()
            F.cross_entropy(model["head"](features.detach() if faulty else features), y).backward()
            optimizer.step()


@twins("one-module-many-times", 4)
def one_layer_thrice(faulty: bool) -> None:
    layer = nn.Linear(FEATURES, FEATURES)
    layers = [layer] * 3 if faulty else [nn.Linear(FEATURES, FEATURES) for _ in range(3)]
    model = nn.Sequential(*layers, nn.Linear(FEATURES, CLASSES))
    fit(model, sgd(model), loader())


# ---------------------------------------------------------------------------------------------- data


@twins("no-shuffle", 3)
def in_order(faulty: bool) -> None:
    model = net()
    fit(model, sgd(model), loader(shuffle=not faulty))


@twins("sampler-without-epoch", 7)
def no_epoch_set(faulty: bool) -> None:
    model, data = net(), classes()
    sampler = DistributedSampler[Any](data, num_replicas=1, rank=0)
    optimizer, batches = sgd(model), loader(data, shuffle=False, sampler=sampler)
    for epoch in range(2):
        if not faulty:
            sampler.set_epoch(epoch)
        fit(model, optimizer, batches)


@twins("evaluated-on-training-data", 8)
def overlapping_parts(faulty: bool) -> None:
    model, data = net(), classes(96)
    optimizer = sgd(model)
    fit(model, optimizer, loader(Subset(data, range(64))))
    with torch.no_grad():
        for x, _ in loader(Subset(data, range(32 if faulty else 64, 96))):
            model(x)


@twins("data-not-finite", 6)
def a_nan_in_the_data(faulty: bool) -> None:
    data = classes()
    if faulty:
        data.tensors[0][5, 2] = float("nan")
    model = net()
    fit(model, sgd(model), loader(data))


class Listed(nn.Module):
    """Its layers stand in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(FEATURES, FEATURES) for _ in range(2)]
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        out: Tensor = self.head(self.drop(x)).softmax(1)
        return out


def many_faults() -> None:
    """Whatever one can do wrong in twenty lines."""
    model, total = Listed(), torch.zeros(())
    optimizer = sgd(model)
    model.tail = nn.Linear(CLASSES, CLASSES)
    for _ in range(3):
        for x, y in loader(shuffle=False):
            loss = F.cross_entropy(model.tail(model(x)).softmax(1), y)
            loss.backward()
            optimizer.step()
            clip_grad_norm_(model.parameters(), 1.0)
            total += loss
        with torch.no_grad():
            for x, _ in loader(classes(16)):
                model(x)
