"""What is SupCon's own beside the contract of every method."""

import pytest
import torch
from torch import nn

from nearfar.core.errors import NothingToCompareError
from nearfar.core.types import Batch, DataFacts
from nearfar.methods.supcon import SupCon, SupConConfig
from nearfar.nn.encoders import Encoder


class Scaled(nn.Module):
    """A representation whose length is `scale`'s to choose."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 6)
        self.scale = 1.0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.scale * self.linear(rows.flatten(1))


@pytest.mark.parametrize("normalized", [True, False])
def test_the_projector_sees_the_direction_of_a_representation_alone(normalized):
    torch.manual_seed(0)
    net = Scaled()
    config = SupConConfig(normalize_representation=normalized)
    facts = DataFacts("toy", 8, ("a", "b"), (8, 8), 16)
    method = SupCon(
        Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="scaled"), config, facts
    )
    index = torch.arange(6)
    batch = Batch(
        (torch.randn(2, 6, 3, 8, 8),), index % 2, index, torch.zeros_like(index), 0, 0, 0.0
    )
    before = float(method(batch).loss.detach())
    method.encoder.net.scale = 20.0
    after = float(method(batch).loss.detach())
    assert (after == pytest.approx(before, rel=1e-5)) == normalized


def test_one_view_of_samples_that_share_no_class_stops_training_with_what_to_set():
    method = SupCon(
        Encoder(Scaled(), example=torch.zeros(1, 3, 8, 8), architecture="scaled"),
        SupConConfig(),
        DataFacts("toy", 8, (), (), 16),
    )
    index = torch.arange(4)

    def step(labels: list[int], views: int = 1) -> float:
        shown = (torch.randn(views, 4, 3, 8, 8),)
        batch = Batch(shown, torch.tensor(labels), index, torch.zeros_like(index), 0, 0, 0.0)
        return float(method(batch).loss.detach())

    with pytest.raises(NothingToCompareError, match="want two samples of a class with one view"):
        step([0, 1, 2, -1])
    assert step([0, 1, 2, 2]) > 0
    assert step([0, 1, 2, -1], views=2) > 0
