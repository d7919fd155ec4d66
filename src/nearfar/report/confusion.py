"""Confusion matrices: figures while they can be read, a picture beyond that; the commonest in
words.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from nearfar.report.groups import Group
from nearfar.report.sheet import as_data_uri

READABLE = 20  # classes whose figures still fit
_INK = (47, 111, 208)


@dataclass(frozen=True)
class MatrixCell:
    count: int
    share: float  # of the true class's images, in [0, 1]
    right: bool


@dataclass(frozen=True)
class Matrix:
    label: str
    seed: int
    split: str
    classes: tuple[str, ...]
    rows: tuple[tuple[MatrixCell, ...], ...]  # empty where the picture takes its place
    picture: str  # data URI, or ""
    commonest: tuple[tuple[str, str, int], ...]  # true, predicted, count of at least two


def confusion_matrices(groups: Sequence[Group]) -> list[Matrix]:
    """One a method, of its first seed that has one."""
    matrices = []
    for group in groups:
        for run in group.runs:
            confusion = run.results.confusion
            classes = run.results.data.classes
            if confusion is None or not classes:
                continue
            counts = np.array(confusion.counts, np.int64).reshape(len(classes), -1)
            matrices.append(
                _matrix(group.label, run.results.seed, confusion.split, classes, counts)
            )
            break
    return matrices


def _matrix(
    label: str, seed: int, split: str, classes: tuple[str, ...], counts: np.ndarray
) -> Matrix:
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    small = len(classes) <= READABLE
    rows = tuple(
        tuple(
            MatrixCell(int(c), float(s), i == j)
            for j, (c, s) in enumerate(zip(cs, ss, strict=True))
        )
        for i, (cs, ss) in enumerate(zip(counts, shares, strict=True))
    )
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:8]
    pairs = [divmod(int(at), len(classes)) for at in order]
    commonest = tuple(
        (classes[i], classes[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j] > 1
    )
    return Matrix(
        label,
        seed,
        split,
        classes,
        rows if small else (),
        "" if small else _picture(shares),
        commonest,
    )


def _picture(shares: np.ndarray) -> str:
    """One pixel a cell, ink over nothing, so that it suits a light and a dark page."""
    alpha = np.where(shares > 0, 0.08 + 0.92 * shares, 0.0)
    pixels = np.empty((*shares.shape, 4), np.uint8)
    pixels[..., :3] = _INK
    pixels[..., 3] = np.rint(255 * alpha)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return as_data_uri(buffer.getvalue(), "image/png")
