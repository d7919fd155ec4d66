"""The named policies of the literature, as data. No torch."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nearfar.views.kinds import Kind, Policy, Tiles
from nearfar.views.operations import (
    AddBrightness,
    Autocontrast,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Cutout,
    Equalize,
    Flip,
    Gray,
    Invert,
    Jitter,
    OneOf,
    Operation,
    Posterize,
    Rotate,
    Saturation,
    Sharpness,
    Shear,
    Simple,
    Solarize,
    SolarizeAdd,
    Translate,
)


def _kind(*operations: Operation, **more: Any) -> Kind:
    return Kind(operations=operations, **more)


def _of(*operations: Operation, **more: Any) -> Policy:
    return Policy(kinds=(_kind(*operations, **more),))


def _jitter(
    brightness: float, contrast: float, saturation: float, hue: float, probability: float = 0.8
) -> Jitter:
    return Jitter(
        probability=probability,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
    )


_FLIP = Flip()
_GRAY = Gray(probability=0.2)
_BLUR = Blur(probability=0.5)
_BLUR_SIMCLR = Blur(probability=0.5, kernel=0.1)
_STRONG = _jitter(0.8, 0.8, 0.8, 0.2)
_BYOL = (Crop(), _FLIP, _jitter(0.4, 0.4, 0.2, 0.1), _GRAY)
# all four or none: one draw for them together
_BYOL_CODE = (
    Crop(),
    _FLIP,
    OneOf(
        probability=0.8,
        among=((AddBrightness(amount=0.4), Jitter(contrast=0.4, saturation=0.2, hue=0.1)),),
    ),
    _GRAY,
)
_SWAV = (_FLIP, _STRONG, _GRAY)


# Levels of 10 as in tensorflow/models' augment.py, which Khosla et al. 2020 used: their images have
# 224 px.
def _at_level(name: str, level: float, *, shift_px: float, cutout_px: float = 40) -> Simple:
    """An operation of AutoAugment or RandAugment at a level from 0 to 10."""
    share = level / 10
    factor = (1.8 * share + 0.1,) * 2
    match name:
        case "rotate":
            return Rotate(degrees=(30 * share,) * 2, either_sign=True)
        case "shear_x" | "shear_y":
            return Shear(
                axis="x" if name[-1] == "x" else "y", slope=(0.3 * share,) * 2, either_sign=True
            )
        case "translate_x" | "translate_y":
            fraction = (shift_px / 224 * share,) * 2
            return Translate(
                axis="x" if name[-1] == "x" else "y", fraction=fraction, either_sign=True
            )
        case "color":
            return Saturation(factor=factor)
        case "contrast":
            return Contrast(factor=factor)
        case "brightness":
            return Brightness(factor=factor)
        case "sharpness":
            return Sharpness(factor=factor)
        # TensorFlow shifts a byte by at most 7, so one bit stays at levels 0 to 4
        case "posterize":
            return Posterize(bits=(max(1, int(4 * share)),) * 2)
        case "solarize":
            return Solarize(threshold=(int(256 * share),) * 2)
        case "solarize_add":
            return SolarizeAdd(amount=(int(110 * share),) * 2)
        case "cutout":
            return Cutout(side=(max(1, 2 * int(cutout_px * share)) / 224,) * 2, fill="gray")
        case "equalize":
            return Equalize()
        case "autocontrast":
            return Autocontrast()
        case _:
            return Invert()


RAND_AUGMENT = (
    "autocontrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "cutout",
    "solarize_add",
)


def _rand_augment(n: int, m: float) -> OneOf:
    """N times one of 16 operations at level M of 10, or none (Cubuk et al. 2019, arXiv:1909.13719).

    None is as likely as each: augment.py draws among 17.
    """
    return OneOf(
        times=n, among=(*((_at_level(name, m, shift_px=100),) for name in RAND_AUGMENT), ())
    )


# AutoAugment's 25 sub-policies "v0" of tensorflow/tpu: (operation, probability, level) twice. The
# list that torchvision calls IMAGENET is the paper's, another one.
AUTO_AUGMENT_V0 = """
equalize .8 1 shear_y .8 4 | color .4 9 equalize .6 3 | color .4 1 rotate .6 8
solarize .8 3 equalize .4 7 | solarize .4 2 solarize .6 2 | color .2 0 equalize .8 8
equalize .4 8 solarize_add .8 3 | shear_x .2 9 rotate .6 8 | color .6 1 equalize 1 2
invert .4 9 rotate .6 0 | equalize 1 9 shear_y .6 3 | color .4 7 equalize .6 0
posterize .4 6 autocontrast .4 7 | solarize .6 8 color .6 9 | solarize .2 4 rotate .8 9
rotate 1 7 translate_y .8 9 | shear_x 0 0 solarize .8 4 | shear_y .8 0 color .6 4
color 1 0 rotate .6 2 | equalize .8 4 equalize 0 8 | equalize 1 4 autocontrast .6 2
shear_y .4 7 solarize_add .6 7 | posterize .8 2 solarize .6 10 | solarize .6 8 equalize .6 1
color .8 6 rotate .4 5
"""


def _auto_augment() -> OneOf:
    def step(name: str, probability: str, level: str) -> Simple:
        operation = _at_level(name, float(level), shift_px=250)
        return operation.model_copy(update={"probability": float(probability)})

    rules = [rule.split() for rule in AUTO_AUGMENT_V0.replace("\n", "|").split("|") if rule.strip()]
    return OneOf(among=tuple((step(*rule[:3]), step(*rule[3:])) for rule in rules))


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        # Chen et al. 2020, arXiv:2002.05709, appendix A; for CIFAR-10 (B.9) at half the strength
        # and without blur.
        "simclr": _of(Crop(), _FLIP, _STRONG, _GRAY, _BLUR_SIMCLR),
        "simclr_cifar": _of(Crop(), _FLIP, _jitter(0.4, 0.4, 0.4, 0.1), _GRAY),
        # main_moco.py of facebookresearch/moco, plain and with --aug-plus.
        "moco_v1": _of(
            Crop(area=(0.2, 1)), _GRAY, _jitter(0.4, 0.4, 0.4, 0.4, probability=1), _FLIP
        ),
        "moco_v2": _of(Crop(area=(0.2, 1)), _jitter(0.4, 0.4, 0.4, 0.1), _GRAY, _BLUR, _FLIP),
        # Grill et al. 2020, arXiv:2006.07733, table 6: the two views differ in blur and
        # solarization.
        "byol": Policy(
            kinds=(
                _kind(*_BYOL, Blur(kernel=0.1)),
                _kind(*_BYOL, Blur(probability=0.1, kernel=0.1), Solarize(probability=0.2)),
            )
        ),
        # main_dino.py of facebookresearch/dino, its command for ResNet-50: 2 × 224 and 8 × 96.
        "dino": Policy(
            kinds=(
                _kind(Crop(area=(0.14, 1)), *_BYOL[1:], Blur()),
                _kind(
                    Crop(area=(0.14, 1)),
                    *_BYOL[1:],
                    Blur(probability=0.1),
                    Solarize(probability=0.2),
                ),
                _kind(Crop(area=(0.05, 0.14)), *_BYOL[1:], _BLUR, size=96 / 224, count=8),
            )
        ),
        # byol/utils of google-deepmind/deepmind-research. Its crops have one try and are cut to the
        # image, resized bicubically; contrast there turns about each channel's own mean, saturation
        # and hue in HSV, all clipped after each; blur has zeros beyond the border (docs/views.md).
        "byol_code": Policy(
            kinds=(
                _kind(*_BYOL_CODE, Blur(kernel=0.1)),
                _kind(*_BYOL_CODE, Blur(probability=0.1, kernel=0.1), Solarize(probability=0.2)),
            )
        ),
        "byol_cifar": Policy(kinds=(_kind(*_BYOL), _kind(*_BYOL, Solarize(probability=0.2)))),
        # main_swav.py of facebookresearch/swav: 2 × 224 and 6 × 96.
        "swav": Policy(
            kinds=(
                _kind(Crop(area=(0.14, 1)), *_SWAV, _BLUR),
                _kind(Crop(area=(0.05, 0.14)), *_SWAV, _BLUR, size=96 / 224, count=6),
            )
        ),
        # For small images without the crops of 96 px (of 32 px: 12 px, with a twentieth of the
        # image) and without blur.
        "swav_cifar": _of(Crop(area=(0.14, 1)), *_SWAV),
        # main_supcon.py of HobbitLong/SupContrast, the code of Khosla et al. 2020,
        # arXiv:2004.11362: no blur.
        "supcon": _of(Crop(area=(0.2, 1)), _FLIP, _jitter(0.4, 0.4, 0.4, 0.1), _GRAY),
        # preprocessing.py of google-research/supcon: SimAugment's sparse warp has probability 0
        # there.
        "sim_augment": _of(Crop(), _FLIP, _STRONG, _GRAY, _BLUR_SIMCLR),
        "auto_augment": _of(Crop(), _FLIP, _auto_augment(), outside="gray"),
        "rand_augment": _of(Crop(), _FLIP, _rand_augment(2, 9), outside="gray"),
        "stacked_rand_augment": _of(
            Crop(), _FLIP, _STRONG, _rand_augment(2, 10), _GRAY, _BLUR_SIMCLR, outside="gray"
        ),
        # Patacchiola and Storkey 2020, arXiv:2006.05849, as in their code.
        "relational": _of(Crop(), _FLIP, _STRONG, _GRAY),
        # nearfar's own numbers for the operations that classifiers of cassava leaves are trained
        # with.
        "cassava": _of(
            Crop(area=(0.5, 1)),
            _FLIP,
            Flip(axis="vertical"),
            Rotate(degrees=(-45, 45)),
            Shear(axis="x", slope=(-0.1, 0.1)),
            Saturation(factor=(0.7, 1.3)),
            Contrast(factor=(0.8, 1.2)),
            Brightness(factor=(0.9, 1.1)),
            Cutout(probability=0.5, side=(0.15, 0.3)),
        ),
        # main_ce.py of SupContrast: what cross-entropy is trained with there.
        "basic": _of(Crop(area=(0.2, 1)), _FLIP),
        "none": _of(),
        # nearfar's own, for characters of a few pixels, whose mirror image is another character or
        # none. The aspect helps: SimCLR, Conv4, 30 epochs, linear probe, 3 seeds: 92.4 %, without
        # it 90.7 %. Black outside, as their background is: SimCLR 60 epochs, 3 seeds: 96.9 %, with
        # edges going on 95.7 %.
        "digits": _of(
            Crop(area=(0.7, 1)),
            Rotate(degrees=(-15, 15)),
            Translate(axis="x", fraction=(-0.1, 0.1)),
            Translate(axis="y", fraction=(-0.1, 0.1)),
            outside="black",
        ),
        # Noroozi and Favaro 2016, arXiv:1603.09246: 255 px, cells of 85, tiles of 64 anywhere
        # within.
        "patches": _of(Crop(area=(0.5, 1), aspect=(1, 1)), tiles=Tiles()),
    }
)

# What becomes of a method's policy, where none is asked for, in views of up to SMALL_UP_TO_PX: blur
# and strength are made for 224 px, and the recipes for CIFAR-10 of SimCLR, SimSiam and MoCo's
# notebook are without blur. That of relational reasoning jitters at full strength; at half of it
# validation kNN was higher (docs/benchmarks.md).
SMALL: Mapping[str, str] = MappingProxyType(
    {
        "simclr": "simclr_cifar",
        "relational": "simclr_cifar",
        "moco_v2": "supcon",
        "byol": "byol_cifar",
        "swav": "swav_cifar",
        "dino": "byol_cifar",
    }
)
SMALL_UP_TO_PX = 40

RAND_AUGMENT_CALL = re.compile(r"rand_augment\(\s*(\d+)\s*,\s*(\d+(?:\.\d+)?)\s*\)")
MOST_LAYERS = 8
# New weights have much to learn, and few images to learn it from: strong views keep them from it,
# those of labeled images all the more, as labels say what belongs together (docs/benchmarks.md,
# "From new weights"). SwAV keeps its small crops: without them it was no better.
NEW_ON_FEW: Mapping[str, str] = MappingProxyType({**SMALL, "supcon": "basic", "swav": "swav"})


def default_policy(name: str, side: int, *, new_on_few: bool = False) -> str:
    """What a method whose policy is `name` is shown in views of `side` px; `new_on_few`: by new
    weights, of few images.
    """
    if side <= SMALL_UP_TO_PX:
        return SMALL.get(name, name)
    return NEW_ON_FEW.get(name, name) if new_on_few else name


def named_policy(name: str, strength: float = 1.0) -> Policy:
    """The policy of that name, or `rand_augment(N, M)`, its jitter times `strength`. KeyError: no
    such name.
    """
    if (call := RAND_AUGMENT_CALL.fullmatch(name)) is None:
        return POLICIES[name].stronger(strength)
    n, m = int(call[1]), float(call[2])
    if not (1 <= n <= MOST_LAYERS and 0 <= m <= 10):
        raise KeyError(name)
    return _of(Crop(), _FLIP, _rand_augment(n, m), outside="gray")
