"""A classifier read from arrays: only what maps these representations to these classes."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.evaluate.classifier import classifier_of
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder

RANDOM = np.random.default_rng(0)


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {
        name.replace("_", "."): RANDOM.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def test_an_mlp_is_two_layers_with_a_relu_between() -> None:
    found = arrays(hidden_weight=(7, 4), hidden_bias=(7,), weight=(3, 7), bias=(3,))
    x = RANDOM.normal(size=(5, 4)).astype(np.float32)
    hidden = np.maximum(x.astype(np.float64) @ found["hidden.weight"].T + found["hidden.bias"], 0)
    scores = hidden @ found["weight"].T + found["bias"]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    classifier = classifier_of(found, 4, 3)
    np.testing.assert_allclose(classifier.probabilities(x), shares, rtol=1e-12)
    assert (classifier.predict(x) == shares.argmax(axis=1)).all()
    assert not np.allclose(
        shares, classifier_of(arrays(weight=(3, 4), bias=(3,)), 4, 3).probabilities(x)
    )


@pytest.mark.parametrize(
    "shapes",
    [
        {"weight": (3, 4), "bias": (3,)},
        {"hidden_weight": (4, 4), "hidden_bias": (4,), "weight": (3, 4), "bias": (3,)},
    ],
)
def test_what_is_written_of_a_classifier_is_read_back_whole(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]]
) -> None:
    """A hidden layer as wide as the representation would be missed by no check of shapes."""
    made = classifier_of(arrays(**shapes), 4, 3)
    folder = RunFolder(tmp_path)
    folder.write_classifier(made.arrays())
    tensors = folder.read_tensors(names.CLASSIFIER)
    read = classifier_of({name: tensor.numpy() for name, tensor in tensors.items()}, 4, 3)
    x = RANDOM.normal(size=(5, 4)).astype(np.float32)
    assert np.array_equal(read.probabilities(x), made.probabilities(x))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "want bias, weight, got nothing"),
        ({"weight": (3, 4)}, "want bias, weight, got weight"),
        ({"weight": (3, 5), "bias": (3,)}, r"weight: want \(3, 4\), got \(3, 5\)"),
        ({"weight": (2, 4), "bias": (2,)}, r"weight: want \(3, 4\), got \(2, 4\)"),
        ({"weight": (3, 4), "bias": (2,)}, r"bias: want \(3,\), got \(2,\)"),
        ({"weight": (3, 4), "bias": (3,), "more": (1,)}, "got bias, more, weight"),
        ({"hidden_weight": (7, 4), "weight": (3, 7), "bias": (3,)}, "want bias, hidden.bias"),
        (
            {"hidden_weight": (7, 5), "hidden_bias": (7,), "weight": (3, 7), "bias": (3,)},
            r"hidden.weight: want \(7, 4\), got \(7, 5\)",
        ),
        (
            {"hidden_weight": (7, 4), "hidden_bias": (7,), "weight": (3, 6), "bias": (3,)},
            r"weight: want \(3, 7\), got \(3, 6\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(
    shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        classifier_of(arrays(**shapes), 4, 3)
