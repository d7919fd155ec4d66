"""The run folder as this room calls it so far; `nearfar.run_folder` does the work."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from nearfar.core.writing import write_bytes
from nearfar.run_folder import metrics, older, reading
from nearfar.run_folder.choosing import check_free, free_folder, is_full, latest_folder, part_of
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.names import (
    CHECKPOINT,
    CLASSIFIER,
    CLASSIFIER_CHECKPOINT,
    CLASSIFIER_METRICS,
    COMPARE,
    EMBEDDINGS,
    ENCODER,
    ENCODER_FINETUNED,
    ENCODER_JSON,
    ENCODER_SELECTED,
    ENVIRONMENT,
    METRICS,
    REPORT,
    RESULTS,
    RUN_TOML,
    STOPPED,
    VIEWS,
)

__all__ = [
    "CHECKPOINT",
    "CLASSIFIER",
    "CLASSIFIER_CHECKPOINT",
    "CLASSIFIER_METRICS",
    "COMPARE",
    "EMBEDDINGS",
    "ENCODER",
    "ENCODER_FINETUNED",
    "ENCODER_JSON",
    "ENCODER_SELECTED",
    "ENVIRONMENT",
    "METRICS",
    "REPORT",
    "RESULTS",
    "RUN_TOML",
    "STOPPED",
    "VIEWS",
    "append_metrics",
    "check_free",
    "clear",
    "free_folder",
    "is_full",
    "keep_rows_until",
    "latest_folder",
    "make",
    "part_of",
    "read_about",
    "read_json",
    "read_tensors",
    "read_toml",
    "write_bytes",
    "write_classifier",
    "write_json",
    "write_tensors",
    "write_toml",
]


def clear(folder: Path) -> None:
    RunFolder(folder).clear()


def make(folder: Path) -> None:
    RunFolder(folder).make()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_toml(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, tomli_w.dumps(content).encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: dict[str, str] | None = None
) -> None:
    RunFolder(path.parent).write_tensors(path.name, tensors, about)


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
    metrics.append(path, row)


def keep_rows_until(path: Path, epoch: int) -> None:
    metrics.keep_until(path, epoch)


def read_json(path: Path) -> dict[str, Any]:
    content = reading.read_json(path)
    return older.results(content) if path.name == RESULTS and older.is_older(content) else content


def read_toml(path: Path) -> dict[str, Any]:
    return older.config(reading.read_toml(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    return RunFolder(path.parent).read_tensors(path.name)


def read_about(path: Path) -> dict[str, str]:
    return RunFolder(path.parent).read_header(path.name)
