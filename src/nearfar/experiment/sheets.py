"""The contact sheet that every run keeps of its training views."""

import io

import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from nearfar.data.images import ImageData
from nearfar.experiment.running import Running
from nearfar.views.sheet import IMAGES, VIEWS, Shown, contact_sheet

LARGEST_PX = 96  # pictures on a run's own sheet are no larger


def run_sheet(run: Running) -> bytes:
    """The very views that a run's first epochs show of eight of its images, as a PNG of moderate
    size.
    """
    setup, data, plan = run.setup, run.job.data, run.plan
    rows = few_rows(data, run.batches.pool)
    epochs = min(setup.epochs, max(1, VIEWS // len(plan.policy.views(plan.count))))
    asked = setup.config.views.strength
    strength = f", strength {asked:g}" if asked != 1 else ""
    shrunk = f", shown at {LARGEST_PX} px" if plan.size > LARGEST_PX else ""
    sheet = contact_sheet(
        Shown(data.rows(rows), data.evaluation_pixels(rows), rows, plan, setup.seed, epochs),
        title=f"{setup.views.name} x {setup.views.shown}{strength}",
        about=f"{len(rows)} training images of {data.name}; data.size {plan.size} px{shrunk}, seed "
        f"{setup.seed}; normalization undone",
        largest_px=LARGEST_PX,
    )
    return as_png(sheet)


def few_rows(data: ImageData, pool: Int64[Tensor, " image"]) -> Int64[Tensor, " image"]:
    """At most eight of the rows, spread evenly over the classes and within each; the unlabeled are
    one more.
    """
    labels = data.labels[pool]
    of_class = [pool[labels == label] for label in sorted(set(labels.tolist()))]
    chosen: dict[int, None] = {}
    for number in range(IMAGES):
        at, share = divmod((number + 0.5) * len(of_class) / IMAGES, 1)
        rows = of_class[int(at)]
        chosen[int(rows[int(share * len(rows))])] = None
    return torch.tensor(list(chosen))


def as_png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
