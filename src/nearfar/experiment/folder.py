"""The run folder: the contract between commands, and with other tools. Every file is written whole
or not at all.
"""

import errno
import json
import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from nearfar.core.errors import RunError

RUN_TOML = "run.toml"
RESULTS = "results.json"
METRICS = "metrics.jsonl"
STOPPED = "stopped.json"  # why training could not go on
ENVIRONMENT = "environment.json"
ENCODER = "encoder.safetensors"
ENCODER_SELECTED = "encoder_selected.safetensors"
# what a fine-tuning classifier stage made of a copy
ENCODER_FINETUNED = "encoder_finetuned.safetensors"
ENCODER_JSON = "encoder.json"
CLASSIFIER = "classifier.safetensors"
CLASSIFIER_METRICS = "classifier.jsonl"  # of the classifier stage, by epoch
CHECKPOINT = Path("checkpoint", "last.pt")
CLASSIFIER_CHECKPOINT = Path("checkpoint", "classifier.pt")
EMBEDDINGS = "embeddings.npz"
VIEWS = "views.png"
REPORT = "report.html"
COMPARE = "compare.json"


def part_of(method: str) -> str:
    """A method's name as part of a path: a user's own has a colon, which not every system takes."""
    return method.replace(":", "-")


def free_folder(data: str, methods: str) -> Path:
    """runs/DATA-METHOD-k with the next free k."""
    k = 1
    while (folder := Path("runs", f"{data}-{part_of(methods)}-{k}")).exists():
        k += 1
    return folder


def latest_folder(data: str, methods: str) -> Path:
    """The newest of the runs/DATA-METHOD-k. RunError: there is none."""
    k = 1
    while Path("runs", f"{data}-{part_of(methods)}-{k}").exists():
        k += 1
    if k == 1:
        under = f"runs/{data}-{part_of(methods)}-*"
        raise RunError(
            f"--resume: want an interrupted run, got none under {under}; name it by --out"
        )
    return Path("runs", f"{data}-{part_of(methods)}-{k - 1}")


def check_free(folder: Path, *, resume: bool, force: bool, comparison: bool) -> None:
    """RunError where the folder may not be used, for a comparison or for one run; nothing is
    touched yet.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out: want a folder, got the file {folder}")
    if folder.exists() and not resume and not force and not any(folder.iterdir()):
        raise RunError(
            f"--out: {folder} exists, and is empty; use it by --force, or name another --out"
        )
    if folder.exists() and any(folder.iterdir()):
        one = (folder / RUN_TOML).exists() or (folder / RESULTS).exists()
        several = (folder / COMPARE).exists() or any(folder.glob(f"*/seed*/{RUN_TOML}"))
        if not one and not several:
            raise RunError(f"{folder} is no run folder; name another --out")
        if one and comparison:
            raise RunError(
                f"--out: {folder} holds one run (`nearfar train`); name a comparison's folder or a"
                " new one"
            )
        if several and not comparison:
            raise RunError(
                f"--out: {folder} holds a comparison (`nearfar compare`); name a run's folder or a"
                " new one"
            )
        if not resume and not force:
            raise RunError(
                f"{folder} exists; continue it by --resume, replace it by --force, or name another"
                " --out"
            )
    standing = folder
    while not standing.exists():
        standing = standing.parent
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        raise RunError(f"--out: {folder} cannot be written ({standing} does not allow it)")


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room or of permission: no fault of what was written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def clear(folder: Path) -> None:
    """What stood there goes. RunError: it cannot."""
    try:
        if folder.exists() and any(folder.iterdir()):  # an empty one may be a mount
            shutil.rmtree(folder)
    except OSError as error:
        raise RunError(f"--force: {folder} cannot be removed ({error.strerror})") from error


def make(folder: Path) -> None:
    """Creates the folder. RunError: it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out: {folder} cannot be written ({error.strerror})") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Beside, then renamed. OSError: disk full."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_toml(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, tomli_w.dumps(content).encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """A safetensors file on its own storage, contiguous, on the CPU; `about` stands in its
    header.
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(own, metadata=about))


def write_classifier(run: Path, weight: Any, bias: Any) -> None:
    """classifier.safetensors: scores = representation @ weight.T + bias; weight (C, E), bias (C,)
    arrays.

    A classifier stage writes the same names; with an MLP also hidden.weight and hidden.bias, of the
    layer before, and in the header which encoder it goes with.
    """
    import torch

    write_tensors(
        run / CLASSIFIER, {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
    )


def append_metrics(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def keep_rows_until(path: Path, epoch: int) -> None:
    """Drops metrics of epochs that a resumed run will train again. RunError: those of an earlier
    one are not there.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    kept = [line for line in lines if 0 < _epoch_of(line) <= epoch]
    if [_epoch_of(line) for line in kept] != list(range(1, epoch + 1)):
        raise RunError(
            f"{path}: want a row for each of the {epoch} epochs in the checkpoint, got {len(kept)}"
            " (cut short?); start again with --force"
        )
    if lines:
        write_bytes(path, "".join(line + "\n" for line in kept).encode())


def _epoch_of(line: str) -> int:
    """The epoch that a row of metrics is about; 0 for a line that is cut short."""
    try:
        row = json.loads(line)
    except ValueError:
        return 0
    return int(row["epoch"]) if isinstance(row, dict) and isinstance(row.get("epoch"), int) else 0


def read_json(path: Path) -> dict[str, Any]:
    """RunError: missing, or cut short."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(_missing(path)) from error
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read (cut short?): {error}; train again with --force"
        ) from error
    if not isinstance(content, dict):
        raise RunError(
            f"{path}: want one JSON object, got {type(content).__name__}; train again with --force"
        )
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """RunError: missing, or cut short."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(_missing(path)) from error
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read (cut short?): {error}; train again with --force"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """RunError: missing, or cut short."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RunError(_missing(path)) from error
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path} cannot be read (cut short?): {error}; train again with --force"
        ) from error


def read_about(path: Path) -> dict[str, str]:
    """What stands in the header of a safetensors file that `read_tensors` could read."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path.parent}: want a run folder, got no such folder"
    if not (path.parent / RUN_TOML).exists():
        return f"{path.parent}: want a run folder, got one without {path.name}"
    return (
        f"{path} is missing: the run is not complete; continue it with --out {path.parent} --resume"
    )
