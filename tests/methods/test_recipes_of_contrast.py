"""What published recipes set of supcon and simclr: projector, scale, length of the representation,
number of views.
"""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar import losses
from nearfar.core.types import Batch, DataFacts
from nearfar.methods import method_class
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder

FACTS = DataFacts("toy", 8, ("a", "b", "c"), (8, 8, 8), 24)
BOTH = pytest.mark.parametrize("name", ["supcon", "simclr"])


def make(name: str, **fields: Any) -> Method:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    kind = method_class(name)
    return kind(
        Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear"),
        kind.Config(**fields),
        FACTS,
    ).double()


def make_batch(views: int) -> Batch:
    images = torch.randn(
        views, 6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    index = torch.arange(6)
    return Batch((images,), index % 3, index, torch.zeros_like(index), 0, 0, 0.0)


@BOTH
def test_the_scale_multiplies_loss_and_chance_and_nothing_else(name):
    plain, scaled = (make(name, loss_scale=scale)(make_batch(2)) for scale in (1.0, 0.07 / 0.1))
    assert float(scaled.loss.detach()) == pytest.approx(0.7 * float(plain.loss.detach()))
    assert float(scaled.logs["chance"]) == pytest.approx(0.7 * float(plain.logs["chance"]))
    assert torch.equal(scaled.projection, plain.projection)


@BOTH
def test_the_projector_is_linear_or_an_mlp_of_any_width(name):
    linear = make(name, projector="linear", projection_dim=5).projector
    assert [type(layer) for layer in linear] == [nn.Linear]
    assert linear[0].weight.shape == (5, 6)
    assert make(name, hidden_dim=9, projection_dim=5).projector[-1].weight.shape == (5, 9)
    assert make(name).projector[0].weight.shape == (6, 6)


@BOTH
@pytest.mark.parametrize("normalized", [True, False])
def test_the_projector_sees_the_representation_or_its_direction(name, normalized):
    method, batch = make(name, normalize_representation=normalized), make_batch(2)
    result = method(batch)
    h = result.representation
    assert torch.allclose(
        result.projection, method.projector(F.normalize(h, dim=-1) if normalized else h)
    )


@pytest.mark.parametrize(
    ("name", "views"), [("supcon", 1), ("supcon", 2), ("supcon", 4), ("simclr", 2), ("simclr", 4)]
)
def test_any_number_of_views_is_compared_in_one_loss(name, views):
    batch = make_batch(views)
    result = make(name)(batch)
    z = result.projection
    known = (
        losses.sup_con(z, batch.labels, temperature=0.1)
        if name == "supcon"
        else losses.info_nce(z, temperature=0.2)
    )
    assert len(z) == views
    assert float(result.loss.detach()) == pytest.approx(float(known.detach()))
