import io

import numpy as np
import pytest
import torch
from data_pictures import photograph
from PIL import Image, ImageEnhance

from nearfar.core.progress import Progress
from nearfar.data.decoding import decode
from nearfar.data.near import near_copies, once_onto_the_smaller

COPIES = {
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped at a corner": lambda image: image.crop((0, 0, 137, 103)),
    "cropped within": lambda image: image.crop((9, 6, 150, 112)),
    "turned": lambda image: image.rotate(25, Image.Resampling.BICUBIC),
    "turned back": lambda image: image.rotate(-13, Image.Resampling.BICUBIC),
    "turned in a larger frame": lambda image: image.rotate(21, Image.Resampling.BICUBIC, True),
    "stretched": lambda image: image.resize((179, 107)),
    "squeezed": lambda image: image.resize((143, 134)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "smaller": lambda image: image.resize((80, 60)),
}


def squares(images):
    grays = []
    for image in images:
        looked = decode(np.asarray(image), 64)
        grays.append(np.asarray(Image.fromarray(looked.square).convert("L")))
    return np.stack(grays), np.array([image.size for image in images])


def found_in(images):
    return near_copies(*squares(images), Progress(quiet=True))


def saved(image, quality):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


@pytest.fixture(scope="module")
def pictures():
    return [photograph(number, 160, 120, smallest_px=6) for number in range(40)]


@pytest.mark.parametrize("how", COPIES)
def test_a_changed_copy_is_found_and_nothing_else(pictures, how):
    copies = [COPIES[how](pictures[number]) for number in (3, 17, 30)]
    found = found_in([*pictures, *copies])
    assert {tuple(pair) for pair in found.pairs.tolist()} == {(3, 40), (17, 41), (30, 42)}
    assert (found.likeness > 0.9).all() and (np.diff(found.likeness) <= 0).all()


def test_a_copy_saved_poorly_is_found(pictures):
    copies = [saved(pictures[number], 30) for number in (3, 17, 30)]
    assert sorted(found_in([*copies, *pictures]).pairs.tolist()) == [[0, 6], [1, 20], [2, 33]]


def test_among_different_pictures_there_is_no_pair():
    assert len(found_in([photograph(number, 90, 70) for number in range(150)]).pairs) == 0


def test_many_copies_of_one_picture_hang_together(pictures):
    copies = [pictures[5].crop((k, 0, 140 + k, 120)) for k in range(20)]
    pairs = found_in([*pictures, *copies]).pairs
    reached = {5}
    while more := {a + b - c for a, b in pairs.tolist() for c in reached & {a, b}} - reached:
        reached |= more
    assert reached == {5, *range(40, 60)}


@pytest.mark.parametrize(
    "images",
    [
        [],
        [photograph(0, 90, 70)],
        [Image.new("RGB", (90, 70), color) for color in ("white", "white", "black", "#808080")],
        [photograph(0, 200, 20).resize((23, 23)) for _ in range(4)],
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_compare_there_is_no_pair(images):
    gray, sizes = (
        squares(images) if images else (np.empty((0, 64, 64), np.uint8), np.empty((0, 2), int))
    )
    assert near_copies(gray, sizes, Progress(quiet=True)).pairs.shape == (0, 2)


def test_a_picture_twice_as_wide_and_turned_is_turned_in_its_true_proportions():
    wide = [photograph(number, 240, 120, smallest_px=6) for number in range(20)]
    turned = [
        wide[7].rotate(-20, Image.Resampling.BICUBIC),
        wide[9].rotate(20, Image.Resampling.BICUBIC),
    ]
    assert sorted(found_in([*wide, *turned]).pairs.tolist()) == [[7, 20], [9, 21]]


def test_of_two_ways_to_lay_a_pair_over_each_other_the_one_that_enlarges_nothing_is_taken():
    enlarging = torch.tensor([[0.5, 0.0, 0.2], [0.0, 0.5, -0.1]])
    shrinking = torch.tensor([[2.0, 0.0, -0.4], [0.0, 2.0, 0.2]])
    pairs, maps = torch.tensor([[4, 9], [9, 4], [1, 2]]), [enlarging, shrinking, shrinking]
    once, laid = once_onto_the_smaller(pairs, torch.stack(maps))
    assert once.tolist() == [[1, 2], [9, 4]]
    torch.testing.assert_close(laid, torch.stack([shrinking, shrinking]))
