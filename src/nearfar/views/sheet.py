"""A contact sheet: a few images, each as the evaluation view shows it and as the views of a policy
show it.

Letters: V views, B images (rows of the sheet), S side of a view (px).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nearfar.core.types import StoredImages
from nearfar.views.description import describe, letters
from nearfar.views.making import ViewPlan, show

IMAGES, VIEWS = 8, 8  # rows, and columns beside the evaluation view
_CELL_PX = 64  # smaller pictures are enlarged by a whole number, pixel by pixel, up to this
GAP, APART, MARGIN, LINE, NARROWEST = 4, 14, 12, 15, 420  # px
TITLE, SMALL = ImageFont.load_default(16), ImageFont.load_default(12)
GROUND = (0xDD, 0xE1, 0xE7)  # told from white and from black pictures
INK, SOFT, _FRAME = "#1b1f24", "#4c5563", "#2f6fde"


class Column(NamedTuple):
    head: tuple[str, str]
    pictures: UInt8[np.ndarray, "image side side 3"]
    kind: str = ""  # its letter


@dataclass(frozen=True)
class Shown:
    """What stands on a sheet. `evaluated` are the images as they are evaluated; `rows` are their
    numbers in the data set, which name their random streams.
    """

    stored: StoredImages
    evaluated: UInt8[Tensor, "image size size 3"]
    rows: Int64[Tensor, " image"]
    plan: ViewPlan
    seed: int
    epochs: int = 1  # one after another, each with all views of the plan


def contact_sheet(
    shown: Shown, *, title: str, about: str, largest_px: int | None = None
) -> Image.Image:
    """The sheet under its title, what the policy does, and `about`; pictures above `largest_px` are
    shrunk to it.

    At most 8 views stand on it.
    """
    columns = few(
        [column for epoch in range(shown.epochs) for column in view_columns(shown, epoch)]
    )
    columns = _at_readable_size([_evaluation_column(shown), *columns], largest_px)
    return _drawn(columns, title, [describe(shown.plan.policy), about])


def view_columns(shown: Shown, epoch: int) -> list[Column]:
    """The views of one epoch in the order of their numbers; tiles lie in their grid."""
    plan, found = shown.plan, {}
    made = show(shown.stored, plan, seed=shown.seed, epoch=epoch, index=shown.rows)
    for group, views in zip(plan.groups, made, strict=True):
        grid = group.program.tiles[0]
        pictures = views.numpy().reshape(-1, grid * grid, *views.shape[1:])
        for number, tiles in zip(group.program.view[:, 0].tolist(), pictures, strict=True):
            found[number] = _in_their_grid(tiles, grid)
    letter = {
        id(kind): name for kind, name in zip(plan.policy.kinds, letters(plan.policy), strict=True)
    }
    columns = []
    for number, kind in enumerate(plan.policy.views(plan.count)):
        which = f"kind {letter[id(kind)]}" if letter[id(kind)] else ""
        head = (f"epoch {epoch + 1}", f"view {number + 1} {letter[id(kind)]}".strip())
        head = head if shown.epochs > 1 else (f"view {number + 1}", which)
        columns.append(Column(head, found[number], letter[id(kind)]))
    return columns


def few(columns: Sequence[Column]) -> list[Column]:
    """At most 8 of them in their order: the first of each kind, and others spread evenly."""
    first = list(
        {column.kind: number for number, column in reversed(list(enumerate(columns)))}.values()
    )
    chosen = sorted(first)[:VIEWS]
    others = [number for number in range(len(columns)) if number not in chosen]
    more = (
        np.linspace(0, len(others) - 1, min(len(others), VIEWS - len(chosen))).round().astype(int)
    )
    return [columns[number] for number in sorted([*chosen, *(others[i] for i in more)])]


def _evaluation_column(shown: Shown) -> Column:
    return Column(("evaluation", "view"), shown.evaluated.numpy())


def _in_their_grid(
    tiles: UInt8[np.ndarray, "tile image side side 3"], grid: int
) -> UInt8[np.ndarray, "image whole whole 3"]:
    """Row by row, a gap of the ground's color between them."""
    if grid == 1:
        first: UInt8[np.ndarray, "image side side 3"] = tiles[0]
        return first
    _, images, side = tiles.shape[:3]
    gap = max(1, side // 8)
    whole = grid * side + (grid - 1) * gap
    out = np.empty((images, whole, whole, 3), np.uint8)
    out[:] = GROUND
    for number, tile in enumerate(tiles):
        y, x = (side + gap) * (number // grid), (side + gap) * (number % grid)
        out[:, y : y + side, x : x + side] = tile
    return out


def _at_readable_size(columns: Sequence[Column], largest_px: int | None) -> list[Column]:
    """All by the same factor: a whole number up, or down to `largest_px`."""
    side = max(column.pictures.shape[1] for column in columns)
    if (times := max(1, _CELL_PX // side)) > 1:
        return [
            column._replace(pictures=column.pictures.repeat(times, 1).repeat(times, 2))
            for column in columns
        ]
    if largest_px is None or side <= largest_px:
        return list(columns)
    share = largest_px / side
    return [column._replace(pictures=_shrunk(column.pictures, share)) for column in columns]


def _shrunk(
    pictures: UInt8[np.ndarray, "image side side 3"], share: float
) -> UInt8[np.ndarray, "image less less 3"]:
    side = max(1, round(share * pictures.shape[1]))
    return np.stack(
        [np.asarray(Image.fromarray(picture).resize((side, side))) for picture in pictures]
    )


def _drawn(columns: Sequence[Column], title: str, lines: Sequence[str]) -> Image.Image:
    cell = max(_CELL_PX, *(column.pictures.shape[1] for column in columns))
    rows = len(columns[0].pictures)
    width = max(NARROWEST, 2 * MARGIN + len(columns) * (cell + GAP) - GAP + APART)
    wrapped = [
        part for line in lines for part in textwrap.wrap(drawable(line), (width - 2 * MARGIN) // 6)
    ]
    top = MARGIN + 22 + LINE * len(wrapped) + 8
    first = top + 2 * LINE + 4
    sheet = Image.new("RGB", (width, first + rows * (cell + GAP) - GAP + MARGIN), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 3), drawable(title), fill=INK, font=TITLE)
    for number, line in enumerate(wrapped):
        draw.text((MARGIN, MARGIN + 20 + LINE * number), line, fill=SOFT, font=SMALL)
    for number, column in enumerate(columns):
        left = MARGIN + number * (cell + GAP) + (APART if number else 0)
        for place, text in enumerate(column.head):
            draw.text((left, top + LINE * place), text, fill=INK, font=SMALL)
        for row, picture in enumerate(column.pictures):
            inset = (cell - len(picture)) // 2
            sheet.paste(
                Image.fromarray(picture), (left + inset, first + row * (cell + GAP) + inset)
            )
    box = (MARGIN - 3, first - 3, MARGIN + cell + 2, first + rows * (cell + GAP) - GAP + 2)
    draw.rectangle(box, outline=_FRAME, width=2)
    return sheet


def drawable(text: str) -> str:
    """What Pillow's own font has letters for."""
    return "".join(sign if " " <= sign <= "~" or sign in "±°" else "?" for sign in text)
