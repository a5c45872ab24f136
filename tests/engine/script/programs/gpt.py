# ruff: noqa
# mypy: ignore-errors
"""A tiny GPT with batches of its own making, no DataLoader, and a learning rate that it sets itself.

With --batches its loop is the one that lets a batch be held.
"""

import math
import sys

import torch
import torch.nn as nn
from digest import say_weights
from torch.nn import functional as F

batch_size, block_size, max_iters, eval_interval = 4, 8, 24, 8
torch.manual_seed(1337)
data = torch.randint(0, 16, (400,))
train_data, val_data = data[:360], data[360:]


class Block(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.qkv, self.proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))

    def forward(self, x):
        q, k, v = self.qkv(self.ln1(x)).chunk(3, dim=-1)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, n_embd=16):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(16, n_embd), nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(Block(n_embd), Block(n_embd))
        self.head = nn.Linear(n_embd, 16, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, idx, targets):
        x = self.blocks(self.wte(idx) + self.wpe(torch.arange(idx.shape[1])))
        return F.cross_entropy(self.head(x).view(-1, 16), targets.view(-1))


def get_batch(split):
    source = train_data if split == "train" else val_data
    ix = torch.randint(len(source) - block_size, (batch_size,))
    x = torch.stack([source[i : i + block_size] for i in ix])
    return x, torch.stack([source[i + 1 : i + block_size + 1] for i in ix])


@torch.no_grad()
def estimate_loss():
    model.eval()
    losses = [model(*get_batch("val")).item() for _ in range(3)]
    model.train()
    return sum(losses) / len(losses)


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def train(it, x, y):
    for group in optimizer.param_groups:
        group["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * it / max_iters))
    if it % eval_interval == 0:
        print(f"step {it}: val loss {estimate_loss():.6f}")
    loss = model(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


if "--batches" in sys.argv:
    import tuitrain

    for it, (x, y) in enumerate(tuitrain.batches(lambda: get_batch("train"), max_iters)):
        train(it, x, y)
else:
    for it in range(max_iters):
        train(it, *get_batch("train"))
say_weights(model, optimizer)
