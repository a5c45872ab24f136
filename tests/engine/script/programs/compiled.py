# ruff: noqa
# mypy: ignore-errors
"""A compiled model, loss and all, whose graph must stay whole; prints of what nodes each graph was made."""

import torch
from digest import say_weights
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional as F
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 2))
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x, y):
        logits = self.layers(x)
        return (cross_entropy(logits, y) + F.cross_entropy(logits, y) + self.criterion(logits, y)) / 3


graphs = []


def counting(graph, inputs):
    graphs.append([node.name for node in graph.graph.nodes])
    return graph.forward


torch.manual_seed(6)
model = torch.compile(Net(), fullgraph=True, backend=counting)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,))), batch_size=8, shuffle=True)
for _ in range(3):
    for x, y in loader:
        optimizer.zero_grad()
        model(x, y).backward()
        optimizer.step()
print(len(graphs), "graphs", graphs, dict(counters["stats"]), "breaks", dict(counters["graph_break"]))
say_weights(model, optimizer)
