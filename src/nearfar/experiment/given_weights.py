"""How an encoder is trained that starts from given weights: one table, chosen without test images
(docs/benchmarks.md, "From given weights").

What the user sets stays as it is. An optimizer of the user's own keeps its method's usual rate, a
tenth of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from nearfar.config.encoder import EncoderConfig
from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError
from nearfar.nn.building import Stem
from nearfar.nn.given import GivenWeights, weights_named, with_stem_of
from nearfar.nn.published import Published, has_unknown_tag, published, weights_of

ORIGIN = "usual from given weights"
OPTIMIZER, RATE, WEIGHT_DECAY = "adamw", 1e-3, 0.01
# Views smaller than this share of the network's own size leave BatchNorm's statistics as given;
# layers that feel their scale then bear a lower rate, and a longer warm-up.
SMALL = 0.5
RATE_OF_SMALL = 6e-4
WARM_UP_OF_SMALL = 0.3  # of the epochs
LEARNING = frozenset({"max_margin"})  # nothing else would keep its representations from 0
RATE_FACTOR = 0.1  # of the usual rate, for another optimizer
EPOCHS, GRADIENT_CLIP = 10, 5.0
LARGEST_BATCH = 64  # small enough to leave many steps
USUAL_SIZE = 224  # px, the largest where none is stated
LARGEST_SIZE_ON_A_CPU = 128  # px; the network's own, usually 224, takes three times as long
# of one method alone: its largest default batch, and its own settings
BATCH_OF: Mapping[str, int] = MappingProxyType({"cross_entropy": 32, "joint": 32})
METHOD: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cross_entropy": {"label_smoothing": 0.1},
        "joint": {"label_smoothing": 0.1},
        "supcon": {"projector_batch_norm": "none"},
    }
)


def with_its_defaults(config: RunConfig) -> RunConfig:
    """The configuration with this table's values where the user asked for nothing; unchanged for
    new weights.
    """
    if not config.encoder.given:
        return config
    sections: dict[str, Mapping[str, Any]] = {
        "train": {"epochs": EPOCHS, "gradient_clip": GRADIENT_CLIP},
        "method": METHOD.get(config.method_name, {}),
    }
    if have_a_rate(config):
        sections["optimizer"] = {"name": OPTIMIZER, "weight_decay": WEIGHT_DECAY}
    filled = {}
    for name, usual in sections.items():
        section = getattr(config, name)
        missing = {
            key: value for key, value in usual.items() if key not in section.model_fields_set
        }
        filled[name] = section.model_copy(update=missing)
    return config.model_copy(update=filled)


def with_batch_norm(config: RunConfig, side: int, seen: Published | None) -> RunConfig:
    """The configuration with `encoder.frozen_batch_norm` decided for views of that side, px: as
    asked, else by the size at which given weights were trained.
    """
    asked = config.encoder.frozen_batch_norm
    small = config.encoder.given and seen is not None and side < SMALL * seen.size
    small &= config.method_name not in LEARNING
    decided = {"frozen_batch_norm": small if asked is None else asked}
    return config.model_copy(update={"encoder": config.encoder.model_copy(update=decided)})


def usual_rate(encoder: EncoderConfig) -> float:
    """Of the table's optimizer."""
    return RATE_OF_SMALL if encoder.frozen_batch_norm else RATE


def have_a_rate(config: RunConfig) -> bool:
    """Whether the rate is the table's: its optimizer, or none, was asked for."""
    return config.encoder.given and config.optimizer.name in (None, OPTIMIZER)


def largest_batch(method: str) -> int:
    return BATCH_OF.get(method, LARGEST_BATCH)


@dataclass(frozen=True)
class Origin:
    """What an encoder starts from. `given`: by encoder.weights; `name`: of the network, where that
    was asked for, or is said by the weights.
    """

    given: GivenWeights | None
    name: str | None
    are_given: bool  # by name or as the hub's

    def seen(self, name: str | None) -> Published | None:
        """How given weights of the network of that name look at an image: as they say, else as is
        published of it; None where neither is known, and for new weights.
        """
        given = self.given
        if given is not None and (given.seen is not None or given.stem == "small"):
            return given.seen  # what is published is of the network's own stem
        return published(name) if self.are_given and name is not None else None

    def network(self, config: EncoderConfig) -> tuple[Stem, dict[str, Any]]:
        """Stem and arguments to build it with: the user's, else those of the given weights."""
        if self.given is None:
            return config.stem, config.arguments
        stem = self.given.stem if config.stem == "auto" else config.stem
        return stem, {**self.given.arguments, **config.arguments}


def origin_of(config: EncoderConfig) -> Origin:
    """ConfigError: the weights are of another network than encoder.name, or it has no such tag."""
    if config.name is not None and has_unknown_tag(config.name):
        there = weights_of(config.name)
        tags = f"want one of {', '.join(there)}" if there else "leave the tag out"
        raise ConfigError([f"encoder.name: timm has no weights called {config.name}; {tags}"])
    if config.weights is None:
        return Origin(None, config.name, config.given)
    given = weights_named(config.weights)
    if given.name and config.name and _untagged(given.name) != _untagged(config.name):
        raise ConfigError(
            [f"encoder.name: want {given.name}, of which {given.where} is, got {config.name}"]
        )
    name = config.name or given.name
    given = given if name is None else with_stem_of(given, name)
    return Origin(given, name, are_given=True)


def _untagged(name: str) -> str:
    """`resnet18` of `resnet18.a1_in1k`: a tag names weights, not another network."""
    return name.partition(".")[0]


def usual_size(stated: Published | None, side: int, device: torch.device) -> int:
    """The default side of the views, px, of images of such a side: the network's own, whatever the
    images', on a CPU at most 128. Where it is not known, the images'.
    """
    own = stated.size if stated is not None else min(USUAL_SIZE, side)
    return own if device.type != "cpu" else min(own, LARGEST_SIZE_ON_A_CPU)
