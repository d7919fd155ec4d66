"""What classifies representations, whatever it was trained by: a linear layer, or an MLP of two.

Letters: n rows, E representation width, H hidden width, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nearfar.nn.encoders import Encoder

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """Scores = x @ weight.T + bias; with a hidden layer x is first relu(x @ hidden_weight.T +
    hidden_bias).
    """

    weight: Array  # (C, E), or (C, H)
    bias: Array  # (C,)
    hidden_weight: Array | None = None  # (H, E)
    hidden_bias: Array | None = None  # (H,)

    def probabilities(self, x: Array) -> NDArray[np.float64]:
        """(n, C), rows sum to 1."""
        rows = x.astype(np.float64)
        if self.hidden_weight is not None and self.hidden_bias is not None:
            rows = np.maximum(rows @ self.hidden_weight.T + self.hidden_bias, 0)
        scores = rows @ self.weight.T + self.bias
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        normalized: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return normalized

    def arrays(self) -> dict[str, Array]:
        """What classifier.safetensors holds of it: what `classifier_of` reads."""
        found = {"weight": self.weight, "bias": self.bias}
        if self.hidden_weight is not None and self.hidden_bias is not None:
            found |= {"hidden.weight": self.hidden_weight, "hidden.bias": self.hidden_bias}
        return found

    def layers(self) -> nn.Sequential:
        """The same as layers: representations (n, E) to scores (n, C)."""
        arrays = [(self.weight, self.bias)]
        if self.hidden_weight is not None and self.hidden_bias is not None:
            arrays.insert(0, (self.hidden_weight, self.hidden_bias))
        found: list[nn.Module] = []
        for weight, bias in arrays:
            linear = nn.Linear(*reversed(weight.shape))
            state = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
            linear.load_state_dict(state)
            found += [linear, nn.ReLU()]
        return nn.Sequential(*found[:-1]).requires_grad_(False).eval()

    def accuracy(self, x: Array, y: NDArray[np.int64]) -> float:
        """The share of the rows whose class it finds."""
        return float((self.predict(x) == y).mean())

    def predict(self, x: Array) -> NDArray[np.int64]:
        classes: NDArray[np.int64] = self.probabilities(x).argmax(axis=1)
        return classes


def classifier_of(arrays: Mapping[str, Array], width: int, n_classes: int) -> Classifier:
    """The classifier of the arrays that classifier.safetensors holds: `weight`, `bias`, and
    `hidden.weight`, `hidden.bias` of an MLP. ValueError: they do not map a representation of that
    width to so many classes.
    """
    names = {"weight", "bias"} | (
        {"hidden.weight", "hidden.bias"} if "hidden.weight" in arrays else set()
    )
    if set(arrays) != names:
        raise ValueError(
            f"want {', '.join(sorted(names))}, got {', '.join(sorted(arrays)) or 'nothing'}"
        )
    inside = width
    wanted: dict[str, tuple[int, ...]] = {}
    if "hidden.weight" in arrays:
        inside = len(arrays["hidden.weight"])
        wanted = {"hidden.weight": (inside, width), "hidden.bias": (inside,)}
    wanted |= {"weight": (n_classes, inside), "bias": (n_classes,)}
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name}: want {shape}, got {arrays[name].shape}")
    return Classifier(
        arrays["weight"], arrays["bias"], arrays.get("hidden.weight"), arrays.get("hidden.bias")
    )


def classifier_of_head(head: nn.Module) -> Classifier | None:
    """The same scores as a head that is one linear layer, or two with a ReLU between; None of any
    other.
    """
    layers = [head] if isinstance(head, nn.Linear) else list(head.children())
    kept = [layer for layer in layers if not isinstance(layer, nn.Dropout)]
    forms = [type(layer) for layer in kept]
    if forms not in ([nn.Linear], [nn.Linear, nn.ReLU, nn.Linear]):
        return None
    arrays = [_arrays(layer) for layer in kept if isinstance(layer, nn.Linear)]
    return Classifier(*arrays[-1], *(arrays[0] if len(arrays) == 2 else ()))


def _arrays(layer: nn.Linear) -> tuple[Array, Array]:
    weight = layer.weight.detach().float().cpu().numpy()
    if layer.bias is None:
        return weight, np.zeros(len(weight), np.float32)
    return weight, layer.bias.detach().float().cpu().numpy()


@dataclass(frozen=True)
class Trained:
    """A classifier stage that has run. `finetuned`: the encoder that it goes with, where that is
    its own copy.
    """

    classifier: Classifier
    finetuned: Encoder | None
    protocol: str
    seconds: float
