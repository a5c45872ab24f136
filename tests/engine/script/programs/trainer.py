# ruff: noqa
# mypy: ignore-errors
"""A Lightning module, fitted by a Trainer: the loop, the closures and the clipping are Lightning's."""

import logging
import sys
import warnings

warnings.filterwarnings("ignore", module="lightning|torch")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

import lightning as L
import torch
import torch.nn.functional as F
from digest import say_weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class LitClassifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", F.cross_entropy(self.net(x), y))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]


def main():
    L.seed_everything(21, verbose=False)
    x, y = torch.randn(128, 6), torch.randint(0, 3, (128,))
    train_loader = DataLoader(TensorDataset(x[:96], y[:96]), batch_size=16, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[96:], y[96:]), batch_size=16)
    model = LitClassifier()
    trainer = L.Trainer(
        max_epochs=4,
        accelerator="cpu",
        gradient_clip_val=0.5 if "clips" in sys.argv else None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train_loader, val_loader)
    print("steps", trainer.global_step, "val_loss", trainer.callback_metrics["val_loss"].item())
    say_weights(model, trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler)


if __name__ == "__main__":
    main()
