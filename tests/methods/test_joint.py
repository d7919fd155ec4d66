"""What joint has beside the contract of every method: its loss, term by term, and its classifier."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.core.types import Batch, DataFacts
from nearfar.losses import sup_con
from nearfar.methods.joint import Joint, JointConfig
from nearfar.nn.encoders import Encoder

COUNTS = (32, 8, 8)  # weights .5, 2 and 2, exact in float32 too
FACTS = DataFacts("toy", 8, ("a", "b", "c"), COUNTS, 48)


def make(**fields: Any) -> Joint:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    encoder = Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear")
    return Joint(encoder, JointConfig(**fields), FACTS).double()


def make_batch(views: int = 2) -> Batch:
    images = torch.randn(
        views, 6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    index = torch.arange(6)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    return Batch((images,), labels, index, torch.zeros_like(index), 0, 0, 0.0)


def transcription(method: Joint, batch: Batch, config: JointConfig) -> float:
    """Gunel et al. 2020, eq. 4 to 6, in loops over the rows of all views; smoothing as in eq. 7
    of Szegedy et al. 2016, and a whole row weighted as its class.
    """
    views, labels = batch.views[0], batch.labels.tolist()
    y = [label for _ in views for label in labels]
    h = [method.encoder(image[None])[0] for view in views for image in view]
    weight = [1.0] * 3
    if config.class_weight == "balanced":
        weight = [sum(COUNTS) / (3 * count) for count in COUNTS]
    eps = config.label_smoothing
    of_classes = total = 0.0
    for row, label in zip(h, y, strict=True):
        scores = method.head(row).tolist()
        log_sum = math.log(sum(map(math.exp, scores)))
        for c, score in enumerate(scores):
            target = (1 - eps) * (c == label) + eps / 3
            of_classes -= weight[label] * target * (score - log_sum)
        total += weight[label]
    seen = [F.normalize(row, dim=0) if config.normalize_representation else row for row in h]
    z = [F.normalize(method.projector(row), dim=0) for row in seen]
    contrast = 0.0
    for i, anchor in enumerate(z):
        e = [math.exp(float((anchor @ other).detach()) / config.temperature) for other in z]
        others = [k for k in range(len(z)) if k != i]
        positives = [j for j in others if y[j] == y[i]]
        below = sum(e[k] for k in others)
        contrast -= sum(math.log(e[j] / below) for j in positives) / len(positives) / len(z)
    return (1 - config.lam) * of_classes / total + config.lam * contrast


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"lam": 0.9, "temperature": 0.3, "normalize_representation": False},
        {"lam": 0.1, "label_smoothing": 0.2, "projector": "linear"},
        {"class_weight": "balanced", "label_smoothing": 0.1},
    ],
)
def test_the_loss_is_equation_4(fields, views):
    method, batch = make(**fields), make_batch(views)
    known = transcription(method, batch, JointConfig(**fields))
    assert float(method(batch).loss.detach()) == pytest.approx(known, rel=1e-9)


def test_without_the_contrastive_term_it_is_cross_entropy_on_every_view():
    method, batch = make(lam=0.0), make_batch()
    scores = method.head(method.encoder(batch.views[0].flatten(0, 1)))
    known = F.cross_entropy(scores, batch.labels.repeat(2))
    result = method(batch)
    assert float(result.loss.detach()) == pytest.approx(float(known.detach()))
    assert float(result.logs["cross_entropy"]) == pytest.approx(float(known.detach()))


def test_it_logs_both_of_its_terms():
    method, batch = make(lam=0.25), make_batch()
    result = method(batch)
    logs = {name: float(value) for name, value in result.logs.items()}
    known = sup_con(result.projection, batch.labels, temperature=0.1)
    assert logs["sup_con"] == pytest.approx(float(known.detach()))
    both = 0.75 * logs["cross_entropy"] + 0.25 * logs["sup_con"]
    assert float(result.loss.detach()) == pytest.approx(both)


def test_its_classifier_reads_the_representation():
    method, batch = make(), make_batch()
    h = method(batch).representation
    assert method.head(h).shape == (2, 6, 3)
