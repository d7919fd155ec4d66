"""What may vary from view to view, as plain numbers, and the named policies of the literature. No torch.

Contrast, brightness and saturation are drawn as factors from [max(0, 1 - a), 1 + a], hue as a turn of the
colour circle from [-a, a], where a is the amplitude: the convention of torchvision's ColorJitter.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Amplitude = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Policy(BaseModel, frozen=True, extra="forbid"):
    """The ranges from which each view of each sample draws. The defaults vary nothing.

    A crop of area 1 and aspect 1 of an image that is not square is its largest centred square to a pixel.
    """

    crop_area: tuple[Bound, Bound] = Field(
        default=(1.0, 1.0), description="crop's share of the image's true area"
    )
    crop_aspect: tuple[Bound, Bound] = Field(
        default=(1.0, 1.0), description="crop's width by height, log-uniform"
    )
    flip: Probability = Field(
        default=0.0, description="probability of a mirror image (left and right change places)"
    )
    rotate_degrees: float = Field(
        default=0.0, ge=0, le=180, description="turned by up to this angle, either way"
    )
    shift: float = Field(
        default=0.0, ge=0, le=1, description="moved by up to this fraction of the image's side"
    )
    scale: tuple[Bound, Bound] = Field(
        default=(1.0, 1.0), description="enlarged (> 1) or shrunk about its centre"
    )
    outside: Literal["edge", "black"] = Field(
        default="edge", description="what lies outside the image: its edge values go on, or black"
    )
    jitter: Probability = Field(default=0.0, description="probability that the next four happen at all")
    brightness: Amplitude = Field(default=0.0, description="amplitude of the factor that all channels share")
    contrast: Amplitude = Field(default=0.0, description="amplitude of the factor about the view's mean grey")
    saturation: Amplitude = Field(default=0.0, description="amplitude of the factor about each pixel's grey")
    hue: float = Field(default=0.0, ge=0, le=0.5, description="amplitude in turns of the colour circle")
    grey: Probability = Field(default=0.0, description="probability that the view loses its colour")

    @model_validator(mode="after")
    def _ranges_run_upwards(self) -> "Policy":
        for name in ("crop_area", "crop_aspect", "scale"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: want (low, high), got ({low}, {high})")
        if self.crop_area[1] > 1:
            raise ValueError(f"crop_area: want at most 1 (the whole image), got {self.crop_area[1]}")
        return self


_ASPECT = (3 / 4, 4 / 3)

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        # Chen et al. 2020, arXiv:2002.05709, appendix A, whose blur (σ .1 to 2 px, probability .5) comes with
        # the fast kernels and is absent until then; on CIFAR-10 the paper leaves it out (appendix B.9).
        "simclr": Policy(
            crop_area=(0.08, 1.0), crop_aspect=_ASPECT, flip=0.5,
            jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grey=0.2,
        ),
        # main_supcon.py of HobbitLong/SupContrast, the code of Khosla et al. 2020, arXiv:2004.11362: no blur.
        "supcon": Policy(
            crop_area=(0.2, 1.0), crop_aspect=_ASPECT, flip=0.5,
            jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2,
        ),
        # main_ce.py of the same: what cross-entropy is trained with there.
        "basic": Policy(crop_area=(0.2, 1.0), crop_aspect=_ASPECT, flip=0.5),
        # nearfar's own, for characters of a few pixels, whose mirror image is another character or none.
        # The aspect helps: SimCLR, Conv4, 30 epochs, linear probe, 3 seeds: 92.4 %, without it 90.7 %.
        # Black outside, as their background is: SimCLR 60 epochs, 3 seeds: 96.9 %, with edges going on 95.7 %.
        "digits": Policy(
            crop_area=(0.7, 1.0), crop_aspect=_ASPECT, rotate_degrees=15.0, shift=0.1, outside="black"
        ),
    }
)  # fmt: skip


def named_policy(name: str, strength: float = 1.0) -> Policy:
    """The policy of that name, its colour amplitudes times `strength` (SimCLR's s; hue at most a half turn).

    Crop, flip, rotation and probabilities stay as they are. `simclr` is without its blur until the fast
    kernels bring it; the others never had one. An unknown name is a KeyError: the configuration has been
    checked before. A negative strength is pydantic's ValidationError, which is a ValueError.
    """
    policy = POLICIES[name]
    amplitudes = {key: strength * getattr(policy, key) for key in ("brightness", "contrast", "saturation")}
    return Policy(**{**policy.model_dump(), **amplitudes, "hue": min(0.5, strength * policy.hue)})
