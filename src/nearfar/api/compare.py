"""`nearfar compare`, `nearfar demo`: several methods at equal budget, several seeds, one table, one
report.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from nearfar.api.across_seeds import summarize
from nearfar.api.budgeting import (
    Ahead,
    Floors,
    lengthened,
    lengths_as_begun,
    size_as_begun,
    smaller_views,
)
from nearfar.api.fitting import ALL, checked_methods, fitting, left_line, still_fitting
from nearfar.api.request import (
    Data,
    Place,
    Request,
    make_fabric,
    make_request,
    name_of_method,
    shown,
)
from nearfar.api.train import finished
from nearfar.config.models import RunConfig
from nearfar.core.errors import TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing
from nearfar.data.sources import open_source
from nearfar.data.store import ImageData
from nearfar.data.store import load as load_data
from nearfar.experiment.budget import Budget
from nearfar.experiment.encoding import example_of, make_encoder, same_start
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.page import write_comparison
from nearfar.experiment.planning import foreseen, planned
from nearfar.experiment.run import execute
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.report.formats import images_of_each
from nearfar.run_folder import names
from nearfar.run_folder.choosing import check_free, free_folder, latest_folder, part_of
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Results

DEMO_METHODS = "cross_entropy,supcon,simclr"
DEMO = {"train.epochs": 60, "train.batch_size": 128, "optimizer.lr": 0.5}


@dataclass(frozen=True)
class Comparison:
    """A complete comparison: its folder, and the content of compare.json."""

    path: Path
    results: dict[str, Any]


def compare(
    data: Data,
    *,
    methods: str | Sequence[str | type[Method]],
    seeds: int = 3,
    encoder: str | nn.Module | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    smoke: bool = False,
    quiet: bool = False,
    command: str | None = None,
    began: float | None = None,
    **settings: Any,
) -> Comparison:
    """Trains each of `methods` with the seeds 0 ... seeds-1 at equal epochs; "a,b" or ["a", "b"];
    "all" that fit. `minutes` are for all runs together. An interrupt loses no complete run.

    `comparison.results` is the content of compare.json; for the rest see `train`.
    """
    asked = methods.split(",") if isinstance(methods, str) else methods
    named = [str(name_of_method(method)).strip() for method in asked]
    chosen = [name for name in named if name]
    called = f"nearfar.compare({shown(data)}, methods={chosen!r}, seeds={seeds}, ...)"
    request = make_request(
        data,
        {"train.epochs": epochs, **settings},
        place=Place(Path(out) if out is not None else None, resume, force),
        recipe=recipe,
        encoder=encoder,
        smoke=smoke,
        budget=Budget.of(minutes, began),
        command=command or called,
    )
    return _compare(request, chosen, seeds, Progress(quiet=quiet))


def demo(
    *, methods: str | Sequence[str] = DEMO_METHODS, recipe: str | Path | None = None, **asked: Any
) -> Comparison:
    """A comparison on the embedded digits, at settings that suit them; a recipe has its own."""
    usual = {} if recipe is not None else DEMO
    given = {key: value for key, value in asked.items() if value is not None}
    return compare("digits", methods=methods, recipe=recipe, **{**usual, **given})


@dataclass(frozen=True)
class _Runs:
    """Every method with every seed, in the order in which they are trained."""

    setups: Mapping[str, Setup]
    seeds: int
    images: ImageData
    out: Path
    request: Request
    fabric: Fabric
    example: Tensor  # of what encoders are shown
    planned: dict[str, Encoder]  # the one that the plan was made with, for the run of its method
    forecast: Forecast
    floors: Floors = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[Setup, RunFolder]]:
        for seed in range(self.seeds):
            for method, setup in self.setups.items():
                out = self.out / part_of(method) / f"seed{seed}"
                folder = RunFolder(out, writes=self.fabric.is_global_zero)
                yield setup.with_seed(seed), folder

    def encoder(self, setup: Setup) -> Encoder:
        """Before training; what it returns once is the caller's alone."""
        if setup.seed == 0 and setup.method_name in self.planned:
            return self.planned.pop(setup.method_name)
        return make_encoder(setup, self.example, self.request.module)

    def __len__(self) -> int:
        return self.seeds * len(self.setups)


def _compare(
    request: Request, methods: Sequence[str], seeds: int, progress: Progress
) -> Comparison:
    configs = checked_methods(request, methods, seeds)
    listing = open_source(request.data)
    fabric, refuse = make_fabric(), ALL not in methods
    setups, left_out = fitting(configs, listing, fabric.device, request, refuse=refuse)
    out = _chosen(request.place, listing)
    if (sized := size_as_begun(request, out)) is not request:
        return _compare(sized, methods, seeds, progress)
    if (begun := lengths_as_begun(request, out, configs, setups)) is not None:
        request = replace(request, budget=None)
        setups, left_out = fitting(begun, listing, fabric.device, request, refuse=refuse)
    first = next(iter(setups.values()))
    example = example_of(first.center, listing)
    widest = _widest(setups)
    encoder = make_encoder(widest, example, request.module)
    forecast = foreseen(_in_order(setups, seeds), listing, encoder, fabric.device)
    if (smaller := smaller_views(request, forecast, progress)) is not None:
        return _compare(smaller, methods, seeds, progress)
    progress.say(f"nearfar compare on {listing.name}")
    say_plan = partial(_say_plan, request.place, encoder, listing, out, progress)
    if request.budget is None:
        say_plan(setups, forecast)
    for left in left_out:
        progress.say(f"  left out   {left_line(left)}")
    images = load_data(listing, first.center, strict=first.config.data.strict, progress=progress)
    setups = still_fitting(setups, images, left_out, progress, refuse=refuse)
    whole = RunFolder(out, writes=fabric.is_global_zero)
    if request.place.force:
        whole.clear()
    ready = {widest.method_name: encoder}
    todo = _Runs(setups, seeds, images, out, request, fabric, example, ready, forecast)
    if request.budget is not None:
        todo = _lengthened(todo, request.budget, configs, listing, progress)
        say_plan(todo.setups, todo.forecast)
    results = _train_all(todo, progress)
    summary = summarize(
        results,
        methods=list(setups),
        seeds=seeds,
        left_out=left_out,
        runs=[str(folder.path.relative_to(out)) for _, folder in todo],
        command=request.command,
        report=str(out / names.REPORT),
    )
    write_comparison(whole, summary)
    return Comparison(out, summary.as_json())


def _widest(setups: Mapping[str, Setup]) -> Setup:
    """The one that the plan is of."""
    return max(setups.values(), key=lambda setup: (setup.trains, setup.views.count))


def _say_plan(
    place: Place,
    encoder: Encoder,
    listing: Listing,
    out: Path,
    progress: Progress,
    setups: Mapping[str, Setup],
    forecast: Forecast,
) -> None:
    """Not again for a comparison that goes on."""
    if place.resume and any(out.rglob(names.RUN_TOML)):
        progress.say(f"  goes on in {out}; what is complete there stays")
        return
    seeds = len(forecast.runs) // len(setups)
    shown = _widest(setups)
    lines = f"the lines above are {shown.method_name}'s"
    where = f"runs       {_who(setups, seeds)}; {lines}; folder {out}"
    for line in planned(shown, listing, encoder, forecast, where):
        progress.say(f"  {line}")


def _chosen(place: Place, listing: Listing) -> Path:
    """RunError: what is there may not be used."""
    out = place.out or (latest_folder if place.resume else free_folder)(listing.name, "compare")
    check_free(out, resume=place.resume, force=place.force, comparison=True)
    return out


def _who(setups: Mapping[str, Setup], seeds: int) -> str:
    trained = images_of_each({n: setup.images for n, setup in setups.items() if setup.trains})
    return f"{', '.join(setups)} x {seeds} seed(s){f', {trained}' if trained else ''}"


def _in_order(setups: Mapping[str, Setup], seeds: int) -> list[Setup]:
    return [setup.with_seed(seed) for seed in range(seeds) for setup in setups.values()]


def _lengthened(
    runs: _Runs,
    budget: Budget,
    configs: Mapping[str, RunConfig],
    listing: Listing,
    progress: Progress,
) -> _Runs:
    """The runs with as many epochs as the budget has room for."""
    ahead = Ahead(
        runs.request,
        configs,
        runs.setups,
        range(runs.seeds),
        listing,
        runs.images,
        runs.fabric,
        runs.example,
    )
    found = lengthened(ahead, budget, runs.forecast, progress)
    return replace(runs, setups=found.setups, forecast=found.forecast, floors=found.floors)


def _train_all(runs: _Runs, progress: Progress) -> list[Results]:
    floors = runs.floors
    results = []
    for number, (setup, folder) in enumerate(runs, start=1):
        resume = runs.request.place.resume
        if resume and (done := finished(folder, setup)) is not None:
            results.append(done)
            continue
        start = same_start(setup)
        runs.forecast.begin(setup)
        progress.say(
            f"run {number} of {len(runs)}: {setup.method_name}, seed {setup.seed};"
            f" {runs.forecast.words()}"
        )
        encoder = runs.encoder(setup)
        job = Job(
            setup,
            runs.images,
            folder,
            runs.request.command,
            runs.fabric,
            encoder,
            alone=False,
            resume=resume,
            forecast=runs.forecast,
        )
        try:
            result = execute(job, progress, floors.get(start))
        except (KeyboardInterrupt, TrainingStoppedError) as stop:
            complete = f"{len(results)} of {len(runs)} runs are complete in {runs.out}"
            how = f"{complete}; continue with the same command and --out {runs.out} --resume"
            if isinstance(stop, TrainingStoppedError):
                raise TrainingStoppedError(f"{stop}; {how}") from stop
            progress.say(how)
            raise
        floors[start] = result.untrained
        results.append(result)
    return results
