"""Policies in words, read off their operations, so that what is said of a policy is what it does.
No torch.

Plain ASCII but for ± and °: these words are also drawn, by a font that has little more.
"""

import string
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from nearfar.views import operations as ops
from nearfar.views.kinds import Kind, Policy
from nearfar.views.operations import OneOf, Operation
from nearfar.views.policies import POLICIES

# Where each stands; what nearfar does otherwise is said beside the policy.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "simclr": "Chen et al. 2020, arXiv:2002.05709",
        "simclr_cifar": "Chen et al. 2020, appendix B.9",
        "moco_v1": "main_moco.py of facebookresearch/moco",
        "moco_v2": "main_moco.py of facebookresearch/moco with --aug-plus",
        "byol": "Grill et al. 2020, arXiv:2006.07733, table 6",
        "dino": "main_dino.py of facebookresearch/dino, its command for ResNet-50",
        "byol_code": "byol/utils of google-deepmind/deepmind-research",
        "byol_cifar": "byol without blur, as solo-learn trains CIFAR",
        "swav": "main_swav.py of facebookresearch/swav",
        "swav_cifar": "nearfar's own, for small images: swav without multi-crop and without blur",
        "supcon": "main_supcon.py of HobbitLong/SupContrast",
        "sim_augment": "preprocessing.py of google-research/supcon",
        "auto_augment": "v0 of tensorflow/tpu (Cubuk et al. 2018, arXiv:1805.09501)",
        "rand_augment": (
            "Cubuk et al. 2019, arXiv:1909.13719; this is rand_augment(2, 9), others are written so"
        ),
        "stacked_rand_augment": "Khosla et al. 2020, arXiv:2004.11362; level 10",
        "relational": "Patacchiola and Storkey 2020, arXiv:2006.05849",
        "cassava": "nearfar's own, for leaves",
        "basic": "main_ce.py of HobbitLong/SupContrast",
        "none": "nearfar's own: no chance, nearly the evaluation view",
        "digits": "nearfar's own, for characters of a few pixels",
        "patches": "Noroozi and Favaro 2016, arXiv:1603.09246",
    }
)

_ASPECT = ops.Crop().aspect


class Described(NamedTuple):
    """One named policy."""

    name: str
    summary: str
    source: str


def described_policies() -> list[Described]:
    """All named policies, in their order."""
    return [Described(name, describe(policy), SOURCES[name]) for name, policy in POLICIES.items()]


def describe(policy: Policy) -> str:
    """`crop 0.2-1, flip, gray at 0.2`; several kinds by their letters: taking turns, or so many
    more.
    """
    turns = sum(kind.count is None for kind in policy.kinds)
    parts = zip(letters(policy), policy.kinds, strict=True)
    return "; ".join(
        f"{_share(letter, kind, turns)}{describe_kind(kind)}" for letter, kind in parts
    )


def letters(policy: Policy) -> list[str]:
    """A name for each kind: A, B, ...; none where there is one kind only."""
    several = len(policy.kinds) > 1
    return [
        string.ascii_uppercase[number] if several else "" for number in range(len(policy.kinds))
    ]


def describe_kind(kind: Kind) -> str:
    """What happens to a view of this kind, in its order."""
    parts = [_in_words(operation) for operation in kind.operations] or [
        "the largest centered square as it is"
    ]
    if kind.outside != "edge":
        parts.append(f"{kind.outside} outside the image")
    if kind.tiles is not None:
        grid, stray = kind.tiles.grid, f"up to {_number(kind.tiles.jitter)} of the way to its edge"
        where = {0.0: "in its middle", 1.0: "anywhere in it"}.get(kind.tiles.jitter, stray)
        parts.append(
            f"cut into {grid} x {grid} tiles of {_number(kind.tiles.side)} of their cell, {where}"
        )
    return ", ".join(parts)


def _share(letter: str, kind: Kind, turns: int) -> str:
    size = "" if kind.size == 1 else f"{_number(kind.size)} of the side"
    often = f"{kind.count} more" if kind.count is not None else "by turns" if turns > 1 else ""
    head = ", ".join(part for part in (letter, often, size) if part)
    return f"{head}: " if head else ""


def _in_words(operation: Operation) -> str:
    usual = 0.5 if isinstance(operation, ops.Flip) else 1.0
    chance = "" if operation.probability == usual else f" at {_number(operation.probability)}"
    return f"{_deed(operation)}{chance}"


def _deed(operation: Operation) -> str:
    match operation:
        case ops.Crop(area=area, aspect=aspect):
            shape = {_ASPECT: "", (1, 1): " square"}.get(aspect, f" of aspect {_range(aspect)}")
            return f"crop {_range(area)}{shape}"
        case ops.Flip(axis=axis):
            return "flip" if axis == "horizontal" else "flip upside down"
        case ops.Rotate(degrees=degrees, either_sign=sign):
            return f"rotate {_range(degrees, sign=sign)}°"
        case ops.Shear(axis=axis, slope=slope, either_sign=sign):
            return f"shear {axis} {_range(slope, sign=sign)}"
        case ops.Translate(axis=axis, fraction=fraction, either_sign=sign):
            return f"shift {axis} {_range(fraction, sign=sign)}"
        case ops.Jitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue):
            return "jitter " + " ".join(_number(x) for x in (brightness, contrast, saturation, hue))
        case ops.AddBrightness(amount=amount):
            return f"add {_range((-amount, amount))}"
        case ops.Gray():
            return "gray"
        case ops.Hue(turns=turns):
            return f"hue {_range(turns)}"
        case (
            ops.Scale(factor=x)
            | ops.Brightness(factor=x)
            | ops.Contrast(factor=x)
            | ops.Saturation(factor=x)
        ):
            return f"{operation.op} {_range(x)}"
        case OneOf(among=among, times=times):
            return _choice(among, times)
        case _:
            return _deed_of_pixels(operation)


def _deed_of_pixels(operation: Operation) -> str:
    match operation:
        case ops.Blur(sigma_px=sigma, kernel=kernel):
            return f"blur {_range(sigma)} px" + (
                f" within {_number(kernel)} of the side" if kernel is not None else ""
            )
        case ops.Sharpness(factor=factor):
            return f"sharpness {_range(factor)}"
        case ops.Solarize(threshold=threshold):
            return f"solarize from {_range(threshold)}"
        case ops.SolarizeAdd(amount=amount, threshold=threshold):
            return f"add {_range(amount)} below {_number(threshold)}"
        case ops.Posterize(bits=bits):
            return f"posterize to {_range(bits)} bits"
        case ops.Cutout(side=side, fill=fill):
            return f"cut-out {_range(side)}{_painted(fill)}"
        case ops.Erase(area=area, fill=fill):
            return f"erase {_range(area)}{_painted(fill)}"
        case ops.Noise(sigma=sigma):
            return f"noise {_range(sigma)}"
        case _:
            return operation.op  # equalize, autocontrast, invert


def _painted(fill: ops.Fill) -> str:
    return "" if fill == "mean" else f" in {fill}"


def _choice(among: tuple[tuple[ops.Simple, ...], ...], times: int) -> str:
    if len(among) == times == 1:
        return f"({', '.join(map(_in_words, among[0]))})"
    if all(len(one) <= 1 for one in among):
        none = ", or none of them" if () in among else ""
        return f"{times} of {sum(map(len, among))} operations{none}"
    many = f"{len(among)} pairs" if all(len(one) == 2 for one in among) else f"{len(among)} lists"
    return f"{times} of {many} of operations"


def _range(pair: Iterable[float], *, sign: bool = False) -> str:
    low, high = pair
    if low == -high and high:
        return f"±{_number(high)}"
    text = (
        _number(low)
        if low == high
        else f"{_number(low)}{'-' if low >= 0 else ' to '}{_number(high)}"
    )
    return (f"±{text}" if low >= 0 else f"±({text})") if sign else text


def _number(x: float) -> str:
    return f"{x:.3g}"
