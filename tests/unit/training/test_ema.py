"""The moving average of weights."""

import numpy as np
import pytest
import torch
from torch import nn

from clickgrain.training.loop import MovingAverage


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_against_numpy(decay):
    """Memory grows as (1 + k) / (10 + k) up to the decay."""
    rng = np.random.default_rng(0)
    model = nn.Linear(3, 2)
    average = MovingAverage(model, decay)
    expected = model.weight.detach().numpy().astype(np.float64)
    for step in range(30):
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(rng.normal(size=(2, 3))))
        average.update(model, step)
        keep = min(decay, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * model.weight.detach().numpy()
    np.testing.assert_allclose(average.weights["weight"], expected, rtol=1e-5, atol=1e-6)


def test_without_memory_it_is_the_weights():
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.0)
    nn.init.normal_(model.weight)
    average.update(model, 5)
    assert torch.equal(average.weights["weight"], model.weight)


def test_it_is_a_copy_that_carries_no_gradient():
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.9)
    before = average.weights["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(average.weights["weight"], before)
    assert not average.weights["weight"].requires_grad


def test_whole_numbers_are_copied():
    """Counters of a batch norm cannot be averaged."""
    model = nn.BatchNorm1d(3)
    average = MovingAverage(model, 0.9)
    model(torch.rand(4, 3))
    average.update(model, 0)
    assert average.weights["num_batches_tracked"].item() == 1


def test_it_goes_on_from_saved_weights():
    model = nn.Linear(3, 2)
    one, two = MovingAverage(model, 0.9), MovingAverage(nn.Linear(3, 2), 0.9)
    one.update(nn.Linear(3, 2), 50)
    two.load(one.weights)
    for average in (one, two):
        average.update(model, 51)
    assert all(map(torch.equal, one.weights.values(), two.weights.values()))
