"""`nearfar probe`: measures a run's encoder again, on its own data or on others."""

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.config.loading import nearest
from nearfar.core.errors import DataError, UserError
from nearfar.core.own import is_own
from nearfar.core.progress import Progress
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate import choosable, evaluator_class
from nearfar.evaluate.base import Context, Evaluator, Images
from nearfar.evaluate.features import extract_splits
from nearfar.evaluate.few_label import FewLabel, FewLabelConfig
from nearfar.evaluate.linear import Linear
from nearfar.experiment import folder as files
from nearfar.experiment.model import open_run
from nearfar.experiment.request import Data


def probe_run(
    run: Path,
    *,
    data: Data | None,
    kind: str | None,
    labels_per_class: int | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Measures the last encoder by the evaluator `kind` (default: the linear probe; with
    `labels_per_class` the few-label probe); the numbers join results.json by name.

    Those on other data say so (`data`, and in their protocol), and never take the place of the
    run's own. A run without a classifier gets the one that is made here as its own. UserError: no
    such evaluator, or options that do not fit together.
    """
    evaluator = _evaluator(kind, labels_per_class)
    model = open_run(run, progress)
    config = files.read_toml(run / files.RUN_TOML)
    own = data is None
    source = config["data"]["source"] if data is None else data
    if source == "<Dataset>":
        raise UserError(f"{run} was trained on a Dataset from Python; name images by --data")
    listing = open_source(source)
    stored = load_data(listing, view_size=model.view.size, progress=progress)
    with progress.bar(len(stored), "features") as bar:
        splits = extract_splits(model.encoder, stored, model.view, bar)
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
    context = Context(
        splits=splits,
        class_names=tuple(stored.class_names),
        selection="last",
        seed=config["train"]["seed"],
        images=Images(stored, model.view),
    )
    outcome = evaluator.run(context)
    measured = outcome.measurements
    if not own:
        measured = [
            m.model_copy(
                update={"protocol": f"{m.protocol}; on {listing.name}", "data": listing.source}
            )
            for m in measured
        ]
    found = [m.as_json() for m in measured]
    _join(run, found, shown=[m.name for m in measured[:1]] if evaluator.main and own else [])
    if (made := outcome.classified) is not None and not (run / files.CLASSIFIER).exists():
        files.write_classifier(run, made.classifier.weight, made.classifier.bias)
        facts = files.read_json(run / files.ENCODER_JSON)
        files.write_json(
            run / files.ENCODER_JSON, {**facts, "class_names": list(stored.class_names)}
        )
    return found


def _evaluator(name: str | None, labels_per_class: int | None) -> Evaluator:
    """UserError: there is none of that name, or the two do not fit together."""
    if labels_per_class is not None:
        if name not in (None, FewLabel.name, Linear.name) or labels_per_class < 1:
            raise UserError(
                f"--labels-per-class: want at least 1, with --kind {FewLabel.name}; got"
                f" {labels_per_class}, {name or FewLabel.name}"
            )
        return FewLabel(FewLabelConfig(labels_per_class=labels_per_class))
    name = name or Linear.name
    if not is_own(name) and name not in (names := choosable()):
        raise UserError(
            f'--kind: no evaluator "{name}"{nearest(name, names)}; want one of {", ".join(names)},'
            " or MODULE:CLASS of yours"
        )
    kind = evaluator_class(name)
    return kind(kind.Config())


def _join(run: Path, measured: list[dict[str, Any]], shown: list[str]) -> None:
    """Adds to results.json, in place of those of the same name, split and selection; the run's own
    stay before others'. Summaries show the names in `shown` from now on.
    """
    results = files.read_json(run / files.RESULTS)
    there = {_key(m): m for m in results["measurements"]}
    new = {_key(m): m for m in measured if "data" not in m or "data" in there.get(_key(m), m)}
    results["measurements"] = [m for key, m in there.items() if key not in new] + list(new.values())
    results["shown"] = list(dict.fromkeys([*results.get("shown", []), *shown]))
    files.write_json(run / files.RESULTS, results)


def _key(m: dict[str, Any]) -> tuple[str, str, str]:
    return m["name"], m["split"], m["selection"]
