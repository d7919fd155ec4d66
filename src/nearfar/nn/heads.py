"""Heads on a representation: projectors and predictors."""

from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

Projector = Literal["linear", "mlp"]


@final
class Head(nn.Sequential):
    """Layers on rows, whatever stands before the width: (..., in_dim) -> (..., out_dim)."""

    def forward(self, x: Float[Tensor, "*lead in_dim"]) -> Float[Tensor, "*lead out_dim"]:
        rows = x.reshape(-1, x.shape[-1])
        for layer in self:
            rows = layer(rows)
        return rows.reshape(*x.shape[:-1], rows.shape[-1])


def mlp(in_dim: int, hidden_dim: int, out_dim: int, *, batch_norm: bool = False) -> Head:
    """Linear - [BatchNorm] - ReLU - Linear. BatchNorm sees all rows of all views as one group."""
    norm = [nn.BatchNorm1d(hidden_dim)] if batch_norm else []
    return Head(
        nn.Linear(in_dim, hidden_dim, bias=not batch_norm),
        *norm,
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, out_dim),
    )


def projector(kind: Projector, in_dim: int, hidden_dim: int | None, out_dim: int, *, batch_norm: bool = False) -> Head:
    """A linear layer, or an MLP whose hidden width is `hidden_dim`, else `in_dim`."""
    if kind == "linear":
        return Head(nn.Linear(in_dim, out_dim))
    return mlp(in_dim, hidden_dim or in_dim, out_dim, batch_norm=batch_norm)
