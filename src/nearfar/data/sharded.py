"""The files that a large data set is cut into, here or far away."""

import re
from collections.abc import Sequence
from itertools import product, takewhile
from pathlib import Path, PurePosixPath
from typing import Protocol, final, runtime_checkable

from nearfar.core.errors import DataError
from nearfar.data.layout import SPLIT_NAMES
from nearfar.data.remote import RemoteFiles

# where a row without a label belongs
UNLABELED = {"train": "unlabeled", "unlabeled": "unlabeled", "val": "predict", "test": "predict"}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


@runtime_checkable
class Files(Protocol):
    """Files by number."""

    def __len__(self) -> int: ...

    def shown(self, number: int) -> str:
        """Path or address, for people."""

    def stamp(self, number: int) -> str:
        """What changes when the file does: size and time, or what the server says."""

    def path(self, number: int) -> Path:
        """Where it can be read, fetched if need be."""

    def expect(self, number: int) -> None:
        """It will be read soon."""


@final
class LocalFiles:
    """Files that are there."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def shown(self, number: int) -> str:
        return str(self._paths[number])

    def stamp(self, number: int) -> str:
        status = self._paths[number].stat()
        return f"{self._paths[number].name} {status.st_size} {status.st_mtime_ns}"

    def path(self, number: int) -> Path:
        return self._paths[number]

    def expect(self, number: int) -> None:
        """It is there."""


def split_of(path: str) -> str | None:
    """The split that the first word of the file's name, or its folder, is called; None: neither
    is.
    """
    parts = PurePosixPath(path.replace("\\", "/").partition("://")[2] or path)
    words = [re.split(r"[-_.]", parts.stem)[0], parts.parent.name]
    return next((SPLIT_NAMES[w.lower()] for w in words if w.lower() in SPLIT_NAMES), None)


def called(files: Files) -> list[str]:
    """What each file is called within the folder that holds them all."""
    parts = [files.shown(number).replace("\\", "/").split("/") for number in range(len(files))]
    levels = zip(*(path[:-1] for path in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    return ["/".join(path[shared:]) for path in parts]


def is_remote(text: str) -> bool:
    return "://" in text


def is_pattern(text: str) -> bool:
    """Whether it names several files."""
    return bool(_BRACES.search(text)) or "*" in text


def files_named(text: str) -> Files:
    """Those of an address or a path; {0000..0031} in it stands for each number, * in a path for
    anything. DataError: there are none.
    """
    names = expanded(text)
    if is_remote(text):
        return RemoteFiles(names)
    paths = [Path(name).expanduser() for name in names]
    if "*" in text:
        paths = [found for path in paths for found in sorted(Path(path.anchor).glob(_inner(path)))]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        got = f"{len(missing)} that are missing, such as {missing[0]}" if missing else "none"
        raise DataError(f"{text}: want files of shards, got {got}")
    return LocalFiles(paths)


def _inner(path: Path) -> str:
    return str(path.relative_to(path.anchor))


def expanded(text: str) -> list[str]:
    """`text` with each {first..last} replaced by every number of that range, of as many digits."""
    ranges = [
        [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        for first, last in _BRACES.findall(text)
    ]
    fixed = _BRACES.split(text)[::3]
    return [
        "".join(part for pair in zip(fixed, (*numbers, ""), strict=True) for part in pair)
        for numbers in product(*ranges)
    ]
