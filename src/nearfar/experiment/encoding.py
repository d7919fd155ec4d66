"""From a resolved configuration to an encoder, its evaluation view, and what encoder.json says of
both.
"""

import copy
import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError, UserError
from nearfar.core.randomness import seeded, stream_seed
from nearfar.core.types import StoredImages
from nearfar.data.decoding import Broken, decode, pillow_is_quiet
from nearfar.data.listing import Listing
from nearfar.data.samples import EvaluationView
from nearfar.data.store import ImageData, store_side
from nearfar.methods import method_class
from nearfar.nn.building import build_encoder, hub_normalization, load_weights
from nearfar.nn.encoders import Encoder
from nearfar.views.kernels import Unit
from nearfar.views.plan import evaluation_view
from nearfar.views.reading import read_policy

STATISTICS_ROWS = 2000
HALF = (0.5, 0.5, 0.5)
TRIED = 20  # images, before an encoder is tried out with none of them


def example_of(size: int, crop: float, listing: Listing | None = None) -> Tensor:
    """What an encoder for views of `size` px is shown of one image, (1, 3, S, S): the first of the
    listing that can be decoded, or a gray one (of a run folder there are no images).

    It is made before the channels' statistics are known, and by plain torch, so that no kernel is
    compiled for it.
    """
    stored = _first_image(listing, store_side(listing, size)) if listing is not None else None
    if stored is None:
        gray = torch.full((1, size, size, 3), 128, dtype=torch.uint8)
        stored = StoredImages(gray, gray[:, ::2, ::2], torch.full((1, 2), size))
    return evaluation_view(stored, size=size, crop=crop, mean=HALF, std=HALF, backend="reference")


def _first_image(listing: Listing, side: int) -> StoredImages | None:
    """The first of a few images that can be decoded."""
    with pillow_is_quiet():
        for _, raw in itertools.islice(listing.reader.read(), TRIED):
            found = decode(raw, side)
            if not isinstance(found, Broken):
                return StoredImages(
                    torch.from_numpy(found.square.copy())[None],
                    torch.from_numpy(found.half.copy())[None],
                    torch.tensor([[found.width, found.height]]),
                )
    return None


def make_encoder(config: RunConfig, example: Tensor, module: nn.Module | None = None) -> Encoder:
    """The encoder before training, for samples like the example, initialized from the run's seed
    alone; torch's own generator is put back.

    `module`, the user's own, is copied: training does not change it. UserError: it does not fit, or
    not the policy's views, or is asked for chunks of one row with BatchNorm.
    """
    assert config.encoder.name is not None
    with seeded(stream_seed(config.train.seed, "initialisation")):
        if module is not None:
            try:
                encoder = Encoder(
                    copy.deepcopy(module), example=example, architecture=config.encoder.name
                )
            except ValueError as error:
                raise UserError(f"encoder: {error}") from error
        else:
            encoder = build_encoder(
                config.encoder.name,
                example=example,
                stem=config.encoder.stem,
                pretrained=config.encoder.pretrained,
            )
    if config.train.micro_batch_size == 1 and encoder.has_batch_norm:
        raise UserError(
            f"train.micro_batch_size: want at least 2 with {encoder.architecture} (BatchNorm"
            " normalizes over the rows of a chunk), got 1"
        )
    if config.encoder.weights is not None:
        load_weights(encoder, Path(config.encoder.weights).expanduser())
    _refuse_views(config, encoder)
    encoder.precision = "bf16" if config.train.precision == "bf16" else "float32"
    encoder.micro_batch_size = config.train.micro_batch_size
    return encoder


def _refuse_views(config: RunConfig, encoder: Encoder) -> None:
    """ConfigError where the policy makes views of a side that the encoder cannot take, or too small
    for the method.
    """
    assert config.views.policy is not None
    assert config.views.count is not None
    assert config.data.size is not None
    least = method_class(config.method_name).smallest_view_px
    for side in read_policy(config.views.policy).sides(config.views.count, config.data.size):
        if side < least:
            made = f"makes views of {side} px of data.size={config.data.size}"
            raise ConfigError(
                [f"views.policy: {made}; {config.method_name} needs at least {least}"],
                "configuration",
            )
        try:
            encoder.width_at(side)
        except ValueError as error:
            problem = (
                f"views.policy: makes views of {side} px of data.size={config.data.size}; {error}"
            )
            raise ConfigError([problem], "configuration") from error


def make_evaluation_view(config: RunConfig, data: ImageData) -> EvaluationView:
    """How frozen encoders see an image: the user's normalization, else the hub's, else the train
    split's.
    """
    mean, std = config.encoder.mean, config.encoder.std
    if mean is None or std is None:
        assert config.encoder.name is not None
        found = (
            hub_normalization(config.encoder.name)
            if config.encoder.pretrained
            else channel_statistics(data)
        )
        mean, std = _three(found[0]), _three(found[1])
    assert config.data.size is not None
    return EvaluationView(config.data.size, config.data.eval_crop, mean, std)


def channel_statistics(data: ImageData) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel in [0, 1], over at most 2,000 training images spread
    evenly.
    """
    rows = torch.cat([data.split("train"), data.split("unlabeled")])
    few = rows[torch.linspace(0, len(rows) - 1, min(len(rows), STATISTICS_ROWS)).long()]
    pixels = np.asarray(data.rows(few).images, dtype=np.float64).reshape(-1, 3) / 255
    return tuple(pixels.mean(axis=0).tolist()), tuple(np.maximum(pixels.std(axis=0), 1e-3).tolist())


def encoder_json(encoder: Encoder, view: EvaluationView, data: ImageData) -> dict[str, Any]:
    """What encoder.json holds: enough to rebuild the network and to show it images as here."""
    return {
        "architecture": encoder.architecture,
        "library": encoder.library,
        "create": encoder.create,
        "stem": list(encoder.stem),
        "width": encoder.width,
        "input_size": view.size,
        "eval_crop": view.crop,
        "mean": list(view.mean),
        "std": list(view.std),
        "store_side": int(data.images.shape[1]),
        "class_names": list(data.class_names),
    }


def same_start(config: RunConfig) -> str:
    """A key that two runs share if and only if their encoders are equal before training."""
    parts = (
        config.train.seed,
        config.data.size,
        config.data.eval_crop,
        config.encoder.model_dump_json(),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _three(values: tuple[float, ...]) -> Unit:
    if len(values) != 3:
        raise UserError(f"encoder.mean: want 3 channels, got {len(values)}")
    return values[0], values[1], values[2]
