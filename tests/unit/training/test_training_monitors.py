"""The monitors: RankMe against a float64 decomposition, the others against loops over pairs."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from nearfar.core.types import Batch, StepResult
from nearfar.training.monitors import (
    MONITORS,
    MOST_ROWS,
    MOST_STEPS,
    Monitor,
    effective_rank,
    pairs,
    rows_wanted,
    spread,
)
from nearfar.training.observers import Step


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def step(h: Tensor, z: Tensor | None = None) -> Step:
    none = torch.zeros(h.shape[1], dtype=torch.int64)
    batch = Batch((h,), none, none, none, seed=0, epoch=0, progress=0.0)
    return Step(batch, StepResult(torch.zeros(()), h, z), 0.0, 0.0)


def rank_me(rows: Tensor) -> float:
    """Eq. 1 of arXiv:2210.02885, slowly."""
    singular = torch.linalg.svd(rows.double(), full_matrices=False).S.tolist()
    shares = [value / sum(singular) + 1e-7 for value in singular]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("shape", [(300, 20), (20, 300), (64, 64), (1, 5)])
def test_the_effective_rank_is_rank_me_s(shape):
    rows = random(*shape) * torch.logspace(0, -3, shape[1])
    assert effective_rank(rows) == pytest.approx(rank_me(rows), rel=1e-5)
    # as they are, not centered
    assert effective_rank(rows + 5) == pytest.approx(rank_me(rows + 5), rel=1e-5)


def test_the_effective_rank_of_known_rows():
    basis = torch.linalg.qr(random(512, 512).double())[0].float()
    assert effective_rank(basis) == pytest.approx(512.14, abs=0.005)
    assert effective_rank(random(600, 1) * random(1, 512, seed=1)) == pytest.approx(
        1.0008, abs=1e-4
    )
    assert effective_rank(torch.zeros(10, 4)) == 1.0


def test_the_spread_of_known_rows():
    assert spread(random(4, 2000, 32)) == pytest.approx(1.0, abs=0.01)
    assert spread(torch.ones(2, 50, 32)) == pytest.approx(0.0, abs=1e-6)
    assert spread(torch.zeros(2, 50, 32)) == 0.0
    assert spread(100 * random(2, 50, 32)) == pytest.approx(spread(random(2, 50, 32)))


def test_pairs_agree_with_a_loop_over_them():
    z = random(3, 7, 5).double()
    unit = (z / z.norm(dim=-1, keepdim=True)).tolist()

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    rows = [(v, i) for v in range(3) for i in range(7)]
    cosines = {
        (a, b): cosine(unit[a[0]][a[1]], unit[b[0]][b[1]])
        for a, b in itertools.combinations(rows, 2)
    }
    positive = [c for (a, b), c in cosines.items() if a[1] == b[1]]
    others = [c for (a, b), c in cosines.items() if a[1] != b[1]]
    of_view = [
        [math.exp(4 * c - 4) for (a, b), c in cosines.items() if a[0] == b[0] == v]
        for v in range(3)
    ]
    assert pairs(z) == pytest.approx(
        {
            "alignment": sum(2 - 2 * c for c in positive) / len(positive),
            "uniformity": sum(math.log(sum(each) / len(each)) for each in of_view) / 3,
            "cosine_positive": sum(positive) / len(positive),
            "cosine_random": sum(others) / len(others),
        },
        rel=1e-4,
    )


def test_what_cannot_be_had_is_left_out():
    assert set(pairs(random(1, 7, 5))) == {"uniformity", "cosine_random"}
    assert set(pairs(random(2, 1, 5))) == {"alignment", "cosine_positive"}
    assert Monitor().row() == {}
    monitor = Monitor()
    monitor.see(step(random(2, 6, 5)))
    assert set(monitor.row()) == set(MONITORS) - {"projection_std"}


def test_pairs_are_the_projection_s_where_there_is_one():
    monitor, h, z = Monitor(), random(2, 6, 5), random(2, 6, 4, seed=1)
    monitor.see(step(h, z))
    row = monitor.row()
    assert set(row) == set(MONITORS)
    assert row["alignment"] == pairs(z)["alignment"]
    assert (row["feature_std"], row["projection_std"]) == (spread(h), spread(z))
    assert row["effective_rank"] == effective_rank(h.flatten(0, 1))


@pytest.mark.parametrize("of", ["h", "z"])
def test_rows_that_are_not_finite_give_no_numbers(of):
    monitor = Monitor()
    spoilt = random(2, 6, 5)
    spoilt[1, 2, 3] = float("nan")
    monitor.see(step(spoilt, random(2, 6, 5)) if of == "h" else step(random(2, 6, 5), spoilt))
    assert monitor.row() == {}


def test_the_newest_rows_count_and_older_ones_are_let_go():
    monitor = Monitor()
    for number in range(50):
        monitor.see(step(random(2, 6, 5, seed=number)))
    kept = -(-rows_wanted(5) // 12)
    newest = torch.cat(
        [random(2, 6, 5, seed=number).flatten(0, 1) for number in range(50 - kept, 50)]
    )
    assert len(monitor._kept) == kept
    row = monitor.row()
    assert row["effective_rank"] == pytest.approx(effective_rank(newest[-rows_wanted(5) :]))
    compared = [
        spread(random(2, 6, 5, seed=number)) for number in range(50 - min(kept, MOST_STEPS), 50)
    ]
    assert row["feature_std"] == pytest.approx(sum(compared) / len(compared))


def test_a_point_that_moves_from_step_to_step_is_still_one_point():
    monitor = Monitor()
    for number in range(8):
        monitor.see(step(random(1, 1, 16, seed=number).expand(2, 6, 16)))
    row = monitor.row()
    assert row["feature_std"] == pytest.approx(0.0, abs=1e-6)
    assert row["cosine_random"] == pytest.approx(1.0)


def test_a_large_batch_is_cut_and_its_storage_let_go():
    monitor, h = Monitor(), random(2, 5000, 64)
    monitor.see(step(h))
    kept = monitor._kept[0][0]
    assert kept.shape == (2, MOST_ROWS // 2, 64)
    assert kept.untyped_storage().nbytes() == kept.numel() * 4
    assert monitor.row()["effective_rank"] == pytest.approx(
        effective_rank(h[:, : MOST_ROWS // 2].flatten(0, 1)[-512:])
    )


def test_looking_takes_no_gradient_and_no_randomness():
    before = torch.get_rng_state()
    h = random(2, 6, 5).requires_grad_()
    monitor = Monitor()
    monitor.see(step(h * 2, h * 3))
    assert not any(
        kept.requires_grad for pair in monitor._kept for kept in pair if kept is not None
    )
    monitor.row()
    assert torch.equal(before, torch.get_rng_state())
