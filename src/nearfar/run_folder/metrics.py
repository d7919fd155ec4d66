"""metrics.jsonl and classifier.jsonl: a line an epoch, added as the epoch is complete."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.core.errors import RunError
from nearfar.core.writing import write_bytes
from nearfar.run_folder.reading import TRAIN_AGAIN
from nearfar.run_folder.records import EpochMetrics


def append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(
    path: Path, *, forgive_last: bool = True, remedy: str = TRAIN_AGAIN
) -> tuple[EpochMetrics, ...]:
    """All epochs; none where there is no file.

    RunError: a line is damaged. A last one, which an interrupt may have cut short, is passed over
    where `forgive_last` says so.
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    epochs = []
    for number, line in lines:
        try:
            epochs.append(_epoch(line, f"{path}: line {number}", remedy))
        except RunError:
            if not forgive_last or number != lines[-1][0]:
                raise
    return tuple(epochs)


def keep_until(path: Path, epoch: int) -> None:
    """Drops the lines of epochs that a resumed run will train again. RunError: those of an earlier
    one are not there.
    """
    lines = _lines(path)
    kept = [line for line in lines if 0 < _number(line) <= epoch]
    if [_number(line) for line in kept] != list(range(1, epoch + 1)):
        raise RunError(
            f"{path}: want a row for each of the {epoch} epochs in the checkpoint, got {len(kept)}"
            " (cut short?); start again with --force"
        )
    if lines:
        write_bytes(path, "".join(line + "\n" for line in kept).encode())


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def _epoch(line: str, where: str, remedy: str) -> EpochMetrics:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{where} is damaged ({error}); {remedy}") from error
    return EpochMetrics.read(content, where, remedy)


def _number(line: str) -> int:
    """The epoch that a line is about; 0 for one that is damaged."""
    try:
        return _epoch(line, "", "").epoch
    except RunError:
        return 0
