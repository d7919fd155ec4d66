"""The core for CUDA devices: two Triton kernels, each program a block of rows that walks over all columns.

Forward: the log-sum-exp of a block of rows. Backward: sum_j w_ij b_j with w_ij = exp(s_ij) (u_i + v_j), which serves
the gradient of the rows (u), of the columns (v, rows and columns changed over) and of both at once where a batch is set
against itself: 6 N^2 D operations in all, no atomics, so that a run repeats bit for bit. float32 products are exact
float32 (no TF32); with `half` products are bf16 with float32 sums.

The float32 kernels are proven by Triton's interpreter at small sizes; bf16 and every timing need a GPU: see
docs/benchmarks.md for what has been measured.

Letters: M rows, N columns, D width.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nearfar.losses.tiled.pairs import Pairs

WIDEST = 256  # D; above it the tiles of plain torch serve
LOG2_E = 1.4426950408889634


def serves(pairs: Pairs) -> bool:
    """Whether the kernels can take these rows."""
    return pairs.anchors.dtype == torch.float32 and pairs.anchors.shape[1] <= WIDEST


def forward(pairs: Pairs, *, safe: bool) -> Tensor:
    """(M,): the log-sum-exp of each anchor."""
    a, b = _operands(pairs)
    out = torch.empty(len(a), dtype=torch.float32, device=a.device)
    _log_sum_exp_kernel[_grid(pairs, a)](
        a, b, *_marks(pairs, a), out, len(a), len(b), a.shape[1], pairs.scale * LOG2_E, SAFE=safe, **_fixed(pairs, a)
    )
    return out


def backward(pairs: Pairs, lse: Tensor, grad: Tensor, *, safe: bool) -> tuple[Tensor, Tensor | None]:
    """Gradients of anchors and candidates (None where the anchors are the candidates) for gradients of `lse`."""
    a, b = _operands(pairs)
    unit = grad.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)  # keeps the weights among normal numbers
    grad, lse = grad / unit, torch.where(lse.isneginf(), torch.inf, lse)
    back = pairs.scale * unit
    to_a = _weighted(pairs, a, b, grad, lse, safe=safe, by_row=True, by_column=pairs.symmetric)
    if pairs.symmetric:
        return to_a.mul_(back), None
    to_b = _weighted(pairs, b, a, grad, lse, safe=safe, by_row=False, by_column=True)
    return to_a.mul_(back), to_b.mul_(back)


def _weighted(
    pairs: Pairs, rows: Tensor, columns: Tensor, grad: Tensor, lse: Tensor, *, safe: bool, by_row: bool, by_column: bool
) -> Tensor:
    out = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
    swapped = by_column and not by_row
    _weighted_sum_kernel[_grid(pairs, rows)](
        rows, columns, *_marks(pairs, rows), grad, lse, out,
        len(rows), len(columns), rows.shape[1], pairs.scale * LOG2_E,
        SAFE=safe, BY_ROW=by_row, BY_COLUMN=by_column, SWAPPED=swapped, **_fixed(pairs, rows),
    )  # fmt: skip
    return out


def _operands(pairs: Pairs) -> tuple[Tensor, Tensor]:
    dtype = torch.bfloat16 if pairs.half else torch.float32
    a = pairs.anchors.detach().to(dtype).contiguous()
    return a, a if pairs.candidates is None else pairs.candidates.detach().to(dtype).contiguous()


def _marks(pairs: Pairs, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places and classes, or something to point at where a kernel never looks."""
    nothing = like.new_empty(0, dtype=torch.int64)
    given = (pairs.own, pairs.anchor_classes, pairs.candidate_classes)
    own, anchor_classes, candidate_classes = (nothing if x is None else x.contiguous() for x in given)
    return own, anchor_classes, candidate_classes


def _side(pairs: Pairs) -> int:
    """Of a block of logits: what it needs of shared memory stays below 100 KiB, which small GPUs have."""
    return 64 if pairs.half or pairs.anchors.shape[1] <= WIDEST // 2 else 32


def _grid(pairs: Pairs, rows: Tensor) -> tuple[int]:
    return (triton.cdiv(len(rows), _side(pairs)),)


def _fixed(pairs: Pairs, rows: Tensor) -> dict[str, Any]:
    return {
        "WITHOUT_OWN": pairs.over in ("others", "positives"),
        "OWN_IS_ROW": pairs.own is None,
        "CLASSES": {"negatives": -1, "positives": 1}.get(pairs.over, 0),
        "PRECISION": None if pairs.half else "ieee",
        "ROWS": _side(pairs),
        "COLUMNS": _side(pairs),
        "WIDTH": max(16, 2 ** math.ceil(math.log2(rows.shape[1]))),
        "num_stages": 2 if pairs.half else 1,  # float32 blocks fill the shared memory of a small GPU by themselves
    }


@triton.jit
def _logits(
    a, columns, b, rows, own, anchor_classes, candidate_classes, n_rows, n_columns, width, scale,
    SWAPPED: tl.constexpr, WITHOUT_OWN: tl.constexpr, OWN_IS_ROW: tl.constexpr, CLASSES: tl.constexpr,
    PRECISION: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """A block of logits in units of log 2, -inf where a pair is not wanted; and the block of columns' rows.

    SWAPPED: the rows here are the candidates, the columns the anchors.
    """
    dims = tl.arange(0, WIDTH)
    inside = (columns[:, None] < n_columns) & (dims[None, :] < width)
    block = tl.load(b + columns[:, None].to(tl.int64) * width + dims[None, :], mask=inside, other=0.0)
    s = tl.dot(a, tl.trans(block), input_precision=PRECISION) * scale
    wanted = (rows[:, None] < n_rows) & (columns[None, :] < n_columns)
    if WITHOUT_OWN:
        if OWN_IS_ROW:
            wanted = wanted & (rows[:, None] != columns[None, :])
        elif SWAPPED:
            place = tl.load(own + columns, mask=columns < n_columns, other=-1)
            wanted = wanted & (place[None, :] != rows[:, None])
        else:
            place = tl.load(own + rows, mask=rows < n_rows, other=-1)
            wanted = wanted & (place[:, None] != columns[None, :])
    if CLASSES != 0:
        if SWAPPED:
            of_row = tl.load(candidate_classes + rows, mask=rows < n_rows, other=0)
            of_column = tl.load(anchor_classes + columns, mask=columns < n_columns, other=0)
        else:
            of_row = tl.load(anchor_classes + rows, mask=rows < n_rows, other=0)
            of_column = tl.load(candidate_classes + columns, mask=columns < n_columns, other=0)
        if CLASSES < 0:
            wanted = wanted & (of_row[:, None] != of_column[None, :])
        else:
            wanted = wanted & (of_row[:, None] == of_column[None, :])
    return tl.where(wanted, s, -float("inf")), block


@triton.jit
def _log_sum_exp_kernel(
    a_rows, b, own, anchor_classes, candidate_classes, out, n_rows, n_columns, width, scale,
    SAFE: tl.constexpr, WITHOUT_OWN: tl.constexpr, OWN_IS_ROW: tl.constexpr, CLASSES: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, WIDTH)
    inside = (rows[:, None] < n_rows) & (dims[None, :] < width)
    a = tl.load(a_rows + rows[:, None].to(tl.int64) * width + dims[None, :], mask=inside, other=0.0)
    sums = tl.zeros((ROWS,), dtype=tl.float32)
    largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    for start in range(0, n_columns, COLUMNS):
        s, _ = _logits(
            a, start + tl.arange(0, COLUMNS), b, rows, own, anchor_classes, candidate_classes, n_rows, n_columns,
            width, scale, False, WITHOUT_OWN, OWN_IS_ROW, CLASSES, PRECISION, WIDTH,
        )  # fmt: skip
        if SAFE:
            new = tl.maximum(largest, tl.max(s, axis=1))
            shift = tl.where(new == -float("inf"), 0.0, new)  # rows that have met no candidate yet
            sums = sums * tl.exp2(largest - shift) + tl.sum(tl.exp2(s - shift[:, None]), axis=1)
            largest = new
        else:
            sums += tl.sum(tl.exp2(s), axis=1)
    if SAFE:
        lse = tl.where(sums > 0, largest, 0.0) + tl.log2(sums)
    else:
        lse = tl.log2(sums)
    tl.store(out + rows, lse * 0.6931471805599453, mask=rows < n_rows)


@triton.jit
def _weighted_sum_kernel(
    a_rows, b, own, anchor_classes, candidate_classes, grad, lse, out, n_rows, n_columns, width, scale,
    SAFE: tl.constexpr, BY_ROW: tl.constexpr, BY_COLUMN: tl.constexpr, SWAPPED: tl.constexpr,
    WITHOUT_OWN: tl.constexpr, OWN_IS_ROW: tl.constexpr, CLASSES: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, WIDTH)
    inside = (rows[:, None] < n_rows) & (dims[None, :] < width)
    at = rows[:, None].to(tl.int64) * width + dims[None, :]
    a = tl.load(a_rows + at, mask=inside, other=0.0)
    total = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    if BY_ROW:
        row_grad = tl.load(grad + rows, mask=rows < n_rows, other=0.0)
        row_lse = tl.load(lse + rows, mask=rows < n_rows, other=float("inf")) * 1.4426950408889634
    for start in range(0, n_columns, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        s, block = _logits(
            a, columns, b, rows, own, anchor_classes, candidate_classes, n_rows, n_columns,
            width, scale, SWAPPED, WITHOUT_OWN, OWN_IS_ROW, CLASSES, PRECISION, WIDTH,
        )  # fmt: skip
        if BY_COLUMN:
            column_grad = tl.load(grad + columns, mask=columns < n_columns, other=0.0)
            column_lse = tl.load(lse + columns, mask=columns < n_columns, other=float("inf")) * 1.4426950408889634
        if SAFE:
            weights = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
            if BY_ROW:
                weights += tl.exp2(s - row_lse[:, None]) * row_grad[:, None]
            if BY_COLUMN:
                weights += tl.exp2(s - column_lse[None, :]) * column_grad[None, :]
        else:
            factor = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
            if BY_ROW:
                factor += (row_grad * tl.exp2(-row_lse))[:, None]
            if BY_COLUMN:
                factor += (column_grad * tl.exp2(-column_lse))[None, :]
            weights = tl.exp2(s) * factor
        total = tl.dot(weights.to(block.dtype), block, total, input_precision=PRECISION)
    tl.store(out + at, total, mask=inside)
