"""The evaluation view's pixels: those of Pillow's own crop and antialiased resize."""

import io

import numpy as np
import pytest
from data_pictures import photograph
from PIL import Image

from nearfar.data.center import CenterSquare
from nearfar.data.decoding import Broken, decode, evaluation_pixels

BACK = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what the camera did to it


def content(image: Image.Image, kind: str = "PNG", turn: int = 1) -> bytes:
    """`image` as a file that is shown as it is, whatever the turn."""
    exif, out, back = Image.Exif(), io.BytesIO(), BACK[turn]
    exif[0x0112] = turn
    turned = image if back is None else image.transpose(Image.Transpose(back))
    turned.save(out, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return out.getvalue()


def by_pillow(image: Image.Image, center: CenterSquare) -> np.ndarray:
    side = round(center.crop * min(image.size))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    cut = image.crop((left, top, left + side, top + side))
    how = Image.Resampling[center.interpolation.upper()]
    return np.asarray(cut.resize((center.size, center.size), how))


def gray_levels(a: np.ndarray | Broken, b: np.ndarray | Broken) -> float:
    """The mean difference."""
    assert isinstance(a, np.ndarray)
    assert isinstance(b, np.ndarray)
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("size", [24, 128, 200])
@pytest.mark.parametrize(("crop", "how"), [(1.0, "bilinear"), (0.875, "bicubic")])
@pytest.mark.parametrize("turn", [1, 6, 7])
@pytest.mark.parametrize("shape", [(213, 160), (161, 214)])
def test_the_pixels_are_those_of_pillow_s_crop_and_resize(size, crop, how, turn, shape):
    image, center = photograph(3, *shape), CenterSquare(size, crop, how)
    seen = evaluation_pixels(content(image, turn=turn), center)
    assert (seen == by_pillow(image, center)).all()
    assert (decode(np.asarray(image), 64, center).evaluated == seen).all()


def test_what_needs_no_resampling_stays_as_it_is():
    image = photograph(1, 40, 32)
    assert (evaluation_pixels(content(image), CenterSquare(32)) == np.asarray(image)[:, 4:36]).all()
    half = evaluation_pixels(content(image), CenterSquare(16, 0.5))
    assert (half == np.asarray(image)[8:24, 12:28]).all()
    assert [CenterSquare(32, crop).takes_whole(side) for crop, side in ((1, 32), (1, 40), (0.9, 32))
    ] == [True, False, False]  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9000), (9000, 1)])
def test_dots_posts_and_roads_have_a_center(width, height):
    seen = evaluation_pixels(content(Image.new("RGB", (width, height), "gray")), CenterSquare(8))
    assert (seen == 128).all()


@pytest.mark.parametrize("center", [CenterSquare(32), CenterSquare(32, 0.25, "bicubic")])
@pytest.mark.parametrize("px", [257, 801])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_jpeg_may_be_read_smaller_which_costs_less_than_a_gray_level(center, px, turn):
    """Sides are no multiples of the scale, so that what is read has a rest of a pixel, which a turn
    puts in front.
    """
    image = photograph(0, px + px // 3, px, smallest_px=px / 60)
    file = content(image, "JPEG", turn)
    whole = by_pillow(Image.open(io.BytesIO(content(image, "JPEG"))), center)
    assert gray_levels(evaluation_pixels(file, center), whole) < 0.6


def test_how_small_a_jpeg_may_be_read_is_at_least_twice_the_view():
    assert CenterSquare(128).least_px == 512
    assert CenterSquare(128, 0.25).least_px == 1024
    assert CenterSquare(128, 0.3).least_px * 0.3 >= 256


def test_what_is_no_image_says_why():
    assert evaluation_pixels(b"text", CenterSquare(8)) == Broken("text, not an image")
