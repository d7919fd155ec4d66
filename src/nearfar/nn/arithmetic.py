"""What one forward of an encoder multiplies, and how much of it in convolutions with narrow
groups.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from nearfar.core.errors import UserError
from nearfar.nn.building import Stem, build_encoder
from nearfar.nn.encoders import Encoder

NARROW = 8  # channels
MOST_TRIED_PX = 256


@dataclass(frozen=True)
class Arithmetic:
    """Of one row. `narrow`: in convolutions whose groups have fewer than eight channels, as the
    depthwise ones have one.
    """

    multiply_adds: int
    narrow: int

    @property
    def narrow_share(self) -> float:
        return self.narrow / max(self.multiply_adds, 1)


def arithmetic_of(encoder: Encoder) -> Arithmetic:
    """Counted in one forward of its example, as in evaluation."""
    narrow = 0

    def convolution(
        x: Sequence[int],
        weight: Sequence[int],
        *options: Any,  # aten's: bias, stride, padding, dilation, transposed, its padding, groups
        out_shape: Sequence[int],
        **_: Any,
    ) -> int:
        nonlocal narrow
        transposed, groups = options[4], options[6]
        count = conv_flop_count(list(x), list(weight), list(out_shape), transposed=transposed)
        narrow += count if groups > 1 and x[1] // groups < NARROW else 0
        return count

    device = next((parameter.device for parameter in encoder.parameters()), None)
    counting = {torch.ops.aten.convolution: convolution}
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counting) as counter:
        encoder(encoder.example.to(device))
    encoder.train(was_training)
    # a multiplication and an addition are two operations
    return Arithmetic(counter.get_total_flops() // 2, narrow // 2)


@functools.cache
def arithmetic_by_name(name: str, side: int, stem: Stem, create: str = "{}") -> Arithmetic:
    """Of an encoder that is not built: shapes are enough. `create` are timm's arguments for it, as
    JSON. UserError as `build_encoder`.
    """
    example = torch.zeros(1, 3, side, side)
    with torch.device("meta"):
        arguments = json.loads(create)
        return arithmetic_of(build_encoder(name, example=example, stem=stem, create=arguments))


def smallest_side(name: str, above: int, stem: Stem, create: str = "{}") -> int | None:
    """The smallest side of images, in px, above this one that the encoder of that name takes; None
    where that is none up to 256.
    """
    for side in range(above + 1, MOST_TRIED_PX + 1):
        try:
            arithmetic_by_name(name, side, stem, create)
        except UserError:
            continue
        return side
    return None
