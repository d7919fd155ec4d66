"""What is rotation's own beside the contract of every method."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.core.types import Batch, DataFacts
from nearfar.methods.rotation import Rotation, RotationConfig
from nearfar.nn.encoders import Encoder


def make(net: nn.Module) -> Rotation:
    torch.manual_seed(0)
    facts = DataFacts("toy", 4, (), (), 0, n_unlabeled=9)
    return Rotation(
        Encoder(net, example=torch.zeros(1, 3, 4, 4), architecture="small"), RotationConfig(), facts
    ).double()


def make_batch(*groups: torch.Tensor) -> Batch:
    index = torch.arange(groups[0].shape[1])
    return Batch(groups, torch.full_like(index, -1), index, torch.zeros_like(index), 0, 0, 0.0)


class Watched(nn.Flatten):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.seen.append(rows)
        return super().forward(rows)


def test_each_image_is_shown_in_its_four_turns_in_one_batch_and_each_turn_has_its_label():
    views = torch.randn(2, 3, 3, 4, 4, dtype=torch.float64)
    method = make(Watched())
    method.encoder.net.seen.clear()
    method.turns.weight.data = torch.randn(4, 48, dtype=torch.float64)
    result = method(make_batch(views))
    # one batch, so that BatchNorm tells no turn by its statistics
    (rows,) = method.encoder.net.seen
    turned = [views.rot90(turn, dims=(-2, -1)).flatten(0, 1) for turn in range(4)]
    assert torch.equal(rows, torch.cat(turned))
    assert torch.equal(torch.cat([turned[1].rot90(3, dims=(-2, -1))]), turned[0])
    scores = method.turns(rows.flatten(1))
    labels = torch.arange(4).repeat_interleave(6)
    assert float(result.loss.detach()) == pytest.approx(
        float(F.cross_entropy(scores, labels).detach())
    )
    assert float(result.logs["accuracy"]) == pytest.approx(
        float((scores.argmax(1) == labels).double().mean())
    )


def test_the_representation_is_that_of_the_images_as_they_came_whatever_the_groups():
    large, small = torch.randn(2, 3, 3, 4, 4), torch.randn(1, 3, 3, 2, 2)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    result = make(net)(make_batch(large.double(), small.double()))
    known = torch.cat(
        [net(group.flatten(0, 1).double()).view(len(group), 3, 12) for group in (large, small)]
    )
    assert torch.equal(result.representation, known)


def test_images_without_up_or_down_stay_at_chance():
    """The same in all four turns: nothing can be told, whatever the head."""
    ring = torch.zeros(4, 4, dtype=torch.float64)
    ring[1:3, 1:3] = 1
    views = ring * torch.randn(2, 3, 3, 1, 1, dtype=torch.float64)
    method = make(Watched())
    method.turns.bias.data.zero_()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    for _ in range(50):
        result = method(make_batch(views))
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert float(result.loss.detach()) == pytest.approx(float(result.logs["chance"]), rel=1e-3)
