"""Run folders and comparisons, read from disk. What is broken is named; what is merely absent is
None.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfar.core.errors import RunError
from nearfar.report.pictures import Picture, read_picture
from nearfar.report.rows import TestRows, check_rows
from nearfar.run_folder import names
from nearfar.run_folder.choosing import runs_inside
from nearfar.run_folder.comparison import ComparisonResults
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import EncoderFile, Environment, EpochMetrics, Results


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path
    results: Results
    weights: Path  # of the encoder
    metrics: tuple[EpochMetrics, ...] = ()
    classifier: tuple[EpochMetrics, ...] = ()  # of the classifier stage
    rows: TestRows | None = None  # embeddings.npz
    encoder: EncoderFile | None = None
    config: str | None = None  # run.toml, as text
    environment: Environment | None = None
    views: Picture | None = None  # views.png

    @property
    def label(self) -> str:
        return self.results.label


@dataclass(frozen=True)
class Source:
    """Everything one page is made of."""

    runs: tuple[Run, ...]
    compare: ComparisonResults | None
    unfinished: bool = False  # a comparison's folder without its compare.json


def read_source(paths: Sequence[Path], *, numbers_only: bool = False) -> Source:
    """One comparison, or run folders in the order given (comparisons among them give their runs);
    with `numbers_only` without test rows and pictures.

    Raises RunError for a folder that holds no run and for any file that is broken.
    """
    if not paths:
        raise RunError("a report needs at least one run folder, got none; try: nearfar report RUN")
    if len(paths) == 1 and _is_comparison(paths[0]):
        compare = _folder(paths[0]).read_comparison()
        runs = tuple(read_run(paths[0] / run, numbers_only) for run in compare.runs)
        return Source(runs, compare)
    folders: list[Path] = []
    unfinished = False
    for path in paths:
        inside = _runs_of(path)
        unfinished |= inside != [path] and not _is_comparison(path)
        folders += inside
    runs = tuple(read_run(folder, numbers_only) for folder in folders)
    return Source(runs, None, unfinished)


def _is_comparison(path: Path) -> bool:
    return (path / names.COMPARE).is_file()


def _runs_of(path: Path) -> list[Path]:
    if not path.is_dir():
        raise RunError(
            f"{path}: want a run folder, but there is no such folder; `nearfar train` makes one"
        )
    if (path / names.RESULTS).is_file():
        return [path]
    if _is_comparison(path):
        return [path / run for run in _folder(path).read_comparison().runs]
    inside = runs_inside(path, names.RESULTS)
    if not inside:
        raise RunError(
            f"{path}: want a run folder (with {names.RESULTS}) or a comparison (with"
            f" {names.COMPARE}), found neither; if a run stopped early, continue it: nearfar train"
            f" DATA --out {shlex.quote(str(path))} --resume"
        )
    return inside


def read_run(path: Path, numbers_only: bool = False) -> Run:
    """The run folder `path`, without test rows and pictures where only numbers are asked for.
    results.json must be there; others may be absent, none may be
    broken.
    """
    if not (path / names.RESULTS).is_file():
        raise RunError(
            f"{path / names.RESULTS}: missing, and a report is made from it; continue the run: "
            f"nearfar train DATA --out {shlex.quote(str(path))} --resume"
        )
    results = _folder(path).read_results()
    folder = _folder(path, results.command)
    forgive = not results.complete
    return Run(
        path=path,
        results=results,
        metrics=folder.read_metrics(forgive_last=forgive),
        classifier=folder.read_classifier_metrics(forgive_last=forgive),
        rows=_rows(folder, len(results.data.classes))
        if folder.has(names.EMBEDDINGS) and not numbers_only
        else None,
        encoder=folder.read_encoder_file() if folder.has(folder.encoder_config) else None,
        weights=path / folder.encoder_weights,
        config=folder.read_config_text() if folder.has(names.RUN_TOML) else None,
        environment=folder.read_environment() if folder.has(names.ENVIRONMENT) else None,
        views=_picture(folder) if folder.has(names.VIEWS) and not numbers_only else None,
    )


def _folder(path: Path, command: str = "") -> RunFolder:
    """To be read; what is broken is to be made again by the run's command."""
    if not command:
        command = f"nearfar train DATA --out {shlex.quote(str(path))}"
    force = "" if " --force" in command else " --force"
    return RunFolder(path, writes=False, remedy=f"make the run again: {command}{force}")


def _picture(folder: RunFolder) -> Picture:
    file = folder.path / names.VIEWS
    try:
        return read_picture(file)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file}: no picture that nearfar wrote ({error}); {folder.remedy}"
        ) from error


def _rows(folder: RunFolder, n_classes: int) -> TestRows:
    arrays = folder.read_embeddings()
    try:
        rows = TestRows(**{name: arrays[name] for name in TestRows.__dataclass_fields__})
        check_rows(rows, n_classes)
    except (ValueError, KeyError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise RunError(
            f"{folder.path / names.EMBEDDINGS}: cut short or damaged ({reason}); {folder.remedy}"
        ) from error
    return rows
