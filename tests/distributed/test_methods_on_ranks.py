"""Two ranks train each method as one does: losses, gradients after DDP's averaging, targets, queues
and centers.
"""

import pytest
import torch
from method_cases import CASES, STEPS, alone, together

from nearfar.methods import METHODS

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return alone(), together(tmp_path_factory.mktemp("methods"))


def test_every_method_is_walked(ranks):
    whole, parts = ranks
    assert {case.method for case in CASES.values()} == set(METHODS)
    assert all(set(found) == set(CASES) for found in [whole, *parts])


@pytest.mark.parametrize("name", list(CASES))
def test_two_ranks_train_as_one(ranks, name):
    whole, parts = ranks
    steps, state = whole[name]
    assert len(steps) == STEPS
    for ours, own_state in (part[name] for part in parts):
        for (loss, chance, gradient), (known_loss, known_chance, known) in zip(
            ours, steps, strict=True
        ):
            assert bool(known.any())
            assert float((loss - known_loss).abs()) <= 1e-8 * max(1.0, float(known_loss.abs()))
            assert float(chance) == pytest.approx(float(known_chance))
            assert float((gradient - known).abs().max()) <= 1e-7 * float(known.abs().max())
        assert own_state.keys() == state.keys()
        for key, value in state.items():
            assert torch.allclose(own_state[key].double(), value.double(), rtol=1e-7, atol=1e-9), (
                key
            )
