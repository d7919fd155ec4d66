"""A decided run, as a type: nothing in it is looked up, parsed or chosen again.

None means "absent" (no classifier stage, no selection of an epoch), never "not decided yet".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from nearfar.config.models import RunConfig
from nearfar.core.types import DataFacts
from nearfar.data.center import CenterSquare
from nearfar.data.sampler import Sampling
from nearfar.experiment.given_weights import Origin
from nearfar.methods.base import Method
from nearfar.nn.encoders import Precision
from nearfar.training.loop import Pace
from nearfar.views.kinds import Policy

# training images among which the judging of an epoch looks for neighbors
SELECTION_BANK = 5000


@dataclass(frozen=True)
class ViewSetup:
    """What views of each sample are made. `policy` has the strength that was asked for."""

    policy: Policy
    asked: str | Mapping[str, Any]  # as run.toml says it
    name: str  # "custom": spelled out in the configuration
    count: int
    shown: str  # "2", or "2 + 6 of 28 px"
    cost: float  # views of full size that have as many pixels as all of a sample's views
    sides: tuple[int, ...]  # px, each once


@dataclass(frozen=True)
class OptimizerSetup:
    """`own` are the settings that this optimizer alone has."""

    name: str
    lr: float
    lr_origin: str | None  # where the rate comes from, in words; None: the user's own
    weight_decay: float
    momentum: float
    decay_norms_and_biases: bool
    own: Mapping[str, Any]


@dataclass(frozen=True)
class ClassifierSetup:
    """The classifier stage. `policy` None: features of the images as they are evaluated."""

    kind: Literal["linear", "mlp"]
    encoder_lr: float | None  # None: the encoder stays frozen
    epochs: int
    policy: Policy | None
    policy_name: str
    standardize: bool
    init: Literal["random", "probe"]
    optimizer: OptimizerSetup
    pace: Pace
    hidden_dim: int | None
    dropout: float
    images: int
    batch_size: int
    steps_per_epoch: int

    @property
    def finetuned(self) -> bool:
        return self.encoder_lr is not None


@final
@dataclass(frozen=True)
class Setup:
    """Everything that a run is decided to be. `config` is filled: it is what run.toml says."""

    config: RunConfig
    method: type[Method]
    facts: DataFacts
    encoder_name: str
    origin: Origin  # of the encoder
    center: CenterSquare  # what evaluations see of an image
    views: ViewSetup
    images: int  # that the method trains on
    batch_size: int
    steps_per_epoch: int
    selection_interval: int | None  # epochs; None: no epoch is selected
    optimizer: OptimizerSetup
    pace: Pace
    classifier: ClassifierSetup | None
    multiply_adds: int  # of the encoder's forward of one view of full size
    precision: Precision
    online_probe: bool
    probes: tuple[str, ...]  # the evaluators of the frozen encoder
    recipe: str | None = None  # that it is of

    @property
    def size(self) -> int:
        """Side of the views, px."""
        return self.facts.side

    @property
    def source(self) -> str:
        """Of the data, as the user gave it."""
        return self.config.data.source

    @property
    def method_name(self) -> str:
        return self.config.method_name

    @property
    def label(self) -> str:
        """What it is called: by its recipe, else by its method."""
        return self.recipe or self.method_name

    @property
    def trains(self) -> bool:
        """False where given weights are measured as they are, and nothing is trained."""
        return self.config.method.trains

    @property
    def training_splits(self) -> tuple[str, ...]:
        """Whose images the method is shown."""
        return ("train", "unlabeled") if self.method.takes_unlabeled else ("train",)

    @property
    def sampling(self) -> Sampling:
        return sampling_of(self.config)

    @property
    def epochs(self) -> int:
        return self.config.train.epochs if self.trains else 0

    @property
    def seed(self) -> int:
        return self.config.train.seed

    @property
    def views_a_step(self) -> int:
        """Views of full size in a step, smaller ones by their pixels."""
        return round(self.batch_size * self.views.cost)

    @property
    def multiply_adds_at_once(self) -> int:
        """Of the encoder's forward of all views that pass through it together."""
        views = self.views_a_step
        return self.multiply_adds * min(views, self.config.train.micro_batch_size or views)

    @property
    def to_be_measured(self) -> bool:
        """Whether the precision is to be what is faster; until it is measured it is the rule's."""
        return self.config.train.precision == "measure"

    def with_precision(self, precision: Precision) -> "Setup":
        return replace(self, precision=precision, config=in_precision(self.config, precision))

    def with_seed(self, seed: int) -> "Setup":
        return self._with_train(seed=seed)

    def with_epochs(self, epochs: int) -> "Setup":
        """As many epochs, and all else as it was decided for another number."""
        return self._with_train(epochs=epochs)

    def _with_train(self, **update: int) -> "Setup":
        train = self.config.train.model_copy(update=update)
        return replace(self, config=self.config.model_copy(update={"train": train}))

    def with_facts(self, facts: DataFacts) -> "Setup":
        """The same run on the images that could be read: counts and steps follow, nothing else."""
        images, asked = images_for(self.method, facts), self.config.train.steps_per_epoch
        stage = self.classifier
        if stage is not None:
            batch = min(self.config.classifier.batch_size or self.batch_size, facts.n_train)
            steps = steps_for(asked, facts.n_train, batch)
            stage = replace(stage, images=facts.n_train, batch_size=batch, steps_per_epoch=steps)
        return replace(
            self,
            facts=facts,
            images=images,
            steps_per_epoch=steps_for(asked, images, self.batch_size),
            classifier=stage,
        )


def sampling_of(config: RunConfig) -> Sampling:
    """How its batches are composed."""
    return Sampling(config.data.sampling, config.data.per_class)


def in_precision(config: RunConfig, precision: Precision) -> RunConfig:
    """The configuration, naming the precision that was decided."""
    train = config.train.model_copy(update={"precision": precision})
    return config.model_copy(update={"train": train})


def images_for(method: type[Method], facts: DataFacts) -> int:
    """How many images a method trains on."""
    return facts.n_train + (facts.n_unlabeled if method.takes_unlabeled else 0)


def steps_for(asked: int | None, images: int, batch_size: int) -> int:
    """Steps an epoch: what was asked for, or once over the images."""
    return asked or max(1, images // max(1, batch_size))
