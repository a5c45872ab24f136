"""A script as people write them, with two of the usual mistakes: what `tuitrain run` shows of it is a screenshot."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Points [B, 2] to the logits of three spirals [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 64)
        self.layers = [nn.Linear(64, 64) for _ in range(2)]  # a mistake: no nn.ModuleList
        self.head = nn.Linear(64, 3)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """The logits."""
        hidden = torch.tanh(self.first(points))
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        logits: torch.Tensor = self.head(hidden)
        return logits


def spirals(count: int) -> TensorDataset:
    """Points on three arms, with noise, and the arm of each."""
    arm = torch.arange(count) % 3
    radius = torch.rand(count)
    angle = 4 * radius + 2.1 * arm + 0.15 * torch.randn(count)
    return TensorDataset(torch.stack([radius * angle.sin(), radius * angle.cos()], 1) * 2, arm)


def main() -> None:
    """Train for ever."""
    torch.manual_seed(0)
    train, held_out = DataLoader(spirals(3000), 32, shuffle=True), DataLoader(spirals(600), 200)
    model, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(1, 1000):
        model.train()
        for points, arms in train:
            loss = criterion(model(points), arms)
            loss.backward()  # a mistake: no zero_grad()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            correct = sum(int((model(points).argmax(1) == arms).sum()) for points, arms in held_out)
            losses = [criterion(model(points), arms).item() for points, arms in held_out]
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.3f}, {100 * correct / 600:.1f} % right")


if __name__ == "__main__":
    main()
