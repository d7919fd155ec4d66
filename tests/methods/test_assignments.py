"""What SwAV, DINO and NNCLR do beside the contract of every method."""

from dataclasses import replace

import pytest
import torch

from nearfar.core.types import Batch, DataFacts
from nearfar.methods.dino import DINO
from nearfar.methods.nnclr import NNCLR
from nearfar.methods.swav import SwAV, default_prototypes
from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder

FACTS = DataFacts("toy", 8, (), (), 0, n_unlabeled=48)


def made(kind, **settings):
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    return kind(encoder, kind.Config(**settings), FACTS).double()


def a_batch(*, progress: float = 0.5, small_views: int = 0, samples: int = 8) -> Batch:
    source = torch.Generator().manual_seed(1)
    index = torch.arange(samples)
    views = [torch.randn(2, samples, 3, 8, 8, generator=source, dtype=torch.float64)]
    if small_views:
        views.append(
            torch.randn(small_views, samples, 3, 12, 12, generator=source, dtype=torch.float64)
        )
    return Batch(
        tuple(views), torch.full_like(index, -1), index, torch.zeros_like(index), 0, 0, progress
    )


def trained(method, batch: Batch, progress: float) -> None:
    optimizer = torch.optim.SGD(method.parameters(), lr=5.0)
    result = method(batch)
    result.loss.backward()
    method.after_backward(progress)
    optimizer.step()
    method.after_step(result.remember, progress)


@pytest.mark.parametrize("kind", [SwAV, DINO])
def test_prototypes_stand_still_until_their_part_of_the_run_has_come(kind):
    method = made(kind, frozen_until=0.25)
    before = method.prototypes.weight.detach().clone()
    trained(method, a_batch(), 0.24)
    assert torch.allclose(method.prototypes.weight, before, atol=1e-15)
    trained(method, a_batch(), 0.25)
    assert not torch.allclose(method.prototypes.weight, before, atol=1e-6)


def test_swav_keeps_its_prototypes_at_length_1():
    method = made(SwAV)
    for _ in range(3):
        trained(method, a_batch(), 0.5)
    assert torch.allclose(
        method.prototypes.weight.norm(dim=1), torch.ones(len(method.prototypes)).double()
    )


def test_swav_looks_at_its_queue_once_it_is_full_and_its_part_of_the_run_has_come():
    method = made(SwAV, queue_size=24, queue_from=0.3)
    without = made(SwAV, queue_size=0)

    def differs(progress: float) -> bool:
        without.load_state_dict(
            {key: value for key, value in method.state_dict().items() if "queue" not in key}
        )
        batch = a_batch(progress=progress)
        return float(method(batch).loss.detach()) != float(without(batch).loss.detach())

    method.after_step(method(a_batch()).remember, 0.5)  # two views of 8 samples: 16 of 24 rows
    assert not differs(0.5)
    method.after_step(method(a_batch()).remember, 0.5)
    assert differs(0.5)
    assert differs(0.3)
    assert not differs(0.29)


def test_prototypes_are_fewer_for_fewer_images():
    assert [default_prototypes(n) for n in (1_281_167, 50_000, 1_150, 1)] == [3000, 596, 90, 3]
    assert len(made(SwAV).prototypes) == 18
    assert len(made(SwAV, prototypes=5).prototypes) == 5
    assert len(made(DINO).prototypes) == 16


@pytest.mark.parametrize("kind", [SwAV, DINO])
def test_views_of_later_groups_predict_and_are_not_predicted(kind):
    """Views of another size, and only those of the first group give assignments."""
    method, batch = made(kind).eval(), a_batch(small_views=3)
    result = method(batch)
    assert result.representation.shape == (5, 8, 64)
    assert result.projection.shape[:2] == (5, 8)
    if kind is SwAV:
        assert result.remember["z"].shape[0] == 2
    views = [batch.views[0], batch.views[1].flip(0)]  # as predictors their order is all the same
    assert float(method(replace(batch, views=tuple(views))).loss.detach()) == pytest.approx(
        float(result.loss.detach())
    )
    exchanged = replace(batch, views=batch.views[::-1])
    assert float(method(exchanged).loss.detach()) != pytest.approx(
        float(result.loss.detach()), rel=1e-6
    )


def test_the_center_is_a_moving_mean_of_what_the_target_said():
    method, batch = made(DINO, center_momentum=0.75), a_batch()
    said = method.target(batch.views).mean(dim=(0, 1))
    method.after_step(method(batch).remember, 0.0)
    assert torch.allclose(method.center, 0.25 * said, atol=1e-7)


def test_nnclr_takes_the_nearest_row_of_its_queue_and_pushes_the_first_view():
    method, batch = made(NNCLR, queue_size=24), a_batch()
    method.queue.push(
        torch.randn(1, 24, method.queue.rows.shape[1]).double(), torch.arange(24) + 100
    )
    z = method(batch).projection.detach()
    distances = torch.cdist(
        torch.nn.functional.normalize(z, dim=-1).flatten(0, 1), method.queue.rows
    )
    expected = method.queue.rows[distances.argmin(dim=1)].view_as(z)
    assert torch.equal(method._neighbors(z), expected)
    method.after_step(method(batch).remember, 0.0)
    assert method.queue.index.tolist() == [*batch.index.tolist(), *range(108, 124)]
    assert torch.allclose(method.queue.rows[:8], torch.nn.functional.normalize(z[0], dim=-1))


def test_a_queue_that_holds_the_projections_themselves_makes_nnclr_a_comparison_of_views():
    """Then each neighbor is the projection itself."""
    method, batch = made(NNCLR, queue_size=8), a_batch()
    z = method(batch).projection.detach()
    method.queue.push(z[:1], batch.index)
    assert torch.allclose(method._neighbors(z)[0], torch.nn.functional.normalize(z[0], dim=-1))
