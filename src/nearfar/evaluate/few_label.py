"""The linear probe on a few labels of each class: how far an encoder goes where labels are dear."""

from typing import final

import numpy as np
from pydantic import Field

from nearfar.core.randomness import stream_seed
from nearfar.evaluate.base import Context, Evaluator, EvaluatorConfig, Outcome
from nearfar.evaluate.features import Features
from nearfar.evaluate.logistic import LinearProbe, fit_probe
from nearfar.run_folder.records import Measurement

DRAWS = 5


class FewLabelConfig(EvaluatorConfig):
    labels_per_class: int = Field(10, ge=1, description="training images of each class")


@final
class FewLabel(Evaluator):
    name = "few_label"
    title = "few-label probe"
    needs = frozenset({"labels", "features"})
    main = "few_label_probe.top1@10"
    Config = FewLabelConfig

    def __init__(self, config: FewLabelConfig) -> None:
        super().__init__(config)
        self.labels_per_class = config.labels_per_class

    def run(self, context: Context) -> Outcome:
        """The accuracy is a mean over draws, without an interval; nothing is measured where a class
        has fewer labels.
        """
        each, test = self.labels_per_class, context.test
        if each > fewest_labels(context):
            return Outcome([])
        probes = few_label_probes(
            context.splits["train"],
            context.splits["val"],
            context.n_classes,
            per_class=each,
            seed=context.seed,
        )
        shares = [float((probe.classifier.predict(test.x) == test.y).mean()) for probe in probes]
        found = Measurement(
            name=f"few_label_probe.top1@{each}",
            title=f"{each} labels a class",
            split="test",
            selection=context.selection,
            value=float(np.mean(shares)),
            unit="fraction",
            better="higher",
            n=len(test),
            protocol=f"linear probe on {each} labels a class, mean of {DRAWS} draws",
        )
        return Outcome([found], also_shown=(found.name,))


def fewest_labels(context: Context) -> int:
    """How many training images the smallest class has."""
    counts = np.bincount(context.splits["train"].y, minlength=context.n_classes)
    return int(counts.min())


def few_label_probes(
    train: Features, val: Features, n_classes: int, *, per_class: int, seed: int
) -> list[LinearProbe]:
    """Five linear probes, each on its own draw of `per_class` labels a class, which has as
    many.
    """
    probes = []
    for draw in range(DRAWS):
        random = np.random.default_rng(stream_seed(seed, "few labels", draw))
        chosen = [
            random.permutation(np.flatnonzero(train.y == label))[:per_class]
            for label in range(n_classes)
        ]
        few = np.sort(np.concatenate(chosen))
        probes.append(
            fit_probe(Features(train.x[few], train.y[few], train.rows[few]), val, n_classes)
        )
    return probes
