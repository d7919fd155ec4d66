"""What can be given as DATA, and its listing: cheap, nothing is decoded beyond a few headers."""

import difflib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.core.progress import Progress
from nearfar.data import (
    archives,
    arrays,
    datasets,
    folders,
    labeled,
    parquet,
    published,
    sharded,
    shards,
    tables,
    webdataset,
)
from nearfar.data.decoding import Peeked, decode, pillow_is_quiet
from nearfar.data.groups import of_equal
from nearfar.data.index import indexed
from nearfar.data.layout import Layout, arrange, printable, safe_name
from nearfar.data.listing import Listing, Reader
from nearfar.data.rgb import white_of
from nearfar.data.splits import Uncut
from nearfar.data.stacks import listing_of_stacks

_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_ARCHIVES = (".tar", ".gz", ".tgz", ".xz", ".txz", ".zip")
QUIET = Progress(quiet=True)
_TFRECORDS = (
    "TFRecords are not read: Kaggle's sets hold the same images as files, give the folder of"
    " train.csv and train_images/; or write the images out as files, or as tar shards"
)
READS = (
    f"a folder, a {archives.READS} of one, a table (.csv, .parquet), arrays (.npz), digits, or the"
    " name of a published set such as cifar10"
)


def open_source(data: Any, progress: Progress = QUIET) -> Listing:
    """The listing of `data`: "digits", the name of a published set, the path of a folder or
    archive, or a torch Dataset.

    `progress` is of shards that are gone through for the first time.

    Raises DataError for what is missing, empty, of an unknown type, unsafe, or without any image.
    """
    if not isinstance(data, str | Path):
        return datasets.from_dataset(data)
    if data == "digits":
        return datasets.digits()
    if (named := published.named(str(data))) is not None:
        return _published(str(data), *named)
    if sharded.is_remote(str(data)) or (sharded.is_pattern(str(data)) and not Path(data).exists()):
        return _sharded(str(data), sharded.files_named(str(data)), progress)
    path = Path(data).expanduser()
    table, _, columns = str(path).rpartition("@")
    if not path.exists() and table.lower().endswith(tables.ENDINGS) and Path(table).exists():
        return _table(str(data), Path(table), tables.columns_asked(columns))
    if not path.exists() and table.lower().endswith(arrays.STACK_ENDING):
        return _corrupted(str(data), Path(table), columns)
    if not str(data).strip() or not path.exists():
        raise _missing(str(data), path)
    if path.is_file() and path.suffix.lower() in tables.ENDINGS:
        return _table(str(data), path, None)
    if path.is_file() and path.suffix.lower() == arrays.ENDING:
        listing = datasets.from_dataset(arrays.arrays_of(path))
        return replace(listing, name=safe_name(path.stem), source=str(data))
    if path.is_file() and path.suffix.lower() == arrays.STACK_ENDING:
        return _corrupted(str(data), path, "")
    if path.is_dir():
        return _folder(str(data), path, progress)
    if path.suffix.lower() in _SPREADSHEETS:
        raise DataError(f"{data}: want {READS}, got a spreadsheet; save the sheet as .csv")
    stem = archives.archive_stem(path)
    if stem is None or not path.is_file():
        got = _TFRECORDS if _is_tfrecord(path.name) else "a file of another type"
        raise DataError(f"{data}: want {READS}, got {got}")
    return _archive(str(data), path, stem)


def _folder(source: str, path: Path, progress: Progress) -> Listing:
    pictures, notes, linked, hidden = folders.folder_files(path)
    files = [note for note in notes if note.lower().endswith(parquet.ENDING)]
    if not pictures and files and (inside := shards.shards_in(path, files, None)):
        others = [note for note in notes if note not in files]
        return _shards(path.resolve().name, source, inside, others)
    tars = [path / note for note in notes if note.lower().endswith(".tar")]
    if not pictures and webdataset.begins(tars):
        return _sharded(source, sharded.LocalFiles(tars), progress)
    layout = arrange(pictures, source=source)
    if len(layout.class_names) < 2:
        by_table = labeled.arrange_by_table_beside(path, pictures, notes)
        if by_table is not None:
            layout = by_table
            notes = [note for note in notes if note not in layout.read]
    paths = tuple(place.path for place in layout.places)
    reader = folders.FolderReader(path, paths)
    if not paths:
        raise _nothing(source, layout, notes, hidden)
    with pillow_is_quiet():
        peeked = folders.peek_folder(path, paths)
        listing = _listing(path.resolve().name, source, layout, notes, reader, peeked)
    words = tuple(link.in_words() for link in linked)
    return replace(listing, linked=words, hidden=tuple(map(printable, hidden)))


def _table(source: str, table: Path, columns: tables.Columns | None) -> Listing:
    """The pictures that a table names, which lie beside it or below, or are inside."""
    if table.suffix.lower() == parquet.ENDING:
        inside = shards.shards_in(table.parent, [table.name], columns)
        if inside is not None:
            return _shards(table.stem, source, inside, [])
    rows = tables.read_table(table, columns)
    root = table.parent
    pictures = [row.image for row in rows if (root / row.image).is_file()]
    if len(pictures) < len(rows):
        pictures = folders.folder_files(root).pictures
    layout = labeled.arrange_by_table(rows, pictures, table)
    paths = tuple(place.path for place in layout.places)
    reader = folders.FolderReader(root, paths)
    with pillow_is_quiet():
        return _listing(table.stem, source, layout, [], reader, folders.peek_folder(root, paths))


def _published(source: str, name: str, folder: Path | None) -> Listing:
    found = published.read_published(name, folder)
    if isinstance(found, published.StackSet):
        return listing_of_stacks(name, source, found.stacks, found.class_names)
    paths = tuple(place.path for place in found.layout.places)
    reader = folders.FolderReader(found.root, paths)
    with pillow_is_quiet():
        peeked = folders.peek_folder(found.root, paths)
        return _listing(name, source, found.layout, [], reader, peeked)


def _corrupted(source: str, path: Path, severity: str) -> Listing:
    stack = arrays.corrupted_images(path, severity)
    names = tuple(map(str, range(int(stack.labels.max()) + 1)))
    return listing_of_stacks(safe_name(path.stem), source, {"test": stack}, names)


def _sharded(source: str, files: sharded.Files, progress: Progress) -> Listing:
    """Tar shards here or far away."""
    shown = files.shown(0)
    parent = PurePosixPath(shown.replace("\\", "/")).parent.name
    if shown.lower().endswith(parquet.ENDING):
        inside = shards.shards_with_images(files, sharded.called(files), None)
        if inside is None:
            raise DataError(f"{source}: want images inside the .parquet files, got none")
        return _shards(parent, source, inside, [])
    if not shown.lower().endswith(".tar"):
        wanted = ".tar shards as WebDataset writes them, or .parquet files with images inside"
        raise DataError(f"{source}: want {wanted}, got {shown}")
    data = webdataset.read_webdataset(files, progress)
    peeked = [one for shard in data.shards for one in shard.peeked]
    reader = webdataset.WebDatasetReader(data)
    layout = webdataset.arrange_webdataset(data)
    if not layout.places:
        raise DataError(f"{source}: want images in the shards, got none")
    return _listing(parent, source, layout, [], reader, peeked)


def _shards(name: str, source: str, inside: shards.Shards, notes: list[str]) -> Listing:
    layout = shards.arrange_shards(inside)
    with pillow_is_quiet():
        peeked = shards.peek_shards(inside)
    return _listing(name, source, layout, notes, shards.ShardReader(inside), peeked)


def _archive(source: str, path: Path, stem: str) -> Listing:
    kind = archives.kind_of(path)
    with pillow_is_quiet():
        (members, notes, peeked, hidden), digest = indexed(path, kind.look_through)
    by_path = {member.path: member for member in members}
    layout = arrange(by_path, source=source, stem=stem)
    if not layout.places:
        raise _nothing(source, layout, notes, hidden)
    reader = archives.ArchiveReader(
        path, kind, tuple(by_path[place.path] for place in layout.places), digest
    )
    listing = _listing(stem, source, layout, notes, reader, peeked)
    return replace(listing, hidden=tuple(map(printable, hidden)))


def _listing(
    name: str,
    source: str,
    layout: Layout,
    notes: list[str],
    reader: Reader,
    peeked: list[Peeked],
) -> Listing:
    paths = tuple(printable(place.path) for place in layout.places)
    if not peeked:
        raise _no_image(source, paths, reader)
    number = {class_name: number for number, class_name in enumerate(layout.class_names)}
    labels = np.array(
        [number.get(place.class_name or "", -1) for place in layout.places], dtype=np.int64
    )
    splits = np.array([place.split for place in layout.places], dtype="<U9")
    uncut = Uncut(labels, splits, [place.inner_path() for place in layout.places])
    together = None
    if any(place.group is not None for place in layout.places):
        named = (("", row) if p.group is None else p.group for row, p in enumerate(layout.places))
        together = of_equal(named)
    return Listing(
        name=safe_name(name),
        source=source,
        paths=paths,
        labels=labels,
        splits=uncut.cut(together),
        groups=together,
        class_names=tuple(printable(class_name) for class_name in layout.class_names),
        given_splits=layout.given_splits,
        side=int(np.median([min(one.width, one.height) for one in peeked])),
        longest=int(np.median([max(one.width, one.height) for one in peeked])),
        default_policy=None,
        reader=reader,
        strays=layout.strays,
        ignored=tuple(map(printable, notes)),
        uncut=uncut,
        white=white_of(one.deep for one in peeked if one.deep is not None),
    )


def _missing(given: str, path: Path) -> DataError:
    """With the nearest names beside it, or the last folder that exists."""
    folder = path.parent
    if not given.strip():
        return DataError(f"want {READS}, got an empty path")
    if not folder.is_dir():
        there = next(parent for parent in path.absolute().parents if parent.is_dir())
        return DataError(f"{given}: no such file or folder (the path is there up to {there})")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if str(folder) == ".":
        names += ["digits", *published.NAMES]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(printable(name) for name in close)}?)" if close else ""
    return DataError(f"{given}: no such file or folder{hint}; want {READS}")


def _is_tfrecord(name: str) -> bool:
    return name.lower().endswith((".tfrec", ".tfrecord", ".tfrecords"))


def _nothing(source: str, layout: Layout, notes: list[str], hidden: list[str]) -> DataError:
    if hidden:
        got = f"some in folders whose names begin with a dot alone, such as {printable(hidden[0])}/"
        return DataError(f"{source}: want images, got {got}; rename them")
    if layout.strays:
        first = layout.strays[0]
        got = f"{len(layout.strays)} elsewhere, such as {first.path} ({first.reason})"
        return DataError(f"{source}: want images in class folders, got {got}")
    if notes:
        files = f"{len(notes)} files" if len(notes) > 1 else "1 file"
        named = ", ".join(map(printable, notes[:5])) + (", ..." if len(notes) > 5 else "")
        got = f"{files} of which none looks like one: {named}"
        inside = next((note for note in notes if note.lower().endswith(_ARCHIVES)), None)
        if inside is not None and Path(source).is_dir():
            archives.archive_stem(Path(source) / inside)  # says so where it is not read
            got += f"; give the archive itself: {Path(source) / inside}"
        if any(map(_is_tfrecord, notes)):
            got += f"; {_TFRECORDS}"
        return DataError(f"{source}: want images, got {got}")
    return DataError(
        f"{source}: want images in class folders (or in one flat folder), got an empty source"
    )


def _no_image(source: str, paths: tuple[str, ...], reader: Reader) -> DataError:
    """None of the files peeked at is an image: name some, with what they are."""
    lines = []
    for row, raw in reader.read():
        result = decode(raw, 8)
        lines.append(f"{paths[row]}: {getattr(result, 'reason', 'an image')}")
        if len(lines) == 10:
            break
    head = f"{source}: want images, got {len(paths)} files of which none looks like one:"
    return DataError("\n  ".join([head, *lines]))
