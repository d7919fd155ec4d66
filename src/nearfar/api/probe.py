"""`nearfar probe`: measures a run's encoder again, on its own data or on others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar.api.model import load
from nearfar.api.request import Data
from nearfar.api.run_images import run_images
from nearfar.config.problems import nearest
from nearfar.core.errors import DataError, UserError
from nearfar.core.memory import kept_memory
from nearfar.core.own import is_own
from nearfar.core.progress import Progress
from nearfar.data.samples import ImageSamples, Samples
from nearfar.data.sources import open_source
from nearfar.data.store import load as load_data
from nearfar.evaluate import choosable, evaluator_class
from nearfar.evaluate.base import Classified, Context, Evaluator
from nearfar.evaluate.features import SPLITS, Features, extract_splits
from nearfar.evaluate.few_label import FewLabel, FewLabelConfig, fewest_labels
from nearfar.evaluate.linear import Linear
from nearfar.evaluate.measure import Measured
from nearfar.experiment.evaluation import predicted_by
from nearfar.experiment.referring import write_reference
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Measurement


def probe(
    run: Path,
    *,
    data: Data | None = None,
    kind: str | None = None,
    labels_per_class: int | None = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Measures the last encoder by the evaluator `kind` (default: the linear probe; with
    `labels_per_class` the few-label probe); the numbers join results.json by name.

    Those on other data say so (`data`, and in their protocol), and never take the place of the
    run's own. A run without a classifier gets the one that is made here as its own; one that an
    older version left without reference.npz gets that. UserError: no such evaluator, one that needs
    what training alone has, or options that do not fit together.
    """
    evaluator, folder = _evaluator(kind, labels_per_class), RunFolder(Path(run))
    progress = Progress(quiet=quiet)
    model = load(folder.path)
    config = folder.read_config()
    if data is None:
        stored = run_images(config, model, progress, otherwise="name images by --data")
    else:
        stored = load_data(open_source(data, progress), model.view.center, progress=progress)
    samples = ImageSamples(stored, model.view, torch.device("cpu"))
    with kept_memory(), progress.bar(len(stored), "features") as bar:
        splits = extract_splits(model.encoder, samples, bar)
    _refuse_unmeasurable(splits, samples, stored.source)
    context = Context(
        splits=splits,
        class_names=samples.class_names,
        selection="last",
        seed=config["train"]["seed"],
        images=samples,
        seen=stored.seen(["train"])[splits["test"].rows],
    )
    if lacking := evaluator.needs - context.has:
        raise UserError(
            f"--kind: {evaluator.name} needs {', '.join(sorted(lacking))}, which a run's folder"
            " does not hold; name it in evaluate.probes and train"
        )
    if isinstance(evaluator, FewLabel):
        _refuse_too_many(evaluator.labels_per_class, fewest_labels(context))
    outcome = evaluator.run(context)
    measured, made = list(outcome.measurements), outcome.classified
    found = Measured(((type(evaluator), outcome),))
    shown = found.shown if data is None else []
    if data is not None:
        on = {"data": stored.source}
        measured = [
            m.model_copy(update={"protocol": f"{m.protocol}; on {stored.name}", **on})
            for m in measured
        ]
    _join(folder, measured, shown)
    if made is not None and not folder.has(names.CLASSIFIER):
        _keep_classifier(folder, made, found, splits, samples)
    elif data is None and folder.has(names.CLASSIFIER) and not folder.has(names.REFERENCE):
        encoder, classifier = model.classifying
        finetuned = encoder if encoder is not model.encoder else None
        write_reference(folder, classifier, splits, samples, finetuned)
    return [m.as_json() for m in measured]


def _keep_classifier(
    folder: RunFolder,
    made: Classified,
    measured: Measured,
    splits: Mapping[str, Features],
    samples: Samples,
) -> None:
    """As that of the run, with what it holds new images against."""
    folder.write_classifier(made.classifier.arrays())
    write_reference(folder, made.classifier, splits, samples)
    by = predicted_by(measured, splits["test"])
    folder.write_results(folder.read_results().model_copy(update={"predicted_by": by}))
    about = folder.read_encoder_file()
    folder.write_encoder_file(about.model_copy(update={"class_names": samples.class_names}))


def _refuse_unmeasurable(splits: Mapping[str, Features], samples: Samples, source: str) -> None:
    """DataError: a split without labels, or one class only to learn from."""
    if missing := [name for name in SPLITS if name not in splits]:
        raise DataError(
            f"{source}: want labeled images in train, val and test, got none in {missing[0]}"
        )
    if len(present := np.unique(splits["train"].y)) < 2:
        only = samples.class_names[present[0]]
        raise DataError(f"{source}: want at least 2 classes in train to probe with, got 1 ({only})")


def _refuse_too_many(asked: int, there: int) -> None:
    if asked > there:
        raise UserError(
            f"--labels-per-class: want at most {there}, which the smallest class has in train; got"
            f" {asked}"
        )


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
    if not is_own(name) and name not in (known := choosable()):
        raise UserError(
            f'--kind: no evaluator "{name}"{nearest(name, known)}; want one of {", ".join(known)},'
            " or MODULE:CLASS of yours"
        )
    chosen = evaluator_class(name, "--kind")
    return chosen(chosen.Config())


def _join(folder: RunFolder, measured: Sequence[Measurement], shown: Sequence[str]) -> None:
    """Adds to results.json, in place of those of the same name, split and selection; the run's own
    stay before others'. Summaries show the names in `shown` from now on.
    """
    results = folder.read_results()
    there = {_key(m): m for m in results.measurements}
    new = {_key(m): m for m in measured if m.data is None or there.get(_key(m), m).data is not None}
    kept = [m for key, m in there.items() if key not in new]
    update = {
        "measurements": (*kept, *new.values()),
        "shown": tuple(dict.fromkeys([*results.shown, *shown])),
    }
    folder.write_results(results.model_copy(update=update))


def _key(m: Measurement) -> tuple[str, str | None, str | None]:
    return m.name, m.split, m.selection
