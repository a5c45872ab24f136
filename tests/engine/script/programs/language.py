# ruff: noqa
# mypy: ignore-errors
"""A recurrent language model: the hidden state is carried from batch to batch, gradients are clipped, lr is annealed."""

import torch
from digest import say_weights
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

TOKENS, BPTT, BATCH = 20, 8, 4


class RNNModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(TOKENS, 12)
        self.rnn = nn.LSTM(12, 12)
        self.drop = nn.Dropout(0.2)
        self.decoder = nn.Linear(12, TOKENS)

    def forward(self, tokens, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(tokens)), hidden)
        return self.decoder(self.drop(output)).view(-1, TOKENS), hidden


def repackage_hidden(h):
    return h.detach() if isinstance(h, torch.Tensor) else tuple(repackage_hidden(v) for v in h)


def main():
    torch.manual_seed(3)
    data = torch.randint(0, TOKENS, (BPTT * 12 + 1, BATCH))
    inputs = data[:-1].view(12, BPTT, BATCH)
    targets = data[1:].view(12, BPTT, BATCH)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=None)
    model, criterion = RNNModel(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for epoch in range(3):
        model.train()
        hidden = (torch.zeros(1, BATCH, 12), torch.zeros(1, BATCH, 12))
        total_loss, batches = 0.0, 0
        for tokens, target in loader:
            hidden = repackage_hidden(hidden)
            optimizer.zero_grad()
            output, hidden = model(tokens, hidden)
            loss = criterion(output, target.reshape(-1))
            loss.backward()
            clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            total_loss += loss.item()
            batches += 1
        print(f"epoch {epoch} loss {total_loss / batches:.6f} after {batches} batches")
        for group in optimizer.param_groups:
            group["lr"] /= 2.0
    say_weights(model, optimizer)


main()
