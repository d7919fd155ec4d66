"""Tables of labels: a .csv (or .parquet) file that names an image and its class in each row.

What spreadsheets write is read: commas, semicolons or tabs, quotes, a byte order mark, UTF-16.
"""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfar.core.errors import DataError
from nearfar.data import parquet
from nearfar.data.layout import SPLIT_NAMES, printable

ENDINGS = (".csv", ".tsv", parquet.ENDING)
_IMAGE = "image image_id image_path filename file_name file filepath path id"
_LABEL = "label class class_name target category species labels"
_BYTE_ORDER = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*\n")  # before the names of the columns, by spreadsheets
_SHOWN, _MOST_SHOWN = 5, 20


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; None: it has none for that."""

    image: str
    label: str | None
    split: str | None = None
    group: str | None = None  # what belongs together, as data.group_by has it

    def named(self) -> list[str]:
        """All that there are."""
        return [name for name in (self.image, self.label, self.split, self.group) if name]


@dataclass(frozen=True)
class Row:
    """What a table says of one image."""

    image: str
    label: str | None
    split: str | None  # one of SPLITS
    group: str | None = None


def columns_asked(text: str) -> Columns:
    """Of "image,label" or "image,label,split=fold,group=plant", as it stands behind the @ of a
    source.
    """
    names = [name.strip() for name in text.split(",")]
    named = dict(name.split("=", 1) for name in names if "=" in name)
    plain = [name for name in names if "=" not in name]
    known = set(named) <= {"split", "group"} and all(named.values())
    if not (known and 1 <= len(plain) <= 2 and all(plain)):
        raise DataError(
            f"want @IMAGE,LABEL, and perhaps ,split=COLUMN and ,group=COLUMN, got @{text}"
        )
    label = plain[1] if len(plain) > 1 else None
    return Columns(plain[0], label, named.get("split"), named.get("group"))


def group_column(source: str) -> str | None:
    """The column of groups that a source names."""
    table, _, columns = source.rpartition("@")
    if not table.lower().endswith(ENDINGS) or "=" not in columns:
        return None
    return columns_asked(columns).group


def read_table(path: Path, asked: Columns | None) -> list[Row]:
    """A row an image, in the order of the table; the columns are those asked for, else those that
    are usually called so. A row that is there twice counts once.

    DataError: no table, unknown columns, a split of no known name, a class that is a number with a
    fraction, or two classes of one image.
    """
    header, lines = _read(path)
    columns = asked or usual_columns(header)
    if columns is None:
        raise DataError(
            f"{path}: which columns name image and class? It has {_listed(header)}; give"
            f" {path}@IMAGE,LABEL"
        )
    for name in columns.named():
        if name not in header:
            raise DataError(f"{path}: want a column {name}, got {_listed(header)}")
    at = {name: header.index(name) for name in header}
    found: dict[str, Row] = {}
    twice: list[str] = []
    for line in lines:
        cells = {name: line[place].strip() for name, place in at.items() if place < len(line)}
        image = cells.get(columns.image, "")
        if not image:
            continue
        label = class_named(cells.get(columns.label or "", ""), path)
        split = split_named(cells.get(columns.split or "", ""), path)
        row = Row(image, label, split, cells.get(columns.group or "") or None)
        if found.setdefault(image, row) != row:
            twice.append(image)
    if twice:
        shown = ", ".join(map(printable, twice[:_SHOWN]))
        raise DataError(
            f"{path}: want one class, split and group of each image, got several of: {shown}"
        )
    return list(found.values())


def class_titles(rows: Sequence[Row], folder: Path) -> tuple[Mapping[str, str], str | None]:
    """The name of each label, in the order of the labels (numbers by size): what a .json file in
    the folder calls it (a map from every label of the table, as Kaggle has it), and the name of
    that file; else the label itself, and None.
    """
    labels = sorted({row.label for row in rows if row.label is not None}, key=_order)
    for path in sorted(folder.glob("*.json")):
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(names, dict) and labels and all(label in names for label in labels):
            titles = [names[label] for label in labels]
            if all(isinstance(title, str) for title in titles) and len({*titles}) == len(titles):
                return dict(zip(labels, titles, strict=True)), path.name
    return {label: label for label in labels}, None


def _order(label: str) -> tuple[float, str]:
    return (int(label), "") if label.isdecimal() else (math.inf, label)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    if path.suffix.lower() == parquet.ENDING:
        return parquet.as_table(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: want a table as text, got something else; save it as CSV (UTF-8)")
    encoding = next((e for mark, e in _BYTE_ORDER.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # what spreadsheets wrote before
    if (said := _SEPARATOR_LINE.match(text)) is not None:
        text = text[said.end() :]
    first = text.partition("\n")[0]
    # the comma where there is none of them
    separator = said[1] if said is not None else max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path}: want a table, got something else ({error})") from error
    if not lines or not any(lines[0]):
        raise DataError(f"{path}: want a table with a line of column names, got an empty file")
    return [name.strip() for name in lines[0]], [line for line in lines[1:] if any(line)]


def _listed(header: Sequence[str]) -> str:
    return ", ".join(map(printable, header[:_MOST_SHOWN])) + (
        f" and {len(header) - _MOST_SHOWN} more" if len(header) > _MOST_SHOWN else ""
    )


def header_of(path: Path) -> list[str]:
    """The names of the columns."""
    return _read(path)[0]


def usual_columns(header: Sequence[str]) -> Columns | None:
    """The columns that are called as they usually are, or the two that there are; None: unknown."""
    image, label = _first_of(_IMAGE, header), usual_label(header)
    if len(header) == 2 and (image is None or label is None):
        image, label = header
    return None if image is None or label is None else Columns(image, label, usual_split(header))


def usual_label(header: Sequence[str]) -> str | None:
    return _first_of(_LABEL, header)


def usual_split(header: Sequence[str]) -> str | None:
    return _first_of("split", header)


def _first_of(words: str, header: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(header)}
    return next((lower[word] for word in words.split() if word in lower), None)


def class_named(cell: str, path: Path) -> str | None:
    """None where the cell is empty, or NaN. A spreadsheet's 3.0 is 3."""
    try:
        number = float(cell)
    except ValueError:
        return cell or None
    if math.isnan(number):
        return None
    if not number.is_integer():
        raise DataError(
            f"{path}: want classes, got the number {cell} as one; name the column of classes,"
            f" {path}@IMAGE,LABEL"
        )
    return str(int(number)) if "." in cell else cell


def split_named(cell: str, path: Path) -> str | None:
    if not cell:
        return None
    if cell.lower() not in SPLIT_NAMES:
        raise DataError(
            f"{path}: want train, val, test or unlabeled in the column of splits, got {cell}"
        )
    return SPLIT_NAMES[cell.lower()]
