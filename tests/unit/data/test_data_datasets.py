"""What is given in memory is seen as a file of it is."""

import io

import numpy as np
import pytest
from data_pictures import photograph, png
from PIL import Image

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
