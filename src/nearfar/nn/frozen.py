"""An encoder that does not learn any more: in evaluation mode, BatchNorm folded into convolutions,
for several threads, in chunks that fit a processor's caches.

Letters: R rows of one call, E representation width.
"""

import copy
from collections import Counter
from threading import BoundedSemaphore, Lock
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nearfar.nn.encoders import Encoder, Precision, fastest_format

EXACT = 1e-5  # how far a folded encoder may be off, as a part of the largest number, or of 1
_FOLDED_FROM, _TRIED = 128, 16  # rows that are worth a copy, and rows by which it is judged
# of a call on a CPU: activations fit the caches, and 16 rows are worth packing the weights for
_PIXELS, _WORTH_PACKING, _MOST_PIXELS, _MOST_ROWS = 2**18, 16, 2**20, 256
# these and no subclass of them, whose weights may mean something else
_CONVOLUTIONS: tuple[type[nn.Conv2d], ...] = (nn.Conv2d, Conv2dSame)
_NORMS: tuple[type[nn.BatchNorm2d], ...] = (nn.BatchNorm2d, BatchNormAct2d)


def rows_a_call(encoder: Encoder) -> int:
    """How many rows like its example are best encoded at a time."""
    shape = encoder.example.shape
    if encoder.device.type != "cpu" or len(shape) != 4:
        return _MOST_ROWS
    pixels = shape[-1] * shape[-2]
    rows = max(_PIXELS // pixels, min(_WORTH_PACKING, _MOST_PIXELS // pixels))
    return max(1, min(_MOST_ROWS, rows))


@final
class FrozenEncoder:
    """What an encoder in evaluation mode makes of `count` rows in all, without gradients.

    Several threads may call it, of which `at_once` compute at the same time; of a module of the
    user's own, whose forward may leave something in it, one. BatchNorm is folded (see `folded`)
    where the rows are worth it: in a copy, which sees no later change of the encoder.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        count: int,
        at_once: int = 1,
        precision: Precision = "float32",
    ) -> None:
        own = encoder.built_by == "user"
        self.at_once = 1 if own or encoder.device.type != "cpu" else at_once
        self._encoder = encoder
        self._precision = precision
        self._settled = own or count < _FOLDED_FROM
        self._settling = Lock()
        self._turns = BoundedSemaphore(self.at_once)

    def __call__(self, rows: Float[Tensor, "row ..."]) -> Float32[np.ndarray, "row embed"]:
        narrow = torch.autocast(rows.device.type, torch.bfloat16, enabled=self._precision == "bf16")
        with torch.inference_mode():
            with self._settling:
                if not self._settled:
                    self._encoder = folded(_in_fastest_format(self._encoder), rows[:_TRIED])
                    self._settled = True
            with self._turns, narrow:
                x: NDArray[np.float32] = self._encoder(rows).float().cpu().numpy()
        return x


def _in_fastest_format(encoder: Encoder) -> Encoder:
    """A copy, where it computes in another one."""
    order = fastest_format(encoder.net, encoder.example)
    return encoder if encoder.memory_format == order else copy.deepcopy(encoder).in_format(order)


def folded(encoder: Encoder, rows: Float[Tensor, "row ..."]) -> Encoder:
    """A copy in evaluation mode in which convolutions do what the BatchNorm behind them did, where
    that is certain; the encoder itself where nothing is, or where the copy makes other
    representations of the rows.

    Certain: in a forward of the example each of the two is called once, and the one is given the
    very tensor that the other returned. Whether something else reads it too, the representations
    show.
    """
    if not encoder.batch_norms:
        return encoder
    twin = copy.deepcopy(encoder).eval()
    pairs, device = _pairs(twin), encoder.device
    order = twin.memory_format or torch.contiguous_format
    if not pairs:
        return encoder
    names = {module: name for name, module in twin.net.named_modules()}
    for convolution, norm in pairs:
        dtype = convolution.weight.dtype  # in float64 the products add no rounding of their own
        fused = fuse_conv_bn_eval(convolution.cpu().double(), norm.cpu().double())
        fused.to(device, dtype).to(memory_format=order)
        twin.net.set_submodule(names[convolution], fused)
        twin.net.set_submodule(names[norm], _without_norm(norm))
    wanted, found = encoder(rows), twin(rows)
    most = EXACT * max(1.0, float(wanted.abs().max()))
    return twin if float((found - wanted).abs().max()) <= most else encoder


def _pairs(encoder: Encoder) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions, each with the BatchNorm behind it."""
    returned: list[tuple[nn.Conv2d, Tensor]] = []
    given: list[tuple[nn.BatchNorm2d, Tensor]] = []
    hooks = []
    for module in encoder.net.modules():
        if type(module) in _CONVOLUTIONS:
            hook = module.register_forward_hook(lambda made, _, out: returned.append((made, out)))
            hooks.append(hook)
        elif type(module) in _NORMS:
            hook = module.register_forward_pre_hook(
                lambda norm, taken: given.append((norm, *taken))
            )
            hooks.append(hook)
    encoder(encoder.example.to(encoder.device))
    for hook in hooks:
        hook.remove()
    calls = Counter(module for module, _ in (*returned, *given))
    return [
        (convolution, norm)
        for norm, taken in given
        for convolution, made in returned
        if taken is made
        and calls[convolution] == calls[norm] == 1
        and norm.running_mean is not None
    ]


def _without_norm(norm: nn.Module) -> nn.Module:
    """What a norm does beside normalizing: timm's have the activation within."""
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
