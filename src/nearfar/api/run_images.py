"""The images that a run was trained on, as it had them: its cut, its labels, its way of reading."""

from collections.abc import Mapping
from typing import Any

from nearfar.api.model import Model
from nearfar.core.errors import UserError
from nearfar.core.progress import Progress
from nearfar.data.images import ImageData
from nearfar.data.labels import LabelDraw, with_labels
from nearfar.data.sources import open_source
from nearfar.data.store import load


def run_images(
    config: Mapping[str, Any], model: Model, progress: Progress, *, otherwise: str
) -> ImageData:
    """By the run's configuration. UserError: they came from Python, so that they cannot be had
    again; it says what to do `otherwise`.
    """
    asked = config["data"]
    if asked["source"] == "<Dataset>":
        raise UserError(f"the run was trained on a Dataset from Python; {otherwise}")
    stored = load(
        open_source(asked["source"], progress),
        model.view.center,
        group_by=asked.get("group_by"),
        streamed=asked.get("stream", False),
        progress=progress,
    )
    return with_labels(stored, LabelDraw.asked(asked, config["train"]["seed"]))
