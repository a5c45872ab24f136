# ruff: noqa
# mypy: ignore-errors
"""A siamese network: two images go through one net, and what is learned is whether they show the same digit."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from digest import say_weights
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.fc = nn.Sequential(nn.Linear(4 * 9 * 2, 16), nn.ReLU(inplace=True), nn.Linear(16, 1))
        self.cnn.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        return self.cnn(x).flatten(1)

    def forward(self, input1, input2):
        return torch.sigmoid(self.fc(torch.cat((self.forward_once(input1), self.forward_once(input2)), 1)))


class Pairs(Dataset):
    """Draws the second image of each pair at random: from Python's generator and from torch's."""

    def __init__(self, images, targets):
        self.images, self.targets = images, targets
        self.group = {digit: [i for i, y in enumerate(targets.tolist()) if y == digit] for digit in range(4)}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        digit = random.randint(0, 3)
        if index % 2 == 0:
            digit = self.targets[index].item()
        other = self.group[digit][torch.randint(len(self.group[digit]), ()).item()]
        same = float(digit == self.targets[index].item())
        return self.images[index], self.images[other], torch.tensor(same)


def train(model, device, train_loader, optimizer, epoch):
    model.train()
    criterion = nn.BCELoss()
    for batch_idx, (images_1, images_2, targets) in enumerate(train_loader):
        images_1, images_2, targets = images_1.to(device), images_2.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        if batch_idx % 2 == 0:
            print(f"Train Epoch: {epoch} [{batch_idx * len(images_1)}/{len(train_loader.dataset)}] {loss.item():.6f}")


def test(model, device, test_loader):
    model.eval()
    test_loss, correct = 0, 0
    criterion = nn.BCELoss()
    with torch.no_grad():
        for images_1, images_2, targets in test_loader:
            outputs = model(images_1, images_2).squeeze()
            test_loss += criterion(outputs, targets).sum().item()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    print(f"Test set: Average loss: {test_loss / len(test_loader.dataset):.4f}, Accuracy: {correct}")


def main():
    torch.manual_seed(11)
    random.seed(12)
    device = torch.device("cpu")
    images, targets = torch.randn(72, 1, 8, 8), torch.arange(72) % 4
    train_loader = DataLoader(Pairs(images[:48], targets[:48]), batch_size=8, shuffle=True)
    test_loader = DataLoader(Pairs(images[48:], targets[48:]), batch_size=8)
    model = SiameseNetwork().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, 5):
        train(model, device, train_loader, optimizer, epoch)
        test(model, device, test_loader)
        scheduler.step()
    print("random", random.random())
    say_weights(model, optimizer, scheduler)


if __name__ == "__main__":
    main()
