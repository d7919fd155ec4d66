"""The contract of an evaluator: what it needs, and from there to measurements.

Letters: n rows, E representation width, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nearfar.config.section import Section
from nearfar.data.samples import ImageSamples
from nearfar.evaluate.classifier import Classifier, Trained
from nearfar.evaluate.features import SPLITS, Features
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.records import Measurement, Selection

Need = Literal["labels", "features", "images", "head", "classifier"]
# by_default: unless evaluate.probes names others; if_named: only where evaluate.probes names it;
# if_present: wherever a run has what it needs
When = Literal["by_default", "if_named", "if_present"]


class EvaluatorConfig(Section):
    """Base of an evaluator's own settings."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """A frozen encoder, ready to be measured; None where a run has no such thing."""

    splits: Mapping[str, Features]  # labeled rows of train, val and test
    class_names: tuple[str, ...]
    selection: Selection | None  # which encoder; None: the untrained one
    seed: int
    images: ImageSamples | None = None  # behind the features
    head: nn.Module | None = None  # (n, E) -> (n, C), trained by the method itself
    classifier: Trained | None = None  # by the classifier stage
    # test rows of which training saw a copy, or another of their group; None: none
    seen: NDArray[np.bool_] | None = None

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def test(self) -> Features:
        """The rows that measurements are taken on."""
        return self.splits["test"]

    @property
    def has(self) -> frozenset[Need]:
        """What of an evaluator's needs is there."""
        there: dict[Need, bool] = {
            "labels": all(name in self.splits for name in SPLITS),
            "features": all(name in self.splits for name in SPLITS),
            "images": self.images is not None,
            "head": self.head is not None,
            "classifier": self.classifier is not None,
        }
        return frozenset(need for need, present in there.items() if present)


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A classifier that may serve for predictions, and what it makes of the validation and test
    images. Of several the one that is best on validation serves.
    """

    name: str  # in results.json
    title: str
    classifier: Classifier
    top1_val: float  # accuracy on validation
    probabilities: NDArray[np.float64]  # (n, C) of the test images
    finetuned: Encoder | None = None  # that it goes with, where that is its own


@dataclass(frozen=True)
class Outcome:
    """What an evaluator found. `also_shown`: names that summaries show beside its main one."""

    measurements: Sequence[Measurement]
    classified: Classified | None = None
    also_shown: tuple[str, ...] = ()


class Evaluator(ABC):
    """Measures a frozen encoder. Chosen on val, reported once, on test."""

    name: ClassVar[str]  # as in evaluate.probes
    title: ClassVar[str]  # for people
    needs: ClassVar[frozenset[Need]]  # it is left out where one of them is not there
    main: ClassVar[str | None]  # the measurement that summaries show
    when: ClassVar[When] = "by_default"
    Config: ClassVar[type[EvaluatorConfig]] = EvaluatorConfig

    def __init__(self, config: EvaluatorConfig) -> None:
        self.config = config

    @abstractmethod
    def run(self, context: Context) -> Outcome:
        """A function of the context and the settings: the same numbers for the same encoder."""
