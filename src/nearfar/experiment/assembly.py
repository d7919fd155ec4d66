"""What a run is trained with: its images, its batches, its online probe."""

import torch
from lightning_fabric import Fabric

from nearfar.config.models import RunConfig
from nearfar.data.store import ImageData
from nearfar.evaluate.features import EvaluationView
from nearfar.experiment.plan import steps_per_epoch
from nearfar.methods.base import Method
from nearfar.training.batches import Batches
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.making import ViewPlan
from nearfar.views.reading import read_policy


def make_online_probe(
    config: RunConfig, data: ImageData, width: int, device: torch.device
) -> OnlineProbe | None:
    if not config.evaluate.online_probe:
        return None
    return OnlineProbe(torch.as_tensor(data.labels), width, len(data.class_names), device)


def training_pool(data: ImageData, method: type[Method]) -> torch.Tensor:
    """The rows that a method trains on: train, and unlabeled ones where it can use them."""
    parts = (
        [data.split("train"), data.split("unlabeled")]
        if method.takes_unlabeled
        else [data.split("train")]
    )
    return torch.cat(parts)


def make_batches(
    config: RunConfig, data: ImageData, fabric: Fabric, method: Method, view: EvaluationView
) -> Batches:
    assert config.views.policy is not None
    assert config.views.count is not None
    assert config.train.batch_size is not None
    pool = training_pool(data, type(method))
    policy = read_policy(config.views.policy).stronger(config.views.strength)
    return Batches(
        data=data,
        pool=pool,
        plan=ViewPlan(
            policy,
            config.views.count,
            view.size,
            view.mean,
            view.std,
            channels_last=method.encoder.memory_format == torch.channels_last,
        ),
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
