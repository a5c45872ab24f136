"""Correct programs in the styles of well-known examples, the awkward ones among them. None of these is at fault."""

# mypy: disallow-untyped-calls=False

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, update_bn

from tests.checks.twins import CLASSES, FEATURES, classes, fit, loader, net, numbers, sgd

Correct = Callable[[], None]
CORRECT: list[Correct] = []


def correct(program: Correct) -> Correct:
    """Enter a program into the table."""
    CORRECT.append(program)
    return program


@correct
def by_hand_without_optimizer_groups() -> None:
    """Two optimizers that share one backward pass: one for the body, one for the head."""
    model = net()
    optimizers = [sgd(nn.Sequential(model[0])), torch.optim.Adam(model[3].parameters())]
    for x, y in loader():
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for optimizer in optimizers:
            optimizer.step()


@correct
def summed_vae() -> None:
    """A loss that is summed, of two terms, with a sigmoid before a binary cross-entropy."""
    encoder, decoder = nn.Linear(FEATURES, 4), nn.Linear(2, FEATURES)
    model = nn.ModuleList([encoder, decoder])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for x, _ in loader():
        x = x.sigmoid()
        optimizer.zero_grad()
        mean, log_var = encoder(x).chunk(2, 1)
        made = decoder(mean + torch.randn_like(mean) * (0.5 * log_var).exp()).sigmoid()
        divergence = -0.5 * (1 + log_var - mean.pow(2) - log_var.exp()).sum()
        (F.binary_cross_entropy(made, x, reduction="sum") + divergence).backward()
        optimizer.step()


@correct
def policy_gradient() -> None:
    """REINFORCE: returns by hand, an episode in lists, no DataLoader, single samples in train mode."""
    policy = nn.Sequential(nn.Linear(FEATURES, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    for _ in range(12):
        log_probs: list[Tensor] = []
        rewards: list[float] = []
        for _ in range(5):
            distribution = Categorical(F.softmax(policy(torch.randn(1, FEATURES)), dim=1))
            action = distribution.sample()
            log_probs.append(distribution.log_prob(action))
            rewards.append(float(action.item()))
        returns = torch.tensor([sum(rewards[index:]) for index in range(5)])
        optimizer.zero_grad()
        torch.cat([-p * r for p, r in zip(log_probs, returns - returns.mean(), strict=True)]).sum().backward()
        optimizer.step()


@correct
def deep_q_learning() -> None:
    """A target network, smooth L1 on [N, 1] against [N, 1], gradients clamped by hand."""
    policy, target = net(2), net(2)
    target.load_state_dict(policy.state_dict())
    target.eval()
    optimizer = torch.optim.RMSprop(policy.parameters())
    for index in range(20):
        states, actions = torch.randn(8, FEATURES), torch.randint(0, 2, (8, 1))
        with torch.no_grad():
            best = target(torch.randn(8, FEATURES)).max(1).values
        expected = torch.randn(8) + 0.9 * best
        optimizer.zero_grad()
        F.smooth_l1_loss(policy(states).gather(1, actions), expected.unsqueeze(1)).backward()
        for parameter in policy.parameters():
            assert parameter.grad is not None
            parameter.grad.data.clamp_(-1, 1)
        optimizer.step()
        if index % 5 == 0:
            target.load_state_dict(policy.state_dict())


@correct
def recurrent_with_carried_state() -> None:
    """Truncated backpropagation through time over data in order, clipped at 0.25, updated by hand."""
    embed, lstm, head = nn.Embedding(12, 8), nn.LSTM(8, 8, dropout=0.0), nn.Linear(8, 12)
    model = nn.ModuleList([embed, lstm, head])
    text = torch.randint(0, 12, (60, 4))
    state = None
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for begin in range(0, 50, 5):
        state = None if state is None else tuple(part.detach() for part in state)
        model.zero_grad()
        out, state = lstm(embed(text[begin : begin + 5]), state)
        F.cross_entropy(head(out).view(-1, 12), text[begin + 1 : begin + 6].reshape(-1)).backward()
        clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()


@correct
def frozen_backbone() -> None:
    """Its batch norm stays in eval mode, its parameters are not in the optimizer."""
    backbone = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1))
    model = nn.Sequential(backbone, nn.Linear(8, CLASSES))
    for parameter in backbone.parameters():
        parameter.requires_grad = False
    optimizer = sgd(model[1])
    for _ in range(2):
        model.train()
        backbone.eval()
        fit(model, optimizer, loader())
        model.eval()
        with torch.no_grad():
            for x, _ in loader():
                model(x)


@correct
def frozen_batch_norm() -> None:
    """All of it is trained but the statistics."""
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, CLASSES))
    model[1].eval()
    fit(model, sgd(model), loader(), epochs=2)


@correct
def label_smoothing() -> None:
    model, criterion = net(), nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = sgd(model)
    for x, y in loader():
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()


class Experts(nn.Module):
    """One of four, by the first feature; the last is never chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(FEATURES, 4)
        self.experts = nn.ModuleList(net() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(1)
        chosen = (weights[:, :3].argmax(1)).unique().tolist()
        return sum((weights[:, [index]] * self.experts[index](x) for index in chosen), torch.zeros(()))


@correct
def mixture_of_experts() -> None:
    model = Experts()
    fit(model, sgd(model), loader(), epochs=5)


@correct
def tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.decode = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
            self.decode.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            out: Tensor = self.decode(self.embed(tokens))
            return out

    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(10):
        tokens = torch.randint(0, 12, (8,))
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), (tokens + 1) % 12).backward()
        optimizer.step()


class LowRank(nn.Module):
    """A frozen layer with an adapter."""

    def __init__(self, layer: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(inputs, 2, bias=False)
        self.up = nn.Linear(2, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) + self.up(self.down(x))
        return out


@correct
def low_rank_adapters() -> None:
    model = net()
    model[0], model[3] = LowRank(model[0], FEATURES, 16), LowRank(model[3], 16, CLASSES)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], 1e-2)
    fit(model, optimizer, loader(), epochs=4)


@correct
def mean_teacher() -> None:
    """A moving average of the student, in train mode, that is asked without gradients in each step."""
    student = net(dropout=0.2)
    teacher = copy.deepcopy(student)
    optimizer = sgd(student)
    for x, y in loader():
        with torch.no_grad():
            wanted = teacher(x).softmax(1)
        optimizer.zero_grad()
        scores = student(x)
        (F.cross_entropy(scores, y) + F.mse_loss(scores.softmax(1), wanted)).backward()
        optimizer.step()
        with torch.no_grad():
            for mean, parameter in zip(teacher.parameters(), student.parameters(), strict=True):
                mean.lerp_(parameter, 0.01)


@correct
def averaged_weights() -> None:
    """SWA: update_bn runs the averaged model in train mode, without gradients, on purpose."""
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))
    averaged = AveragedModel(model)
    optimizer = sgd(model)
    for _ in range(2):
        fit(model, optimizer, loader())
        averaged.update_parameters(model)
    update_bn(loader(), averaged)


@correct
def mixed_precision_on_the_cpu() -> None:
    model = net()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    for x, y in loader():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


@correct
def one_full_batch() -> None:
    """No DataLoader, one batch that is all the data, a loss by hand, an evaluation now and then."""
    x = torch.linspace(-math.pi, math.pi, 64).unsqueeze(1)
    y = x.sin()
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for index in range(30):
        loss = ((model(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if index % 10 == 9:
            with torch.no_grad():
                (model(x) - y).abs().max()


@correct
def adversarial_training() -> None:
    """A backward pass for the gradient of the input, thrown away before that of the step."""
    model = net(dropout=0.1)
    optimizer = sgd(model)
    for x, y in loader():
        x = x.clone().requires_grad_()
        F.cross_entropy(model(x), y).backward()
        assert x.grad is not None
        attacked = (x + 0.1 * x.grad.sign()).detach()
        optimizer.zero_grad()
        F.cross_entropy(model(attacked), y).backward()
        optimizer.step()


@correct
def accumulated_and_clipped_once() -> None:
    model = net()
    optimizer = sgd(model)
    optimizer.zero_grad()
    for index, (x, y) in enumerate(loader(classes(96))):
        (F.cross_entropy(model(x), y) / 4).backward()
        if (index + 1) % 4 == 0:
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()


@correct
def dropout_at_test_time() -> None:
    """Monte Carlo: dropout alone is switched on again to evaluate."""
    model = net(dropout=0.3)
    fit(model, sgd(model), loader())
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.no_grad():
        for x, _ in loader():
            torch.stack([model(x) for _ in range(4)]).mean(0)


@correct
def regression_of_columns() -> None:
    """[N, 1] against [N, 1], and training accuracy over the training data beside a held-out one."""
    model, train, held_out = net(1), loader(numbers()), loader(numbers())
    optimizer = sgd(model, 0.01)
    for _ in range(2):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y.unsqueeze(1)).backward()
            optimizer.step()
        with torch.no_grad():
            for batches in (train, held_out):
                sum(float(F.mse_loss(model(x).squeeze(1), y)) for x, y in batches)


@correct
def one_prediction_for_several_targets() -> None:
    """[N, 1] is spread on purpose over targets [N, 3]."""
    model = net(1)
    optimizer = sgd(model, 0.01)
    for x, _ in loader():
        optimizer.zero_grad()
        F.mse_loss(model(x).expand(-1, 3), x[:, :3]).backward()
        optimizer.step()


@correct
def head_first_and_body_later() -> None:
    """Two optimizers that always step; the body is frozen in the first epoch."""
    model = net()
    model[0].requires_grad_(False)
    optimizers = [sgd(model[3]), sgd(model[0])]
    for epoch in range(2):
        model[0].requires_grad_(epoch == 1)
        for x, y in loader():
            for optimizer in optimizers:
                optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
