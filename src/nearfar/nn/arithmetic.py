"""What one forward of an encoder multiplies, and how much of it in convolutions by groups."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from nearfar.nn.building import Stem, build_encoder
from nearfar.nn.encoders import Encoder


@dataclass(frozen=True)
class Arithmetic:
    """Of one row. `grouped` is what convolutions by groups of channels have of it, depthwise ones
    among them.
    """

    multiply_adds: int
    grouped: int

    @property
    def grouped_share(self) -> float:
        return self.grouped / max(self.multiply_adds, 1)


def arithmetic_of(encoder: Encoder) -> Arithmetic:
    """Counted in one forward of its example, as in evaluation."""
    grouped = 0

    def convolution(
        x: Sequence[int],
        weight: Sequence[int],
        *options: Any,  # aten's: bias, stride, padding, dilation, transposed, its padding, groups
        out_shape: Sequence[int],
        **_: Any,
    ) -> int:
        nonlocal grouped
        transposed, groups = options[4], options[6]
        count = conv_flop_count(list(x), list(weight), list(out_shape), transposed=transposed)
        grouped += count if groups > 1 else 0
        return count

    device = next((parameter.device for parameter in encoder.parameters()), None)
    counting = {torch.ops.aten.convolution: convolution}
    was_training = encoder.training
    encoder.eval()
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counting) as counter:
        encoder(encoder.example.to(device))
    encoder.train(was_training)
    # a multiplication and an addition are two operations
    return Arithmetic(counter.get_total_flops() // 2, grouped // 2)


@functools.cache
def arithmetic_by_name(name: str, side: int, stem: Stem) -> Arithmetic:
    """Of an encoder that is not built: shapes are enough. UserError as `build_encoder`."""
    example = torch.zeros(1, 3, side, side)
    with torch.device("meta"):
        return arithmetic_of(build_encoder(name, example=example, stem=stem))
