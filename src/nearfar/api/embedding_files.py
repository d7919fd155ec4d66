"""Representations on their way into the user's file: beside it on disk, never all in memory.

Letters: n images, E representation width.
"""

import csv
import importlib.util
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
from jaxtyping import Float32
from numpy.lib import format as npy
from numpy.typing import NDArray

from nearfar.core.errors import UserError
from nearfar.core.writing import whole

FORMATS = (".npz", ".csv", ".parquet")
_ROWS_A_PART = 1024
Parts = Iterator[NDArray[np.float32]]
Columns = Mapping[str, NDArray[np.generic]]
"""What a file holds of each image beside its representation: `paths`, `labels`, `split`."""


def refuse_format(out: Path) -> None:
    """UserError: no file with this ending can be written here."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out: want a file ending in {', '.join(FORMATS)}, got {out}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            "--out: a .parquet file wants pyarrow: pip install 'nearfar[parquet]', or choose .npz"
            " or .csv"
        )


@final
class Spool:
    """Representations by the number of their image."""

    def __init__(self, file: BinaryIO, width: int, out: Path) -> None:
        self._file = file
        self._out = out
        self.width = width

    def put(self, numbers: Sequence[int], x: Float32[np.ndarray, "row embed"]) -> None:
        """UserError: the disk is full."""
        with told(self._out):
            for number, row in zip(numbers, x, strict=True):
                self._file.seek(number * row.nbytes)
                self._file.write(row.tobytes())

    def parts(self, numbers: NDArray[np.int64]) -> Parts:
        """Those of these images in their order, (R, E) at a time."""
        row_bytes = 4 * self.width
        for start in range(0, len(numbers), _ROWS_A_PART):
            rows = []
            for number in numbers[start : start + _ROWS_A_PART].tolist():
                self._file.seek(number * row_bytes)
                rows.append(np.frombuffer(self._file.read(row_bytes), np.float32))
            yield np.stack(rows)


@contextmanager
def spooled(out: Path, width: int) -> Iterator[Spool]:
    """Beside the file to come, without a name; gone at the end, whatever ends it. UserError: the
    place forbids it.
    """
    with ExitStack() as stack:
        with told(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.TemporaryFile(dir=out.parent))
        yield Spool(file, width, out)


def write(
    out: Path, parts: Parts, width: int, columns: Columns, class_names: Sequence[str]
) -> None:
    """The whole file or none of it. UserError: no room, or the place forbids it."""
    with told(out), whole(out) as partial:
        match out.suffix:
            case ".npz":
                _write_npz(partial, parts, width, columns, class_names)
            case _:
                _write_csv(partial, parts, width, columns)


@contextmanager
def told(out: Path) -> Iterator[None]:
    """UserError for a place that forbids it, or has no room."""
    try:
        yield
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error


def _write_npz(
    target: Path, parts: Parts, width: int, columns: Columns, class_names: Sequence[str]
) -> None:
    """As np.savez writes it; texts are compressed, representations, which do not become smaller,
    are not.
    """
    shape = (len(columns["paths"]), width)
    with zipfile.ZipFile(target, "w") as file:
        with file.open("embeddings.npy", "w", force_zip64=True) as member:
            about = {"descr": "<f4", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(member, about)
            for part in parts:
                member.write(part.astype("<f4").tobytes())
        for name, column in (*columns.items(), ("class_names", np.asarray(class_names, dtype=str))):
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open(entry, "w", force_zip64=True) as member:
                npy.write_array(member, column, allow_pickle=False)


def _write_csv(target: Path, parts: Parts, width: int, columns: Columns) -> None:
    """A row an image: path, label, split, then e0 ... e(E-1)."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split", *(f"e{i}" for i in range(width))])
        about = zip(*(columns[name] for name in ("paths", "labels", "split")), strict=True)
        for part in parts:
            for row, (path, label, split) in zip(part.tolist(), about, strict=False):
                writer.writerow([path, int(label), split, *(f"{value:.7g}" for value in row)])
