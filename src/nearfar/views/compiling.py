"""The first views on a machine: compiled now, and said so, rather than met as a silence later."""

import threading

import torch

from nearfar.core.progress import Progress
from nearfar.core.types import StoredImages
from nearfar.views.making import ViewPlan, make_views
from nearfar.views.policies import POLICIES

COMPILING = "compiling the view kernels, once on this machine: about 20 s"
_SILENT_SECONDS = 1.5  # loading compiled ones takes less
_SIDE_PX = 8


def compile_kernels(progress: Progress, device: torch.device | None = None) -> None:
    """Has the kernels of that device ready (by default the CPU's), and says so where that takes
    long.
    """
    told = threading.Timer(_SILENT_SECONDS, progress.say, [COMPILING])
    told.daemon = True
    told.start()
    try:
        _make_one(device or torch.device("cpu"))
    finally:
        told.cancel()


def _make_one(device: torch.device) -> None:
    side, row = _SIDE_PX, torch.zeros(1, dtype=torch.int64)
    stored = StoredImages(
        torch.zeros(1, side, side, 3, dtype=torch.uint8),
        torch.zeros(1, side // 2, side // 2, 3, dtype=torch.uint8),
        torch.full((1, 2), side),
    )
    plan = ViewPlan(POLICIES["simclr"], 1, side, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    make_views(stored.to(device), plan, seed=0, epoch=0, index=row, draw=row)
