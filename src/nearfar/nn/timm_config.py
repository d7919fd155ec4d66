"""What stands in config.json beside an encoder's weights, so that timm opens the folder."""

from typing import Any

from nearfar.nn.encoders import Encoder
from nearfar.nn.published import Published

# of what timm states for an architecture: its layers, not the weights that were published
_OF_THE_LAYERS = ("fixed_input_size", "first_conv", "classifier")


def timm_config(encoder: Encoder, seen: Published) -> dict[str, Any]:
    """As `timm.create_model("local-dir:FOLDER", pretrained=True)` reads it; `seen` is how the
    encoder looks at an image.

    What timm cannot build (conv4, an edited stem, a module of the user's own) has a name that timm
    does not know either: an error there, instead of another network with these weights.
    """
    stated: dict[str, Any] = getattr(encoder.net, "pretrained_cfg", {})
    create = dict(encoder.create)
    return {
        "architecture": _name(encoder),
        "num_classes": create.pop("num_classes", 0),
        "num_features": encoder.width,
        "model_args": create,
        "pretrained_cfg": {
            **{key: stated[key] for key in _OF_THE_LAYERS if stated.get(key) is not None},
            "input_size": [3, seen.size, seen.size],
            "crop_pct": seen.crop,
            "crop_mode": "center",
            "interpolation": seen.interpolation,
            "mean": list(seen.mean),
            "std": list(seen.std),
        },
    }


def _name(encoder: Encoder) -> str:
    name = encoder.architecture.partition(".")[0]  # without the tag of the weights it came from
    if encoder.built_by == "timm" and not encoder.stem:
        return name
    return f"{name} ({'small stem' if encoder.stem else encoder.built_by})"
