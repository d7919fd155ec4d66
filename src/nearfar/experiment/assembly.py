"""What a run is trained with: its images, its batches, its online probe."""

import torch
from lightning_fabric import Fabric

from nearfar.data.store import ImageData
from nearfar.evaluate.features import EvaluationView
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.training.batches import Batches
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.plan import ViewPlan


def make_online_probe(
    setup: Setup, data: ImageData, width: int, device: torch.device
) -> OnlineProbe | None:
    if not setup.online_probe:
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
    setup: Setup, data: ImageData, fabric: Fabric, method: Method, view: EvaluationView
) -> Batches:
    pool = training_pool(data, type(method))
    return Batches(
        data=data,
        pool=pool,
        plan=ViewPlan(
            setup.views.policy,
            setup.views.count,
            view.size,
            view.mean,
            view.std,
            channels_last=method.encoder.memory_format == torch.channels_last,
        ),
        batch_size=setup.batch_size,
        steps_per_epoch=setup.steps_per_epoch,
        epochs=setup.epochs,
        seed=setup.seed,
        balanced=setup.config.data.balanced,
        with_labels=method.needs_labels,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
