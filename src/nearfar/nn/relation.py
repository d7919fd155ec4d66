"""The relation head: does a pair of representations belong together?

Letters: V views, B samples, P = V(V - 1)/2 pairs of views, E representation width.
"""

from functools import partial
from typing import Literal, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Aggregation = Literal["cat", "sum", "mean", "max"]
ROWS_AT_ONCE = 8192  # of pairs whose maximum exists at a time


@final
class RelationHead(nn.Module):
    """Linear - BatchNorm - LeakyReLU - Linear on two representations that are joined by
    `aggregation`.

    Patacchiola & Storkey 2020, arXiv:2006.05849. The first layer is linear, so that of joined rows
    it is a sum over the two: W[a; b] = W1 a + W2 b, and W(a + b) = Wa + Wb. It runs on the V * B
    rows and pairs are added behind it: the inputs of all pairs never exist. Only "max" needs them,
    some thousand at a time, made again in the backward.
    """

    def __init__(self, width: int, hidden_dim: int, *, aggregation: Aggregation) -> None:
        super().__init__()
        self.aggregation = aggregation
        self.first = nn.Linear(2 * width if aggregation == "cat" else width, hidden_dim, bias=False)
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.last = nn.Linear(hidden_dim, 1)

    def forward(self, h: Float[Tensor, "view batch embed"]) -> Float[Tensor, "2 pair batch"]:
        """Logits of all pairs of views of each sample, and of the same pairs with the second view
        of another sample.

        The other sample is `shift` places before in the batch; shifts run through 1 ... B - 1 over
        the pairs, so that it is never the sample itself. Wants two views and two samples. BatchNorm
        sees all pairs as one group.
        """
        one, other = _pairs(h.shape[0], h.shape[1], h.device)
        rows = self._hidden(h.flatten(0, 1), one.flatten(), other.flatten())
        rows = F.leaky_relu(self.norm(rows), inplace=True)
        scores: Tensor = self.last(rows)
        return scores.view(other.shape)

    def _hidden(self, h: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """The first layer's output for the rows `one` with the rows `other`, which are twice as
        many.
        """
        if self.aggregation == "max":
            pairs = torch.stack([one.repeat(2), other])
            parts = pairs.tensor_split(list(range(ROWS_AT_ONCE, len(other), ROWS_AT_ONCE)), dim=1)
            again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
            return torch.cat([again(self._of_largest, h, *part) for part in parts])
        if self.aggregation == "cat":
            weights = self.first.weight.chunk(2, dim=1)
            first, second = (F.linear(h, weight) for weight in weights)
        else:
            first = second = self.first(h / 2 if self.aggregation == "mean" else h)
        # index_select, whose backward adds; that of plain indexing sorts and is slower
        joined = second.index_select(0, other).view(2, len(one), -1) + first.index_select(0, one)
        return joined.flatten(0, 1)

    def _of_largest(self, h: Tensor, one: Tensor, other: Tensor) -> Tensor:
        hidden: Tensor = self.first(torch.maximum(h.index_select(0, one), h.index_select(0, other)))
        return hidden


def _pairs(
    views: int, samples: int, device: torch.device
) -> tuple[Int64[Tensor, "pair {samples}"], Int64[Tensor, "2 pair {samples}"]]:
    """Row numbers (view * B + sample) of the first and of the second: of the same sample, and of
    the rolled one.
    """
    one, other = torch.triu_indices(views, views, 1, device=device)
    shift = 1 + torch.arange(len(one), device=device) % (samples - 1)
    same = torch.arange(samples, device=device).expand(len(one), -1)
    rolled = (same - shift[:, None]) % samples
    return one[:, None] * samples + same, other[:, None] * samples + torch.stack([same, rolled])
