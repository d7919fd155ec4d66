"""Files that Pillow alone does not read: oversized chunks, and formats of phones and cameras."""

import io
import os
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from data_pictures import picture, png
from PIL import Image, ImageFile, PngImagePlugin

from nearfar.data import decoding
from nearfar.data.decoding import Broken, Decoded, Peeked, decode, peek, pillow_is_quiet


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
    assert peek(content) == Peeked(12, 10)


def test_files_too(tmp_path):
    (tmp_path / "text.png").write_bytes(with_chunk(b"zTXt", LATIN))
    assert peek(tmp_path / "text.png") == Peeked(12, 10)
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


def box(brands: bytes) -> bytes:
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + os.urandom(300)


@pytest.mark.parametrize(
    ("content", "name", "way_out"),
    [
        (box(b"heic\0\0\0\0mif1heic"), "HEIC", "pillow-heif"),
        (box(b"mif1\0\0\0\0mif1heic"), "HEIC", "pillow-heif"),
        (box(b"hevc\0\0\0\0hevc"), "HEIC", "pillow-heif"),
        (box(b"avif\0\0\0\0avifmif1"), "AVIF", "JPEG or PNG"),
        (box(b"mif1\0\0\0\0mif1avif"), "AVIF", "JPEG or PNG"),
        (box(b"qt  "), "film", "frames"),
        (box(b"isom\0\0\0\0mp42"), "film", "frames"),
        (b"\0\0\0\x08wide\0\0\1\0mdat" + bytes(100), "film", "frames"),
        (box(b"crx \0\0\0\1isom"), "RAW", "JPEG or PNG"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "RAW", "JPEG or PNG"),
        (b"II*\0\x08\0\0\0\xff\xff" + b"\7" * 100, "RAW", "JPEG or PNG"),
        (b"MM\0*\0\0\0\x08\xff\xff" + b"\7" * 100, "RAW", "JPEG or PNG"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(100), "RAW", "JPEG or PNG"),
        (b"IIRO\x08\0\0\0" + bytes(100), "RAW", "JPEG or PNG"),
        (b"IIU\0\x18\0\0\0" + bytes(100), "RAW", "JPEG or PNG"),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="x"/>', "SVG", "JPEG or PNG"),
        (b'\xef\xbb\xbf<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", "JPEG or PNG"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF", "JPEG or PNG"),
        (b"8BPS\0\1" + bytes(100), "PSD", "JPEG or PNG"),
        (b"\xff\x0a" + bytes(range(100)), "JPEG XL", "JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL", "JPEG or PNG"),
    ],
)
def test_a_file_of_another_format_is_named_with_the_way_out(content, name, way_out, monkeypatch):
    monkeypatch.setattr(decoding, "_formats", lambda: ("JPEG", "PNG", "TIFF"))
    with pillow_is_quiet():
        result = decode(content, 8)
    assert isinstance(result, Broken)
    assert result.reason.startswith(f"{name} ") or f" {name} " in result.reason
    assert way_out in result.reason
    assert len(result.reason) < 110


def test_the_preview_inside_a_raw_photograph_is_not_taken_for_the_picture():
    out = io.BytesIO()
    picture(1, 16, 12).save(out, "TIFF", tiffinfo={254: 1, 330: 0})
    assert "RAW" in decode(out.getvalue(), 8).reason
    out = io.BytesIO()
    picture(1, 16, 12).save(out, "TIFF")
    assert isinstance(decode(out.getvalue(), 8), Decoded)


def test_a_page_in_html_is_no_svg():
    assert decode(b"<html><body><svg></svg></body></html>", 8).reason == "text, not an image"


def test_an_opener_that_is_registered_with_pillow_is_used(monkeypatch):
    """As pillow-heif registers one, whenever that was done."""
    assert "HEIC" in decode(box(b"heic\0\0\0\0mif1heic"), 8).reason

    class Heif(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            self._mode, self._size, self.tile = "RGB", (4, 3), []

        def load(self):
            self.im = Image.new("RGB", (4, 3), (9, 8, 7)).im
            return super().load()

    monkeypatch.setitem(Image.OPEN, "HEIF", (Heif, lambda head: head[4:12] == b"ftypheic"))
    monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIF"])
    result = decode(box(b"heic\0\0\0\0mif1heic"), 8)
    assert (result.width, result.height) == (4, 3)
    assert (result.square == (9, 8, 7)).all()


def test_pillow_heif_is_registered_where_it_can_be_imported(monkeypatch):
    called = []
    found = types.ModuleType("pillow_heif")
    found.register_heif_opener = lambda: called.append(True)
    monkeypatch.setitem(sys.modules, "pillow_heif", found)
    decoding._plug_in.cache_clear()
    try:
        decode(png(1), 8)
        decode(png(1), 8)
        assert called == [True]
    finally:
        decoding._plug_in.cache_clear()
