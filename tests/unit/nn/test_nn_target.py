"""The target network is a copy without gradient that moves only when told to."""

import pytest
import torch
from nn_modules import plain_encoder, random_views
from torch import nn

from nearfar.nn.conv4 import conv4
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import mlp
from nearfar.nn.target import TargetNetwork, rising_momentum


def networks():
    torch.manual_seed(0)
    encoder = plain_encoder()
    projector = mlp(encoder.width, 6, 4, batch_norm=True).double()
    online = nn.ModuleDict({"unlike": nn.Linear(2, 2), "scores": nn.Linear(4, 3).double()})
    online.update({"projector": projector, "encoder": encoder})
    return online, TargetNetwork(encoder, projector, scores=online["scores"])


def shifted(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data += 1


def test_it_begins_as_an_equal_copy_that_shares_no_memory():
    online, target = networks()
    views = random_views(2, 5, 3, 8, 8)
    expected = online["scores"](online["projector"](encode_views(online["encoder"], views)))
    assert torch.equal(target(views), expected)
    shifted(online)
    theirs = dict(online.named_parameters())
    assert len(list(target.parameters())) == len(theirs) - 2  # all but what was not named
    assert not any(torch.equal(mine, theirs[name]) for name, mine in target.named_parameters())


def test_it_gets_no_gradient_and_passes_none():
    _, target = networks()
    assert not any(parameter.requires_grad for parameter in target.parameters())
    assert not target((random_views(2, 5, 3, 8, 8)[0].requires_grad_(),)).requires_grad


@pytest.mark.parametrize(("momentum", "moved"), [(0.0, 1.0), (0.75, 0.25), (1.0, 0.0)])
def test_it_keeps_the_share_of_its_old_value_that_momentum_says(momentum, moved):
    online, target = networks()
    before = [parameter.clone() for parameter in target.parameters()]
    shifted(online)
    target.move(online, momentum=momentum)
    for now, then in zip(target.parameters(), before, strict=True):
        assert torch.allclose(now - then, torch.full_like(now, moved), atol=1e-6)


def test_buffers_of_batch_norm_are_not_averaged_and_move_by_its_own_forward():
    online, target = networks()
    online["projector"][1].running_mean += 3
    target.move(online, momentum=0.5)
    assert not target.projector[1].running_mean.any()
    target.train()
    target(random_views(2, 5, 3, 8, 8))
    assert target.projector[1].running_mean.any()


def test_momentum_rises_by_a_half_cosine_to_one():
    assert [rising_momentum(0.9, p) for p in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.9, 0.95, 1.0], abs=1e-12
    )
    assert rising_momentum(0.9, 1 / 3) == pytest.approx(0.925)


def test_it_normalizes_each_view_alone_where_that_is_asked():
    torch.manual_seed(0)
    encoder = Encoder(conv4().double(), example=torch.zeros(1, 3, 8, 8), architecture="conv4")
    projector = mlp(encoder.width, 6, 4, batch_norm=True).double()
    (views,) = random_views(2, 5, 3, 8, 8)
    views[1] = 3 * views[1] + 2
    alone = TargetNetwork(encoder, projector, batch_norm_groups="views")((views,))
    expected = torch.stack([projector(encoder(view)) for view in views])
    assert torch.allclose(alone, expected, atol=1e-12)
    assert not torch.allclose(TargetNetwork(encoder, projector)((views,)), expected, atol=1e-3)
