"""From relative paths to classes and splits: one rule for folders and archives.

WRAPPER/ is any number of single folders, one within the other.

- [WRAPPER/] train|val|test / CLASS / ... / FILE: the splits are given.
- [WRAPPER/] val|test / FILE: without class folders, no labels; left to predict and embed.
- [WRAPPER/] unlabeled / ... / FILE: no labels; may stand beside the splits or beside class folders.
- [WRAPPER/] CLASS / ... / FILE: labeled, splits are cut.
- [WRAPPER/] FILE: no labels.
"""

import difflib
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nearfar.core.errors import DataError
from nearfar.data.listing import SPLITS, Unreadable

SPLIT_NAMES = {
    "train": "train", "training": "train", "train_images": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "test_images": "test",
    "unlabeled": "unlabeled", "unlabelled": "unlabeled",
}  # fmt: skip
_LITTER = frozenset(
    (
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "$recycle.bin",
        "lost+found",
    )
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file belongs. `inner` is its path without a wrapping top folder."""

    path: str
    inner: tuple[str, ...]
    split: str = ""
    class_name: str | None = None
    stray: str = ""  # why it belongs nowhere
    group: str | None = None  # by a table: what else belongs together with it

    def inner_path(self) -> str:
        joined = "/".join(self.inner)
        return self.path if joined == self.path else joined


@dataclass(frozen=True)
class Layout:
    places: tuple[Place, ...]  # sorted by inner path
    class_names: tuple[str, ...]
    given_splits: tuple[str, ...]
    strays: tuple[Unreadable, ...]
    read: tuple[str, ...] = ()  # files that said the classes


def is_litter(name: str) -> bool:
    """Hidden files and what operating systems leave behind."""
    return name.startswith(".") or name.lower() in _LITTER


def is_hidden(path: str) -> bool:
    """Whether the last part of a path with / is a name that systems do not show."""
    return path.rpartition("/")[2].startswith(".")


def printable(path: str) -> str:
    """`path` as it can be printed and stored, whatever bytes the file system used: without the
    control characters that would write elsewhere on a terminal.
    """
    if path.isascii() and path.isprintable():
        return path
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def split_in(path: str) -> str | None:
    """The split that a folder of `path` names, if one does."""
    return next((SPLIT_NAMES[p.lower()] for p in path.split("/") if p.lower() in SPLIT_NAMES), None)


def arrange(paths: Iterable[str], *, source: str, stem: str | None = None) -> Layout:
    """The layout of pictures at `paths` (relative, with /). `stem`: name of the archive, whose top
    folder of the same name is a wrapper even where it holds the images itself.

    Raises DataError for class folders beside val/ or test/, and for classes that train does not
    have.
    """
    found = _unwrap([Place(path, _parts(path)) for path in paths], stem)
    found.sort(key=lambda place: place.inner)
    tops = {place.inner[0] for place in found if len(place.inner) > 1}
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    if any(SPLIT_NAMES[top.lower()] == "train" for top in splits) or (splits and splits == tops):
        settled = [_in_split_folders(place, splits) for place in found]
        settled = _flat_splits(settled)
    elif any(SPLIT_NAMES[top.lower()] != "unlabeled" for top in splits):
        raise DataError(
            f"{source}: want class folders inside train/ where there is a {_listed(splits)}, "
            f"got {_listed(tops - splits)} beside it; move the class folders into train/"
        )
    else:
        settled = [_in_class_folder(place, splits) for place in found]
        if all(place.class_name is None for place in settled) and not splits:
            settled = [replace(place, split="unlabeled", stray="") for place in settled]
    placed = tuple(place for place in settled if not place.stray)
    lost = [place for place in settled if place.stray]
    class_names = _class_names(placed, source)
    return Layout(
        placed,
        class_names,
        tuple(
            split for split in SPLITS if splits and any(place.split == split for place in placed)
        ),
        tuple(Unreadable(printable(place.path), place.stray) for place in lost),
    )


def safe_name(text: str) -> str:
    """`text` as part of a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "data"


def _split_of(top: str) -> str:
    return SPLIT_NAMES[top.lower()]


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(f"{printable(name)}/" for name in shown[:5]) + more


def _parts(path: str) -> tuple[str, ...]:
    """Composed as most systems write them: a Mac takes "ä" apart, and both are one class. A
    backslash separates, too: it is what unpacking an archive made on Windows leaves in names.
    """
    composed = path if path.isascii() else unicodedata.normalize("NFC", path)
    parts = [part for part in composed.replace("\\", "/").split("/") if part not in ("", ".")]
    # one string for a folder, however many files it has
    return (*map(sys.intern, parts[:-1]), *parts[-1:])


def _unwrap(found: list[Place], stem: str | None) -> list[Place]:
    """Without the top folders that hold everything, unless one is a split or the only class."""
    while True:
        tops = {place.inner[0] for place in found if len(place.inner) > 1}
        beside = any(len(place.inner) == 1 for place in found)
        if len(tops) != 1 or beside or next(iter(tops)).lower() in SPLIT_NAMES:
            return found
        if any(len(place.inner) == 2 for place in found) and next(iter(tops)) != stem:
            return found
        found = [replace(place, inner=place.inner[1:]) for place in found]


def _in_split_folders(place: Place, splits: set[str]) -> Place:
    top = place.inner[0]
    if top not in splits or len(place.inner) == 1:
        return replace(place, stray=f"lies beside {_listed(splits)}")
    split = _split_of(top)
    if split == "unlabeled":
        return Place(place.path, place.inner, split)
    if len(place.inner) == 2:
        return replace(place, split=split, stray=f"lies in {top}/ but in no class folder")
    return Place(place.path, place.inner, split, place.inner[1])


def _flat_splits(places: list[Place]) -> list[Place]:
    """Images lying in a train/ without class folders are unlabeled ones; in such a val/ or test/
    they are not to be trained on.
    """
    classed = {place.split for place in places if place.class_name is not None}

    def settled(place: Place) -> Place:
        if place.split in classed or place.split not in ("train", "val", "test"):
            return place
        split = "unlabeled" if place.split == "train" else "predict"
        return replace(place, split=split, stray="")

    return [settled(place) for place in places]


def _in_class_folder(place: Place, unlabeled: set[str]) -> Place:
    if len(place.inner) == 1:
        return replace(place, stray="lies beside the class folders, so it has no class")
    if place.inner[0] in unlabeled:
        return Place(place.path, place.inner, "unlabeled")
    return Place(place.path, place.inner, "train", place.inner[0])


def _class_names(places: Iterable[Place], source: str) -> tuple[str, ...]:
    """The classes of train, sorted; every class of the other splits has to be among them."""
    by_split: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for place in places:
        if place.class_name is not None:
            by_split[place.split].add(place.class_name)
    for split in ("test", "val"):
        if missing := sorted(by_split[split] - by_split["train"]):
            close = difflib.get_close_matches(missing[0], by_split["train"], n=1, cutoff=0.5)
            hint = f' (did you mean "{printable(close[0])}"?)' if close else ""
            raise DataError(
                f"{source}: want every class of {split} in train, got {len(missing)} only in"
                f" {split}: {_listed(missing)}{hint}; add training images or take the folder out"
            )
    return tuple(sorted(by_split["train"]))
