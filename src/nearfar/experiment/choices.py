"""The defaults that depend on the data: size, batch, encoder, rate, schedule, classifier stage.

Each function takes what the user asked for, and chooses where that is nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from nearfar.config.classifier import AS_EVALUATED, ClassifierConfig
from nearfar.config.models import RunConfig
from nearfar.config.training import OWN_KEYS, OptimizerConfig, ScheduleConfig
from nearfar.core.errors import DataError
from nearfar.core.types import DataFacts
from nearfar.data.center import CenterSquare
from nearfar.data.rgb import White
from nearfar.experiment import given_weights
from nearfar.experiment.refusals import refuse_batch
from nearfar.experiment.setup import (
    ClassifierSetup,
    OptimizerSetup,
    ViewSetup,
    images_for,
    steps_for,
)
from nearfar.methods.base import Method
from nearfar.nn.published import Published
from nearfar.training.loop import Pace
from nearfar.training.schedules import Schedule
from nearfar.views.policies import SMALL_UP_TO_PX, default_policy
from nearfar.views.reading import read_policy

DEFAULT_SIZE_PX = 64
CONV4_UP_TO_PX = 16
SMOKE_SIZE_PX, SMOKE_BATCH = 64, 8  # of a run that only shows that everything works
LARGEST_DEFAULT_BATCH = 256
FEW_IMAGES = 10_000  # of training: fewer are few for new weights
DEFAULT_STEPS_AN_EPOCH = 8  # a default batch leaves at least so many
# of new weights on few photographs, where batches do not become smaller than so many images by it
STEPS_ON_FEW_PHOTOGRAPHS, BATCH_ON_FEW_PHOTOGRAPHS = 16, 32
# images a step whose rate these batches have, by method; simclr, moco and supcon_moco lost by it
RATE_ON_FEW_PHOTOGRAPHS: Mapping[str, int] = MappingProxyType(
    {"cross_entropy": 128, "supcon": 128, "joint": 128}
)
# SimCLR's for ImageNet, SupCon's for its linear stage
RATES_PER_256 = {"lars": 0.3, "rmsprop": 0.05}
USUAL_RATE = 1e-3
WARM_UP, LONGEST_WARM_UP = 0.1, 10.0  # of the epochs, and epochs
CLASSIFIER_EPOCHS = 30
CLASSIFIER_RATES = {"adamw": 1e-2, "adam": 1e-2, "sgd": 0.1, "lars": 10.0, "rmsprop": 1e-2}
CLASSIFIER_WEIGHT_DECAYS = {"adamw": 1e-2}  # 0 for all others
FINETUNED_RATE = 0.1  # of the classifier's, for an encoder that learns on
CLASSIFIER_HIDDEN_DIM, CLASSIFIER_DROPOUT = 1000, 0.5  # of an mlp


def default_size(side: int) -> int:
    """Side of the views, px, of images of such a side, for new weights."""
    return min(DEFAULT_SIZE_PX, side)


def choose_size(
    config: RunConfig, seen: Published | None, side: int, device: torch.device, *, smoke: bool
) -> int:
    """Side of the views, px: the user's; by given weights; 64, or the data's own where that is
    smaller.
    """
    if config.data.size is not None:
        return config.data.size
    given = config.encoder.given
    size = given_weights.usual_size(seen, side, device) if given else default_size(side)
    return min(size, SMOKE_SIZE_PX) if smoke else size


def largest_batch(config: RunConfig, *, smoke: bool) -> int:
    """Images a step: no default is larger."""
    given = config.encoder.given
    most = given_weights.largest_batch(config.method_name) if given else LARGEST_DEFAULT_BATCH
    return min(most, SMOKE_BATCH) if smoke else most


def new_on_few_photographs(config: RunConfig, images: int, side: int) -> bool:
    """Whether new weights learn from few images, shown larger than drawings and digits are."""
    return not config.encoder.given and images < FEW_IMAGES and side > SMALL_UP_TO_PX


def choose_batch(
    asked: int | None,
    images: int,
    largest: int = LARGEST_DEFAULT_BATCH,
    *,
    few_photographs: bool = False,
) -> int:
    """The user's, or a power of two up to `largest` that leaves at least 8 steps an epoch; of new
    weights on few photographs one of 32 images and more leaves 16. DataError: too large, or fewer
    than two images.
    """
    if asked is not None:
        refuse_batch(asked, images)
        return asked
    if images < 2:
        raise DataError(f"want at least 2 training images, got {images}")
    batch = _power_of_two(min(largest, images // DEFAULT_STEPS_AN_EPOCH))
    if few_photographs and batch > BATCH_ON_FEW_PHOTOGRAPHS:
        leaves_more = _power_of_two(min(largest, images // STEPS_ON_FEW_PHOTOGRAPHS))
        return max(BATCH_ON_FEW_PHOTOGRAPHS, leaves_more)
    return batch


def _power_of_two(most: int) -> int:
    """The largest up to `most`, at least 2."""
    return int(2 ** (max(2, most).bit_length() - 1))


def choose_batch_of_groups(config: RunConfig, facts: DataFacts, images: int, largest: int) -> int:
    """The same; a default batch is of whole groups where each class has one of data.per_class, and
    of at least two of them.
    """
    asked, m = config.train.batch_size, config.data.per_class
    few = new_on_few_photographs(config, images, facts.side)
    batch = choose_batch(asked, images, largest, few_photographs=few)
    if asked is not None or m is None:
        return batch
    present = sum(count > 0 for count in facts.class_counts)
    return m * max(1, min(max(2, batch // m), present))


def choose_encoder(asked: str | None, size: int) -> str:
    return asked or ("conv4" if size <= CONV4_UP_TO_PX else "resnet18")


def choose_center(
    config: RunConfig, seen: Published | None, size: int, white: White
) -> CenterSquare:
    """What evaluations see of an image: the user's crop, else that of the given weights, else all
    of the centered square; resampled as for those weights, else bilinear; the set's white.
    """
    asked = config.data.eval_crop
    if seen is None:
        return CenterSquare(size, or_usual(asked, 1.0), "bilinear", white)
    return CenterSquare(size, or_usual(asked, seen.crop), seen.interpolation, white)


def choose_views(
    config: RunConfig, method: type[Method], of_source: str | None, facts: DataFacts
) -> ViewSetup:
    """The user's policy, else the source's, else the method's; parsed once, with its strength."""
    asked, size = config.views, facts.side
    few = new_on_few_photographs(config, images_for(method, facts), size)
    usual = default_policy(method.default_views, size, new_on_few=few)
    policy = asked.policy or of_source or usual
    count = asked.count or method.default_count
    read = read_policy(policy)
    return ViewSetup(
        asked=policy,
        policy=read.stronger(asked.strength),
        name=policy if isinstance(policy, str) else "custom",
        count=count,
        shown=read.describe(count, size),
        cost=read.cost(count, size),
        sides=read.sides(count, size),
    )


def choose_optimizer(
    config: RunConfig, method: type[Method], batch: int, facts: DataFacts
) -> OptimizerSetup:
    """The user's, else the method's; for LARS no decay on norms and biases, as its recipes have it.
    From given weights their own rate, or a tenth of another optimizer's; of new weights on few
    photographs batches from 32 images on may have the rate of larger ones.
    """
    asked, usual = config.optimizer, method.optimizer
    name = asked.name or usual.name
    few = new_on_few_photographs(config, images_for(method, facts), facts.side)
    raised = few and batch >= BATCH_ON_FEW_PHOTOGRAPHS
    as_of = max(batch, RATE_ON_FEW_PHOTOGRAPHS.get(config.method_name, 0)) if raised else batch
    rate, origin = default_rate(method, name, as_of)
    if rate != default_rate(method, name, batch)[0]:
        origin += f", as of a batch of {as_of}"
    if given_weights.have_a_rate(config):
        rate, origin = given_weights.usual_rate(config.encoder), given_weights.ORIGIN
    elif config.encoder.given:
        rate, origin = rate * given_weights.RATE_FACTOR, f"{origin}, a tenth on given weights"
    decay_all = usual.decay_norms_and_biases and name != "lars"
    return OptimizerSetup(
        name=name,
        lr=or_usual(asked.lr, rate),
        lr_origin=origin if asked.lr is None else None,
        weight_decay=or_usual(asked.weight_decay, usual.weight_decay),
        momentum=asked.momentum,
        decay_norms_and_biases=or_usual(asked.decay_norms_and_biases, decay_all),
        own=_own(("optimizer", "name", name), asked),
    )


def default_rate(method: type[Method], name: str, batch: int) -> tuple[float, str]:
    """The rate of an optimizer for a method and batch, and in words where it comes from."""
    own = method.optimizer
    if name == own.name:
        return own.lr(batch), f"{own.lr_per_256:g} per 256 images"
    if name in RATES_PER_256:
        return (
            RATES_PER_256[name] * batch / 256,
            f"{RATES_PER_256[name]:g} per 256 images, usual for {name}",
        )
    return USUAL_RATE, "usual"


def choose_pace(config: RunConfig, method: type[Method], lr: float) -> Pace:
    """The rate's course: the user's schedule, else the method's."""
    asked = config.schedule
    decay = asked.decay or method.optimizer.decay
    schedule = Schedule(decay, **_own(("schedule", "decay", decay), asked))
    small = config.encoder.given and config.encoder.frozen_batch_norm
    share = given_weights.WARM_UP_OF_SMALL if small else WARM_UP
    usual = min(LONGEST_WARM_UP, config.train.epochs * share)
    return Pace(lr, or_usual(asked.warmup_epochs, usual), schedule, config.train.gradient_clip)


def fill_classifier(
    config: RunConfig, default_policy: str | None, facts: DataFacts
) -> ClassifierConfig:
    """The classifier stage with its defaults, where it is wanted."""
    asked = config.classifier
    if asked.kind is None:
        return asked
    rate = CLASSIFIER_RATES[asked.optimizer]
    defaults: dict[str, Any] = {"epochs": CLASSIFIER_EPOCHS, "policy": AS_EVALUATED, "lr": rate}
    by_probe = asked.kind == "linear" and sum(facts.val_counts) > 0
    defaults["init"] = "probe" if by_probe else "random"
    defaults["weight_decay"] = CLASSIFIER_WEIGHT_DECAYS.get(asked.optimizer, 0.0)
    if asked.encoder == "finetuned":
        encoder_lr = (asked.lr or rate) * FINETUNED_RATE
        defaults["encoder_lr"] = encoder_lr * (
            given_weights.RATE_FACTOR if config.encoder.given else 1
        )
        defaults["epochs"] = min(config.train.epochs, CLASSIFIER_EPOCHS)
        defaults["policy"] = default_policy or "basic"
    if asked.kind == "mlp":
        defaults |= {"hidden_dim": CLASSIFIER_HIDDEN_DIM, "dropout": CLASSIFIER_DROPOUT}
    return asked.model_copy(
        update={name: value for name, value in defaults.items() if getattr(asked, name) is None}
    )


def choose_classifier(
    config: RunConfig, stage: ClassifierConfig, facts: DataFacts, batch: int
) -> ClassifierSetup | None:
    """What the filled section `stage` decides; None where no stage is wanted."""
    if stage.kind is None:
        return None
    filled: dict[str, Any] = stage.model_dump()
    of_features = stage.policy == AS_EVALUATED
    batch = min(stage.batch_size or batch, facts.n_train)
    # as for pretraining, what one optimizer or decay alone reads; here the default, but for
    # Nesterov's momentum, which SGD has in both stages or in neither
    own = OWN_KEYS.get(("optimizer", "name", stage.optimizer), {})
    if "nesterov" in own:
        own = {**own, "nesterov": or_usual(config.optimizer.nesterov, own["nesterov"])}
    schedule = Schedule(stage.decay, **OWN_KEYS.get(("schedule", "decay", stage.decay), {}))
    return ClassifierSetup(
        kind=stage.kind,
        encoder_lr=stage.encoder_lr,
        epochs=filled["epochs"],
        policy=None if of_features else read_policy(filled["policy"]),
        policy_name=filled["policy"],
        standardize=stage.standardize,
        init=filled["init"],
        optimizer=OptimizerSetup(
            name=stage.optimizer,
            lr=filled["lr"],
            lr_origin=None,
            weight_decay=filled["weight_decay"],
            momentum=stage.momentum,
            decay_norms_and_biases=stage.optimizer != "lars",
            own=own,
        ),
        pace=Pace(filled["lr"], 0.0, schedule, None, lr_key="classifier.lr"),
        hidden_dim=filled["hidden_dim"] if stage.kind == "mlp" else None,
        dropout=filled["dropout"] if stage.kind == "mlp" else 0.0,
        images=facts.n_train,
        batch_size=batch,
        steps_per_epoch=steps_for(config.train.steps_per_epoch, facts.n_train, batch),
    )


def choose_selection_interval(config: RunConfig) -> int | None:
    """Epochs from one selection to the next (and one after the last); None: none is wanted."""
    wanted = config.evaluate.selections if config.method.trains else 0
    return max(1, config.train.epochs // wanted) if wanted else None


def or_usual(asked: Any, usual: Any) -> Any:
    """What the user asked for, else what is usual."""
    return usual if asked is None else asked


def _own(choice: tuple[str, str, str], asked: OptimizerConfig | ScheduleConfig) -> dict[str, Any]:
    """The settings that this choice alone has: the user's, else their defaults."""
    return {
        key: or_usual(getattr(asked, key), usual) for key, usual in OWN_KEYS.get(choice, {}).items()
    }
