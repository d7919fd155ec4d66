"""Parquet files, through pyarrow, which is an extra."""

from pathlib import Path
from typing import Any

from nearfar.core.errors import DataError

ENDING = ".parquet"


def opened(path: Path) -> Any:
    """A pyarrow.parquet.ParquetFile. DataError: no pyarrow, or a damaged file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{path}: a .parquet file wants pyarrow: pip install 'nearfar[parquet]'"
        ) from error
    try:
        return parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"{path}: want a whole parquet file, got one that is cut short or damaged ({first});"
            " fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def holds_files(column: Any) -> bool:
    """Whether a column (its pyarrow type) is of files' contents: bytes, or a struct with them."""
    import pyarrow

    if pyarrow.types.is_struct(column):
        return any(column.field(i).name == "bytes" for i in range(column.num_fields))
    return bool(pyarrow.types.is_binary(column) or pyarrow.types.is_large_binary(column))


def as_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns of simple values, and the rows as text, empty where it is null."""
    file = opened(path)
    fields = [f for f in file.schema_arrow if not (holds_files(f.type) or f.type.num_fields)]
    names = [field.name for field in fields]
    columns = file.read(columns=names).to_pydict()
    rows = zip(*(columns[name] for name in names), strict=True)
    return names, [["" if cell is None else str(cell) for cell in row] for row in rows]
