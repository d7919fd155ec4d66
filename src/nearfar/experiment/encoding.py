"""From a decided run to an encoder, its evaluation view, and what a run folder says of both."""

import hashlib
import itertools
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from nearfar.core.errors import ConfigError, UserError
from nearfar.core.randomness import seeded, stream_seed
from nearfar.data.center import CenterSquare
from nearfar.data.decoding import evaluation_pixels, pillow_is_quiet
from nearfar.data.images import ImageData
from nearfar.data.listing import Broken, Listing
from nearfar.data.samples import EvaluationView
from nearfar.experiment.labeling import label_draw
from nearfar.experiment.setup import Setup
from nearfar.nn.building import build_encoder, own_encoder
from nearfar.nn.encoders import Encoder
from nearfar.nn.given import GivenWeights
from nearfar.nn.published import Published
from nearfar.nn.stages import freeze, freeze_batch_norm, recompute_blocks
from nearfar.nn.timm_config import timm_config
from nearfar.run_folder.records import EncoderFile
from nearfar.views.kernels import PerChannel

STATISTICS_ROWS, ROWS_COUNTED = 2000, 64
HALF = (0.5, 0.5, 0.5)
TRIED = 20  # images, before an encoder is tried out with none of them


def example_of(center: CenterSquare, listing: Listing | None = None) -> Tensor:
    """What an encoder is shown of one image, (1, 3, S, S): of the first of the listing that can be
    decoded, or of a gray one (of a run folder there are no images).

    It is made before the channels' statistics are known.
    """
    found = first_views(listing, center, 1) if listing is not None else []
    pixels = found[0] if found else np.full((center.size, center.size, 3), 128, dtype=np.uint8)
    return EvaluationView(center, HALF, HALF).normalized(torch.from_numpy(pixels.copy())[None])


def first_views(
    listing: Listing, center: CenterSquare, most: int
) -> list[UInt8[np.ndarray, "size size 3"]]:
    """The evaluation views of the first images that can be decoded; few are tried for them."""
    views: list[UInt8[np.ndarray, "size size 3"]] = []
    with pillow_is_quiet():
        for _, raw in itertools.islice(listing.reader.read(), TRIED + most):
            found = evaluation_pixels(raw, center)
            if not isinstance(found, Broken):
                views.append(found)
            if len(views) == most:
                break
    return views


def make_encoder(setup: Setup, example: Tensor, module: nn.Module | None = None) -> Encoder:
    """The encoder before training, for samples like the example, initialized from the run's seed
    alone; torch's own generator is put back.

    `module`, the user's own, is copied: training does not change it. UserError: it does not fit, or
    not the policy's views, or is asked for chunks of one row with BatchNorm.
    """
    config = setup.config
    with seeded(stream_seed(setup.seed, "initialisation")):
        if module is not None:
            encoder = own_encoder(module, example)
        else:
            stem, arguments = setup.origin.network(config.encoder)
            encoder = build_encoder(
                setup.encoder_name,
                example=example,
                stem=stem,
                pretrained=config.encoder.pretrained,
                create=arguments,
            )
    if config.encoder.pretrained:
        encoder.origin = "hub's weights"
    if setup.origin.given is not None:
        _load(setup.origin.given, encoder)
    if config.encoder.frozen is not None:
        freeze(encoder, config.encoder.frozen)
    if config.encoder.frozen_batch_norm:
        freeze_batch_norm(encoder)
    if config.train.micro_batch_size == 1 and encoder.normalizes_by_batch:
        raise UserError(
            f"train.micro_batch_size: want at least 2 with {encoder.architecture} (BatchNorm"
            " normalizes over the rows of a chunk), got 1"
        )
    if config.encoder.gradient_checkpointing:
        recompute_blocks(encoder)
    _refuse_views(setup, encoder)
    encoder.precision = setup.precision
    encoder.micro_batch_size = config.train.micro_batch_size
    return encoder


def _load(given: GivenWeights, encoder: Encoder) -> None:
    """The encoder knows afterwards what it starts from, and what did not match."""
    loaded = given.load(encoder)
    encoder.left, encoder.unused = loaded.left, loaded.unused
    said = [given.where]
    if loaded.dropped:
        said.append("its classifier left out")
    if loaded.resampled:
        said.append(f"{' and '.join(loaded.resampled)} resampled")
    encoder.origin = ", ".join(said)


def _refuse_views(setup: Setup, encoder: Encoder) -> None:
    """ConfigError where the policy makes views of a side that the encoder cannot take, or too small
    for the method.
    """
    least, of = setup.method.smallest_view_px, f"px of data.size={setup.size}"
    for side in setup.views.sides:
        if side < least:
            problem = f"{setup.method_name} needs at least {least}"
            raise ConfigError([f"views.policy: makes views of {side} {of}; {problem}"])
        try:
            encoder.width_at(side)
        except ValueError as error:
            raise ConfigError([f"views.policy: makes views of {side} {of}; {error}"]) from error


def make_evaluation_view(setup: Setup, data: ImageData) -> EvaluationView:
    """How frozen encoders see an image: the user's normalization, else what is published for the
    network whose weights are given, else the train split's.
    """
    config = setup.config.encoder
    mean, std = config.mean, config.std
    if mean is None or std is None:
        seen = setup.origin.seen(setup.encoder_name)
        found = channel_statistics(data) if seen is None else (seen.mean, seen.std)
        mean, std = _three(found[0]), _three(found[1])
    return EvaluationView(setup.center, mean, std)


def channel_statistics(data: ImageData) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel in [0, 1], over at most 2,000 training images spread
    evenly.
    """
    rows = torch.cat([data.split("train"), data.split("unlabeled")])
    few = data.few(rows, STATISTICS_ROWS)
    counts = np.zeros((3, 256))  # of each level, so that no image is held as numbers of 8 bytes
    for part in torch.split(few, ROWS_COUNTED):
        pixels = data.rows(part).images.numpy().reshape(-1, 3)
        counts += [np.bincount(channel, minlength=256) for channel in pixels.T]
    levels, shares = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
    return tuple(mean.tolist()), tuple(np.maximum(np.sqrt(variance), 1e-3).tolist())


def encoder_file(encoder: Encoder, view: EvaluationView, data: ImageData) -> EncoderFile:
    """What it takes to build it again."""
    return EncoderFile(
        architecture=encoder.architecture,
        built_by=encoder.built_by,
        create=encoder.create,
        stem=tuple(encoder.stem),
        width=encoder.width,
        input_size=view.size,
        eval_crop=view.center.crop,
        interpolation=view.center.interpolation,
        gray_white=view.center.white.integer,
        float_white=view.center.white.real,
        mean=view.mean,
        std=view.std,
        class_names=data.class_names,
    )


def timm_file(encoder: Encoder, view: EvaluationView) -> dict[str, Any]:
    """What it takes for timm."""
    center = view.center
    seen = Published(center.size, center.crop, center.interpolation, view.mean, view.std)
    return timm_config(encoder, seen)


def same_start(setup: Setup) -> str:
    """A key that two runs share if and only if their encoders are equal before training, and are
    measured alike.
    """
    config = setup.config
    measured = (setup.probes, config.evaluate.settings, label_draw(config))
    parts = (setup.seed, setup.center, config.encoder.model_dump_json(), measured)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _three(values: tuple[float, ...]) -> PerChannel:
    if len(values) != 3:
        raise UserError(f"encoder.mean: want 3 channels, got {len(values)}")
    return values[0], values[1], values[2]
