"""Files that Pillow alone does not read: oversized chunks, and formats of phones and cameras."""

import io
import struct
import zlib

import numpy as np
import pytest
from data_pictures import png
from PIL import Image, ImageFile, PngImagePlugin

from nearfar.data.decoding import Broken, Decoded, decode, peek_size


def with_chunk(kind: bytes, data: bytes, *, late: bool = False) -> bytes:
    """A PNG with one chunk more, before its pixels or after them."""
    content = png(1)
    at = content.index(b"IEND") - 4 if late else content.index(b"IDAT") - 4
    check = struct.pack(">I", zlib.crc32(kind + data))
    return content[:at] + struct.pack(">I", len(data)) + kind + data + check + content[at:]


FAT = zlib.compress(b"x" * 2_000_000)
LATIN = b"comment\0\0" + FAT
UTF8 = b"comment\0\1\0\0\0" + FAT
PROFILE = b"icc\0\0" + FAT


@pytest.mark.parametrize(("kind", "data"), [(b"zTXt", LATIN), (b"iTXt", UTF8), (b"iCCP", PROFILE)])
@pytest.mark.parametrize("late", [False, True])
def test_a_picture_with_a_chunk_too_large_is_read_without_it(kind, data, late):
    content = with_chunk(kind, data, late=late)
    result = decode(content, 6)
    assert isinstance(result, Decoded), result
    np.testing.assert_array_equal(result.square, decode(png(1), 6).square)
    assert peek_size(content) == (12, 10)


def test_files_too(tmp_path):
    (tmp_path / "text.png").write_bytes(with_chunk(b"zTXt", LATIN))
    assert peek_size(tmp_path / "text.png") == (12, 10)
    assert isinstance(decode(tmp_path / "text.png", 6), Decoded)


def test_turn_and_transparency_outlast_the_chunk_and_pillow_is_left_as_it_was():
    tag = Image.Exif()
    tag[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2_000_000, zip=True)
    image = Image.new("RGB", (40, 20), (1, 2, 3))
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=text, exif=tag, transparency=(1, 2, 3))
    before = PngImagePlugin.MAX_TEXT_CHUNK, ImageFile.LOAD_TRUNCATED_IMAGES
    result = decode(out.getvalue(), 6)
    assert (result.width, result.height) == (20, 40)
    assert (result.square == 255).all()
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_a_fat_chunk_saves_no_damaged_picture():
    torn = with_chunk(b"zTXt", LATIN)
    assert "damaged image" in decode(torn[: torn.index(b"IDAT") + 40], 6).reason
    assert isinstance(decode(torn[: torn.index(b"zTXt") + 40], 6), Broken)
