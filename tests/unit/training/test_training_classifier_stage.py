"""The classifier stage: what is frozen stays, what learns has its own rate, and the head folds into
plain layers.
"""

import numpy as np
import pytest
import torch
from torch import nn
from train_tiny import FACTS, SIZE, tiny_batches, tiny_fit

from nearfar.core.errors import DivergedError
from nearfar.core.types import Batch
from nearfar.data.samples import FeatureSamples
from nearfar.evaluate.classifier import classifier_of
from nearfar.nn.encoders import Encoder
from nearfar.nn.heads import ClassifierForm, Head, classifier_head
from nearfar.training.batches import Batches
from nearfar.training.classifier_stage import ClassifierStage, nothing_left
from nearfar.training.optimizers import RATE_SCALE

WIDTH = 6


def made(
    kind: ClassifierForm = "mlp", *, finetuned: bool = False, of_features: bool = False
) -> ClassifierStage:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (
            nn.Conv2d(3, WIDTH, 3),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        example = torch.zeros(1, 3, SIZE, SIZE)
        encoder = Encoder(nn.Sequential(*layers), example=example, architecture="tiny")
        if of_features:
            encoder = nothing_left(torch.zeros(1, WIDTH))
        head = classifier_head(kind, WIDTH, 2, hidden_dim=11, dropout=0.5)
    mean, scale = torch.linspace(-1, 1, WIDTH), torch.linspace(0.1, 3, WIDTH)
    return ClassifierStage(encoder, FACTS, head, mean=mean, scale=scale, finetuned=finetuned)


def feature_batches(table: torch.Tensor, **changed: object) -> Batches:
    labels = torch.arange(len(table)) % 2
    rows = FeatureSamples("tiny", table, labels, np.full(len(table), "train"), ("a", "b"))
    return tiny_batches(samples=rows, **changed)


def optimizer_of(model: ClassifierStage) -> torch.optim.Optimizer:
    groups = [{"params": model.head.parameters()}]
    if model.finetuned:
        groups.append({"params": model.encoder.parameters(), RATE_SCALE: 0.01})
    return torch.optim.SGD(groups, lr=0.1)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_the_published_head() -> None:
    kinds = [type(layer) for layer in classifier_head("mlp", 64, 5, hidden_dim=1000, dropout=0.5)]
    assert kinds == [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    head = classifier_head("mlp", 64, 5, hidden_dim=1000, dropout=0.5)
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert [tuple(p.shape) for p in head.parameters()] == [(1000, 64), (1000,), (5, 1000), (5,)]
    assert [
        type(layer) for layer in classifier_head("linear", 64, 5, hidden_dim=1, dropout=0.0)
    ] == [nn.Linear]


@pytest.mark.parametrize("of_features", [False, True])
def test_a_frozen_encoder_does_not_move_by_one_bit_statistics_of_batch_norm_included(
    of_features: bool,
) -> None:
    model = made(of_features=of_features)
    before, head = weights(model.encoder), weights(model.head)
    batches = feature_batches(torch.randn(16, WIDTH)) if of_features else tiny_batches()
    tiny_fit(model, batches, optimizer=optimizer_of(model))
    assert not model.encoder.training
    assert model.head.training
    assert len(before) == (0 if of_features else 7)
    assert all(
        torch.equal(value, model.encoder.state_dict()[name]) for name, value in before.items()
    )
    assert not any(
        torch.equal(value, model.head.state_dict()[name]) for name, value in head.items()
    )


def test_a_finetuned_encoder_learns_at_its_own_rate_and_its_statistics_move() -> None:
    model = made(finetuned=True)
    before = weights(model)
    tiny_fit(
        model,
        tiny_batches(epochs=1, steps_per_epoch=1),
        optimizer=(optimizer := optimizer_of(model)),
        lr=0.3,
    )
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3, 0.003])
    moved = {
        name for name, value in before.items() if not torch.equal(value, model.state_dict()[name])
    }
    assert {"encoder.net.0.weight", "encoder.net.1.running_mean", "head.4.weight"} <= moved


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_folded_layers_give_the_scores_of_the_head_on_standardized_representations(
    kind: str,
) -> None:
    model = made(kind).eval()
    h = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torch.softmax(model.head((h - model.mean) / model.scale).double(), dim=1).numpy()
    arrays = {name: tensor.numpy() for name, tensor in model.folded().items()}
    assert {name: array.shape for name, array in arrays.items()} == (
        {"weight": (2, WIDTH), "bias": (2,)}
        if kind == "linear"
        else {"hidden.weight": (11, WIDTH), "hidden.bias": (11,), "weight": (2, 11), "bias": (2,)}
    )
    classifier = classifier_of(arrays, WIDTH, 2)
    np.testing.assert_allclose(classifier.probabilities(h.numpy()), expected, atol=1e-6)
    assert (classifier.predict(h.numpy()) == expected.argmax(axis=1)).all()


def test_a_head_that_starts_from_a_probe_gives_its_scores_and_folds_back_into_it() -> None:
    model = made("linear").eval()
    random = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(2, WIDTH, generator=random), torch.tensor([0.3, -1e9])
    model.start_from(weight, bias)
    h = torch.randn(9, WIDTH, generator=random)
    with torch.no_grad():
        scores = model.head((h - model.mean) / model.scale)
    torch.testing.assert_close(scores, h @ weight.T + bias, rtol=1e-6, atol=1e-5)
    folded = model.folded()
    torch.testing.assert_close(folded["weight"], weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(folded["bias"], bias, rtol=1e-6, atol=1e-5)


def test_batches_of_features_hold_rows_of_the_table_and_labels_of_the_images() -> None:
    table = torch.randn(16, WIDTH)
    batches: Batches = feature_batches(table)
    shown: list[Batch] = [batch for epoch in range(2) for batch in batches.epoch(epoch)]
    assert len(shown) == 6
    for batch in shown:
        (views,) = batch.views
        assert torch.equal(views, table[batch.index][None])
        assert torch.equal(batch.labels, batch.index % 2)
    plain = [batch for epoch in range(2) for batch in tiny_batches().epoch(epoch)]
    assert all(torch.equal(a.index, b.index) for a, b in zip(shown, plain, strict=True))


def test_a_stage_learns() -> None:
    table = torch.randn(16, WIDTH, generator=torch.Generator().manual_seed(1))
    table[:, 0] = 3 * (torch.arange(16) % 2 * 2.0 - 1)
    model = made("linear", of_features=True)
    rows = tiny_fit(model, feature_batches(table, epochs=20), optimizer=optimizer_of(model), lr=0.3)
    assert rows[-1]["accuracy"] == 1.0
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_what_is_not_finite_stops_it_and_the_message_names_its_own_rate() -> None:
    model = made("linear", of_features=True)
    batches = feature_batches(torch.full((16, WIDTH), torch.nan))
    with pytest.raises(
        DivergedError, match=r"ClassifierStage is nan.*--set classifier\.lr=0\.01; the last"
    ):
        tiny_fit(model, batches, optimizer=optimizer_of(model), lr_key="classifier.lr")


def test_a_head_takes_any_leading_shape() -> None:
    head = classifier_head("mlp", 4, 3, hidden_dim=5, dropout=0.5)
    assert isinstance(head, Head)
    assert head(torch.zeros(2, 7, 4)).shape == (2, 7, 3)
