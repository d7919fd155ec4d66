"""A contact sheet of pairs: two pictures side by side, with what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from nearfar.views import sheet as drawing

PAIRS = 24  # that stand on a sheet, at most
_ACROSS, _PICTURE_PX, _LETTERS = 4, 120, 38  # pairs a line, side of a picture, letters of a caption


@dataclass(frozen=True)
class Pair:
    """Two RGB pictures, the split and the path of each."""

    pictures: tuple[Image.Image, Image.Image]
    splits: tuple[str, str]
    paths: tuple[str, str]


def pair_sheet(pairs: Sequence[Pair], *, title: str, about: str) -> Image.Image:
    """The pairs in their order, numbered, four a line."""
    width = 2 * _PICTURE_PX + drawing.GAP
    height = _PICTURE_PX + 2 * drawing.LINE + drawing.APART
    across, lines = min(len(pairs), _ACROSS), -(-len(pairs) // _ACROSS)
    top = drawing.MARGIN + 44
    size = (
        max(drawing.NARROWEST, 2 * drawing.MARGIN + across * (width + drawing.APART)),
        top + lines * height + drawing.MARGIN,
    )
    sheet = Image.new("RGB", size, drawing.GROUND)
    draw = ImageDraw.Draw(sheet)
    at = (drawing.MARGIN, drawing.MARGIN - 3)
    draw.text(at, drawing.drawable(title), fill=drawing.INK, font=drawing.TITLE)
    at = (drawing.MARGIN, drawing.MARGIN + 20)
    draw.text(at, drawing.drawable(about), fill=drawing.SOFT, font=drawing.SMALL)
    for number, pair in enumerate(pairs):
        left = drawing.MARGIN + number % _ACROSS * (width + drawing.APART)
        y = top + number // _ACROSS * height
        for place, picture in enumerate(pair.pictures):
            times = _PICTURE_PX / max(picture.size)
            shown = picture.resize((round(times * picture.width), round(times * picture.height)))
            x = left + place * (_PICTURE_PX + drawing.GAP) + (_PICTURE_PX - shown.width) // 2
            sheet.paste(shown, (x, y + (_PICTURE_PX - shown.height) // 2))
            caption = _caption(number + 1, pair.splits[place], pair.paths[place])
            below = (left, y + _PICTURE_PX + 1 + drawing.LINE * place)
            draw.text(below, caption, fill=drawing.SOFT, font=drawing.SMALL)
    return sheet


def _caption(number: int, split: str, path: str) -> str:
    """Of a long path the end."""
    head = f"{number}. {split}: "
    left = _LETTERS - len(head)
    return drawing.drawable(head + (path if len(path) <= left else f"..{path[2 - left :]}"))
