"""From a checked configuration and a listing to a decided run."""

from typing import Any

import torch

from nearfar.config.models import AS_EVALUATED, ClassifierConfig, RunConfig
from nearfar.config.training import OWN_KEYS
from nearfar.core.errors import ConfigError
from nearfar.core.hardware import choose_precision
from nearfar.core.types import DataFacts
from nearfar.data.listing import Listing
from nearfar.evaluate import measured_by_default
from nearfar.experiment import choices
from nearfar.experiment.refusals import refuse_batch, refuse_labels_missing, refuse_unfit
from nearfar.experiment.setup import ClassifierSetup, Setup, images_for, steps_for
from nearfar.methods import method_class
from nearfar.training.loop import Pace
from nearfar.views.policies import default_policy
from nearfar.views.reading import read_policy


def resolve(
    config: RunConfig,
    listing: Listing,
    device: torch.device,
    *,
    encoder_name: str | None = None,
    batch_for: int | None = None,
) -> Setup:
    """Every default chosen for these data. DataError or ConfigError: the two do not fit.

    `encoder_name` names the user's own module, where one is given; `batch_for` is the number of
    images that a default batch is chosen for, where that is not the method's own.
    """
    method = method_class(config.method_name)
    size = choices.choose_size(config.data.size, listing.side)
    facts = listing.facts(size)
    source, balanced = listing.source, config.data.balanced
    refuse_unfit(config.method_name, method, facts, source, balanced=balanced)
    images = images_for(method, facts)
    batch = choices.choose_batch(config.train.batch_size, images, chosen_for=batch_for or images)
    if problems := config.method.misfits(images, batch):
        raise ConfigError(problems)
    asked = config.evaluate.online_probe
    online_probe = method.needs_labels if asked is None else asked
    refuse_labels_missing(config, facts, online_probe=online_probe)
    probes = config.evaluate.probes
    if probes is None:
        probes = tuple(measured_by_default())
    usual = listing.default_policy or default_policy(method.default_views, size)
    policy = config.views.policy or usual
    views = choices.choose_views(
        policy,
        strength=config.views.strength,
        count=config.views.count or method.default_count,
        size=size,
    )
    name = encoder_name or choices.choose_encoder(config.encoder.name, size)
    optimizer = choices.choose_optimizer(config, method, batch)
    pace = choices.choose_pace(config, method, optimizer.lr)
    stage = choices.fill_classifier(config, listing.default_policy)
    precision = choose_precision(config.train.precision, device)
    filled = _filled(
        config,
        data={"size": size},
        views={"policy": policy, "count": views.count},
        encoder={"name": name},
        optimizer={
            "name": optimizer.name,
            "lr": optimizer.lr,
            "weight_decay": optimizer.weight_decay,
            "decay_norms_and_biases": optimizer.decay_norms_and_biases,
            **optimizer.own,
        },
        schedule=_schedule(pace),
        train={"batch_size": batch, "precision": precision},
        evaluate={"online_probe": online_probe, "probes": probes},
    ).model_copy(update={"classifier": stage})
    return Setup(
        config=filled,
        method=method,
        source=source,
        facts=facts,
        encoder_name=name,
        views=views,
        images=images,
        batch_size=batch,
        steps_per_epoch=steps_for(config.train.steps_per_epoch, images, batch),
        selection_interval=choices.choose_selection_interval(
            config.evaluate.selections, config.train.epochs
        ),
        optimizer=optimizer,
        pace=pace,
        classifier=_classifier(stage, facts, batch, config.train.steps_per_epoch),
        precision=precision,
        online_probe=online_probe,
        probes=probes,
    )


def refuse_unread(setup: Setup, facts: DataFacts) -> None:
    """DataError where what could be decoded no longer fits the decided run."""
    config = setup.config
    refuse_unfit(
        setup.method_name, setup.method, facts, setup.source, balanced=config.data.balanced
    )
    refuse_labels_missing(config, facts, online_probe=setup.online_probe)
    refuse_batch(setup.batch_size, images_for(setup.method, facts))


def _filled(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    """The configuration with what was chosen in each section."""
    update = {
        name: getattr(config, name).model_copy(update=values) for name, values in sections.items()
    }
    return config.model_copy(update=update)


def _schedule(pace: Pace) -> dict[str, Any]:
    decay = pace.schedule.decay
    own = OWN_KEYS.get(("schedule", "decay", decay), {})
    chosen = {"decay": decay, "warmup_epochs": pace.warmup_epochs}
    return chosen | {key: getattr(pace.schedule, key) for key in own}


def _classifier(
    stage: ClassifierConfig, facts: DataFacts, batch: int, steps: int | None
) -> ClassifierSetup | None:
    """What the filled section decides; None where no stage is wanted."""
    if stage.kind is None or stage.epochs is None or stage.lr is None or stage.policy is None:
        return None
    of_features = stage.policy == AS_EVALUATED
    batch = min(batch, facts.n_train)
    return ClassifierSetup(
        kind=stage.kind,
        encoder_lr=stage.encoder_lr,
        epochs=stage.epochs,
        policy=None if of_features else read_policy(stage.policy),
        policy_name=stage.policy,
        lr=stage.lr,
        weight_decay=stage.weight_decay,
        hidden_dim=stage.hidden_dim,
        dropout=stage.dropout or 0.0,
        images=facts.n_train,
        batch_size=batch,
        steps_per_epoch=steps_for(steps, facts.n_train, batch),
    )
