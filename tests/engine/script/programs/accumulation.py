# ruff: noqa
# mypy: ignore-errors
"""Gradient accumulation under autocast, with a gradient scaler that has to skip steps, on the CPU."""

import torch
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ACCUMULATE = 4


class Trainer:
    def __init__(self, model, loader):
        self.model, self.loader = model, loader
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0 / (1 + step))
        self.global_step = 0
        self.losses = []

    def run_epoch(self):
        self.model.train()
        for i, (x, y) in enumerate(self.loader):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(self.model(x), y) / ACCUMULATE
            self.scaler.scale(loss).backward()
            self.losses.append(loss.item())
            print("micro", loss.item())
            if (i + 1) % ACCUMULATE == 0 or i + 1 == len(self.loader):
                self.scaler.unscale_(self.optimizer)
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.scaler.step(self.optimizer)
                scale = self.scaler.get_scale()
                self.scaler.update()
                print("stepped" if self.scaler.get_scale() >= scale else "skipped")
                self.optimizer.zero_grad(set_to_none=True)
                self.global_step += 1
                if self.global_step % 2 == 0:
                    self.scheduler.step()


torch.manual_seed(5)
data = TensorDataset(50 * torch.randn(110, 5), torch.randint(0, 3, (110,)))
trainer = Trainer(nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)), DataLoader(data, 10, shuffle=True))
for _ in range(5):
    trainer.run_epoch()
print("steps", trainer.global_step, "scale", trainer.scaler.get_scale(), "losses", len(trainer.losses))
say_weights(trainer.model, trainer.optimizer, trainer.scaler, trainer.scheduler)
