# ruff: noqa
# mypy: ignore-errors
"""Training of which little can be seen; the first argument says how."""

import sys

import torch
from digest import say_weights
from torch import multiprocessing, nn
from torch.func import functional_call, grad

torch.manual_seed(4)
how = sys.argv[1]
model = nn.Linear(3, 2)
x, y = torch.randn(8, 3), torch.randint(0, 2, (8,))


def loss_of(parameters):
    return nn.functional.cross_entropy(functional_call(model, parameters, (x,)), y)


def hogwild(shared):
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(shared(x), y).backward()
        optimizer.step()


match how:
    case "manual":
        for _ in range(30):
            model.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            for p in model.parameters():
                p.data.add_(p.grad, alpha=-0.1)
    case "style":
        picture = torch.zeros(8, 3, requires_grad=True)
        optimizer = torch.optim.Adam([picture], lr=0.1)
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(picture), y).backward()
            optimizer.step()
        print("picture", picture.sum().item())
    case "functional":
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        for _ in range(30):
            gradients = grad(loss_of)(parameters)
            parameters = {name: p - 0.1 * gradients[name] for name, p in parameters.items()}
        model.load_state_dict(parameters)
    case "hogwild":
        model.share_memory()
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=hogwild, args=(model,))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
say_weights(model)
