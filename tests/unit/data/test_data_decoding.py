import io
import random
import warnings

import numpy as np
import pytest
from data_pictures import picture, png
from PIL import Image

from nearfar.data.decoding import Broken, Decoded, Peeked, decode, peek, pillow_is_quiet


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def square(image: Image.Image, kind: str = "PNG", side: int = 4, **options) -> np.ndarray:
    result = decode(encoded(image, kind, **options), side)
    assert isinstance(result, Decoded), result
    return result.square


def flat(mode: str, color) -> Image.Image:
    return Image.new(mode, (4, 4), color)


def test_an_image_of_the_right_size_keeps_every_pixel():
    result = decode(png(1, 6, 6), 6)
    assert (result.square == np.asarray(picture(1, 6, 6))).all()
    assert (result.width, result.height) == (6, 6)


@pytest.mark.parametrize("side", [1, 7, 8])
def test_the_half_level_is_the_area_average(side):
    result = decode(png(1, 30, 20), side)
    half = max(1, side // 2)
    assert result.half.shape == (half, half, 3)
    if side == 8:
        average = result.square.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
        assert np.abs(result.half - average).max() <= 1


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (flat("1", 1), 255),
        (flat("1", 0), 0),
        (flat("L", 77), 77),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), 255),
        (Image.fromarray(np.full((4, 4), 257 * 100, np.uint16)), 100),
        (flat("LA", (50, 255)), 50),
        (flat("LA", (50, 0)), 255),
        (flat("RGBA", (9, 9, 9, 255)), 9),
        (flat("RGBA", (9, 9, 9, 0)), 255),
        (flat("RGBA", (0, 0, 0, 51)), 204),
    ],
)
def test_gray_depths_and_transparency_convert_as_documented(image, wanted):
    assert (square(image) == wanted).all()


def test_transparent_entries_and_keys_are_laid_over_white():
    palette = flat("P", 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert (square(palette) == (200, 100, 50)).all()
    assert (square(palette, transparency=1) == 255).all()
    assert (square(flat("RGB", (1, 2, 3)), transparency=(1, 2, 3)) == 255).all()
    assert (square(flat("L", 9), transparency=9) == 255).all()


def test_cmyk_and_floating_point_are_converted():
    assert (square(flat("CMYK", (0, 0, 0, 0)), "TIFF") == 255).all()
    assert (
        np.abs(square(flat("CMYK", (0, 255, 255, 0)), "JPEG").astype(int) - (255, 0, 0)).max() < 5
    )
    assert (square(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF") == 128).all()
    assert (square(Image.fromarray(np.full((4, 4), 200, np.float32)), "TIFF") == 200).all()
    result = decode(encoded(Image.fromarray(np.full((4, 4), 1e6, np.float32)), "TIFF"), 4)
    assert "floating-point" in result.reason
    result = decode(encoded(Image.fromarray(np.full((4, 4), 1 << 20, np.int32)), "TIFF"), 4)
    assert "65535" in result.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_true_size_is_upright(kind, orientation):
    upright = Image.new("RGB", (40, 20), "black")
    upright.paste((255, 255, 255), (0, 0, 20, 10))  # the upper left quarter
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what the camera did to it
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decode(encoded(stored, kind, exif=exif), 8)
    assert (result.width, result.height) == (40, 20)
    assert result.square[1, 1].min() > 200
    assert max(result.square[1, 6].max(), result.square[6, 1].max(), result.square[6, 6].max()) < 60


def test_large_jpegs_keep_their_true_size():
    result = decode(encoded(picture(1, 900, 600), "JPEG"), 16)
    assert (result.width, result.height) == (900, 600)
    assert peek(encoded(picture(1, 900, 600), "JPEG")) == Peeked(900, 600)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 10_000), (10_000, 1), (20_000, 3), (20_000, 400)]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_dots_posts_and_roads_keep_their_true_size_and_their_order(width, height, kind):
    """From black to white along the longer side."""
    ramp = np.linspace(0, 255, max(width, height)).round().astype(np.uint8)
    pixels = np.broadcast_to(ramp if width >= height else ramp[:, None], (height, width))
    result = decode(encoded(Image.fromarray(pixels), kind), 16)
    assert isinstance(result, Decoded)
    assert (result.width, result.height) == (width, height)
    assert result.half.shape == (8, 8, 3)
    along = result.square[8, :, 0] if width >= height else result.square[:, 8, 0]
    wanted = (np.arange(16) + 0.5) * 255 / 16 if width * height > 1 else np.zeros(16)
    assert np.abs(along - wanted).max() < 4


@pytest.mark.parametrize("width", [48, 256])
def test_shrinking_is_antialiased(width):
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (width, width // 2)))
    # at the border, where the window is cut off
    assert np.ptp(square(stripes, side=16).astype(int)) < 60


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"not a picture\n", "text, not an image"),
        (b"\x00\x01\x02\x03" * 9, "not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (png(1)[:200], "damaged image"),
        (encoded(picture(1, 99, 99), "JPEG")[:2000], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_what_cannot_be_read_says_why(content, said):
    result = decode(content, 8)
    assert isinstance(result, Broken)
    assert said in result.reason
    assert "0x" not in result.reason
    assert peek(content[:20]) is None


def test_a_file_that_vanished_says_why(tmp_path):
    assert decode(tmp_path / "gone.png", 8) == Broken("cannot be read: No such file or directory")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA"])
def test_damage_never_raises(kind):
    source = random.Random(kind)
    whole = encoded(picture(1, 24, 16), kind)
    with pillow_is_quiet():
        for _ in range(60):
            damaged = bytearray(whole[: source.randrange(1, len(whole) + 1)])
            for _ in range(source.randrange(5)):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
            assert isinstance(decode(bytes(damaged), 8), Decoded | Broken)
            peek(bytes(damaged))


def test_a_huge_image_is_converted_and_an_enormous_one_is_named_without_warnings(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pillow_is_quiet():
            huge = decode(encoded(Image.new("1", (40, 30))), 8)
            enormous = decode(encoded(Image.new("1", (60, 60))), 8)
    assert (huge.width, huge.height) == (40, 30)
    assert "megapixels" in enormous.reason
