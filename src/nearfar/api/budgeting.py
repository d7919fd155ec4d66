"""`--minutes`: the first steps of each method are measured, and the length of the runs follows.

The steps are taken by copies that are thrown away, so that the runs themselves are those that
anybody repeats with the epochs of their run.toml.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from nearfar.api.request import Request
from nearfar.config.loading import Sections, merge
from nearfar.config.models import RunConfig
from nearfar.core.progress import Progress
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing
from nearfar.experiment.budget import (
    LEAST_EPOCHS,
    Budget,
    Length,
    chosen_size,
    length_within,
    refuse,
    refuse_hopeless,
    steps_to_try,
    tried,
)
from nearfar.experiment.configuration import check_config
from nearfar.experiment.encoding import make_encoder, same_start
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.plan import duration
from nearfar.experiment.resolve import resolve
from nearfar.experiment.run import try_out
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup
from nearfar.report.formats import plural
from nearfar.run_folder import names
from nearfar.run_folder.choosing import part_of
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Measurement

ALONE = ""  # the part of a run that is no comparison's
Setups = Mapping[str, Setup]  # by method or recipe
Floors = dict[str, tuple[Measurement, ...]]  # by start
Configs = Mapping[str, RunConfig]


@dataclass(frozen=True)
class Ahead:
    """The runs that a budget is for: each of `setups` with each seed."""

    request: Request
    configs: Configs
    setups: Setups
    seeds: Sequence[int]
    listing: Listing
    images: ImageData
    fabric: Fabric
    example: Tensor  # of what encoders are shown

    def configs_at(self, length: Length) -> dict[str, RunConfig]:
        return {name: length.of(self.configs[name], run) for name, run in self.setups.items()}

    def at(self, length: Length) -> dict[str, Setup]:
        """The setups with this length."""
        device, module = self.fabric.device, self.request.module
        found = {}
        for name, config in self.configs_at(length).items():
            before = self.setups[name]
            decided = resolve(config, self.listing, device, module=module, recipe=before.recipe)
            found[name] = decided.with_facts(before.facts)
        return found

    def in_order(self, setups: Setups) -> list[Setup]:
        return [setup.with_seed(seed) for seed in self.seeds for setup in setups.values()]

    def job(self, setup: Setup, folder: Path, forecast: Forecast) -> Job:
        """Of a run that is thrown away."""
        return Job(
            setup,
            self.images,
            RunFolder(folder),
            self.request.command,
            self.fabric,
            make_encoder(setup, self.example, self.request.module),
            alone=False,
            forecast=forecast,
        )


@dataclass(frozen=True)
class Lengthened:
    """Runs that fit the budget, and what is foreseen of them; and the starts that were measured on
    the way.
    """

    configs: dict[str, RunConfig]
    setups: dict[str, Setup]
    forecast: Forecast
    floors: Floors


def size_as_begun(request: Request, out: Path) -> Request:
    """The request with the size that was chosen when its runs began, where it names none."""
    begun = _begun(request, out)
    if not begun or request.sections.get("data", {}).get("size") is not None:
        return request
    size = next(iter(begun.values()))["data"]["size"]
    return replace(request, sections=merge(request.sections, [("data", "size", size)]))


def lengths_as_begun(
    request: Request, out: Path, configs: Configs, setups: Setups
) -> Configs | None:
    """The configurations with the lengths that were decided when their runs began; None where none
    of them has.

    A method that has not begun gets the same epochs, shortened alike.
    """
    runs = _begun(request, out)
    begun = {
        name: runs[part]["train"]
        for name in setups
        for part in (part_of(name), ALONE)
        if part in runs
    }
    known = list(begun)
    if not known:
        return None
    found, steps = begun[known[0]], setups[known[0]].steps_per_epoch
    share = found.get("steps_per_epoch", steps) / steps
    return {
        name: (
            Length.stored(begun[name], setup.steps_per_epoch)
            if name in begun
            else Length(found["epochs"], share)
        ).of(configs[name], setup)
        for name, setup in setups.items()
    }


def _begun(request: Request, out: Path) -> dict[str, Sections]:
    """The configurations of the runs in the folder, where a budget decided on their lengths: by the
    folder that a method or recipe has in a comparison's.
    """
    if request.budget is None or not request.place.resume:
        return {}
    found = {path.relative_to(out): path.parent for path in sorted(out.rglob(names.RUN_TOML))}
    return {
        place.parts[0] if len(place.parts) > 1 else ALONE: RunFolder(folder).read_config()
        for place, folder in found.items()
    }


def smaller_views(request: Request, forecast: Forecast, progress: Progress) -> Request | None:
    """The request with a smaller size, where given weights' own would leave few epochs of the
    budget; None: it stays as it is.
    """
    budget, data = request.budget, request.sections.get("data", {})
    if budget is None or data.get("size") is not None:
        return None
    size = chosen_size(budget, forecast)
    if size is None:
        return None
    progress.say(
        f"  --minutes {budget.minutes:g}: views of {size} px, because {forecast.runs[0].size} px"
        f" would leave fewer than {LEAST_EPOCHS} epochs; --size decides otherwise"
    )
    return replace(request, sections=merge(request.sections, [("data", "size", size)]))


def lengthened(ahead: Ahead, budget: Budget, forecast: Forecast, progress: Progress) -> Lengthened:
    """Measures, then decides, unless nothing is trained. UserError: the budget is too little for
    one epoch.
    """
    if not any(setup.trains for setup in ahead.setups.values()):
        return Lengthened(dict(ahead.configs), dict(ahead.setups), forecast, {})
    one = ahead.at(Length(1))
    whole = all(setup.config.train.steps_per_epoch is None for setup in ahead.setups.values())

    def foreseen(length: Length) -> Forecast:
        setups = one if length == Length(1) else ahead.at(length)
        return forecast.of(ahead.in_order(setups))

    refuse_hopeless(budget, foreseen(Length(1)))
    floors = _measured(ahead, budget, forecast, one, progress)
    chosen = length_within(budget.left, lambda length: foreseen(length).left(), shorten=whole)
    if not chosen.epochs:
        refuse(budget, foreseen(Length(1)), "measured on its first steps")
    setups = ahead.at(chosen)
    for setup in setups.values():
        check_config(setup.config.sections())  # a warm-up of the user's may be longer now
    shorter = f" of {chosen.share:.0%} of the steps" if chosen.share < 1 else ""
    progress.say(
        f"  --minutes {budget.minutes:g}: {duration(budget.spent)} are over;"
        f" {plural(chosen.epochs, 'epoch')}{shorter} fit into the rest"
    )
    return Lengthened(ahead.configs_at(chosen), setups, foreseen(chosen), floors)


def _measured(
    ahead: Ahead, budget: Budget, forecast: Forecast, setups: Setups, progress: Progress
) -> Floors:
    """Has the forecast know the first steps of each method; returns the starts that were
    measured.
    """
    floors: Floors = {}
    trained = {name: setup for name, setup in setups.items() if setup.trains}
    progress.say(
        f"  --minutes {budget.minutes:g}: measuring the first steps of {', '.join(trained)}"
    )
    steps = steps_to_try(forecast, list(trained), budget.left)
    for setup in trained.values():
        setup = setup.with_seed(ahead.seeds[0])
        start = same_start(setup)
        with tempfile.TemporaryDirectory() as folder:
            job = ahead.job(tried(setup, steps), Path(folder), forecast)
            floors[start] = try_out(job, Progress(quiet=True), floors.get(start))
    return floors
