"""Zip archives get the care that tars get."""

import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from data_pictures import class_folders, png

from nearfar.core.errors import DataError
from nearfar.data import CenterSquare, load, open_source


def pack(
    path: Path, contents: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, compression  # as it stands, backslashes too
            archive.writestr(info, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["photos.zip", "photos.ZIP", "photos.tar", "photos"])
@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_zip_and_its_folder_are_the_same_listing(write, tmp_path, name, method):
    contents = class_folders({"cat": 10, "dog": 7})
    folder = open_source(write(contents))
    wrapped = {f"photos/{path}": content for path, content in reversed(contents.items())}
    listing = open_source(pack(tmp_path / name, wrapped, method))
    assert (listing.name, listing.class_names) == ("photos", ("cat", "dog"))
    assert (listing.splits == folder.splits).all()
    a, b = load(folder, CenterSquare(8)), load(listing, CenterSquare(8), strict=True)
    assert (a.images == b.images).all()
    assert listing.reader.key() == open_source(tmp_path / name).reader.key()


def test_windows_names_and_litter_are_what_they_are_in_a_tar(tmp_path):
    contents = class_folders({"daisy": 6, "rose": 6})
    windows = {path.replace("/", "\\"): content for path, content in contents.items()}
    extra = {"__MACOSX/daisy/._000.png": png(0), ".DS_Store": b"x", "notes.txt": b"x"}
    listing = open_source(pack(tmp_path / "x.zip", windows | extra))
    assert listing.paths == tuple(contents)
    assert listing.ignored == ("notes.txt",)


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\evil.png"]
)
def test_members_that_leave_the_folder_are_refused_by_name(tmp_path, name):
    message = refusal(pack(tmp_path / "evil.zip", class_folders({"a": 3}) | {name: png(50)}))
    assert "evil.png" in message
    assert "pack the images again without it" in message


def test_links_are_refused_by_name(tmp_path):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a/picture.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "../../secret.png")
    assert '"a/picture.png", a link' in refusal(path)


def changed(path: Path, **values: tuple[int, str, int]) -> Path:
    """The archive's directory with other numbers at an offset of its first entry."""
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    for offset, form, value in values.values():
        struct.pack_into(form, content, at + offset, value)
    path.write_bytes(content)
    return path


def test_encrypted_and_unknown_members_and_bombs_are_refused_by_name(tmp_path):
    path = pack(tmp_path / "x.zip", {"a/0.png": png(0), "b/0.png": png(1)})
    assert '"a/0.png", which is encrypted' in refusal(changed(path, flag=(8, "<H", 1)))
    path = pack(tmp_path / "x.zip", {"a/0.png": png(0), "b/0.png": png(1)})
    assert "packed by method 9" in refusal(changed(path, method=(10, "<H", 9)))
    path = pack(tmp_path / "x.zip", {"a/0.png": png(0), "b/0.png": png(1)})
    assert "GB packed into next to nothing" in refusal(changed(path, size=(24, "<I", 3 * 10**9)))


def test_an_archive_cut_anywhere_is_an_error(tmp_path):
    path = pack(tmp_path / "cut.zip", class_folders({"a": 4, "b": 4}))
    whole = path.read_bytes()
    for size in (5, 100, len(whole) // 2, len(whole) * 4 // 5, len(whole) - 30):
        path.write_bytes(whole[:size])
        assert "cut short or damaged" in refusal(path)
    path.write_bytes(b"no zip at all")
    assert "cut short or damaged" in refusal(path)


def test_a_damaged_member_is_one_unreadable_image(tmp_path):
    contents = class_folders({"a": 60, "b": 60})
    path = pack(tmp_path / "x.zip", contents, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = content.index(contents["a/007.png"])
    content[at + 200] ^= 255
    path.write_bytes(content)
    data = load(open_source(path), CenterSquare(8))
    assert len(data) == 119
    assert [bad.path for bad in data.skipped] == ["a/007.png"]
    assert "damaged in its archive" in data.skipped[0].reason


def test_reading_writes_nothing_beside_it(tmp_path):
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / "some.zip", class_folders({"a": 4, "b": 4}))
    load(open_source(path), CenterSquare(8))
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == ["some.zip"]
