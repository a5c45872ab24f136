"""Each epoch trains on every sample exactly once, whatever is switched when."""

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.engine import zoo
from tests.engine.runs import Recipe, tiny_targets, train

SAMPLES, BATCH, EPOCHS = 37, 8, 3  # the last batch of an epoch holds 5
STEPS = 15


switch = st.sampled_from(["shuffle=on", "shuffle=off", "overfit=on", "overfit=off", "overfit=keep"])


@pytest.mark.parametrize("shuffle", [True, False])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.lists(st.tuples(st.integers(0, STEPS + 10), switch), max_size=10))
@example(at=[])
@example(at=[(2, "shuffle=off"), (3, "shuffle=on"), (4, "shuffle=off")])
@example(at=[(5, "shuffle=off"), (10, "shuffle=on")])
@example(at=[(3, "overfit=on"), (4, "shuffle=on"), (5, "shuffle=off"), (6, "overfit=off")])
@example(at=[(4, "overfit=on"), (8, "overfit=keep"), (9, "overfit=on"), (12, "overfit=off")])
def test_every_sample_comes_once_an_epoch(shuffle: bool, at: list[tuple[int, str]]) -> None:
    diary: list[list[int]] = []

    class Noting(nn.Module):
        """Notes which samples it is trained on: each sample's one feature is its number."""

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, zoo.CLASSES)

        def forward(self, numbers: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                diary.append(numbers[:, 0].round().int().tolist())
            logits: Tensor = self.head(numbers / SAMPLES)
            return logits

    numbers = torch.arange(SAMPLES, dtype=torch.float32)[:, None]
    recipe = Recipe(
        model=Noting, inputs=numbers, targets=tiny_targets(SAMPLES), batch_size=BATCH, epochs=EPOCHS, shuffle=shuffle
    )
    training = recipe.make()
    training.prepare.enabled = False
    steps = train(training, at).news.steps
    assert len(steps) == len(diary)
    own = [(step.epoch, samples) for step, samples in zip(steps, diary, strict=True) if not step.overfit]
    for epoch in range(1, EPOCHS + 1):
        batches = [samples for at_epoch, samples in own if at_epoch == epoch]
        assert sorted(sample for batch in batches for sample in batch) == list(range(SAMPLES)), f"epoch {epoch}"
        assert [len(batch) for batch in batches] == [8, 8, 8, 8, 5]
    for index in range(1, len(steps)):
        if steps[index - 1].overfit:
            assert diary[index] == diary[index - 1], "the held batch again and again, then once as the run's own"
