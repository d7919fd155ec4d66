"""Data that are not as they should be: each is read, or named with what to do; none is a traceback.

A case draws its data into a folder and returns what to check; beside it stand the exit code and
what is said.
"""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("a", "b")


def png(number: int) -> bytes:
    """A picture that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def classes(*folders: str, each: int = 8) -> dict[str, bytes]:
    """Content by path, so many pictures in each folder."""
    numbered = [(folder, n) for folder in folders for n in range(each)]
    return {f"{folder}/{n:03d}.png": png(k) for k, (folder, n) in enumerate(numbered)}


def folder(root: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def linked(root: Path, **links: str) -> Path:
    """Two classes, and a link for each name (__ for /)."""
    folder(root, classes(*CLASSES))
    for name, target in links.items():
        (root / name.replace("__", "/")).symlink_to(target)
    return root


def split_twice(root: Path) -> Path:
    folder(root, classes("train/a", "train/b"))
    (root / "test").symlink_to("train")
    return root


def table(root: Path, content: str, encoding: str = "utf-8") -> Path:
    """40 pictures img/00.png ..., and a table of them."""
    folder(root, {f"img/{n:02d}.png": png(n) for n in range(40)})
    (root / "t.csv").write_bytes(content.encode(encoding))
    return root / "t.csv"


def rows(label=lambda n: CLASSES[n % 2], n: int = 40, sep: str = ",", end: str = "\n") -> str:
    lines = [sep.join(("image", "label"))]
    lines += [sep.join((f"img/{i:02d}.png", str(label(i)))) for i in range(n)]
    return end.join([*lines, ""])


def zipped(root: Path, contents: dict[str, bytes]) -> Path:
    root.mkdir()
    with zipfile.ZipFile(root / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return root / "d.zip"


def zip_with_link(root: Path) -> Path:
    path = zipped(root, classes(*CLASSES))
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return path


def encrypted_zip(root: Path) -> Path:
    path = zipped(root, classes(*CLASSES))
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def tar_with_bomb(root: Path) -> Path:
    root.mkdir()
    with tarfile.open(root / "d.tar.xz", "w:xz", preset=0) as archive:
        for name, content in (classes(*CLASSES) | {"a/bomb.png": bytes(101_000_000)}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return root / "d.tar.xz"


def parquet(root: Path, **columns: list) -> Path:
    arrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root.mkdir()
    images = [{"bytes": png(n), "path": None} for n in range(240)]
    writer.write_table(arrow.table({"image": images} | columns), root / "d.parquet")
    return root / "d.parquet"


def nulls(value, every: int) -> list:
    return [None if n % every == 7 else value(n) for n in range(240)]


def plain(n: int) -> int:
    return n % 2


TWO = "40 images, 2 classes"
READ = [
    (lambda r: table(r, rows(n=41)), ["img/40.png: named in t.csv, but there is no such image"]),
    (lambda r: table(r, rows() + "img/00.png,a\n"), [TWO]),
    (lambda r: table(r, rows(end="\r\n"), "utf-8-sig"), [TWO]),
    (lambda r: table(r, rows(end="\r")), [TWO]),
    (lambda r: table(r, rows(lambda n: f'"{plain(n)}"')), [TWO, "0: 12, 1: 13"]),
    (lambda r: table(r, "sep=;\r\n" + rows(sep=";", end="\r\n")), [TWO]),
    (lambda r: table(r, rows(sep="\t"), "utf-16"), [TWO]),
    (lambda r: table(r, rows(lambda n: ("Käfer", "Blüte")[n % 2]), "latin-1"), ["Blüte: 12"]),
    (lambda r: table(r, rows(lambda n: f"{plain(n)}.0")), ["0: 12, 1: 13"]),
    (lambda r: table(r, rows(lambda n: "nan" if n > 30 else n % 2)), ["unlabeled 9"]),
    (lambda r: table(r, rows(lambda n: "\x1b[31m" + CLASSES[n % 2])), [r"\x1b[31ma: 12"]),
    (
        lambda r: folder(r, classes("two words", "Blüte", "🌹", "日本", "new\nline")),
        ["two words: ", "Blüte: ", "🌹: ", "日本: ", r"new\x0aline: "],
    ),
    (
        lambda r: folder(r, classes(*CLASSES, ".c") | {".d/x.txt": b""}),
        ["16 images", "1 folder with images not looked at, since the name begins", "\n  .c"],
    ),
    (
        lambda r: zipped(r, classes(*CLASSES, ".c", "__MACOSX/a") | {"a/._0.png": b"x"}),
        ["16 images", "1 folder with images not looked at, since the name begins", "\n  .c"],
    ),
    (lambda r: folder(r, classes("cat", "Cat", "dog")), ['"Cat" = "cat"', "only by case"]),
    (lambda r: folder(r, classes("Train/a", "train/b", "test/a", "TEST/b")), ["test 16 (given)"]),
    (lambda r: linked(r, a__up=".."), ["a/up is a link to the whole folder"]),
    (
        lambda r: linked(r, **{"a__self.png": "self.png", "a__self": "self"}),
        ["a/self.png: cannot be read: Too many levels of symbolic links", "\n  a/self"],
    ),
    (lambda r: linked(r, **{"a__x.png": "nowhere"}), ["a/x.png: cannot be read: No such file"]),
    (
        lambda r: folder(
            r, (c := classes("train/a", "train/b", "test/a", "test/b")) | {"test/a/x.png": c["train/a/000.png"]}
        ),
        ["1 image in more than one split", "test/a/x.png (test) = train/a/000.png (train)"],
    ),
    (
        lambda r: zipped(r, {p.replace("/", "\\"): c for p, c in classes(*CLASSES).items()}),
        ["16 images, 2 classes"],
    ),
    (lambda r: parquet(r, label=nulls(plain, 20)), ["unlabeled 12"]),
    (
        lambda r: parquet(r, image=nulls(lambda n: {"bytes": png(n)}, 200), label=[0, 1] * 120),
        ["2 files will be left out", "d.parquet/0000007: no image in this row"],
    ),
    (
        lambda r: parquet(r, label=[float("nan") if n < 9 else float(n % 2) for n in range(240)]),
        ["unlabeled 9", "240 images, 2 classes"],
    ),
]  # fmt: skip
REFUSED = [
    (lambda r: table(r, rows() + "img/00.png,b\n"), "got several of: img/00.png"),
    (lambda r: table(r, rows() + "./img/00.png,b\n"), "got several of: img/00.png"),
    (lambda r: f"{table(r, rows())}@picture,label", "want a column picture, got image, label"),
    (lambda r: table(r, "x,y,z\nimg/00.png,a,1\n"), "which columns name image and class?"),
    (lambda r: table(r, rows(lambda n: n / 7)), "got the number 0.14285714285714285 as one"),
    (lambda r: table(r, ""), "got an empty file"),
    (lambda r: table(r, "image,label\n"), "got a table without rows"),
    (lambda r: table(r, rows(), "utf-16-le"), "want a table as text, got something else"),
    (lambda r: table(r, '"image,label\n'), "which columns name image and class?"),
    (
        lambda r: table(r, "image,label,split\nimg/00.png,a,fold0\nimg/01.png,b,train\n"),
        "want train, val, test or unlabeled in the column of splits, got fold0",
    ),
    (
        lambda r: table(r, "image,label,split\nimg/00.png,a,train\nimg/00.png,a,test\n"),
        "want one class, split and group of each image, got several of: img/00.png",
    ),
    (lambda r: folder(r, {"t.xlsx": b"PK\x03\x04"}) / "t.xlsx", "save the sheet as .csv"),
    (lambda r: split_twice(r), "want test and train to be folders of their own"),
    (lambda r: folder(r, classes(".a", ".b")), "in folders whose names begin with a dot alone"),
    (lambda r: zipped(r, {"../x.png": png(1)}), '"../x.png", a path with ..'),
    (lambda r: zipped(r, {"a\\..\\..\\x.png": png(1)}), "a path with .."),
    (lambda r: zipped(r, {"/etc/x.png": png(1)}), "an absolute path"),
    (lambda r: zipped(r, {"C:\\x.png": png(1)}), "an absolute path"),
    (zip_with_link, '"a/link.png", a link'),
    (encrypted_zip, '"a/000.png", which is encrypted'),
    (lambda r: zipped(r, {"a/b.png": bytes(101_000_000)}), "0.1 GB packed into next to nothing"),
    (tar_with_bomb, '"a/bomb.png", 0.1 GB packed into next to nothing'),
    (lambda r: parquet(r, label=[n / 7 for n in range(240)]), "got the number 0.14285714285714285"),
    (lambda r: parquet(r, label=[[0]] * 240), "want one class of each image, got [0]"),
    (lambda r: parquet(r, label=[0, 1] * 120, split=list(range(240))), "got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("draw", "said"), READ, ids=range(len(READ)))
def test_it_is_read_and_what_is_odd_is_named(tmp_path, nearfar_command, draw, said):
    ended = nearfar_command("check", draw(tmp_path / "data"))
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    for text in said:
        assert text in ended.out
    assert "\x1b" not in ended.out


@pytest.mark.parametrize(("draw", "said"), REFUSED, ids=range(len(REFUSED)))
def test_it_is_refused_by_name(tmp_path, nearfar_command, draw, said):
    ended = nearfar_command("check", draw(tmp_path / "data"))
    assert (ended.code, "Traceback" in ended.err) == (2, False), ended.err
    assert said in ended.err
