"""What margin, triplet and n_pairs have beside the contract of every method: losses on a
projection, with options.
"""

from typing import Any

import pytest
import torch
from torch import nn

from nearfar import losses
from nearfar.core.errors import NothingToCompareError
from nearfar.core.types import Batch, DataFacts
from nearfar.methods import method_class
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder

FACTS = DataFacts("toy", 8, ("a", "b"), (8, 8), 16)
LABELS = (0, 1, 0, 1, -1, 0, 2)


def make(name: str, **fields: Any) -> Method:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    kind = method_class(name)
    return kind(
        Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear"),
        kind.Config(**fields),
        FACTS,
    ).double()


def make_batch(views: int, labels: tuple[int, ...] = LABELS) -> Batch:
    source = torch.Generator().manual_seed(1)
    images = torch.randn(views, len(labels), 3, 8, 8, generator=source, dtype=torch.float64)
    index = torch.arange(len(labels))
    return Batch((images,), torch.tensor(labels), index, torch.zeros_like(index), 0, 0, 0.0)


@pytest.mark.parametrize(
    ("name", "fields", "views", "loss"),
    [
        ("margin", {}, 2, lambda z, y: losses.margin_contrastive(z, y)),
        ("margin", {"margin": 0.4}, 1, lambda z, y: losses.margin_contrastive(z, y, margin=0.4)),
        ("triplet", {}, 2, lambda z, y: losses.triplet(z, y)),
        (
            "triplet",
            {"mining": "hard", "margin": 0.5},
            2,
            lambda z, y: losses.triplet(z, y, mining="hard", margin=0.5),
        ),
        (
            "triplet",
            {"mining": "semi_hard"},
            1,
            lambda z, y: losses.triplet(z, y, mining="semi_hard"),
        ),
        ("triplet", {"squared": False}, 2, lambda z, y: losses.triplet(z, y, squared=False)),
        (
            "triplet",
            {"mining": "hard", "soft_margin": True},
            2,
            lambda z, y: losses.triplet(z, y, mining="hard", margin=None),
        ),
        ("n_pairs", {}, 1, lambda z, y: losses.n_pairs(z, y, form="soft_labels", temperature=0.1)),
        (
            "n_pairs",
            {"temperature": 0.5},
            3,
            lambda z, y: losses.n_pairs(z, y, form="soft_labels", temperature=0.5),
        ),
        ("n_pairs", {"form": "pairs"}, 2, lambda z, y: losses.n_pairs(z, y, form="pairs")),
        (
            "n_pairs",
            {"form": "pairs", "length_weight": 0.1, "temperature": 2.0},
            2,
            lambda z, y: losses.n_pairs(z, y, form="pairs", length_weight=0.1, temperature=2.0),
        ),
        (
            "n_pairs",
            {"form": "pairs"},
            3,
            lambda z, y: (
                (losses.n_pairs(z[:2], y, form="pairs") + losses.n_pairs(z[::2], y, form="pairs"))
                / 2
            ),
        ),
    ],
)
def test_the_loss_is_that_of_the_projection_with_what_was_asked(name, fields, views, loss):
    batch = make_batch(views)
    result = make(name, **fields)(batch)
    assert float(result.loss.detach()) == pytest.approx(
        float(loss(result.projection.detach(), batch.labels))
    )


@pytest.mark.parametrize("name", ["margin", "triplet", "n_pairs"])
def test_the_projector_is_a_linear_layer_or_an_mlp_of_any_width(name):
    linear = make(name, projector="linear", projection_dim=5)
    assert [tuple(p.shape) for p in linear.projector.parameters()] == [(5, 6), (5,)]
    mlp = make(name, projector="mlp", hidden_dim=9, projection_dim=5)
    assert [tuple(p.shape) for p in mlp.projector.parameters()] == [(9, 6), (9,), (5, 9), (5,)]
    assert make(name, projector="mlp").projector[0].out_features == 6  # the encoder's width


@pytest.mark.parametrize(
    ("name", "fields", "views", "labels"),
    [
        ("margin", {}, 2, (0, 0, 1, -1, -1)),
        ("margin", {"margin": 1.5}, 1, (0, 0, 0, 1)),
        ("triplet", {"mining": "semi_hard", "soft_margin": True}, 2, (0, 0, 1)),
        ("n_pairs", {}, 3, (0, 0, 1)),
        ("n_pairs", {"form": "pairs"}, 2, (0, 0, 1, -1, -1)),
    ],
)
def test_chance_is_the_loss_of_projections_that_are_all_equal(name, fields, views, labels):
    method = make(name, **fields)
    for parameter in method.parameters():
        nn.init.constant_(parameter, 0.1)
    method.encoder.net[1].weight.data.zero_()
    result = method(make_batch(views, labels))
    assert float(result.loss.detach()) == pytest.approx(float(result.logs["chance"]), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "fields", "views", "labels"),
    [
        ("triplet", {}, 2, (1, 1, 1)),
        ("triplet", {"mining": "hard"}, 1, (0, 1, 2)),
        ("n_pairs", {"form": "pairs"}, 2, (1, 1)),
        ("n_pairs", {}, 1, (1,)),
    ],
)
def test_a_batch_without_anything_to_compare_is_named_as_such(name, fields, views, labels):
    with pytest.raises(NothingToCompareError):
        make(name, **fields)(make_batch(views, labels))
