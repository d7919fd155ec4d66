"""What is given in memory is seen as a file of it is."""

import io

import numpy as np
import pytest
import torch
from data_pictures import photograph, png
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset

from nearfar.core.errors import DataError
from nearfar.data.datasets import from_dataset, rgb_pixels
from nearfar.data.decoding import Decoded, decode

UPRIGHT = photograph(0, 30, 20)


def turned(kind: str, orientation: int = 6) -> bytes:
    """UPRIGHT as a camera held sideways stores it."""
    tag = Image.Exif()
    tag[0x0112] = orientation
    out = io.BytesIO()
    UPRIGHT.transpose(Image.Transpose.ROTATE_90).save(out, kind, exif=tag)
    return out.getvalue()


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def palette() -> Image.Image:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


@pytest.mark.parametrize(
    "content",
    [
        turned("PNG"),
        turned("TIFF"),
        turned("PNG", orientation=7),
        saved(Image.fromarray(np.full((20, 20), 257 * 100, np.uint16))),
        saved(Image.new("RGBA", (20, 20), (0, 0, 0, 51))),
        saved(Image.new("LA", (20, 20), (50, 0))),
        saved(palette(), transparency=1),
        saved(Image.new("CMYK", (20, 20), (0, 255, 0, 0)), "TIFF"),
        saved(Image.new("1", (20, 20), 1)),
    ],
)
def test_a_pil_image_becomes_what_its_file_becomes(content):
    file = decode(content, 20)
    assert isinstance(file, Decoded)
    pixels = rgb_pixels(Image.open(io.BytesIO(content)), "image")
    assert pixels.shape == (file.height, file.width, 3)
    memory = decode(pixels, 20)
    assert isinstance(memory, Decoded)
    np.testing.assert_array_equal(memory.square, file.square)


def test_a_data_set_of_opened_pictures_is_upright_even_where_its_loader_converted_them():
    class Photos:  # as torchvision's ImageFolder
        classes = ("a", "b")

        def __len__(self) -> int:
            return 4

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            return Image.open(io.BytesIO(turned("PNG"))).convert("RGB"), row % 2

    listing = from_dataset(Photos())
    for _, pixels in listing.reader.read():
        np.testing.assert_array_equal(pixels, np.asarray(UPRIGHT))


def test_a_damaged_pil_image_is_named():
    torn = Image.open(io.BytesIO(png(1, 60, 60)[:3000]))
    with pytest.raises(DataError, match=r"image 3: damaged image: .*truncated"):
        rgb_pixels(torn, "image 3")
    deep = Image.fromarray(np.full((4, 4), 1 << 20, np.int32))
    with pytest.raises(DataError, match=r"image 0: .*65535"):
        rgb_pixels(deep, "image 0")


class Made(Dataset):
    """Gray images of growing levels, items as `item` makes them of image and number."""

    classes = ("cat", "dog")

    def __init__(self, count: int = 20, item=lambda image, row: (image, row % 2)) -> None:
        self._count, self._item = count, item

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int):
        return self._item(np.full((8, 8, 3), row, np.uint8), row)


@pytest.mark.parametrize(
    "dataset",
    [
        Subset(Made(), range(10)),
        ConcatDataset([Made(), Made(4)]),
        Subset(ConcatDataset([Made(), Made(4)]), range(10)),
    ],
)
def test_a_part_or_a_chain_of_data_sets_keeps_the_names_of_the_classes(dataset):
    assert from_dataset(dataset).class_names == ("cat", "dog")


def test_chained_data_sets_of_other_classes_are_refused():
    other = Made()
    other.classes = ("dog", "cat")
    with pytest.raises(DataError, match="same classes"):
        from_dataset(ConcatDataset([Made(), other]))


@pytest.mark.parametrize(
    "item",
    [
        lambda image, row: {"image": image, "label": row % 2},
        lambda image, row: {"img": saved(Image.fromarray(image)), "label": row % 2, "id": row},
        lambda image, row: {"image": {"bytes": saved(Image.fromarray(image))}, "label": row % 2},
        lambda image, row: (image, np.array([row % 2])),
        lambda image, row: (image, torch.tensor([row % 2])),
        lambda image, row: (torch.tensor(image[:, :, 0] / 255).to(torch.bfloat16), row % 2),
    ],
)
def test_items_come_in_the_forms_that_data_sets_have(item):
    listing = from_dataset(Made(item=item))
    assert listing.labels.tolist() == [0, 1] * 10
    assert [int(pixels[0, 0, 0]) for _, pixels in listing.reader.read()] == list(range(20))


def test_a_row_without_an_image_column_names_its_columns():
    with pytest.raises(DataError, match=r"item 0: want a column image or .*, got picture, label"):
        from_dataset(Made(item=lambda image, row: {"picture": image, "label": row}))


def test_a_label_column_names_its_classes():
    class Feature:
        names = ("cat", "dog")

    rows = Made(item=lambda image, row: {"image": image, "label": row % 2})
    rows.classes, rows.features = None, {"image": None, "label": Feature()}
    assert from_dataset(rows).class_names == ("cat", "dog")


def test_data_sets_by_split_are_given_splits():
    listing = from_dataset({"train": Made(20), "Validation": Made(4), "test": Made(6)})
    assert [(listing.splits == name).sum() for name in ("train", "val", "test")] == [20, 4, 6]
    assert listing.given_splits == ("train", "val", "test")
    cut = from_dataset({"train": Made(20), "test": Made(6)})
    assert [(cut.splits == name).sum() for name in ("train", "val", "test")] == [16, 4, 6]
    for wrong in ({"fold1": Made()}, {"val": Made(), "valid": Made()}, {}):
        with pytest.raises(DataError, match="want a data set"):
            from_dataset(wrong)


def test_large_pictures_are_not_kept_but_asked_for_again():
    asked = []

    class Large:
        classes = ("a", "b")

        def __len__(self) -> int:
            return 6

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            asked.append(row)
            return photograph(row, 300 if row % 2 else 20, 260), row % 2

    listing = from_dataset(Large())
    assert (listing.side, listing.longest) == (140, 280)  # between 20 × 260 and 300 × 260
    assert asked == [0, 1, 2, 3, 4, 5]
    read = dict(listing.reader.read())
    assert asked == [0, 1, 2, 3, 4, 5, 1, 3, 5]
    for row, pixels in read.items():
        np.testing.assert_array_equal(pixels, np.asarray(photograph(row, pixels.shape[1], 260)))


def test_large_pictures_that_come_once_are_kept():
    listing = from_dataset((photograph(row, 300, 260), row % 2) for row in range(4))
    assert len(list(listing.reader.read())) == 4
    assert len(list(listing.reader.read())) == 4
