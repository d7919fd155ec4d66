"""`nearfar train`, and `nearfar.train`: one method, one seed, one run folder."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from nearfar.api.budgeting import Ahead, lengthened, lengths_as_begun, size_as_begun, smaller_views
from nearfar.api.model import Model, load
from nearfar.api.request import (
    Data,
    Place,
    Request,
    make_fabric,
    make_request,
    name_of_method,
    shown,
)
from nearfar.config import keys
from nearfar.config.models import RunConfig
from nearfar.core.errors import RunError
from nearfar.core.progress import Progress
from nearfar.data.groups import cut_by_paths
from nearfar.data.listing import Listing
from nearfar.data.sources import open_source
from nearfar.experiment.budget import Budget
from nearfar.experiment.configuration import check_config
from nearfar.experiment.encoding import example_of, make_encoder, same_start
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.grouping import load_images
from nearfar.experiment.labeling import facts_of
from nearfar.experiment.page import saying_what_is_finished, write_page
from nearfar.experiment.planning import foreseen, planned
from nearfar.experiment.precision import as_begun, measured
from nearfar.experiment.resolve import refuse_unread
from nearfar.experiment.run import execute
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup, in_precision
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.run_folder import names
from nearfar.run_folder.choosing import check_free, free_folder, latest_folder
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.lock import in_use
from nearfar.run_folder.records import Measurement, Results

DEFAULT_METHOD = "supcon"


@dataclass(frozen=True)
class Run:
    """A complete run: its folder, and the content of results.json."""

    path: Path
    results: dict[str, Any]

    def load(self) -> Model:
        return load(self.path)


def train(
    data: Data,
    *,
    method: str | type[Method] | None = None,
    encoder: str | nn.Module | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    smoke: bool = False,
    quiet: bool = False,
    command: str | None = None,
    began: float | None = None,
    **settings: Any,
) -> Run:
    """Trains an encoder, freezes and probes it, and writes a run folder: `run.results`, `run.path`,
    `run.load()`.

    `data`: a name ("digits"), a folder, an archive, or a torch `Dataset` of (image, label).
    `method` (default "supcon"): a name that `nearfar methods` lists, or your own: a subclass of
    `nearfar.Method` at the top of a module, or "module:Class". `encoder`: "conv4", a timm name, or
    an `nn.Module` from (R, 3, size, size) to (R, E), which is copied. `recipe`: a name that
    `nearfar recipes` lists, or a TOML file of settings; what is given here goes over it. `minutes`,
    in place of `epochs`: as many as end in this time, with evaluation and report. Other
    settings go by their place in the configuration: `**{"method.temperature": 0.1}`. `out`,
    `resume`, `force`, `smoke`, `quiet` are the command's; `command` is what results.json says the
    run was asked by, `began` when (`time.perf_counter()`; else now). Raises NearfarError
    (`UserError` for what the caller can mend), KeyboardInterrupt with a usable run left behind.
    """
    name = name_of_method(method)
    what = (
        f"recipe={str(recipe)!r}" if recipe and not name else f"method={name or DEFAULT_METHOD!r}"
    )
    by = f"{what}, seed={seed or 0}"
    request = make_request(
        data,
        {"method.name": name, "train.epochs": epochs, "train.seed": seed, **settings},
        place=Place(Path(out) if out is not None else None, resume, force),
        usual={"method.name": DEFAULT_METHOD},
        recipe=recipe,
        encoder=encoder,
        smoke=smoke,
        budget=Budget.of(minutes, began),
        command=command or f"nearfar.train({shown(data)}, {by}, ...)",
    )
    with ExitStack() as held, request.locating():
        return _train(request, Progress(quiet=quiet), held)


def _train(request: Request, progress: Progress, held: ExitStack) -> Run:
    """Checks everything, says the plan, trains, probes, writes the report. UserError before
    anything is written.
    """
    config = check_config(request.sections)
    listing = cut_by_paths(open_source(request.data, progress), request.group_by)
    fabric, place = make_fabric(), request.place
    out = _chosen(place, listing.name, config.method_name)
    config = check_config(size_as_begun(request, out).sections)
    recipe = request.recipe_of(config.method_name)
    setup = request.setup(config, listing, fabric.device, recipe)
    name = setup.label
    if (begun := lengths_as_begun(request, out, {name: config}, {name: setup})) is not None:
        setup = request.setup(begun[name], listing, fabric.device, recipe)
        request = replace(request, budget=None)
    folder = RunFolder(out, writes=fabric.is_global_zero)
    check_free(folder.path, resume=place.resume, force=place.force, comparison=False)
    setup = as_begun(setup, [folder] if place.resume else [])
    if place.resume and (done := finished(folder, setup)) is not None:
        progress.say(f"{folder.path} is complete already; nothing to train")
        if not folder.has(names.REPORT):
            write_page(folder)
        return Run(folder.path, done.as_json())
    example = example_of(setup.center, listing)
    encoder = make_encoder(setup, example, request.module)
    setup = measured(setup, encoder, fabric.device, progress)
    config = in_precision(config, setup.precision)
    forecast = foreseen([setup], listing, encoder, fabric.device)
    if (smaller := smaller_views(request, forecast, progress)) is not None:
        return _train(smaller, progress, held)
    held.enter_context(in_use(folder.path))
    request.say_beginning(f"nearfar {name} on {listing.name}", progress)
    if request.budget is None or not setup.trains:
        _say_plan(setup, listing, encoder, forecast, folder, place, progress)
    images = load_images(listing, setup, progress)
    facts = facts_of(setup, images)
    refuse_unread(setup, facts)
    if place.force:
        folder.clear()
    setup, command = setup.with_facts(facts), request.command
    job = Job(setup, images, folder, command, fabric, encoder, True, place.resume, forecast)
    floor = None
    if request.budget is not None and setup.trains:
        job, floor = _lengthened(request, request.budget, job, config, listing, progress)
        _say_plan(job.setup, listing, encoder, job.forecast, folder, place, progress)
    results = execute(job, progress, floor)
    with saying_what_is_finished(folder.path, progress):
        write_page(folder)
        return Run(folder.path, results.as_json())


def _say_plan(
    setup: Setup,
    listing: Listing,
    encoder: Encoder,
    forecast: Forecast,
    folder: RunFolder,
    place: Place,
    progress: Progress,
) -> None:
    """Not again for a run that goes on, which says where."""
    if place.resume and folder.has(names.RUN_TOML):
        progress.say(f"  goes on in {folder.path}")
        return
    for line in planned(setup, listing, encoder, forecast, f"run folder {folder.path}"):
        progress.say(f"  {line}")


def _lengthened(
    request: Request,
    budget: Budget,
    job: Job,
    config: RunConfig,
    listing: Listing,
    progress: Progress,
) -> tuple[Job, tuple[Measurement, ...]]:
    """The run with as many epochs as the budget has room for; its start's measurements."""
    setup, example = job.setup, job.encoder.example
    name, seeds = setup.label, [setup.seed]
    ahead = Ahead(
        request, {name: config}, {name: setup}, seeds, listing, job.data, job.fabric, example
    )
    found = lengthened(ahead, budget, job.forecast, progress)
    setup = found.setups[name]
    return replace(job, setup=setup, forecast=found.forecast), found.floors[same_start(setup)]


def _chosen(place: Place, data: str, method: str) -> Path:
    if place.out is not None:
        return place.out
    return (latest_folder if place.resume else free_folder)(data, method)


def finished(folder: RunFolder, setup: Setup) -> Results | None:
    """The results of a run that is complete already, with all its files.

    RunError: the folder holds another configuration.
    """
    if not folder.has(names.RUN_TOML):
        return None
    refuse_other_settings(folder, setup)
    if not folder.has(names.RESULTS):
        return None
    results = folder.read_results()
    needed = [folder.encoder_weights, folder.encoder_config]
    by = results.predicted_by
    if by is not None or results.confusion is not None:
        needed.append(Path(names.CLASSIFIER))
    if by is not None and by.encoder == "finetuned":
        needed.append(Path(names.ENCODER_FINETUNED))
    return results if results.complete and all(folder.has(name) for name in needed) else None


def refuse_other_settings(folder: RunFolder, setup: Setup) -> None:
    """RunError: what the folder holds was begun with another configuration."""
    stored, asked = folder.read_config(), setup.config.sections()
    differing = [
        f"{section}.{key} ({keys.shown(there)} there, {keys.shown(now)} now)"
        for section in sorted({*stored, *asked})
        for key in sorted({*stored.get(section, {}), *asked.get(section, {})})
        if (there := stored.get(section, {}).get(key)) != (now := asked.get(section, {}).get(key))
    ]
    if differing:
        raise RunError(
            f"--resume: {folder.path} was begun with other settings: {', '.join(differing)}; "
            "give the same ones, or replace it with --force"
        )
