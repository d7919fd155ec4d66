import io

import pytest
from data_pictures import class_folders, pack, picture, png

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, check, load, open_source
from nearfar.data.recognition import IMAGE_SUFFIXES, is_picture

NOTES = {
    "daisy/000.png.json": b'{"title": "000"}',
    "rose/notes.txt": b"taken in May",
    "rose/00.tfrec": b"\x17\xb6\x00\x9a" * 50,
    "rose/IMG_1.MOV": b"\0\0\0\x14ftypqt  " + b"\7" * 300,
    "rose/empty": b"",
}


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_neither_ending_nor_first_bytes_make_pictures_are_notes(write, tmp_path, packed):
    contents = class_folders({"daisy": 12, "rose": 12}) | NOTES
    listing = open_source(pack(tmp_path / "x.tar", contents) if packed else write(contents))
    assert len(listing) == 24
    assert sorted(listing.ignored) == sorted(NOTES)
    assert load(listing, CenterSquare(8), strict=True).skipped == ()
    found = {finding.code: finding for finding in check(listing)}
    assert "unreadable" not in found
    assert "00.tfrec" in found["ignored_files"].text


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_a_picture_without_an_ending_is_known_by_its_first_bytes(form):
    out = io.BytesIO()
    picture(1).save(out, form)
    assert is_picture("daisy/17", out.getvalue)


def test_photographs_in_formats_that_are_not_read_are_no_notes():
    assert is_picture("a/IMG_1", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert {".heic", ".dng", ".svg"} <= IMAGE_SUFFIXES
    assert is_picture("a/b.HEIC", lambda: b"")


def test_one_unreadable_image_is_left_out_of_a_small_folder_and_two_are_refused(write):
    contents = class_folders({"a": 18, "b": 18}) | {"a/cut.png": png(99)[:60]}
    data = load(open_source(write(contents)), CenterSquare(8))
    assert [file.path for file in data.skipped] == ["a/cut.png"]
    with pytest.raises(DataError, match="got 2 of 38"):
        load(open_source(write({"b/cut.png": png(98)[:60]})), CenterSquare(8))
