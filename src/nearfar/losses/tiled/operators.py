"""The tiled paths as torch operators with their gradients, so that torch.compile takes each whole.

No gradient of a gradient is registered: torch refuses to differentiate through them twice.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from nearfar.losses.tiled import cpu
from nearfar.losses.tiled.pairs import Pairs

ROWS = "Tensor anchors, Tensor? candidates, Tensor? own, Tensor? anchor_classes, Tensor? candidate_classes"
SETTINGS = "float scale, str over, bool half"
N_ROWS, N_SETTINGS = 5, 3


def log_sum_exp(pairs: Pairs, *, safe: bool) -> Tensor:
    """As in `reference`. `safe`: exponentials of the logits may leave the range of numbers."""
    out: Tensor = _FORWARD(*pairs.rows, *pairs.settings, safe)
    return out


def one_positive(pairs: Pairs, negatives: Tensor, *, inside: bool) -> Tensor:
    """As in `reference`. On every device in tiles of plain torch."""
    out: Tensor = _ONE_POSITIVE(*pairs.rows, *pairs.settings, negatives, inside)
    return out


def _kernels(pairs: Pairs) -> ModuleType:
    """The module whose `forward` and `backward` serve these rows."""
    if pairs.anchors.device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        kernels = importlib.import_module("nearfar.losses.tiled.triton")
        if kernels.serves(pairs):
            return kernels
    return cpu


def _forward(*args: Any) -> Tensor:
    *rows, safe = args
    pairs = Pairs(*rows)
    out: Tensor = _kernels(pairs).forward(pairs, safe=safe)
    return out


def _backward(*args: Any) -> tuple[Tensor, Tensor]:
    *rows, lse, grad, safe = args
    pairs = Pairs(*rows)
    to_anchors, to_candidates = _kernels(pairs).backward(pairs, lse, grad, safe=safe)
    return to_anchors, to_anchors.new_empty(0) if to_candidates is None else to_candidates


def _one_positive(*args: Any) -> Tensor:
    *rows, negatives, inside = args
    return cpu.one_positive(Pairs(*rows), negatives, inside=inside)


def _one_positive_backward(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    *rows, negatives, grad, inside = args
    return cpu.one_positive_backward(Pairs(*rows), negatives, grad, inside=inside)


def _operator(name: str, function: Any, more: str, returns: str) -> Any:
    schema = f"({ROWS}, {SETTINGS}, {more}) -> {returns}"
    return torch.library.custom_op(f"nearfar::{name}", function, mutates_args=(), schema=schema)


_FORWARD = _operator("log_sum_exp", _forward, "bool safe", "Tensor")
_BACKWARD = _operator("log_sum_exp_backward", _backward, "Tensor lse, Tensor grad, bool safe", "(Tensor, Tensor)")
_ONE_POSITIVE = _operator("one_positive", _one_positive, "Tensor negatives, bool inside", "Tensor")
_ONE_POSITIVE_BACKWARD = _operator(
    "one_positive_backward",
    _one_positive_backward,
    "Tensor negatives, Tensor grad, bool inside",
    "(Tensor, Tensor, Tensor)",
)


def _like_forward(anchors: Tensor, *_: Any) -> Tensor:
    return anchors.new_empty(len(anchors))


def _like_backward(anchors: Tensor, candidates: Tensor | None, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(anchors), anchors.new_empty(0) if candidates is None else torch.empty_like(candidates)


def _like_one_positive_backward(anchors: Tensor, candidates: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return anchors.new_empty(len(anchors)), torch.empty_like(anchors), torch.empty_like(candidates)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *pairs, ctx.safe = inputs
    ctx.settings = pairs[N_ROWS:]
    ctx.save_for_backward(*pairs[:N_ROWS], output)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *rows, lse = ctx.saved_tensors
    to_anchors, to_candidates = _BACKWARD(*rows, *ctx.settings, lse, grad.contiguous(), ctx.safe)
    nothing = (None,) * (N_ROWS - 2 + N_SETTINGS + 1)
    return to_anchors, None if rows[1] is None else to_candidates, *nothing


def _remember_one_positive(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    *pairs, negatives, ctx.inside = inputs
    ctx.settings = pairs[N_ROWS:]
    ctx.save_for_backward(*pairs[:N_ROWS], negatives)


def _differentiate_one_positive(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *rows, negatives = ctx.saved_tensors
    to_negatives, to_anchors, to_candidates = _ONE_POSITIVE_BACKWARD(
        *rows, *ctx.settings, negatives, grad.contiguous(), ctx.inside
    )
    return to_anchors, to_candidates, *(None,) * (N_ROWS - 2 + N_SETTINGS), to_negatives, None


_FORWARD.register_fake(_like_forward)
_BACKWARD.register_fake(_like_backward)
_ONE_POSITIVE.register_fake(_like_forward)
_ONE_POSITIVE_BACKWARD.register_fake(_like_one_positive_backward)
_FORWARD.register_autograd(_differentiate, setup_context=_remember)
_ONE_POSITIVE.register_autograd(_differentiate_one_positive, setup_context=_remember_one_positive)
