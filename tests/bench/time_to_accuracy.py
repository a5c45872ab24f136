"""Time to 99.0 % of MNIST: `tuitrain mnist --epochs 1` against the recipe of PyTorch's own MNIST example.

    python tests/bench/time_to_accuracy.py --data-dir DATA [--target 0.990] [--max-epochs 6] [--out FILE]

Each side is a process of its own, one after the other, and its whole wall time counts: imports, reading the
data, training, validation after each epoch. DATA holds MNIST/raw; tuitrain must be installed. The example
takes minutes an epoch on a small CPU; run this where nothing else runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

    Loader = DataLoader[Any]

BATCH = 64
VALIDATION_BATCH = 1000
MEAN, STD = 0.1307, 0.3081
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one side took."""

    recipe: str
    accuracies: list[float]
    """Validation accuracy, 0 to 1, after each epoch."""
    wall_s: float
    """From the start of the process to its end."""
    reached: bool
    """Whether the last accuracy is at least the target."""


def train_classic(data_dir: Path, target: float, max_epochs: int) -> None:
    """Train the example's recipe until `target` or `max_epochs`; prints one JSON object a validation."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.optim.lr_scheduler import StepLR

    from tuitrain.engine.models import ClassicCNN

    torch.manual_seed(SEED)
    train, validation = _classic_loaders(data_dir)
    model = ClassicCNN()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, max_epochs + 1):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
        accuracy = _accuracy(model, validation)
        print(json.dumps({"event": "validation", "epoch": epoch, "accuracy": accuracy}), flush=True)
        if accuracy >= target:
            return


def _classic_loaders(data_dir: Path) -> "tuple[Loader, Loader]":
    """The example's loaders on a CPU; shuffled, which it leaves out there, for that is in its favour."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]  # type: ignore[no-untyped-call]
    transform = transforms.Compose(steps)  # type: ignore[no-untyped-call]
    train = datasets.MNIST(data_dir, train=True, transform=transform)
    validation = datasets.MNIST(data_dir, train=False, transform=transform)
    return DataLoader(train, BATCH, shuffle=True), DataLoader(validation, VALIDATION_BATCH)


def _accuracy(model: "nn.Module", loader: "Loader") -> float:
    import torch

    model.eval()
    correct = samples = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += int((model(images).argmax(1) == labels).sum())
            samples += len(labels)
    return correct / samples


def measure(recipe: str, command: list[str], target: float) -> Result:
    """Run a side that prints JSON lines, its journal in a scratch folder; CalledProcessError if it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"XDG_STATE_HOME": scratch}
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        wall_s = time.perf_counter() - start
    accuracies = read_accuracies(done.stdout)
    return Result(
        recipe=recipe,
        accuracies=accuracies,
        wall_s=wall_s,
        reached=bool(accuracies) and accuracies[-1] >= target,
    )


def read_accuracies(lines: str) -> list[float]:
    """The accuracies of the validations among JSON lines, in order."""
    events = (json.loads(line) for line in lines.splitlines())
    return [event["accuracy"] for event in events if event["event"] == "validation"]


def table(results: list[Result]) -> str:
    """The results as aligned text."""
    rows = [f"{'recipe':<24}{'epochs':>7}{'accuracy':>10}{'wall time':>11}  target"]
    for result in results:
        accuracy = f"{100 * result.accuracies[-1]:.2f} %" if result.accuracies else "none"
        reached = "reached" if result.reached else "missed"
        counts = f"{len(result.accuracies):>7}{accuracy:>10}{result.wall_s:>9.1f} s"
        rows.append(f"{result.recipe:<24}{counts}  {reached}")
    return "\n".join(rows)


def compare(data_dir: Path, target: float, max_epochs: int) -> list[Result]:
    """Both sides, one after the other: tuitrain first, so that it pays for reading the files from disk."""
    ours = [sys.executable, "-m", "tuitrain", "mnist", "--epochs", "1", "--headless", "--json"]
    classic = [sys.executable, __file__, "--side", "classic", "--target", str(target)]
    data = ["--data-dir", str(data_dir)]
    return [
        measure("tuitrain mnist", [*ours, *data], target),
        measure("classic example", [*classic, *data, "--max-epochs", str(max_epochs)], target),
    ]


def main() -> int:
    """Compare, print, write; 1 if tuitrain missed the target, for then its time says nothing."""
    parser = argparse.ArgumentParser(description="Time to an accuracy: tuitrain against the example.")
    parser.add_argument("--data-dir", type=Path, required=True, help="directory that holds MNIST/raw")
    parser.add_argument("--target", type=float, default=0.990, help="validation accuracy, 0 to 1 [0.990]")
    parser.add_argument("--max-epochs", type=int, default=6, help="give the example up after so many [6]")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--side", choices=["both", "classic"], default="both", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "classic":
        train_classic(options.data_dir, options.target, options.max_epochs)
        return 0
    ours, classic = results = compare(options.data_dir, options.target, options.max_epochs)
    ratio = classic.wall_s / ours.wall_s if ours.reached else None
    print(table(results))
    if ratio is not None:
        print(f"{'' if classic.reached else 'more than '}{ratio:.1f} times faster on {os.cpu_count()} cores")
    if options.out:
        figures = {"target": options.target, "cores": os.cpu_count(), "ratio": ratio}
        figures["results"] = [asdict(result) for result in results]
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if ours.reached else 1


if __name__ == "__main__":
    sys.exit(main())
