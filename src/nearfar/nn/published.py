"""How weights look at an image: what is stated beside those that timm publishes, or a folder
holds.
"""

from typing import NamedTuple

import timm
from timm.models import PretrainedCfg

from nearfar.run_folder.records import Interpolation


class Published(NamedTuple):
    """How an encoder's weights were trained and evaluated."""

    size: int  # side of the images, px
    crop: float  # how much of the centered square, as a fraction of its side
    interpolation: Interpolation
    mean: tuple[float, ...]  # of each channel, in [0, 1]
    std: tuple[float, ...]


def weights_of(name: str) -> list[str]:
    """All that timm publishes for the network of that name, whatever the tag of the name."""
    return timm.list_pretrained(f"{name.partition('.')[0]}.*")


def has_unknown_tag(name: str) -> bool:
    """Whether the name ends in a tag that timm has not for its network."""
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        return True
    return False


def published(name: str) -> Published | None:
    """None where timm knows of no weights of that name."""
    stated = timm.get_pretrained_cfg(name)
    return None if stated is None or not stated.has_weights else as_stated(stated)


def as_stated(stated: PretrainedCfg) -> Published:
    """In timm's words."""
    return Published(
        size=int(stated.input_size[-1]),
        crop=min(1.0, stated.crop_pct),
        interpolation="bicubic" if stated.interpolation == "bicubic" else "bilinear",
        mean=tuple(stated.mean),
        std=tuple(stated.std),
    )
