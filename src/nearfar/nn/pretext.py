"""What pretext tasks ask of a batch and of the encoder."""

import torch
from torch import Tensor

from nearfar.core.errors import UserError
from nearfar.core.types import Batch, DataFacts
from nearfar.nn.encoders import Encoder


def draws(batch: Batch, stream: str, n: int) -> tuple[Tensor, ...]:
    """`n` numbers in [0, 1) for each view of each sample, (V, B, n) a view group."""
    sizes = [len(views) for views in batch.views]
    numbers = batch.uniform(stream, sum(sizes) * n).view(-1, sum(sizes), n).movedim(1, 0)
    return torch.split(numbers, sizes)


def refuse_views(encoder: Encoder, side: int, data: DataFacts) -> None:
    """UserError where the encoder cannot take what a method cuts for it out of views: images of
    that side.
    """
    try:
        encoder.width_at(side)
    except ValueError as error:
        raise UserError(
            f"encoder.name: want one for tiles of {side} px of data.size={data.side}; {error}"
        ) from error
