"""The settings of a cross-entropy against labels, in the same words for every method that has
one.
"""

from typing import Any, Literal

from pydantic import Field

ClassWeight = Literal["none", "balanced"]


def label_smoothing() -> Any:
    return Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "label smoothing: part of the target probability that is spread over all classes; 0:"
            " none"
        ),
    )


def class_weight() -> Any:
    return Field(
        "none",
        description=(
            "weight of each class in the cross-entropy: none (every image counts the same) or"
            " balanced (every class counts the same, however many images it has;"
            " data.sampling=balanced does it by drawing instead, use one of them)"
        ),
    )
