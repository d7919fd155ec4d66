"""Pictures whose classes stand in a table beside them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nearfar.core.errors import DataError
from nearfar.data.layout import SPLIT_NAMES, Layout, Place, printable
from nearfar.data.listing import SPLITS, Unreadable
from nearfar.data.recognition import IMAGE_SUFFIXES
from nearfar.data.tables import Row, class_titles, header_of, read_table, usual_columns

_USUAL_TABLES = ("train.csv", "labels.csv", "train_labels.csv", "metadata.csv")
_FOUND = (".csv", ".tsv")  # endings of tables that need not be named
_HELD_OUT = ("val", "test")


def arrange_by_table_beside(
    root: Path, pictures: Sequence[str], notes: Iterable[str]
) -> Layout | None:
    """By the table in a folder that says the classes of its pictures: one called as usual, or the
    only one. None: there is none, its columns are called in no usual way, or it is about something
    else.

    DataError: one called as usual contradicts itself (any other is left alone then).
    """
    found = [note for note in notes if "/" not in note and note.lower().endswith(_FOUND)]
    usual = [table for table in found if table.lower() in _USUAL_TABLES]
    if usual:
        return _by_table(root / usual[0], pictures)
    try:
        return _by_table(root / found[0], pictures) if len(found) == 1 else None
    except DataError:
        return None


def _by_table(table: Path, pictures: Sequence[str]) -> Layout | None:
    rows = read_table(table, None) if usual_columns(header_of(table)) is not None else []
    if not any(map(_Finder(pictures), rows)):
        return None
    return arrange_by_table(rows, pictures, table)


def arrange_by_table(rows: Sequence[Row], pictures: Sequence[str], table: Path) -> Layout:
    """Where pictures (paths relative to the table's folder) belong. Those that the table does not
    name are unlabeled; in a folder called test or val they are left to predict and embed.

    DataError: none of the rows names a picture, or a class is in no row of train.
    """
    if not rows:
        raise DataError(f"{table}: want a row for each image, got a table without rows")
    titles, titled_by = class_titles(rows, table.parent)
    find = _Finder(pictures)
    places: dict[str, Place] = {}
    strays = []
    for row in rows:
        path = find(row)
        if path is None:
            reason = f"named in {table.name}, but there is no such image"
            strays.append(Unreadable(printable(row.image), reason))
            continue
        title = None if row.label is None else titles[row.label]
        split = row.split or ("unlabeled" if title is None else "train")
        place = Place(path, PurePosixPath(path).parts, split, title, group=row.group)
        if places.setdefault(path, place) != place:
            raise DataError(
                f"{table}: want one class, split and group of each image, got several of:"
                f" {printable(path)}"
            )
    if not places:
        first = strays[0].path
        raise DataError(
            f"{table}: want the paths of images, from its folder on, got none that is there, such"
            f" as {printable(first)}"
        )
    named = any(row.split for row in rows)
    others = [_not_named(path) for path in pictures if path not in places]
    settled = sorted([*places.values(), *others], key=lambda place: place.inner)
    refuse_missing_classes(settled, table)
    used = {place.split for place in settled if named or place.split in ("unlabeled", "predict")}
    return Layout(
        places=tuple(settled),
        class_names=tuple(titles.values()),
        given_splits=tuple(split for split in SPLITS if split in used),
        strays=tuple(strays),
        read=(table.name, *([titled_by] if titled_by else [])),
    )


def refuse_missing_classes(places: Iterable[Place], table: Path) -> None:
    """DataError for classes that only other splits than train have."""
    of_train: set[str] = set()
    of_others: set[str] = set()
    for place in places:
        if place.class_name is not None:
            (of_train if place.split == "train" else of_others).add(place.class_name)
    if missing := sorted(of_others - of_train):
        raise DataError(
            f"{table}: want every class in a row of train, got {len(missing)} only in others:"
            f" {', '.join(map(printable, missing[:5]))}"
        )


@dataclass
class _Finder:
    """From what a table writes to a picture: its path, or its name with or without ending."""

    pictures: Sequence[str]

    def __post_init__(self) -> None:
        self._paths = set(self.pictures)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in self.pictures:
            name = PurePosixPath(path).name
            self._by_name[name].append(path)
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                self._by_name[PurePosixPath(name).stem].append(path)

    def __call__(self, row: Row) -> str | None:
        """DataError: the name is that of several pictures."""
        wanted = str(PurePosixPath(row.image.replace("\\", "/")))
        if wanted in self._paths:
            return wanted
        ends = ("/" + wanted, "/" + wanted + ".")  # with folders, and perhaps without an ending
        found = [
            path
            for path in self._by_name.get(PurePosixPath(wanted).name, [])
            if f"/{path}".endswith(ends[0]) or ends[1] in f"/{path}"
        ]
        if len(found) > 1:
            of_its_split = [path for path in found if _top_split(path) == (row.split or "train")]
            found = of_its_split or found
        if len(found) > 1:
            raise DataError(
                f"want one image for {printable(row.image)} of the table, got"
                f" {', '.join(map(printable, found[:3]))}; write their folders into the table"
            )
        return found[0] if found else None


def _top_split(path: str) -> str | None:
    return SPLIT_NAMES.get(PurePosixPath(path).parts[0].lower())


def _not_named(path: str) -> Place:
    split = "predict" if _top_split(path) in _HELD_OUT else "unlabeled"
    return Place(path, PurePosixPath(path).parts, split)
