"""What cross_entropy and max_margin have beside the contract of every method."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar import losses
from nearfar.core.types import Batch, DataFacts
from nearfar.losses.classification import balanced_weights, cross_entropy_terms
from nearfar.losses.floors import smoothed_entropy
from nearfar.methods import method_class
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.views.mixing import NUMBERS, mix

FACTS = DataFacts("toy", 8, ("a", "b", "c"), (8, 8, 8), 24)


def make(name: str, facts: DataFacts = FACTS, **fields: Any) -> Method:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    kind = method_class(name)
    return kind(
        Encoder(net, example=torch.zeros(1, 3, 8, 8), architecture="linear"),
        kind.Config(**fields),
        facts,
    ).double()


def make_batch(views: int = 2, *, epoch: int = 0, progress: float = 0.0) -> Batch:
    images = torch.randn(
        views, 6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    index = torch.arange(6)
    return Batch((images,), index % 3, index, torch.zeros_like(index), 0, epoch, progress)


def test_label_smoothing_is_that_of_torch():
    method, batch = make("cross_entropy", label_smoothing=0.2), make_batch()
    scores = method.head(method.encoder(batch.views[0].flatten(0, 1)))
    known = F.cross_entropy(scores, batch.labels.repeat(2), label_smoothing=0.2)
    assert float(method(batch).loss.detach()) == pytest.approx(float(known.detach()))


def test_balanced_classes_weigh_the_terms_as_torch_does():
    """8, 2 and 2 images of 12: a class counts 12 / (3 times its images)."""
    method = make(
        "cross_entropy",
        replace(FACTS, class_counts=(8, 2, 2), n_train=12),
        class_weight="balanced",
    )
    batch = make_batch()
    scores = method.head(method.encoder(batch.views[0].flatten(0, 1)))
    weight = torch.tensor([0.5, 2.0, 2.0], dtype=torch.float64)
    known = F.cross_entropy(scores, batch.labels.repeat(2), weight=weight)
    assert float(method(batch).loss.detach()) == pytest.approx(float(known.detach()))
    assert "class_weights" not in method.state_dict()


def test_smoothing_under_balanced_weights_keeps_chance_floor_and_the_right_answer():
    """torch's own form, which weighs a row's smoothed part by the other classes, would have the
    rare class as the best answer to images of the common one.
    """
    weights = balanced_weights([100, 2]).double()
    labels = torch.tensor([0] * 100 + [1] * 2)

    def loss(scores: torch.Tensor) -> torch.Tensor:
        terms, each = cross_entropy_terms(
            scores.expand(1, -1, -1), labels[None], class_weights=weights, label_smoothing=0.1
        )
        return terms.sum() / each.sum()

    assert float(loss(torch.zeros(102, 2).double())) == pytest.approx(math.log(2))
    smoothed = (0.9 * F.one_hot(labels, 2) + 0.05).double()
    best = smoothed.log().requires_grad_()
    assert float(loss(best).detach()) == pytest.approx(smoothed_entropy(2, 0.1))
    loss(best).backward()
    assert best.grad is not None and float(best.grad.abs().max()) < 1e-7


def test_a_class_without_images_has_no_weight_and_moves_no_other():
    assert balanced_weights([8, 0, 4]).tolist() == [0.75, 0.0, 1.5]


def test_a_mixed_view_has_the_weights_of_both_its_classes():
    method = make(
        "cross_entropy",
        replace(FACTS, class_counts=(8, 2, 2), n_train=12),
        class_weight="balanced",
        mixup=1.0,
    )
    batch, weight = make_batch(1), torch.tensor([0.5, 2.0, 2.0], dtype=torch.float64)
    numbers = batch.uniform("mix 0", NUMBERS).view(6, NUMBERS, 1).permute(1, 2, 0)
    mixed = mix(batch.views[0], numbers, mixup=1.0, cutmix=0.0, probability=1.0)
    scores = method.head(method.encoder(mixed.views.flatten(0, 1)))
    share, others = mixed.share[0], batch.labels[mixed.partner]
    first, second = (
        F.cross_entropy(scores, of, weight=weight, reduction="none")
        for of in (batch.labels, others)
    )
    total = (share * weight[batch.labels] + (1 - share) * weight[others]).sum()
    known = (share * first + (1 - share) * second).sum() / total
    assert float(method(batch).loss.detach()) == pytest.approx(float(known.detach()))


@pytest.mark.parametrize(
    "fields",
    [{"mixup": 1.0}, {"cutmix": 0.5}, {"mixup": 0.3, "cutmix": 1.0, "label_smoothing": 0.1}],
)
def test_a_mixed_view_is_scored_against_both_labels_by_their_shares(fields):
    method, batch = make("cross_entropy", **fields, mix_probability=0.8), make_batch()
    numbers = batch.uniform("mix 0", NUMBERS * 2).view(6, NUMBERS, 2).permute(1, 2, 0)
    alphas = {"mixup": 0.0, "cutmix": 0.0} | {
        key: fields[key] for key in fields if key != "label_smoothing"
    }
    mixed = mix(batch.views[0], numbers, **alphas, probability=0.8)
    targets = F.one_hot(batch.labels, 3).double()
    soft = mixed.share[..., None] * targets + (1 - mixed.share[..., None]) * targets[mixed.partner]
    scores = method.head(method.encoder(mixed.views.flatten(0, 1)))
    known = F.cross_entropy(
        scores, soft.flatten(0, 1), label_smoothing=fields.get("label_smoothing", 0.0)
    )
    result = method(batch)
    assert float(result.loss.detach()) == pytest.approx(float(known.detach()))
    dominant = (scores.argmax(1) == soft.flatten(0, 1).argmax(1)).double().mean()
    assert float(result.logs["accuracy"]) == pytest.approx(float(dominant))


def test_mixing_takes_its_randomness_from_the_batch_alone():
    method = make("cross_entropy", mixup=1.0, cutmix=1.0)
    before = torch.get_rng_state()
    first, again = (float(method(make_batch()).loss.detach()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again
    assert first != float(method(make_batch(epoch=1)).loss.detach())


@pytest.mark.parametrize(
    ("progress", "softness"), [(0.0, 1000.0), (0.2, 1000 * 1.12**-45), (1.0, 0.01)]
)
def test_the_margin_hardens_as_training_goes_on(progress, softness):
    method, batch = make("max_margin", margin=3, softness_end=0.01), make_batch(progress=progress)
    result = method(batch)
    known = losses.large_margin_softmax(
        result.representation, method.head.weight, batch.labels, margin=3, softness=softness
    )
    assert float(result.loss.detach()) == pytest.approx(float(known.detach()))


def test_a_large_margin_softmax_has_no_bias():
    assert make("max_margin").head.bias is None
