"""From a checked configuration and a listing to a decided run."""

import json
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from nearfar.config.classifier import ClassifierConfig
from nearfar.config.encoder import ARGUMENTS, OWN_NETWORKS, EncoderConfig
from nearfar.config.models import RunConfig
from nearfar.config.training import OWN_KEYS
from nearfar.core.errors import ConfigError, UserError
from nearfar.core.hardware import choose_precision
from nearfar.core.types import DataFacts
from nearfar.data.labels import listed_facts
from nearfar.data.listing import Listing
from nearfar.evaluate import measured_by_default
from nearfar.experiment import choices, given_weights
from nearfar.experiment.given_weights import Origin
from nearfar.experiment.labeling import label_draw
from nearfar.experiment.refusals import (
    refuse_batch,
    refuse_batches,
    refuse_groups,
    refuse_labels_missing,
    refuse_nothing_given,
    refuse_unfit,
)
from nearfar.experiment.setup import Setup, images_for, sampling_of, steps_for
from nearfar.methods import method_class
from nearfar.nn.arithmetic import Arithmetic, arithmetic_by_name, arithmetic_of, smallest_side
from nearfar.nn.building import Stem, own_encoder


def resolve(
    config: RunConfig,
    listing: Listing,
    device: torch.device,
    *,
    module: nn.Module | None = None,
    recipe: str | None = None,
    smoke: bool = False,
) -> Setup:
    """Every default chosen for these data, for the user's own encoder `module`, as a run of
    `recipe`, where there are such. DataError or ConfigError: the two do not fit.
    """
    refuse_nothing_given(config, own_module=module is not None)
    config = given_weights.with_its_defaults(config)
    method, origin = method_class(config.method_name), given_weights.origin_of(config.encoder)
    config, facts = _shown(config, listing, origin, device, smoke=smoke)
    by_class = sampling_of(config).by_class
    refuse_unfit(config.method_name, method, facts, listing.source, by_class=by_class)
    images, most = images_for(method, facts), choices.largest_batch(config, smoke=smoke)
    batch = choices.choose_batch_of_groups(config, facts, images, most)
    views = choices.choose_views(config, method, listing.default_policy, facts)
    refuse_batches(config, method, facts, batch_size=batch, views=views.policy.made(views.count))
    online_probe = choices.or_usual(config.evaluate.online_probe, method.needs_labels)
    refuse_labels_missing(config, facts, online_probe=online_probe)
    name, arithmetic = _encoder(config.encoder, origin, facts.side, module)
    narrow = arithmetic.narrow_share
    optimizer = choices.choose_optimizer(config, method, batch, facts)
    stage = choices.fill_classifier(config, listing.default_policy, facts)
    setup = Setup(
        config=config,
        method=method,
        facts=facts,
        encoder_name=name,
        origin=origin,
        center=choices.choose_center(config, origin.seen(name), facts.side, listing.white),
        views=views,
        images=images,
        batch_size=batch,
        steps_per_epoch=steps_for(config.train.steps_per_epoch, images, batch),
        selection_interval=choices.choose_selection_interval(config),
        optimizer=optimizer,
        pace=choices.choose_pace(config, method, optimizer.lr),
        classifier=choices.choose_classifier(config, stage, facts, batch),
        multiply_adds=arithmetic.multiply_adds,
        precision=choose_precision(config.train.precision, device, narrow_share=narrow),
        online_probe=online_probe,
        probes=choices.or_usual(config.evaluate.probes, tuple(measured_by_default())),
        recipe=recipe,
    )
    return replace(setup, config=_filled(setup, stage))


def _shown(
    config: RunConfig, listing: Listing, origin: Origin, device: torch.device, *, smoke: bool
) -> tuple[RunConfig, DataFacts]:
    """With what the side of the views decides, and of the listed images as they are shown."""
    seen = origin.seen(origin.name)
    side = choices.choose_size(config, seen, listing.side, device, smoke=smoke)
    decided = given_weights.with_batch_norm(config, side, seen)
    return decided, listed_facts(listing, label_draw(config), side)


def _encoder(
    config: EncoderConfig, origin: Origin, side: int, module: nn.Module | None
) -> tuple[str, Arithmetic]:
    """Its name, and what it computes for a view of that side. ConfigError or UserError: it cannot
    take it.
    """
    if module is not None:
        return _of_module(config, side, module)
    name = choices.choose_encoder(origin.name, side)
    if name in OWN_NETWORKS:
        _refuse_arguments(config, name)
    return name, _arithmetic(name, side, *origin.network(config))


def _of_module(config: EncoderConfig, side: int, module: nn.Module) -> tuple[str, Arithmetic]:
    """The name of the user's own module, and what it computes for a view of that side. ConfigError:
    a setting that is not for it. UserError: it cannot take the view.
    """
    _refuse_arguments(config, "your own module")
    example = torch.zeros(1, 3, side, side)
    return type(module).__name__, arithmetic_of(own_encoder(module, example))


def _refuse_arguments(config: EncoderConfig, network: str) -> None:
    """ConfigError for what only timm's networks take."""
    if unread := [key for key in ARGUMENTS if getattr(config, key) is not None]:
        problem = f"encoder.{unread[0]}: is for timm's networks, and {network} is none"
        raise ConfigError([f"{problem}; leave it out"])


def _arithmetic(name: str, side: int, stem: Stem, arguments: dict[str, Any]) -> Arithmetic:
    """What an encoder computes for a view of that side. UserError: it cannot take it."""
    create = json.dumps(arguments)
    try:
        return arithmetic_by_name(name, side, stem, create)
    except UserError as error:
        # of a size, not of a stem
        is_size = error.__cause__ is not None
        smallest = smallest_side(name, side, stem, create) if is_size else None
        if smallest is None:
            raise
        problem = (
            f"data.size: {name} cannot take images of {side} px; the smallest size above that works"
            f" is {smallest}: --size {smallest}"
        )
        raise ConfigError([problem]) from error


def refuse_unread(setup: Setup, facts: DataFacts) -> None:
    """DataError where what could be decoded no longer fits the decided run."""
    config = setup.config
    by_class = setup.sampling.by_class
    refuse_unfit(setup.method_name, setup.method, facts, setup.source, by_class=by_class)
    refuse_groups(config, facts, setup.batch_size)
    refuse_labels_missing(config, facts, online_probe=setup.online_probe)
    refuse_batch(setup.batch_size, images_for(setup.method, facts))


def _filled(setup: Setup, classifier: ClassifierConfig) -> RunConfig:
    """What was asked for, with all that was decided written into it."""
    optimizer, schedule = setup.optimizer, setup.pace.schedule
    precision = "measure" if setup.to_be_measured else setup.precision
    own = OWN_KEYS.get(("schedule", "decay", schedule.decay), {})
    decided: dict[str, dict[str, Any]] = {
        "data": {"size": setup.size, "eval_crop": setup.center.crop},
        "views": {"policy": setup.views.asked, "count": setup.views.count},
        "encoder": {"name": setup.encoder_name},
        "optimizer": {
            "name": optimizer.name,
            "lr": optimizer.lr,
            "weight_decay": optimizer.weight_decay,
            "decay_norms_and_biases": optimizer.decay_norms_and_biases,
            **optimizer.own,
        },
        "schedule": {
            "decay": schedule.decay,
            "warmup_epochs": setup.pace.warmup_epochs,
            **{key: getattr(schedule, key) for key in own},
        },
        "train": {"batch_size": setup.batch_size, "precision": precision},
        "evaluate": {"online_probe": setup.online_probe, "probes": setup.probes},
    }
    sections: dict[str, Any] = {
        name: getattr(setup.config, name).model_copy(update=values)
        for name, values in decided.items()
    }
    return setup.config.model_copy(update={**sections, "classifier": classifier})
