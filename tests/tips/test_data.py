"""Tip 2 on real runs: what is measured is what the model received, and what the toggles change, when."""

import math
from collections import Counter
from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.tips.conftest import MakeRun
from tests.tips.small_run import BATCH, CLASSES, SAMPLES, SmallRun, features, perceptron
from tuitrain.record.events import Rejected, Switches
from tuitrain.tips.data import Normalisation, Shuffling


class Pixels(nn.Module):
    """Classifies whatever shape, by the mean over all but the batch and the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs.flatten(2).mean(2))
        return logits


class Tokens(nn.Module):
    """Predicts a class for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(CLASSES, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.table(tokens)
        return logits


def tokens() -> tuple[Tensor, Tensor]:
    return torch.arange(SAMPLES * 5).view(SAMPLES, 5) % CLASSES, torch.arange(SAMPLES * 5).view(SAMPLES, 5) % 3


def sorted_features() -> tuple[Tensor, Tensor]:
    inputs, targets = features()
    return inputs, targets.sort().values


# ---------------------------------------------------------------------- normalise


@pytest.mark.parametrize("normalise", [False, True])
def test_mean_and_std_are_those_of_what_the_model_received(make_run: MakeRun, normalise: bool) -> None:
    run = make_run(perceptron(), features(), normalise=normalise)
    run.epoch()
    last = run.in_training()[-1].inputs.double().numpy()
    expected = {f"channel {i}": f"mean {c.mean():.2g}, std {c.std():.2g}" for i, c in enumerate(last.T[:4])}
    rows = run.report(Normalisation).rows
    assert {name: text.partition(" and ")[0] for name, text in rows.items()} == expected
    assert rows["channel 3"].endswith("and 2 more channels")


def test_images_are_measured_channel_by_channel(make_run: MakeRun) -> None:
    images = torch.randint(0, 256, (SAMPLES, 3, 4, 5), dtype=torch.uint8)
    images[:, 1] //= 4
    run = make_run(Pixels(3), (images, features()[1]))
    run.epoch()
    last = run.in_training()[-1].inputs.double()
    assert run.report(Normalisation).rows == {
        f"channel {i}": f"mean {last[:, i].mean().item():.2g}, std {last[:, i].std(correction=0).item():.2g}"
        for i in range(3)
    }


def test_sequences_are_measured_as_a_whole(make_run: MakeRun) -> None:
    rows = torch.rand(SAMPLES, CLASSES, 7) * 5
    run = make_run(Pixels(CLASSES), (rows, features()[1]))
    run.epoch()
    last = run.in_training()[-1].inputs.double()
    text = f"mean {last.mean().item():.2g}, std {last.std(correction=0).item():.2g}"
    assert run.report(Normalisation).rows == {"channel 0": text}


def test_large_numbers_are_written_out(make_run: MakeRun) -> None:
    inputs, targets = features()
    run = make_run(perceptron(), (inputs.sign() * 2000 + 500, targets))
    run.epoch()
    last = run.in_training()[-1].inputs[:, 0]
    text = f"mean {last.mean().item():,.0f}, std {last.std(correction=0).item():,.0f}"
    assert run.report(Normalisation).rows["channel 0"] == text
    assert "e+" not in run.report(Normalisation).summary


def test_the_verdict_turns_when_it_is_switched_on(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features())
    assert run.report(Normalisation).verdict == "unknown"
    run.epoch()
    assert run.report(Normalisation).verdict == "warning"
    run.tell("normalise=on")
    run.epoch()
    assert run.report(Normalisation).verdict == "good"


def test_the_toggle_acts_on_the_next_batch_in_training_and_in_validation(make_run: MakeRun) -> None:
    inputs, _ = data = features()
    normal = (inputs - inputs.mean(0)) / inputs.std(0, correction=0)
    run = make_run(perceptron(), data, at=[(1, "normalise=on"), (3, "normalise=off"), (5, "normalise=on")])
    run.epoch()
    run.epoch()
    for received in run.in_training():
        first = received.executed % (SAMPLES // BATCH) * BATCH
        expected = normal if received.executed in {1, 2, 5, 6, 7} else inputs
        torch.testing.assert_close(received.inputs, expected[first : first + BATCH])
    raw, normalised = run.in_validation()
    torch.testing.assert_close(raw.inputs, inputs)
    torch.testing.assert_close(normalised.inputs, normal)


def test_token_ids_are_not_normalised_and_it_says_why(make_run: MakeRun) -> None:
    run = make_run(Tokens(), tokens(), at=[(1, "normalise=on")])
    run.epoch()
    (rejected,) = run.said(Rejected)
    assert "token ids" in rejected.reason
    assert run.said(Switches)[-1].values["normalise"] is False
    assert run.report(Normalisation)[:2] == ("unknown", "does not apply")


# ---------------------------------------------------------------------- shuffle


def naive_rows(batch: list[int], all_labels: list[int]) -> dict[str, str]:
    counts = Counter(batch)
    return {
        "labels": f"{len(counts)} of {len(set(all_labels))} classes in a batch of {len(batch):,}",
        "entropy": f"{naive_entropy(batch):.2f} of {naive_entropy(all_labels):.2f} bits",
        "longest run": f"{max(len(list(run)) for _, run in groupby(batch)):,} equal labels in a row",
        "commonest": f"{100 * max(counts.values()) / len(batch):.0f} % of the batch",
    }


def naive_entropy(labels: list[int]) -> float:
    shares = [count / len(labels) for count in Counter(labels).values()]
    return -sum(share * math.log2(share) for share in shares) + 0.0


@pytest.mark.parametrize("data", [features(), sorted_features()], ids=["in turn", "sorted"])
def test_labels_are_measured_on_the_batch_that_the_model_received(
    make_run: MakeRun, data: tuple[Tensor, Tensor]
) -> None:
    run = make_run(perceptron(), data)
    run.epoch()
    assert run.report(Shuffling).rows == naive_rows(run.targets[-1].tolist(), data[1].tolist())


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return SmallRun(tmp_path_factory.mktemp("labelled"), perceptron(), features())


@given(batch=st.lists(st.integers(-3, 12), min_size=1, max_size=40))
def test_any_batch_of_labels_is_measured_right(labelled_run: SmallRun, batch: list[int]) -> None:
    run = labelled_run
    run.tip(Shuffling).on_batch(torch.zeros(len(batch), 1), torch.tensor(batch))
    run.probe.scalars.flush(wait=True)
    verdict, _, rows = run.report(Shuffling)
    assert rows == naive_rows(batch, features()[1].tolist())
    possible = min(math.log2(CLASSES), math.log2(len(batch)))
    margin = naive_entropy(batch) - 0.5 * possible
    if len(batch) < 8:
        assert verdict == "unknown"
    elif abs(margin) > 1e-9:
        assert verdict == ("good" if margin > 0 else "bad")


def test_sorted_labels_are_told_and_shuffling_mixes_them(make_run: MakeRun) -> None:
    run = make_run(perceptron(), sorted_features())
    assert run.report(Shuffling)[:2] == ("unknown", "no batch seen yet")
    run.epoch()
    assert run.report(Shuffling)[:2] == ("bad", "labels not mixed: press s")
    run.tell("shuffle=on")
    run.epoch()
    assert run.report(Shuffling)[:2] == ("good", "labels mixed")
    run.tell("shuffle=off")
    run.epoch()
    assert run.report(Shuffling).verdict == "bad"


def test_the_toggle_acts_on_the_next_batch_and_every_sample_still_comes_once(make_run: MakeRun) -> None:
    data = sorted_features()
    run = make_run(perceptron(), data, at=[(2, "shuffle=on")])
    run.epoch()
    batches = torch.stack(run.targets).view(-1, BATCH)
    assert batches[:2].flatten().equal(data[1][: 2 * BATCH])
    assert not batches[2].equal(data[1][2 * BATCH : 3 * BATCH])
    assert batches.flatten().sort().values.equal(data[1])


def test_the_labels_of_sequences_are_counted_one_by_one(make_run: MakeRun) -> None:
    data = tokens()
    run = make_run(Tokens(), data)
    run.epoch()
    assert run.report(Shuffling).rows == naive_rows(run.targets[-1].flatten().tolist(), data[1].flatten().tolist())


def test_a_batch_of_few_is_not_judged(make_run: MakeRun) -> None:
    run = make_run(perceptron(), features(), batch_size=2)
    run.epoch()
    assert run.report(Shuffling)[:2] == ("unknown", "2 a batch: too few to judge")


def test_a_batch_is_judged_by_what_so_few_samples_could_hold(make_run: MakeRun) -> None:
    run = make_run(perceptron(), (features()[0], torch.arange(SAMPLES)))
    run.tip(Shuffling).on_batch(torch.zeros(8, 1), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]))  # 2 of 3 bits, of 5 in all
    run.probe.scalars.flush(wait=True)
    assert run.report(Shuffling).verdict == "good"


def test_one_class_alone_cannot_be_unmixed(make_run: MakeRun) -> None:
    inputs, targets = features()
    run = make_run(perceptron(), (inputs, torch.zeros_like(targets)))
    run.epoch()
    assert run.report(Shuffling).verdict == "good"
