# ruff: noqa
# mypy: ignore-errors
"""A loop of Hugging Face's Accelerate: everything goes through prepare(), gradients are accumulated and clipped."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def training_function():
    set_seed(31)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    x, y = torch.randn(128, 6), torch.randint(0, 3, (128,))
    train_dataloader = DataLoader(TensorDataset(x[:96], y[:96]), shuffle=True, batch_size=8)
    eval_dataloader = DataLoader(TensorDataset(x[96:], y[96:]), batch_size=16)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(params=model.parameters(), lr=0.01)
    lr_scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=20)
    model, optimizer, train_dataloader, eval_dataloader, lr_scheduler = accelerator.prepare(
        model, optimizer, train_dataloader, eval_dataloader, lr_scheduler
    )
    for epoch in range(3):
        model.train()
        for step, (inputs, labels) in enumerate(train_dataloader):
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(inputs), labels)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                lr_scheduler.step()
                optimizer.zero_grad()
        model.eval()
        correct = 0
        for inputs, labels in eval_dataloader:
            with torch.no_grad():
                predictions = model(inputs).argmax(dim=-1)
            predictions, references = accelerator.gather_for_metrics((predictions, labels))
            correct += (predictions == references).sum().item()
        accelerator.print(f"epoch {epoch}: {correct}/32")
    say_weights(accelerator.unwrap_model(model), optimizer, lr_scheduler)


if __name__ == "__main__":
    training_function()
