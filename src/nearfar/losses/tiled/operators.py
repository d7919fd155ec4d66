"""The tiled paths as torch operators with their gradients, so that torch.compile takes each whole.

A gradient of a gradient is refused, and so is forward mode.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, library
from torch.autograd import forward_ad

from nearfar.losses.tiled import cpu, questions
from nearfar.losses.tiled.pairs import Pairs

PAIRS = (
    "Tensor anchors, Tensor? candidates, Tensor? own, Tensor? anchor_classes, Tensor?"
    " candidate_classes, str over, str positives, bool half"
)
N_TENSORS, N_PAIRS = 5, 8  # of PAIRS: how many are tensors, how many in all


def statistics(pairs: Pairs, *, safe: bool) -> tuple[Tensor, Tensor]:
    """As in `reference`. `safe`: exponentials of the logits may leave the range of numbers."""
    _refuse_forward_mode(*pairs.rows[:2])
    whole, positive = _STATISTICS(*pairs.rows, *pairs.settings, safe)
    return whole, positive


def one_positive(pairs: Pairs, negatives: Tensor, *, inside: bool) -> Tensor:
    """As in `reference`. On every device in tiles of plain torch."""
    _refuse_forward_mode(*pairs.rows[:2], negatives)
    out: Tensor = _ONE_POSITIVE(*pairs.rows, *pairs.settings, negatives, inside)
    return out


def pair_questions(pairs: Pairs, bias: Tensor) -> Tensor:
    """As `questions.dense`. On every device in tiles of plain torch."""
    _refuse_forward_mode(*pairs.rows[:2], bias)
    out: Tensor = _PAIR_QUESTIONS(*pairs.rows, *pairs.settings, bias)
    return out


def _refuse_forward_mode(*tensors: Tensor | None) -> None:
    """torch takes an operator without a formula for it as constant, silently."""
    if torch.compiler.is_compiling():
        return
    unpack: Any = forward_ad.unpack_dual  # untyped in torch
    if any(x is not None and unpack(x).tangent is not None for x in tensors):
        raise RuntimeError(
            "forward-mode derivatives of a tiled loss are not offered; take reverse mode"
        )


def _kernels(pairs: Pairs) -> ModuleType:
    """The module whose `forward` and `backward` serve these rows."""
    if pairs.anchors.device.type == "cuda" and importlib.util.find_spec("triton") is not None:
        kernels = importlib.import_module("nearfar.losses.tiled.triton")
        if kernels.serves(pairs):
            return kernels
    return cpu


def _statistics(*args: Any) -> tuple[Tensor, Tensor]:
    pairs = Pairs(*args[:N_PAIRS])
    whole, positive = _kernels(pairs).forward(pairs, safe=args[-1])
    return whole, positive


def _statistics_backward(*args: Any) -> tuple[Tensor, Tensor]:
    pairs = Pairs(*args[:N_PAIRS])
    whole, positive, to_whole, to_positive, safe = args[N_PAIRS:]
    to_anchors, to_candidates = _kernels(pairs).backward(
        pairs, (whole, positive), (to_whole, to_positive), safe=safe
    )
    return to_anchors, to_anchors.new_empty(0) if to_candidates is None else to_candidates


def _one_positive(*args: Any) -> Tensor:
    negatives, inside = args[N_PAIRS:]
    return cpu.one_positive(Pairs(*args[:N_PAIRS]), negatives, inside=inside)


def _one_positive_backward(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    negatives, value, grad, inside = args[N_PAIRS:]
    return cpu.one_positive_backward(Pairs(*args[:N_PAIRS]), negatives, value, grad, inside=inside)


def _pair_questions(*args: Any) -> Tensor:
    return questions.forward(Pairs(*args[:N_PAIRS]), args[-1])


def _pair_questions_backward(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    return questions.backward(Pairs(*args[:N_PAIRS]), *args[N_PAIRS:])


def _like_statistics(anchors: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    positives = rest[N_TENSORS]
    return anchors.new_empty(len(anchors)), anchors.new_empty(
        0 if positives == "none" else len(anchors)
    )


def _like_statistics_backward(
    anchors: Tensor, candidates: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(anchors), (
        anchors.new_empty(0) if candidates is None else torch.empty_like(candidates)
    )


def _like_one_positive(anchors: Tensor, *_: Any) -> Tensor:
    return anchors.new_empty(len(anchors))


def _like_one_positive_backward(
    anchors: Tensor, candidates: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return anchors.new_empty(len(anchors)), torch.empty_like(anchors), torch.empty_like(candidates)


def _like_pair_questions_backward(
    anchors: Tensor, candidates: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    bias: Tensor = rest[-2]
    return torch.empty_like(bias), torch.empty_like(anchors), torch.empty_like(candidates)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.settings, ctx.safe = inputs[N_TENSORS:N_PAIRS], inputs[-1]
    ctx.save_for_backward(*inputs[:N_TENSORS], *output)


def _differentiate(ctx: Any, to_whole: Tensor, to_positive: Tensor) -> tuple[Tensor | None, ...]:
    *rows, whole, positive = ctx.saved_tensors
    grads = (to_whole.contiguous(), to_positive.contiguous())
    to_anchors, to_candidates = _STATISTICS_BACKWARD(
        *rows, *ctx.settings, whole, positive, *grads, ctx.safe
    )
    return to_anchors, None if rows[1] is None else to_candidates, *(None,) * (N_PAIRS - 2 + 1)


def _remember_one_positive(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.settings, (negatives, ctx.inside) = inputs[N_TENSORS:N_PAIRS], inputs[N_PAIRS:]
    ctx.save_for_backward(*inputs[:N_TENSORS], negatives, output)


def _differentiate_one_positive(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *rows, negatives, value = ctx.saved_tensors
    to_negatives, to_anchors, to_candidates = _ONE_POSITIVE_BACKWARD(
        *rows, *ctx.settings, negatives, value, grad.contiguous(), ctx.inside
    )
    return to_anchors, to_candidates, *(None,) * (N_PAIRS - 2), to_negatives, None


def _remember_pair_questions(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output  # which torch passes by this name
    ctx.settings = inputs[N_TENSORS:N_PAIRS]
    ctx.save_for_backward(*inputs[:N_TENSORS], inputs[-1])


def _differentiate_pair_questions(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *rows, bias = ctx.saved_tensors
    to_bias, to_anchors, to_candidates = _PAIR_QUESTIONS_BACKWARD(
        *rows, *ctx.settings, bias, grad.contiguous()
    )
    return to_anchors, to_candidates, *(None,) * (N_PAIRS - 2), to_bias


def _refuse(*_: Any) -> None:
    raise RuntimeError(
        "second derivatives of a tiled loss are not offered; the dense form, for batches of up to "
        "nearfar.losses.tiled.DENSE_UP_TO pairs, has them"
    )


_new_library: Any = library.Library  # untyped in torch
_LIBRARY = _new_library("nearfar", "DEF")  # lasts as long as its operators do


def _operator(name: str, function: Any, shapes: Any, more: str, returns: str) -> Any:
    """Registered by hand: torch's custom_op imports the compiler at its first call, seconds and 150
    MB.
    """
    library.define(f"nearfar::{name}", f"({PAIRS}, {more}) -> {returns}", lib=_LIBRARY)
    library.impl(f"nearfar::{name}", "CompositeExplicitAutograd", function, lib=_LIBRARY)
    library.register_fake(f"nearfar::{name}", shapes, lib=_LIBRARY)
    return getattr(torch.ops.nearfar, name)


_STATISTICS = _operator(
    "statistics", _statistics, _like_statistics, "bool safe", "(Tensor, Tensor)"
)
_STATISTICS_BACKWARD = _operator(
    "statistics_backward",
    _statistics_backward,
    _like_statistics_backward,
    "Tensor whole, Tensor positive, Tensor to_whole, Tensor to_positive, bool safe",
    "(Tensor, Tensor)",
)
_ONE_POSITIVE = _operator(
    "one_positive", _one_positive, _like_one_positive, "Tensor negatives, bool inside", "Tensor"
)
_ONE_POSITIVE_BACKWARD = _operator(
    "one_positive_backward",
    _one_positive_backward,
    _like_one_positive_backward,
    "Tensor negatives, Tensor value, Tensor grad, bool inside",
    "(Tensor, Tensor, Tensor)",
)
_PAIR_QUESTIONS = _operator(
    "pair_questions", _pair_questions, _like_one_positive, "Tensor bias", "Tensor"
)
_PAIR_QUESTIONS_BACKWARD = _operator(
    "pair_questions_backward",
    _pair_questions_backward,
    _like_pair_questions_backward,
    "Tensor bias, Tensor grad",
    "(Tensor, Tensor, Tensor)",
)
for _name in ("statistics_backward", "one_positive_backward", "pair_questions_backward"):
    library.register_autograd(f"nearfar::{_name}", _refuse, lib=_LIBRARY)
library.register_autograd(
    "nearfar::statistics", _differentiate, setup_context=_remember, lib=_LIBRARY
)
library.register_autograd(
    "nearfar::one_positive",
    _differentiate_one_positive,
    setup_context=_remember_one_positive,
    lib=_LIBRARY,
)
library.register_autograd(
    "nearfar::pair_questions",
    _differentiate_pair_questions,
    setup_context=_remember_pair_questions,
    lib=_LIBRARY,
)
