"""The classifier stage as something that the loop can train: an encoder, frozen or not, and a head
on it.

A frozen encoder stays in evaluation mode (BatchNorm too) and gets no gradient. Where its features
were taken once they are the samples, and `nothing_left` stands for the encoder. Representations are
standardized by fixed numbers before the head, so that one rate suits every encoder (0 and 1 where
they should stay as they are); `folded` takes them into the head's first layer, and what is left is
the published head: Linear, or dropout - Linear - ReLU - dropout - Linear.

Letters: V views, B samples, E representation width, H hidden width, C classes.
"""

from contextlib import nullcontext
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.config.models import MethodConfig
from nearfar.core.types import Batch, DataFacts, StepResult
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder, encode_views
from nearfar.nn.heads import Head


def nothing_left(features: Float[Tensor, "row embed"]) -> Encoder:
    """The encoder of samples that are representations already: what it is shown."""
    return Encoder(nn.Identity(), example=features, architecture="features")


@final
class ClassifierStage(Method):
    """`mean` and `scale` (E,) standardize representations."""

    Config = MethodConfig
    needs_labels = True
    takes_unlabeled = False
    head: Head
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        encoder: Encoder,
        data: DataFacts,
        head: Head,
        *,
        mean: Float[Tensor, " embed"],
        scale: Float[Tensor, " embed"],
        finetuned: bool,
    ) -> None:
        super().__init__(encoder, MethodConfig(), data)
        self.head = head
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.finetuned = finetuned
        if not finetuned:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> "ClassifierStage":
        super().train(mode)
        if not self.finetuned:
            self.encoder.eval()
        return self

    def step(self, batch: Batch) -> StepResult:
        with nullcontext() if self.finetuned else torch.no_grad():
            h = encode_views(self.encoder, batch.views)  # (V, B, E)
        scores = self.head((h - self.mean) / self.scale)  # (V, B, C)
        labels = batch.labels.expand(len(h), -1)
        correct = (scores.detach().argmax(dim=-1) == labels).to(torch.float32).mean()
        loss = F.cross_entropy(scores.flatten(0, 1), labels.flatten())
        return StepResult(loss, h, logs={"accuracy": correct})

    @torch.no_grad()
    def start_from(
        self, weight: Float[Tensor, "class embed"], bias: Float[Tensor, " class"]
    ) -> None:
        """Gives a linear head these scores of representations as the encoder gives them: what
        `folded` undoes.
        """
        (layer,) = (layer for layer in self.head if isinstance(layer, nn.Linear))
        start = weight.to(layer.weight.device, torch.float64)
        layer.weight.copy_(start * self.scale.double())
        layer.bias.copy_(bias.to(start) + start @ self.mean.double())

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """`weight` (C, H or E) and `bias` (C,) of the last layer, `hidden.weight` (H, E) and
        `hidden.bias` of the one before, if there is one; float32, on the CPU: scores of
        representations as the encoder gives them.
        """
        layers = [layer for layer in self.head if isinstance(layer, nn.Linear)]
        names = ["hidden.", ""][-len(layers) :]
        found: dict[str, Tensor] = {}
        for name, layer in zip(names, layers, strict=True):
            weight, bias = layer.weight.double(), layer.bias.double()
            if layer is layers[0]:
                weight = weight / self.scale.double()
                bias = bias - weight @ self.mean.double()
            found |= {f"{name}weight": weight.float().cpu(), f"{name}bias": bias.float().cpu()}
        return found
