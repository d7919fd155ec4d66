"""R ranks with B samples each are one rank with R x B: in the loss, and in every gradient after
DDP's averaging.
"""

import pytest
from rank_cases import CASES, PATHS, alone, together

pytestmark = pytest.mark.ci
N_CASES = 68  # what was walked when this was written
NAMES = [f"{path}: {name}" for path in PATHS for name in CASES]


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"ranks{request.param}")
    return alone(request.param), together(request.param, folder)


def test_every_case_is_walked(ranks):
    whole, parts = ranks
    assert len(CASES) == N_CASES
    assert all(list(part) == NAMES for part in [whole, *parts])


@pytest.mark.parametrize("name", NAMES)
def test_ranks_agree_with_one(ranks, name):
    whole, parts = ranks
    loss, gradients = whole[name]
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    for part in parts:
        assert float((part[name][0] - loss).abs()) <= 1e-9 * float(loss.abs())
        for ours, known in zip(part[name][1], gradients, strict=True):
            assert float((ours - known).abs().max()) <= 1e-9 * largest


def test_the_cases_have_gradients_to_compare(ranks):
    whole, _ = ranks
    still = {
        name for name, (_, gradients) in whole.items() if not any(bool(g.any()) for g in gradients)
    }
    refusals = ("sup_con refuses on every rank", "sup_con refuses what is spoilt on one rank")
    assert still == {f"{path}: {name}" for path in PATHS for name in refusals}
    assert all(float(whole[name][0]) == 42 for name in still)
