"""Contact sheets: `nearfar check DATA --views POLICY`, and the one that every run keeps of its
training views.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from nearfar.config.loading import read_toml
from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError, DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.sources import open_source
from nearfar.data.store import ImageData, load
from nearfar.evaluate.features import EvaluationView
from nearfar.experiment.encoding import channel_statistics
from nearfar.experiment.plan import policy_name
from nearfar.experiment.request import Data
from nearfar.experiment.settings import DEFAULT_SIZE_PX, check_config
from nearfar.methods import METHODS
from nearfar.views.compiling import compile_kernels
from nearfar.views.kinds import Policy
from nearfar.views.making import ViewPlan
from nearfar.views.reading import read_policy
from nearfar.views.sheet import IMAGES, VIEWS, Shown, contact_sheet

RUN_LARGEST_PX = 96  # pictures on a run's own sheet are no larger


@dataclass(frozen=True)
class Chosen:
    """The policy that --views names."""

    name: str
    policy: Policy


def choose_policy(asked: str) -> Chosen:
    """A policy's name, or a TOML file with `policy` (and `strength`) in its section [views].

    UserError, or ConfigError with the nearest name; no data are read.
    """
    path = Path(asked).expanduser()
    if path.suffix != ".toml":
        return Chosen(asked, _named(asked))
    views = read_toml(path).get("views", {})
    if "policy" not in views:
        raise ConfigError(["views.policy: is missing"], str(path))
    whole = {"data": {"source": ""}, "method": {"name": next(iter(METHODS))}, "views": views}
    config = check_config(whole, str(path))
    assert config.views.policy is not None
    policy = read_policy(config.views.policy).stronger(config.views.strength)
    return Chosen(
        path.stem if policy_name(config.views.policy) == "custom" else str(config.views.policy),
        policy,
    )


def _named(name: str) -> Policy:
    try:
        return read_policy(name)
    except ConfigError as error:
        raise ConfigError(
            [problem.replace("views.policy:", "--views:", 1) for problem in error.problems]
        ) from None


def write_check_sheet(data: Data, chosen: Chosen, progress: Progress) -> Path:
    """Eight training images by eight views in the current folder, under a free name; where it is.

    Sizes are those that training would choose. DataError: nothing to train on, or training would
    refuse the data.
    """
    listing = open_source(data)
    stored = load(listing, view_size=min(DEFAULT_SIZE_PX, listing.side), progress=progress)
    pool = torch.cat([stored.split("train"), stored.split("unlabeled")])
    if not len(pool):
        raise DataError(
            f"{listing.source}: want images to train on, to show views of; got none (only val and"
            " test)"
        )
    compile_kernels(progress)
    size = min(DEFAULT_SIZE_PX, listing.side)
    mean, std = channel_statistics(stored)
    turns = sum(kind.count is None for kind in chosen.policy.kinds)
    own = sum(kind.count or 0 for kind in chosen.policy.kinds)
    plan = ViewPlan(
        chosen.policy,
        max(turns, VIEWS - own),
        size,
        (mean[0], mean[1], mean[2]),
        (std[0], std[1], std[2]),
    )
    rows = few_rows(stored, pool)
    sheet = contact_sheet(
        Shown(stored.rows(rows), rows, plan, seed=0),
        title=chosen.name,
        about=(
            f"{len(rows)} training images of {stored.name}; data.size {size} px, seed 0;"
            " normalization undone"
        ),
    )
    return _save_under_a_free_name(sheet, chosen.name)


def _save_under_a_free_name(sheet: Image.Image, name: str) -> Path:
    content = _png(sheet)
    stem = "views-" + (re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "policy")
    number = 1
    while True:
        path = Path(f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(
                f"{path.absolute()} cannot be written ({error.strerror}); go to another folder"
            ) from error
        else:
            return path


def run_sheet(
    config: RunConfig,
    data: ImageData,
    pool: Int64[Tensor, " image"],
    plan: ViewPlan,
    view: EvaluationView,
) -> bytes:
    """The very views that a run's first epochs show of eight of its images, as a PNG of moderate
    size.
    """
    assert config.views.policy is not None
    rows = few_rows(data, pool)
    epochs = min(config.train.epochs, max(1, VIEWS // len(plan.policy.views(plan.count))))
    name = policy_name(config.views.policy)
    strength = f", strength {config.views.strength:g}" if config.views.strength != 1 else ""
    shrunk = f", shown at {RUN_LARGEST_PX} px" if plan.size > RUN_LARGEST_PX else ""
    sheet = contact_sheet(
        Shown(data.rows(rows), rows, plan, config.train.seed, view.crop, epochs),
        title=f"{name} x {plan.policy.describe(plan.count, plan.size)}{strength}",
        about=(
            f"{len(rows)} training images of {data.name}; data.size {plan.size} px{shrunk}, seed "
            f"{config.train.seed}; normalization undone"
        ),
        largest_px=RUN_LARGEST_PX,
    )
    return _png(sheet)


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


def _png(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
