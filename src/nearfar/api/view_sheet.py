"""`nearfar check DATA --views POLICY`: how a view policy shows images, as a picture."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from nearfar.api.request import Data
from nearfar.config.loading import read_toml
from nearfar.core.errors import ConfigError, DataError, UserError
from nearfar.core.progress import Progress
from nearfar.data.center import CenterSquare
from nearfar.data.sources import open_source
from nearfar.data.store import load
from nearfar.experiment.choices import default_size
from nearfar.experiment.configuration import check_config
from nearfar.experiment.encoding import channel_statistics
from nearfar.experiment.sheets import as_png, few_rows
from nearfar.methods import METHODS
from nearfar.views.compiling import compile_kernels
from nearfar.views.kinds import Policy
from nearfar.views.making import ViewPlan
from nearfar.views.reading import read_policy
from nearfar.views.sheet import VIEWS, Shown, contact_sheet


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
    policy = views["policy"]
    name = policy if isinstance(policy, str) else path.stem
    return Chosen(name, read_policy(policy).stronger(config.views.strength))


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
    listing = open_source(data, progress)
    size = default_size(listing.side)
    stored = load(listing, CenterSquare(size), progress=progress)
    pool = torch.cat([stored.split("train"), stored.split("unlabeled")])
    if not len(pool):
        raise DataError(
            f"{listing.source}: want images to train on, to show views of; got none (only val and"
            " test)"
        )
    compile_kernels(progress)
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
        Shown(stored.rows(rows), stored.evaluation_pixels(rows), rows, plan, seed=0),
        title=chosen.name,
        about=(
            f"{len(rows)} training images of {stored.name}; data.size {size} px, seed 0;"
            " normalization undone"
        ),
    )
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", chosen.name).strip("-.") or "policy"
    return save_under_a_free_name(sheet, f"views-{stem}")


def save_under_a_free_name(sheet: Image.Image, stem: str) -> Path:
    """STEM.png in the current folder, or STEM-2.png, ... UserError: it cannot be written."""
    content = as_png(sheet)
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
