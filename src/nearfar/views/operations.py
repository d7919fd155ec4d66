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

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Amplitude = Annotated[float, Field(ge=0, le=4)]
Ratio = Annotated[float, Field(ge=1 / 16, le=16)]
Factor = Annotated[float, Field(ge=0, le=16)]
Share = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=-2, le=2)]
Level = Annotated[float, Field(ge=0, le=256)]
Angle = Annotated[float, Field(ge=-360, le=360)]
Bits = Annotated[int, Field(ge=1, le=8)]

Sign = Annotated[bool, Field(description="true: half of the draws get the opposite sign")]
Fill = Literal["mean", "black", "gray"]
Paint = Annotated[
    Fill, Field(description="color: mean (of the dataset, 0 for the encoder), black or gray")
]


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
    probability: Probability = Field(
        default=1.0, description="probability that the operation is applied to a view"
    )


class Crop(_Operation):
    """A random crop of the image in its true proportions, resized to the square view, as
    torchvision's RandomResizedCrop.
    """

    op: Literal["crop"] = "crop"
    area: tuple[Share, Share] = Field(
        default=(0.08, 1.0), description="area of the crop, as a fraction of the image's area"
    )
    aspect: tuple[Ratio, Ratio] = Field(
        default=(3 / 4, 4 / 3), description="width divided by height, drawn log-uniformly"
    )


class Flip(_Operation):
    """The mirror image."""

    op: Literal["flip"] = "flip"
    probability: Probability = Field(
        default=0.5, description="probability that the operation is applied to a view"
    )
    axis: Literal["horizontal", "vertical"] = Field(
        default="horizontal",
        description="horizontal exchanges left and right, vertical exchanges top and bottom",
    )


class Rotate(_Operation):
    """A rotation about the view's center, counterclockwise."""

    op: Literal["rotate"] = "rotate"
    degrees: tuple[Angle, Angle] = Field(description="angle in degrees")
    either_sign: Sign = False


class Shear(_Operation):
    """A shear: rows are shifted in proportion to their distance from the top (x), or columns from
    the left (y), as in AutoAugment.
    """

    op: Literal["shear"] = "shear"
    axis: Literal["x", "y"]
    slope: tuple[Fraction, Fraction] = Field(
        description=(
            "shift divided by the distance from the edge, which is the tangent of the angle"
        )
    )
    either_sign: Sign = False


class Translate(_Operation):
    """A move of the picture to the right (x) or down (y)."""

    op: Literal["translate"] = "translate"
    axis: Literal["x", "y"]
    fraction: tuple[Fraction, Fraction] = Field(
        description="distance of the move, as a fraction of the view's side"
    )
    either_sign: Sign = False


class Scale(_Operation):
    """The picture is enlarged (factor above 1) or shrunk (below 1) about the view's center."""

    op: Literal["scale"] = "scale"
    factor: tuple[Ratio, Ratio]


class Brightness(_Operation):
    """All channels are multiplied by a factor."""

    op: Literal["brightness"] = "brightness"
    factor: tuple[Factor, Factor]


class AddBrightness(_Operation):
    """One number is added to all values, as brightness is in TensorFlow and in BYOL's code."""

    op: Literal["add_brightness"] = "add_brightness"
    amount: Probability = Field(description="largest number, for values in [0, 1]; of either sign")


class Contrast(_Operation):
    """Differences from the view's mean gray are multiplied by a factor."""

    op: Literal["contrast"] = "contrast"
    factor: tuple[Factor, Factor]


class Saturation(_Operation):
    """Differences from each pixel's own gray are multiplied by a factor."""

    op: Literal["saturation"] = "saturation"
    factor: tuple[Factor, Factor]


class Hue(_Operation):
    """The colors are turned about the gray axis, in the YIQ color space (linear; not HSV)."""

    op: Literal["hue"] = "hue"
    turns: tuple[Annotated[float, Field(ge=-0.5, le=0.5)], Annotated[float, Field(ge=-0.5, le=0.5)]]


class Jitter(_Operation):
    """Random brightness, contrast and saturation by factors from [max(0, 1 - a), 1 + a], and hue
    from [-a, a], as torchvision's ColorJitter.
    """

    op: Literal["jitter"] = "jitter"
    brightness: Amplitude = 0.0
    contrast: Amplitude = 0.0
    saturation: Amplitude = 0.0
    hue: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="largest turn of the hue, in turns of the color circle",
    )


class Gray(_Operation):
    """The view is made gray."""

    op: Literal["gray"] = "gray"


class Blur(_Operation):
    """Gaussian blur; the border is reflected, and the kernel's weights sum to 1."""

    op: Literal["blur"] = "blur"
    sigma_px: tuple[Factor, Factor] = Field(
        default=(0.1, 2.0), description="standard deviation of the Gaussian, in pixels of the view"
    )
    kernel: Share | None = Field(
        default=None,
        description=(
            "side of the kernel as a fraction of the view's side, at least 3 px (default: three"
            " sigma in each direction)"
        ),
    )


class Sharpness(_Operation):
    """Differences from a smoothed view (3×3, weight 5 in the middle, not rounded) are multiplied by
    a factor; border pixels stay as they are.
    """

    op: Literal["sharpness"] = "sharpness"
    factor: tuple[Factor, Factor]


class Solarize(_Operation):
    """Values at or above the threshold are inverted."""

    op: Literal["solarize"] = "solarize"
    threshold: tuple[Level, Level] = (128.0, 128.0)


class SolarizeAdd(_Operation):
    """An amount is added to values below the threshold."""

    op: Literal["solarize_add"] = "solarize_add"
    amount: tuple[Level, Level]
    threshold: Level = 128.0


class Posterize(_Operation):
    """Only the highest bits of each value are kept."""

    op: Literal["posterize"] = "posterize"
    bits: tuple[Bits, Bits]


class Equalize(_Operation):
    """The histogram of each channel is equalized."""

    op: Literal["equalize"] = "equalize"


class Autocontrast(_Operation):
    """Each channel is stretched, so that its darkest value becomes 0 and its lightest 255."""

    op: Literal["autocontrast"] = "autocontrast"


class Invert(_Operation):
    """Each value v becomes 255 - v."""

    op: Literal["invert"] = "invert"


class Cutout(_Operation):
    """A square is painted over; its center may lie anywhere in the view, what is outside is cut."""

    op: Literal["cutout"] = "cutout"
    side: tuple[Share, Share] = Field(
        description="side of the square, as a fraction of the view's side"
    )
    fill: Paint = "mean"


class Erase(_Operation):
    """A rectangle inside the view is painted over, as torchvision's RandomErasing (ten tries)."""

    op: Literal["erase"] = "erase"
    area: tuple[Share, Share] = Field(
        default=(0.02, 0.33), description="area of the rectangle, as a fraction of the view's area"
    )
    aspect: tuple[Ratio, Ratio] = Field(
        default=(0.3, 3.3), description="height divided by width, drawn log-uniformly"
    )
    fill: Paint = "mean"


class Noise(_Operation):
    """Gaussian noise is added to every value; the result is clipped."""

    op: Literal["noise"] = "noise"
    sigma: tuple[Probability, Probability] = Field(
        description="standard deviation of the noise, for values in [0, 1]"
    )


Simple = Annotated[
    Flip
    | Rotate
    | Shear
    | Translate
    | Scale
    | Brightness
    | AddBrightness
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
    """One of several lists of operations is drawn and applied, each equally likely; `times` draws,
    with replacement.
    """

    op: Literal["one_of"] = "one_of"
    among: tuple[tuple[Simple, ...], ...] = Field(min_length=1, max_length=64)
    times: int = Field(default=1, ge=1, le=8)


OPERATIONS = (Crop, *get_args(get_args(Simple)[0]), OneOf)
Operation = Annotated[Crop | Simple | OneOf, Field(discriminator="op")]
