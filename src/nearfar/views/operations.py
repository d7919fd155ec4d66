"""The operations that a policy is made of, as plain data with checked bounds. No torch.

Each happens to each view of each sample with its own `probability` and draws what it needs
uniformly from its ranges. Operations on geometry act on the view as the crop left it, in the order
listed, and are composed into one resampling; the others act on its pixels afterwards, in the order
listed. `either_sign` turns what was drawn into its opposite half of the time.

Where this differs from torchvision, on purpose: a crop is a window on the image, so what a later
rotation brings in from beyond it is image, as far as there is some; hue turns in YIQ; neighboring
operations on color are clipped to [0, 255] once, after the last; only operations that are defined
on whole values (solarize, solarize_add, posterize, equalize, autocontrast, invert) round.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Amplitude = Annotated[float, Field(ge=0, le=4)]
Ratio = Annotated[float, Field(ge=1 / 16, le=16)]
Factor = Annotated[float, Field(ge=0, le=16)]
Share = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=-2, le=2)]
Level = Annotated[float, Field(ge=0, le=256)]
Bits = Annotated[int, Field(ge=1, le=8)]


class Data(BaseModel):
    """Frozen; unknown keys and values of another type are errors, and a pair of numbers runs
    upwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ranges_run_upwards(self) -> "Data":
        for name, value in self:
            if (
                isinstance(value, tuple)
                and len(value) == 2
                and all(isinstance(x, (int, float)) for x in value)
            ):
                low, high = value
                if low > high:
                    raise ValueError(f"{name}: want (low, high), got ({low}, {high})")
        return self


class _Operation(Data):
    probability: Probability = Field(default=1.0, description="how often it happens to a view")


class Crop(_Operation):
    """A random crop in the image's true geometry, stretched to the view's square
    (RandomResizedCrop).
    """

    op: Literal["crop"] = "crop"
    area: tuple[Share, Share] = Field(
        default=(0.08, 1.0), description="share of the image's true area"
    )
    aspect: tuple[Ratio, Ratio] = Field(
        default=(3 / 4, 4 / 3), description="width by height, log-uniform"
    )


class Flip(_Operation):
    """A mirror image."""

    op: Literal["flip"] = "flip"
    probability: Probability = Field(default=0.5, description="how often it happens to a view")
    axis: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="horizontal: left and right change places"
    )


class Rotate(_Operation):
    """Turned about the view's center, anticlockwise."""

    op: Literal["rotate"] = "rotate"
    degrees: tuple[
        Annotated[float, Field(ge=-360, le=360)], Annotated[float, Field(ge=-360, le=360)]
    ]
    either_sign: bool = False


class Shear(_Operation):
    """Rows shifted in proportion to their distance from the top (x), or columns from the left (y):
    AutoAugment's.
    """

    op: Literal["shear"] = "shear"
    axis: Literal["x", "y"]
    slope: tuple[Fraction, Fraction] = Field(
        description="shift by distance from the edge: tan of the angle"
    )
    either_sign: bool = False


class Translate(_Operation):
    """The picture moved right (x) or down (y)."""

    op: Literal["translate"] = "translate"
    axis: Literal["x", "y"]
    fraction: tuple[Fraction, Fraction] = Field(description="of the view's side")
    either_sign: bool = False


class Scale(_Operation):
    """Enlarged (> 1) or shrunk about the view's center."""

    op: Literal["scale"] = "scale"
    factor: tuple[Ratio, Ratio]


class Brightness(_Operation):
    """Every channel times a factor."""

    op: Literal["brightness"] = "brightness"
    factor: tuple[Factor, Factor]


class Contrast(_Operation):
    """Distance from the view's mean gray times a factor."""

    op: Literal["contrast"] = "contrast"
    factor: tuple[Factor, Factor]


class Saturation(_Operation):
    """Distance from each pixel's own gray times a factor."""

    op: Literal["saturation"] = "saturation"
    factor: tuple[Factor, Factor]


class Hue(_Operation):
    """A turn of the colors about the gray axis in YIQ (linear; not HSV's)."""

    op: Literal["hue"] = "hue"
    turns: tuple[Annotated[float, Field(ge=-0.5, le=0.5)], Annotated[float, Field(ge=-0.5, le=0.5)]]


class Jitter(_Operation):
    """Brightness, contrast and saturation from [max(0, 1 - a), 1 + a], hue from [-a, a]
    (ColorJitter).
    """

    op: Literal["jitter"] = "jitter"
    brightness: Amplitude = 0.0
    contrast: Amplitude = 0.0
    saturation: Amplitude = 0.0
    hue: float = Field(default=0.0, ge=0, le=0.5, description="in turns of the color circle")


class Gray(_Operation):
    """The view loses its color."""

    op: Literal["gray"] = "gray"


class Blur(_Operation):
    """Gaussian blur, reflected at the border, its weights cut off at the kernel's edge and summing
    to 1.
    """

    op: Literal["blur"] = "blur"
    sigma_px: tuple[Factor, Factor] = Field(default=(0.1, 2.0), description="in pixels of the view")
    kernel: Share | None = Field(
        default=None,
        description="kernel's side by the view's, at least 3 px (default: three sigma each way)",
    )


class Sharpness(_Operation):
    """Distance from a 3×3 smoothing (weight 5 in the middle, not rounded) times a factor; the
    border pixels stay.
    """

    op: Literal["sharpness"] = "sharpness"
    factor: tuple[Factor, Factor]


class Solarize(_Operation):
    """Values from the threshold up are inverted."""

    op: Literal["solarize"] = "solarize"
    threshold: tuple[Level, Level] = (128.0, 128.0)


class SolarizeAdd(_Operation):
    """Values below the threshold are raised by an amount."""

    op: Literal["solarize_add"] = "solarize_add"
    amount: tuple[Level, Level]
    threshold: Level = 128.0


class Posterize(_Operation):
    """Only the highest bits of each value are kept."""

    op: Literal["posterize"] = "posterize"
    bits: tuple[Bits, Bits]


class Equalize(_Operation):
    """Each channel's histogram is made even."""

    op: Literal["equalize"] = "equalize"


class Autocontrast(_Operation):
    """Each channel's darkest value becomes 0, its lightest 255."""

    op: Literal["autocontrast"] = "autocontrast"


class Invert(_Operation):
    """255 minus each value."""

    op: Literal["invert"] = "invert"


Fill = Literal["mean", "black", "gray"]


class Cutout(_Operation):
    """A square is painted over; its center lies anywhere in the view, what would lie outside is cut
    off.
    """

    op: Literal["cutout"] = "cutout"
    side: tuple[Share, Share] = Field(description="by the view's side")
    fill: Fill = Field(
        default="mean", description="mean: the normalization's, so 0 for the encoder"
    )


class Erase(_Operation):
    """A rectangle inside the view is painted over (RandomErasing): ten tries, then none."""

    op: Literal["erase"] = "erase"
    area: tuple[Share, Share] = Field(default=(0.02, 0.33), description="share of the view's area")
    aspect: tuple[Ratio, Ratio] = Field(
        default=(0.3, 3.3), description="height by width, log-uniform"
    )
    fill: Fill = Field(
        default="mean", description="mean: the normalization's, so 0 for the encoder"
    )


class Noise(_Operation):
    """Gaussian noise on every value, clipped."""

    op: Literal["noise"] = "noise"
    sigma: tuple[Probability, Probability] = Field(description="of values in [0, 1]")


Simple = Annotated[
    Flip
    | Rotate
    | Shear
    | Translate
    | Scale
    | Brightness
    | Contrast
    | Saturation
    | Hue
    | Jitter
    | Gray
    | Blur
    | Sharpness
    | Solarize
    | SolarizeAdd
    | Posterize
    | Equalize
    | Autocontrast
    | Invert
    | Cutout
    | Erase
    | Noise,
    Field(discriminator="op"),
]


class OneOf(_Operation):
    """One of several lists of operations, each equally likely; drawn `times` times, with
    replacement.
    """

    op: Literal["one_of"] = "one_of"
    among: tuple[tuple[Simple, ...], ...] = Field(min_length=1, max_length=64)
    times: int = Field(default=1, ge=1, le=8)


OPERATIONS = (
    Crop,
    Flip,
    Rotate,
    Shear,
    Translate,
    Scale,
    Brightness,
    Contrast,
    Saturation,
    Hue,
    Jitter,
    Gray,
    Blur,
    Sharpness,
    Solarize,
    SolarizeAdd,
    Posterize,
    Equalize,
    Autocontrast,
    Invert,
    Cutout,
    Erase,
    Noise,
    OneOf,
)
Operation = Annotated[Crop | Simple | OneOf, Field(discriminator="op")]
