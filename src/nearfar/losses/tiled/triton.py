"""The core for CUDA devices: two Triton kernels, each program a block of rows that walks over all
columns.

Forward: the log-sum-exp of a block of rows. Backward: sum_j w_ij b_j, where the weight w_ij is made
of the softmax of the row (gradient g_i), of the column (g_j), and of the positives (h), as in
`cpu`. With the row's share alone it is the gradient of the rows, with the column's, rows and
columns changed over, that of the columns, and with both at once that of a batch against itself: 6
N^2 D operations in all, no atomics, so that a run repeats bit for bit. float32 products are exact
float32 (no TF32); with `half` products are bf16 with float32 sums.

The float32 kernels are proven by Triton's interpreter at small sizes; bf16 and every timing need a
GPU: see docs/benchmarks.md for what has been measured.

Letters: M rows, N columns, D width.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nearfar.losses.tiled.cpu import mean_of_positives, prepared
from nearfar.losses.tiled.pairs import Pairs

WIDEST = 256  # D; above it the tiles of plain torch serve
CODES = {"all": 0, "others": 1, "negatives": 2}
POSITIVE_CODES = {"none": 0, "mean": 1, "log_sum_exp": 2}


def serves(pairs: Pairs) -> bool:
    """Whether the kernels can take these rows."""
    return pairs.anchors.dtype == torch.float32 and pairs.anchors.shape[1] <= WIDEST


def forward(pairs: Pairs, *, safe: bool) -> tuple[Tensor, Tensor]:
    """See `reference.statistics`."""
    a, b = _operands(pairs)
    whole = torch.empty(len(a), dtype=torch.float32, device=a.device)
    positive = (
        torch.empty_like(whole) if pairs.positives == "log_sum_exp" else mean_of_positives(pairs)
    )
    _log_sum_exp_kernel[_grid(pairs, a)](
        a,
        b,
        *_marks(pairs, a),
        whole,
        positive,
        len(a),
        len(b),
        a.shape[1],
        SAFE=safe,
        **_fixed(pairs, a),
    )
    return whole, positive


def backward(
    pairs: Pairs, values: tuple[Tensor, Tensor], grads: tuple[Tensor, Tensor], *, safe: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of anchors and candidates (None where the anchors are the candidates) for gradients
    of the values.
    """
    a, b = _operands(pairs)
    unit, whole, positive = prepared(pairs, values, grads)
    weights = (*whole, *positive)
    to_a = _weighted(pairs, a, b, weights, safe=safe, by_row=True, by_column=pairs.symmetric)
    if pairs.symmetric:
        return to_a.mul_(unit), None
    return to_a.mul_(unit), _weighted(
        pairs, b, a, weights, safe=safe, by_row=False, by_column=True
    ).mul_(unit)


def _weighted(
    pairs: Pairs,
    rows: Tensor,
    columns: Tensor,
    weights: tuple[Tensor, ...],
    *,
    safe: bool,
    by_row: bool,
    by_column: bool,
) -> Tensor:
    out = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
    _weighted_sum_kernel[_grid(pairs, rows)](
        rows,
        columns,
        *_marks(pairs, rows),
        *(x.contiguous() for x in weights),
        out,
        len(rows),
        len(columns),
        rows.shape[1],
        SAFE=safe,
        BY_ROW=by_row,
        BY_COLUMN=by_column,
        **_fixed(pairs, rows),
    )
    return out


def _operands(pairs: Pairs) -> tuple[Tensor, Tensor]:
    dtype = torch.bfloat16 if pairs.half else torch.float32
    a = pairs.anchors.detach().to(dtype).contiguous()
    return a, a if pairs.candidates is None else pairs.candidates.detach().to(dtype).contiguous()


def _marks(pairs: Pairs, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places and classes, or something to point at where a kernel never looks."""
    nothing = like.new_empty(0, dtype=torch.int64)
    given = (pairs.own, pairs.anchor_classes, pairs.candidate_classes)
    own, anchor_classes, candidate_classes = (
        nothing if x is None else x.contiguous() for x in given
    )
    return own, anchor_classes, candidate_classes


def _side(pairs: Pairs) -> int:
    """Of a block of logits: what it needs of shared memory stays below 100 KiB, which small GPUs
    have.
    """
    return 64 if pairs.half or pairs.anchors.shape[1] <= WIDEST // 2 else 32


def _grid(pairs: Pairs, rows: Tensor) -> tuple[int]:
    return (triton.cdiv(len(rows), _side(pairs)),)


def _fixed(pairs: Pairs, rows: Tensor) -> dict[str, Any]:
    return {
        "OVER": CODES[pairs.over],
        "POSITIVES": POSITIVE_CODES[pairs.positives],
        "SYMMETRIC": pairs.symmetric,
        "HAS_OWN": pairs.own is not None,
        "PRECISION": None if pairs.half else "ieee",
        "ROWS": _side(pairs),
        "COLUMNS": _side(pairs),
        "WIDTH": max(16, 2 ** math.ceil(math.log2(rows.shape[1]))),
        # float32 blocks fill the shared memory of a small GPU by themselves
        "num_stages": 2 if pairs.half else 1,
    }


@triton.jit
def _logits(
    a, columns, b, rows, own, anchor_classes, candidate_classes, n_rows, n_columns, width,
    OVER: tl.constexpr, POSITIVES: tl.constexpr, SYMMETRIC: tl.constexpr, HAS_OWN: tl.constexpr,
    SWAPPED: tl.constexpr, PRECISION: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """A block of logits in units of log 2; which pairs are summed over, which are positives; the
    columns' own rows.

    SWAPPED: the rows here are the candidates, the columns the anchors.
    """
    dims = tl.arange(0, WIDTH)
    inside = (columns[:, None] < n_columns) & (dims[None, :] < width)
    block = tl.load(
        b + columns[:, None].to(tl.int64) * width + dims[None, :], mask=inside, other=0.0
    )
    s = tl.dot(a, tl.trans(block), input_precision=PRECISION) * 1.4426950408889634
    there = (rows[:, None] < n_rows) & (columns[None, :] < n_columns)
    other = there
    if SYMMETRIC:
        other = there & (rows[:, None] != columns[None, :])
    elif HAS_OWN:
        if SWAPPED:
            place = tl.load(own + columns, mask=columns < n_columns, other=-1)
            other = there & (place[None, :] != rows[:, None])
        else:
            place = tl.load(own + rows, mask=rows < n_rows, other=-1)
            other = there & (place[:, None] != columns[None, :])
    wanted = there
    positive = there
    if OVER > 0:
        wanted = other
    if (OVER == 2) | (POSITIVES > 0):
        if SWAPPED:
            of_row = tl.load(candidate_classes + rows, mask=rows < n_rows, other=0)
            of_column = tl.load(anchor_classes + columns, mask=columns < n_columns, other=0)
        else:
            of_row = tl.load(anchor_classes + rows, mask=rows < n_rows, other=0)
            of_column = tl.load(candidate_classes + columns, mask=columns < n_columns, other=0)
        positive = other & (of_row[:, None] == of_column[None, :])
        if OVER == 2:
            wanted = other & (of_row[:, None] != of_column[None, :])
    return s, wanted, positive, block


@triton.jit
def _added(s, sums, largest, SAFE: tl.constexpr):
    """Sums of exponentials and running maxima with one more block."""
    if SAFE:
        new = tl.maximum(largest, tl.max(s, axis=1))
        shift = tl.where(new == -float("inf"), 0.0, new)  # rows that have met no candidate yet
        sums = sums * tl.exp2(largest - shift) + tl.sum(tl.exp2(s - shift[:, None]), axis=1)
        largest = new
    else:
        sums += tl.sum(tl.exp2(s), axis=1)
    return sums, largest


@triton.jit
def _log(sums, largest, SAFE: tl.constexpr):
    logs = tl.log2(sums)
    if SAFE:
        logs += tl.where(sums > 0, largest, 0.0)
    return logs * 0.6931471805599453


@triton.jit
def _log_sum_exp_kernel(
    a_rows,
    b,
    own,
    anchor_classes,
    candidate_classes,
    whole_out,
    positive_out,
    n_rows,
    n_columns,
    width,
    SAFE: tl.constexpr,
    OVER: tl.constexpr,
    POSITIVES: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    HAS_OWN: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, WIDTH)
    inside = (rows[:, None] < n_rows) & (dims[None, :] < width)
    a = tl.load(a_rows + rows[:, None].to(tl.int64) * width + dims[None, :], mask=inside, other=0.0)
    whole, positives = tl.zeros((ROWS,), dtype=tl.float32), tl.zeros((ROWS,), dtype=tl.float32)
    largest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    largest_positive = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    for start in range(0, n_columns, COLUMNS):
        s, wanted, positive, _ = _logits(
            a,
            start + tl.arange(0, COLUMNS),
            b,
            rows,
            own,
            anchor_classes,
            candidate_classes,
            n_rows,
            n_columns,
            width,
            OVER,
            POSITIVES,
            SYMMETRIC,
            HAS_OWN,
            False,
            PRECISION,
            WIDTH,
        )
        whole, largest = _added(tl.where(wanted, s, -float("inf")), whole, largest, SAFE)
        if POSITIVES == 2:
            of_positives = tl.where(positive, s, -float("inf"))
            positives, largest_positive = _added(of_positives, positives, largest_positive, SAFE)
    tl.store(whole_out + rows, _log(whole, largest, SAFE), mask=rows < n_rows)
    if POSITIVES == 2:
        tl.store(positive_out + rows, _log(positives, largest_positive, SAFE), mask=rows < n_rows)


@triton.jit
def _softmax(
    s,
    grad,
    lse,
    rows,
    columns,
    n_rows,
    n_columns,
    SAFE: tl.constexpr,
    BY_ROW: tl.constexpr,
    BY_COLUMN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """exp(s_ij - l_i) g_i and / or exp(s_ij - l_j) g_j."""
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    if BY_ROW:
        g = tl.load(grad + rows, mask=rows < n_rows, other=0.0)
        log = tl.load(lse + rows, mask=rows < n_rows, other=float("inf")) * 1.4426950408889634
        if SAFE:
            total += tl.exp2(s - log[:, None]) * g[:, None]
        else:
            total += (g * tl.exp2(-log))[:, None]
    if BY_COLUMN:
        g = tl.load(grad + columns, mask=columns < n_columns, other=0.0)
        log = (
            tl.load(lse + columns, mask=columns < n_columns, other=float("inf"))
            * 1.4426950408889634
        )
        if SAFE:
            total += tl.exp2(s - log[None, :]) * g[None, :]
        else:
            total += (g * tl.exp2(-log))[None, :]
    if not SAFE:
        total *= tl.exp2(s)
    return total


@triton.jit
def _weighted_sum_kernel(
    a_rows,
    b,
    own,
    anchor_classes,
    candidate_classes,
    grad,
    lse,
    positive_grad,
    positive_lse,
    out,
    n_rows,
    n_columns,
    width,
    SAFE: tl.constexpr,
    BY_ROW: tl.constexpr,
    BY_COLUMN: tl.constexpr,
    OVER: tl.constexpr,
    POSITIVES: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    HAS_OWN: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, WIDTH)
    inside = (rows[:, None] < n_rows) & (dims[None, :] < width)
    at = rows[:, None].to(tl.int64) * width + dims[None, :]
    a = tl.load(a_rows + at, mask=inside, other=0.0)
    total = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for start in range(0, n_columns, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        s, wanted, positive, block = _logits(
            a,
            columns,
            b,
            rows,
            own,
            anchor_classes,
            candidate_classes,
            n_rows,
            n_columns,
            width,
            OVER,
            POSITIVES,
            SYMMETRIC,
            HAS_OWN,
            BY_COLUMN and not BY_ROW,
            PRECISION,
            WIDTH,
        )
        of_whole = _softmax(
            s, grad, lse, rows, columns, n_rows, n_columns, SAFE, BY_ROW, BY_COLUMN, ROWS, COLUMNS
        )
        weights = tl.where(wanted, of_whole, 0.0)
        if POSITIVES == 1:
            each = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
            if BY_ROW:
                each += tl.load(positive_grad + rows, mask=rows < n_rows, other=0.0)[:, None]
            if BY_COLUMN:
                each += tl.load(positive_grad + columns, mask=columns < n_columns, other=0.0)[
                    None, :
                ]
            weights += tl.where(positive, each, 0.0)
        if POSITIVES == 2:
            of_positives = _softmax(
                s,
                positive_grad,
                positive_lse,
                rows,
                columns,
                n_rows,
                n_columns,
                SAFE,
                BY_ROW,
                BY_COLUMN,
                ROWS,
                COLUMNS,
            )
            weights += tl.where(positive, of_positives, 0.0)
        total = tl.dot(weights.to(block.dtype), block, total, input_precision=PRECISION)
    tl.store(out + at, total, mask=inside)
