"""What a run is trained with: its images, its batches, its online probe."""

import torch
from lightning_fabric import Fabric

from nearfar.config.models import RunConfig
from nearfar.data.samples import EvaluationView, Samples
from nearfar.experiment.plan import steps_per_epoch
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.training.batches import Batches
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.plan import ViewPlan
from nearfar.views.reading import read_policy


def make_online_probe(
    config: RunConfig, samples: Samples, width: int, device: torch.device
) -> OnlineProbe | None:
    if not config.evaluate.online_probe:
        return None
    return OnlineProbe(samples.labels, width, len(samples.class_names), device)


def training_pool(samples: Samples, method: type[Method]) -> torch.Tensor:
    """The rows that a method trains on: train, and unlabeled ones where it can use them."""
    parts = (
        [samples.split("train"), samples.split("unlabeled")]
        if method.takes_unlabeled
        else [samples.split("train")]
    )
    return torch.cat(parts)


def make_view_plan(config: RunConfig, view: EvaluationView, encoder: Encoder) -> ViewPlan:
    """The views that a run trains on, normalized as it is evaluated."""
    assert config.views.policy is not None
    assert config.views.count is not None
    return ViewPlan(
        read_policy(config.views.policy).stronger(config.views.strength),
        config.views.count,
        view.size,
        view.mean,
        view.std,
        channels_last=encoder.memory_format == torch.channels_last,
    )


def make_batches(config: RunConfig, samples: Samples, fabric: Fabric, method: Method) -> Batches:
    assert config.train.batch_size is not None
    pool = training_pool(samples, type(method))
    return Batches(
        samples=samples,
        pool=pool,
        batch_size=config.train.batch_size,
        steps_per_epoch=steps_per_epoch(config, len(pool)),
        epochs=config.train.epochs,
        seed=config.train.seed,
        balanced=config.data.balanced,
        with_labels=method.needs_labels,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
