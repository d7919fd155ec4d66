"""Contact sheets: the right picture in the right place, at a size that can be seen."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from nearfar.core.types import StoredImages
from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.making import ViewPlan, show
from nearfar.views.operations import Crop, Flip
from nearfar.views.policies import POLICIES
from nearfar.views.sheet import Shown, contact_sheet, few, view_columns

HALF = (0.5, 0.5, 0.5)


def stored(images: int, side: int) -> StoredImages:
    """Red grows to the right, green downwards, blue is the image's own."""
    picture = torch.zeros(images, side, side, 3, dtype=torch.uint8)
    ramp = torch.linspace(0, 255, side).to(torch.uint8)
    picture[..., 0], picture[..., 1] = ramp[None, None, :], ramp[None, :, None]
    picture[..., 2] = 40 * torch.arange(images)[:, None, None]
    return StoredImages(picture, picture[:, ::2, ::2].contiguous(), torch.full((images, 2), side))


def shown(
    policy: Policy, *, count: int = 2, size: int = 16, images: int = 2, epochs: int = 1
) -> Shown:
    plan = ViewPlan(policy, count, size, HALF, HALF)
    pictures = stored(images, 2 * size)
    rows = torch.arange(5, 5 + images)
    return Shown(pictures, pictures.half, rows, plan, seed=3, epochs=epochs)


def test_columns_stand_in_the_order_of_the_views_across_groups():
    sheet = shown(POLICIES["swav"], size=28)
    columns = view_columns(sheet, 0)
    large, small = show(sheet.stored, sheet.plan, seed=3, epoch=0, index=sheet.rows)
    assert [column.head for column in columns] == [
        (f"view {number + 1}", f"kind {'A' if number < 2 else 'B'}") for number in range(8)
    ]
    for column, view in zip(columns, [*large, *small], strict=True):
        assert (column.pictures == view.numpy()).all()


def test_kinds_of_one_size_take_turns_in_their_own_columns():
    plain, mirrored = Kind(), Kind(operations=(Flip(probability=1),))
    columns = view_columns(shown(Policy(kinds=(plain, mirrored)), count=4), 0)
    assert [column.head[1] for column in columns] == ["kind A", "kind B", "kind A", "kind B"]
    redder_to_the_right = [bool(c.pictures[0, 0, -1, 0] > c.pictures[0, 0, 0, 0]) for c in columns]
    assert redder_to_the_right == [True, False, True, False]


def test_tiles_lie_in_their_grid_and_do_not_overlap():
    kind = Kind(
        operations=(Crop(area=(1, 1), aspect=(1, 1)),), tiles=Tiles(grid=3, side=0.75, jitter=1)
    )
    (column,) = view_columns(shown(Policy(kinds=(kind,)), count=1, size=96), 0)
    side, gap = 24, 3
    assert column.pictures.shape == (2, 3 * side + 2 * gap, 3 * side + 2 * gap, 3)
    places = [slice(k * (side + gap), k * (side + gap) + side) for k in range(3)]
    for image in column.pictures.astype(int):
        for other in places:
            for red in pairwise(image[other, place, 0] for place in places):
                assert red[0].max() < red[1].min()
            for green in pairwise(image[place, other, 1] for place in places):
                assert green[0].max() < green[1].min()


def test_each_epoch_has_views_of_its_own_under_its_name():
    sheet = shown(Policy(kinds=(Kind(operations=(Crop(),)),)), epochs=2)
    first, second = view_columns(sheet, 0), view_columns(sheet, 1)
    assert [column.head for column in second] == [("epoch 2", "view 1"), ("epoch 2", "view 2")]
    assert not (first[0].pictures == second[0].pictures).all()


def picture_of(sheet: Image.Image, cell: int, column: int, row: int) -> np.ndarray:
    """Of a sheet of two images."""
    left = 12 + column * (cell + 4) + (14 if column else 0)
    top = sheet.height - 12 - 2 * (cell + 4) + 4 + row * (cell + 4)
    return np.asarray(sheet.crop((left, top, left + cell, top + cell)))


def test_small_views_are_enlarged_pixel_by_pixel_and_stand_beside_the_evaluation_view():
    sheet = contact_sheet(shown(POLICIES["none"], size=16), title="t", about="a")
    for row in range(2):
        first = picture_of(sheet, 64, 0, row)
        assert (first == first[::4, ::4].repeat(4, 0).repeat(4, 1)).all()
        assert first[0, 0, 2] == 40 * row
        assert first[0, 0, 0] < first[0, -1, 0]
        assert first[0, 0, 1] < first[-1, 0, 1]
        assert (first == picture_of(sheet, 64, 1, row)).all()
        assert (first == picture_of(sheet, 64, 2, row)).all()


def test_large_views_keep_their_size_unless_they_are_to_be_shrunk():
    whole = contact_sheet(shown(POLICIES["none"], size=120), title="t", about="a")
    shrunk = contact_sheet(shown(POLICIES["none"], size=120), title="t", about="a", largest_px=96)
    assert picture_of(whole, 120, 2, 1)[60, 60, 2] == 40
    assert picture_of(shrunk, 96, 2, 1)[48, 48, 2] == 40
    assert whole.height - shrunk.height == 2 * 24


@pytest.mark.parametrize("count", [1, 8, 20])
def test_no_more_than_eight_views_stand_on_a_sheet(count):
    sheet = contact_sheet(shown(POLICIES["none"], count=count), title="t", about="a")
    assert sheet.width == max(420, 2 * 12 + (1 + min(count, 8)) * 68 - 4 + 14)


def test_of_many_views_some_of_each_kind_stand_on_a_sheet():
    kinds = (Kind(), Kind(operations=(Flip(),)), Kind(operations=(Crop(),), count=10))
    chosen = few(view_columns(shown(Policy(kinds=kinds), count=2), 0))
    assert [column.head for column in chosen[:3]] == [
        ("view 1", "kind A"),
        ("view 2", "kind B"),
        ("view 3", "kind C"),
    ]
    assert len(chosen) == 8
    assert chosen[-1].head == ("view 12", "kind C")
    many = tuple(Kind(operations=(Flip(),) * number) for number in range(16))
    assert [
        column.kind for column in few(view_columns(shown(Policy(kinds=many), count=16), 0))
    ] == list("ABCDEFGH")
    few_enough = view_columns(shown(POLICIES["swav"], size=28), 0)
    assert [column.head for column in few(few_enough)] == [column.head for column in few_enough]


def test_a_name_that_the_font_lacks_is_drawn_all_the_same():
    assert contact_sheet(shown(POLICIES["none"]), title="雪 × é", about="ß").height > 100
