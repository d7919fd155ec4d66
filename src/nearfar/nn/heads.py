"""Heads on a representation: projectors, predictors and classifiers."""

from itertools import pairwise
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nearfar.config import projectors
from nearfar.nn.encoders import BatchNormGroups

ClassifierForm = Literal["linear", "mlp"]


@final
class Head(nn.Sequential):
    """Layers on rows, whatever stands before the width: (..., in_dim) -> (..., out_dim).

    BatchNorm normalizes all rows together; with `batch_norm_groups` = "views" those of each view,
    which are what the first dimension counts, alone and in their order, as `encode_views` does.
    """

    def forward(
        self, x: Float[Tensor, "*lead in_dim"], *, batch_norm_groups: BatchNormGroups = "all"
    ) -> Float[Tensor, "*lead out_dim"]:
        if batch_norm_groups == "views" and any(isinstance(layer, _BatchNorm) for layer in self):
            return torch.stack([self._of_rows(view) for view in x])
        return self._of_rows(x)

    def _of_rows(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        for layer in self:
            rows = layer(rows)
        return rows.reshape(*x.shape[:-1], rows.shape[-1])


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    *,
    layers: int = 2,
    batch_norm: bool = False,
    output_norm: bool = False,
    activation: Literal["relu", "gelu"] = "relu",
) -> Head:
    """`layers` - 1 times Linear - [BatchNorm] - ReLU, then Linear - [BatchNorm without shift or
    scale].

    One layer is a linear head, two are the usual projector.
    """
    built: list[nn.Module] = []
    widths = [in_dim, *[hidden_dim] * (layers - 1)]
    for before, after in pairwise(widths):
        norm = [nn.BatchNorm1d(after)] if batch_norm else []
        active = nn.ReLU(inplace=True) if activation == "relu" else nn.GELU()
        built += [nn.Linear(before, after, bias=not batch_norm), *norm, active]
    built.append(nn.Linear(widths[-1], out_dim, bias=not output_norm))
    return Head(*built, *([nn.BatchNorm1d(out_dim, affine=False)] if output_norm else []))


def projector(
    config: projectors.Settings,
    in_dim: int,
    *,
    hidden_dim: int | None = None,
    out_dim: int | None = None,
    activation: Literal["relu", "gelu"] = "relu",
) -> Head:
    """The projector that a method's settings ask for: "none" (what comes goes), "linear", "relu" (a
    linear layer and a ReLU), or "mlp", in rows of `in_dim`.

    `hidden_dim` and `out_dim` are the method's own widths where the settings' are not to be used;
    where neither says one it is `in_dim`.
    """
    if config.projector == "none":
        return Head()
    norms = config.projector_batch_norm
    head = mlp(
        in_dim,
        hidden_dim or config.hidden_dim or in_dim,
        out_dim or config.projection_dim or in_dim,
        layers=config.projector_layers if config.projector == "mlp" else 1,
        batch_norm=norms != "none",
        output_norm=norms == "all",
        activation=activation,
    )
    return Head(*head, nn.ReLU(inplace=True)) if config.projector == "relu" else head


@torch.no_grad()
def truncated_normal_(head: Head) -> None:
    """Starts its linear layers as DINO's authors do: weights from a normal distribution of standard
    deviation .02, cut off at 2, and no bias.
    """
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def out_width(head: Head, in_dim: int) -> int:
    """The width of what it returns for rows of that width."""
    widths = [layer.out_features for layer in head if isinstance(layer, nn.Linear)]
    return widths[-1] if widths else in_dim


def classifier_head(
    form: ClassifierForm, in_dim: int, n_classes: int, *, hidden_dim: int | None, dropout: float
) -> Head:
    """Scores of the classes: a linear layer, or dropout - Linear - ReLU - dropout - Linear, whose
    width inside is `hidden_dim` (None: the input's).
    """
    if form == "linear":
        return Head(nn.Linear(in_dim, n_classes))
    inside = in_dim if hidden_dim is None else hidden_dim
    first, last = nn.Linear(in_dim, inside), nn.Linear(inside, n_classes)
    return Head(nn.Dropout(dropout), first, nn.ReLU(inplace=True), nn.Dropout(dropout), last)
