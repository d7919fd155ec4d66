"""Run folders and comparisons, read from disk. What is broken is named; what is merely absent is
None.
"""

import json
import shlex
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from nearfar.core.errors import RunError
from nearfar.report.contract import (
    CompareFile,
    EncoderFile,
    Environment,
    EpochMetrics,
    Record,
    Results,
)
from nearfar.report.pictures import Picture, read_picture
from nearfar.report.rows import TestRows, check_rows

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path
    results: Results
    metrics: tuple[EpochMetrics, ...] = ()
    classifier: tuple[EpochMetrics, ...] = ()  # of the classifier stage
    rows: TestRows | None = None  # embeddings.npz
    encoder: EncoderFile | None = None
    config: str | None = None  # run.toml, as text
    environment: Environment | None = None
    views: Picture | None = None  # views.png

    @property
    def method(self) -> str:
        return self.results.method


@dataclass(frozen=True)
class Source:
    """Everything one page is made of."""

    runs: tuple[Run, ...]
    compare: CompareFile | None
    unfinished: bool = False  # a comparison's folder without its compare.json


def read_source(paths: Sequence[Path]) -> Source:
    """One comparison, or run folders in the order given (comparisons among them give their runs).

    Raises RunError for a folder that holds no run and for any file that is broken.
    """
    if not paths:
        raise RunError("a report needs at least one run folder, got none; try: nearfar report RUN")
    if len(paths) == 1 and (file := paths[0] / "compare.json").is_file():
        compare = _record(file, CompareFile)
        return Source(tuple(read_run(paths[0] / run) for run in compare.runs), compare)
    folders: list[Path] = []
    unfinished = False
    for path in paths:
        inside = _runs_inside(path)
        unfinished |= inside != [path] and not (path / "compare.json").is_file()
        folders += inside
    return Source(tuple(read_run(folder) for folder in folders), None, unfinished)


def _runs_inside(path: Path) -> list[Path]:
    if not path.is_dir():
        raise RunError(
            f"{path}: want a run folder, but there is no such folder; `nearfar train` makes one"
        )
    if (path / "results.json").is_file():
        return [path]
    if (file := path / "compare.json").is_file():
        return [path / run for run in _record(file, CompareFile).runs]
    inside = sorted(file.parent for file in path.glob("*/seed*/results.json"))
    if not inside:
        raise RunError(
            f"{path}: want a run folder (with results.json) or a comparison (with compare.json), "
            f"found neither; if a run stopped early, continue it: nearfar train DATA "
            f"--out {shlex.quote(str(path))} --resume"
        )
    return inside


def read_run(path: Path) -> Run:
    """The run folder `path`. results.json must be there; others may be absent, none may be
    broken.
    """
    if not (path / "results.json").is_file():
        raise RunError(
            f"{path / 'results.json'}: missing, and a report is made from it; continue the run: "
            f"nearfar train DATA --out {shlex.quote(str(path))} --resume"
        )
    results = _record(path / "results.json", Results)
    again = _again(path, results.command)
    encoder = path / "encoder.json"
    environment = path / "environment.json"
    config = path / "run.toml"
    rows = path / "embeddings.npz"
    views = path / "views.png"
    return Run(
        path=path,
        results=results,
        metrics=_metrics(path / "metrics.jsonl", again, forgive_last=not results.complete),
        classifier=_metrics(path / "classifier.jsonl", again, forgive_last=not results.complete),
        rows=_rows(rows, len(results.data.classes), again) if rows.is_file() else None,
        encoder=_record(encoder, EncoderFile, again) if encoder.is_file() else None,
        config=_text(config, again) if config.is_file() else None,
        environment=_record(environment, Environment, again) if environment.is_file() else None,
        views=_picture(views, again) if views.is_file() else None,
    )


def _again(path: Path, command: str = "") -> str:
    """What to do about a broken file: the command that makes the run anew."""
    if not command:
        command = f"nearfar train DATA --out {shlex.quote(str(path))}"
    force = "" if " --force" in command else " --force"
    return f"make the run again: {command}{force}"


def _text(file: Path, again: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read as text ({error}); {again}") from error


def _json(text: str, where: str, again: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RunError(
            f"{where}: want JSON, but it is cut short or damaged ({error}); {again}"
        ) from error


def _record(file: Path, kind: type[R], again: str = "") -> R:
    again = again or _again(file.parent)
    return _checked(_json(_text(file, again), str(file), again), kind, str(file), again)


def _checked(value: Any, kind: type[R], where: str, again: str) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        message = first["msg"].removeprefix("Value error, ")
        raise RunError(f"{where}: {key}: {message}; {again}") from error


def _metrics(file: Path, again: str, *, forgive_last: bool) -> tuple[EpochMetrics, ...]:
    """All epochs. A run that was interrupted may have left its last line half-written."""
    if not file.is_file():
        return ()
    lines = [(i, line) for i, line in enumerate(_text(file, again).splitlines(), 1) if line.strip()]
    epochs: list[EpochMetrics] = []
    for i, line in lines:
        where = f"{file}: line {i}"
        try:
            epochs.append(_checked(_json(line, where, again), EpochMetrics, where, again))
        except RunError:
            if not (forgive_last and i == lines[-1][0]):
                raise
    return tuple(epochs)


def _picture(file: Path, again: str) -> Picture:
    try:
        return read_picture(file)
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: no picture that nearfar wrote ({error}); {again}") from error


def _rows(file: Path, n_classes: int, again: str) -> TestRows:
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            rows = TestRows(**{name: arrays[name] for name in TestRows.__dataclass_fields__})
        check_rows(rows, n_classes)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise RunError(f"{file}: cut short or damaged ({reason}); {again}") from error
    return rows
