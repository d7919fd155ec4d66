"""From what the user asked to a resolved configuration: names checked, facts checked, defaults
chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from nearfar.config.loading import Known, Sections, build_config
from nearfar.config.models import AS_EVALUATED, ClassifierConfig, MethodConfig, RunConfig
from nearfar.core.errors import ConfigError, DataError
from nearfar.core.hardware import choose_precision
from nearfar.core.types import DataFacts
from nearfar.data.listing import Listing
from nearfar.data.store import ImageData
from nearfar.experiment.optimization import (
    GIVEN_WEIGHTS_RATE,
    resolved_optimizer,
    resolved_schedule,
    starts_from_weights,
)
from nearfar.methods import METHODS, is_own, method_class
from nearfar.nn.building import encoder_names
from nearfar.views.policies import default_policy
from nearfar.views.reading import read_policy

DEFAULT_SIZE_PX = 64
CONV4_UP_TO_PX = 16
LARGEST_DEFAULT_BATCH = 256
DEFAULT_STEPS_AN_EPOCH = 8  # a default batch leaves at least so many
CLASSIFIER_EPOCHS = 30
CLASSIFIER_RATE = 1e-2
CLASSIFIER_HIDDEN_DIM, CLASSIFIER_DROPOUT = 1000, 0.5  # of an mlp
FINETUNED_RATE = 0.1  # of the classifier's, for an encoder that learns on


def known_names(own: str | None = None) -> Known:
    """What a configuration may name; `own` is a method of the user's own, `module:Class`."""

    def config_of(name: str) -> Callable[[], type[MethodConfig]]:
        return lambda: method_class(name).Config

    return Known(
        methods={name: config_of(name) for name in (*METHODS, *([own] if own else []))},
        fewest_views=lambda name, config: method_class(name).views_needed(config),
        policy_problems=_policy_problems,
        encoders=encoder_names,
    )


def _policy_problems(policy: str | Mapping[str, Any]) -> Sequence[str]:
    try:
        read_policy(policy)
    except ConfigError as error:
        return error.problems
    return []


def check_config(sections: Sections, where: str = "configuration") -> RunConfig:
    """The configuration with every name and bound checked; no data are read. ConfigError lists all
    problems.

    A method named `module:Class` is imported.
    """
    name = sections.get("method", {}).get("name")
    return build_config(sections, known_names(name if is_own(name) else None), where)


def resolve(
    config: RunConfig,
    listing: Listing,
    device: torch.device,
    encoder_name: str | None = None,
    *,
    pool: int | None = None,
) -> RunConfig:
    """The configuration with every default chosen for these data. DataError or ConfigError: the two
    do not fit.

    `encoder_name` names the user's own module, where one is given; `pool` is the number of images
    that a default batch is chosen for, where that is not the method's own.
    """
    size = config.data.size or min(DEFAULT_SIZE_PX, listing.side)
    method = method_class(config.method_name)
    count = config.views.count or method.default_count
    facts = listing.facts(size)
    refuse_unfit(config.method_name, facts, listing.source, balanced=config.data.balanced)
    batch = batch_size(config, pool or pool_size(config.method_name, facts))
    if problems := config.method.misfits(pool_size(config.method_name, facts), batch):
        raise ConfigError(problems)
    name = (
        encoder_name or config.encoder.name or ("conv4" if size <= CONV4_UP_TO_PX else "resnet18")
    )
    policy = (
        config.views.policy or listing.default_policy or default_policy(method.default_views, size)
    )
    refuse_labels_missing(config, facts)
    train = {"batch_size": batch, "precision": choose_precision(config.train.precision, device)}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"size": size}),
            "views": config.views.model_copy(update={"policy": policy, "count": count}),
            "encoder": config.encoder.model_copy(update={"name": name}),
            "optimizer": resolved_optimizer(config, method, batch),
            "schedule": resolved_schedule(config.schedule, config.train.epochs, method),
            "train": config.train.model_copy(update=train),
            "evaluate": config.evaluate.model_copy(update={"online_probe": _online_probe(config)}),
            "classifier": _classifier(config, listing),
        }
    )


def _online_probe(config: RunConfig) -> bool:
    asked = config.evaluate.online_probe
    return method_class(config.method_name).needs_labels if asked is None else asked


def _classifier(config: RunConfig, listing: Listing) -> ClassifierConfig:
    """The classifier stage with its defaults, where it is wanted."""
    stage = config.classifier
    if stage.kind is None:
        return stage
    defaults: dict[str, Any] = {
        "epochs": CLASSIFIER_EPOCHS,
        "policy": AS_EVALUATED,
        "lr": CLASSIFIER_RATE,
    }
    if stage.encoder == "finetuned":
        given_weights = GIVEN_WEIGHTS_RATE if starts_from_weights(config) else 1
        encoder_lr = (stage.lr or CLASSIFIER_RATE) * FINETUNED_RATE * given_weights
        defaults |= {
            "epochs": min(config.train.epochs, CLASSIFIER_EPOCHS),
            "encoder_lr": encoder_lr,
        }
        defaults["policy"] = listing.default_policy or "basic"
    if stage.kind == "mlp":
        defaults |= {"hidden_dim": CLASSIFIER_HIDDEN_DIM, "dropout": CLASSIFIER_DROPOUT}
    return stage.model_copy(
        update={name: value for name, value in defaults.items() if getattr(stage, name) is None}
    )


def refuse_labels_missing(config: RunConfig, facts: DataFacts) -> None:
    """DataError where the classifier stage or the online probe have no labels to learn from."""
    if config.classifier.kind is not None and sum(count > 0 for count in facts.class_counts) < 2:
        got = f"1 ({facts.class_names[0]})" if facts.n_classes else "none"
        raise DataError(
            "classifier.kind: wants labeled training images of at least 2 classes, and"
            f" {facts.name} has {got}; leave the classifier out, or give labels (folders of"
            " classes)"
        )
    if config.evaluate.online_probe and facts.n_train == 0:
        raise DataError(
            f"evaluate.online_probe: wants labels, and {facts.name} has none; leave it out"
        )


def refuse_unread(config: RunConfig, data: ImageData) -> None:
    """DataError where what could be decoded no longer fits the resolved configuration."""
    assert config.data.size is not None
    facts = data.facts(config.data.size)
    refuse_unfit(config.method_name, facts, data.source, balanced=config.data.balanced)
    refuse_labels_missing(config, facts)
    batch_size(config, pool_size(config.method_name, facts))


def refuse_unfit(method: str, facts: DataFacts, source: str, *, balanced: bool) -> None:
    """DataError where the method, or balanced batches, cannot work with these data; says what to
    do.
    """
    if (reason := method_class(method).why_not(facts)) is not None:
        raise DataError(f"{method} {reason}")
    if facts.n_train + facts.n_unlabeled == 0:
        raise DataError(f"{source}: want images to train on, got none (only val and test)")
    if balanced:
        _refuse_balanced(method, facts)
    learnt = zip(facts.class_names, facts.class_counts, facts.val_counts, strict=True)
    alone = [name for name, train, val in learnt if train + val < 2]
    if alone and facts.n_classes > 1:
        raise DataError(
            f"{source}: want at least 2 training images of each class, got fewer of"
            f" {', '.join(alone[:10])}{' ...' if len(alone) > 10 else ''}; add images or leave the"
            " class out"
        )


def _refuse_balanced(method: str, facts: DataFacts) -> None:
    """DataError where batches cannot be composed by class, or where labels would so reach a method
    without need.
    """
    if facts.n_classes == 0:
        raise DataError(
            f"data.balanced: wants classes, and {facts.name} has no labels; leave data.balanced out"
        )
    kind = method_class(method)
    if not kind.needs_labels:
        raise DataError(
            f"data.balanced: {method} learns without labels, and batches composed by class would"
            " show it some; leave data.balanced out"
        )
    if kind.takes_unlabeled and facts.n_unlabeled:
        raise DataError(
            f"data.balanced: wants a class for each image, and {method} would train on"
            f" {facts.n_unlabeled:,} images without one; leave data.balanced out, or the unlabeled"
            " images"
        )


def pool_size(method: str, facts: DataFacts) -> int:
    """How many images a method trains on."""
    return facts.n_train + (facts.n_unlabeled if method_class(method).takes_unlabeled else 0)


def batch_size(config: RunConfig, pool: int) -> int:
    """The user's, or a power of two up to 256 that leaves at least 8 steps an epoch. DataError: too
    large.
    """
    asked = config.train.batch_size
    if asked is not None and asked > pool:
        raise DataError(
            f"train.batch_size: want at most {pool} (the training images that can be read), got"
            f" {asked}"
        )
    if asked is not None:
        return asked
    if pool < 2:
        raise DataError(f"want at least 2 training images, got {pool}")
    largest = max(2, min(LARGEST_DEFAULT_BATCH, pool // DEFAULT_STEPS_AN_EPOCH))
    return int(2 ** (largest.bit_length() - 1))
