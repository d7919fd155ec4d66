"""`nearfar probe`: measures a run's encoder again, on its own data or on others."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nearfar.core.errors import DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.samples import ImageSamples
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate.features import Features, extract_splits
from nearfar.evaluate.measure import (
    Measurement,
    few_label_measurement,
    knn_measurements,
    linear_measurements,
)
from nearfar.evaluate.probe import LinearProbe
from nearfar.experiment import folder as files
from nearfar.experiment.model import open_run
from nearfar.experiment.request import Data
from nearfar.run_folder import older
from nearfar.run_folder.records import Measurement as Described

Kind = Literal["linear", "knn"]


def probe_run(
    run: Path, *, data: Data | None, kind: Kind, labels_per_class: int | None, progress: Progress
) -> list[dict[str, Any]]:
    """Measures the last encoder; the numbers join results.json by name.

    Those on other data say so (`data`, and in their protocol), and never take the place of the
    run's own. A run without a classifier gets the linear probe as its own. UserError: probes that
    do not fit together.
    """
    if labels_per_class is not None and (kind != "linear" or labels_per_class < 1):
        raise UserError(
            f"--labels-per-class: want at least 1, with --kind linear; got {labels_per_class},"
            f" {kind}"
        )
    model = open_run(run, progress)
    config = files.read_toml(run / files.RUN_TOML)
    own = data is None
    source = config["data"]["source"] if data is None else data
    if source == "<Dataset>":
        raise UserError(f"{run} was trained on a Dataset from Python; name images by --data")
    listing = open_source(source)
    stored = load_data(listing, view_size=model.view.size, progress=progress)
    with progress.bar(len(stored), "features") as bar:
        samples = ImageSamples(stored, model.view, torch.device("cpu"))
        splits = extract_splits(model.encoder, samples, bar)
    if missing := [name for name in ("train", "val", "test") if name not in splits]:
        raise DataError(
            f"{listing.source}: want labeled images in train, val and test, got none in"
            f" {missing[0]}"
        )
    if len(present := np.unique(splits["train"].y)) < 2:
        only = stored.class_names[present[0]]
        raise DataError(
            f"{listing.source}: want at least 2 classes in train to probe with, got 1 ({only})"
        )
    measured, classifier = _measure(
        splits, len(stored.class_names), kind, labels_per_class, config["train"]["seed"]
    )
    found = [m.as_json() for m in measured]
    if not own:
        found = [
            {**m, "protocol": f"{m['protocol']}; on {listing.name}", "data": listing.source}
            for m in found
        ]
    found = [Described.read(older.described(m), files.RESULTS, "").as_json() for m in found]
    _join(run, found)
    if classifier is not None and not (run / files.CLASSIFIER).exists():
        files.write_classifier(run, classifier.weight, classifier.bias)
        facts = files.read_json(run / files.ENCODER_JSON)
        files.write_json(
            run / files.ENCODER_JSON, {**facts, "class_names": list(stored.class_names)}
        )
    return found


def _measure(
    splits: dict[str, Features], n_classes: int, kind: Kind, few: int | None, seed: int
) -> tuple[list[Measurement], LinearProbe | None]:
    if few is not None:
        return [few_label_measurement(splits, n_classes, "last", seed, per_class=few)], None
    if kind == "knn":
        return knn_measurements(splits, n_classes, "last"), None
    return linear_measurements(splits, n_classes, "last")


def _join(run: Path, measured: list[dict[str, Any]]) -> None:
    """Adds to results.json, in place of those of the same name, split and selection; the run's own
    stay before others'.
    """
    results = files.read_json(run / files.RESULTS)
    there = {_key(m): m for m in results["measurements"]}
    new = {_key(m): m for m in measured if "data" not in m or "data" in there.get(_key(m), m)}
    results["measurements"] = [m for key, m in there.items() if key not in new] + list(new.values())
    files.write_json(run / files.RESULTS, results)


def _key(m: dict[str, Any]) -> tuple[str, str, str]:
    return m["name"], m["split"], m["selection"]
