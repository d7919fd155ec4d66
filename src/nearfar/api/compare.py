"""`nearfar compare`, `nearfar demo`: several methods at equal budget, several seeds, one table, one
report.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from nearfar.api.budgeting import Ahead, lengthened, lengths_as_begun, size_as_begun, smaller_views
from nearfar.api.compared_runs import ComparedRuns, in_order, summary_of, train_all
from nearfar.api.fitting import (
    ALL,
    by_class_where_possible,
    checked,
    fitting,
    left_line,
    shared_settings,
    still_fitting,
)
from nearfar.api.request import (
    Data,
    Place,
    Request,
    make_fabric,
    make_request,
    name_of_method,
    shown,
)
from nearfar.api.trials import Trials, refuse_untunable, tuning_line, with_tuning
from nearfar.api.trials import tune as tune_all
from nearfar.config.models import RunConfig
from nearfar.core.progress import Progress
from nearfar.data.groups import cut_by_paths
from nearfar.data.listing import Listing
from nearfar.data.sources import open_source
from nearfar.experiment.budget import Budget
from nearfar.experiment.encoding import example_of, make_encoder
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.grouping import load_images
from nearfar.experiment.page import saying_what_is_finished, write_comparison
from nearfar.experiment.planning import foreseen, planned
from nearfar.experiment.precision import as_begun, measured
from nearfar.experiment.setup import Setup, in_precision
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.report.formats import batches_of_each, epochs_of_each, images_of_each
from nearfar.run_folder import names
from nearfar.run_folder.choosing import check_free, free_folder, latest_folder
from nearfar.run_folder.comparison import ComparisonResults, LeftOut, Tuning
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.lock import in_use

DEMO_METHODS = "cross_entropy,supcon,simclr"
DEMO = Path(__file__).with_name("demo.toml")  # settings that suit the digits


@dataclass(frozen=True)
class Comparison:
    """A complete comparison: its folder, and the content of compare.json."""

    path: Path
    results: dict[str, Any]


def compare(
    data: Data,
    *,
    methods: str | Sequence[str | type[Method]] = (),
    recipes: str | Sequence[str | Path] = (),
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
    tune: bool = False,
    command: str | None = None,
    began: float | None = None,
    **settings: Any,
) -> Comparison:
    """Trains each of `methods` with the seeds 0 ... seeds-1 at equal epochs; "a,b" or ["a", "b"];
    "all" that fit. Or each of `recipes`, whose own settings stay as they are, but for those given
    here. `minutes` are for all runs together. An interrupt loses no complete run.

    `tune`: before, each method gets the same number of short trials on validation, and its runs
    have what was best: rate, strength of the views, temperature, but for what `settings` fix.
    `comparison.results` is the content of compare.json; for the rest see `train`.
    """
    asked = methods.split(",") if isinstance(methods, str) else methods
    named = [str(name_of_method(method)).strip() for method in asked]
    chosen = [name for name in named if name]
    listed = recipes.split(",") if isinstance(recipes, str) else recipes
    whole = [str(name).strip() for name in listed if str(name).strip()]
    of = f"recipes={whole!r}" if whole else f"methods={chosen!r}"
    called = f"nearfar.compare({shown(data)}, {of}, seeds={seeds}, ...)"
    request = make_request(
        data,
        {"train.epochs": epochs, **settings},
        place=Place(Path(out) if out is not None else None, resume, force),
        recipe=recipe,
        recipes=whole,
        encoder=encoder,
        smoke=smoke,
        budget=Budget.of(minutes, began),
        command=command or called,
    )
    with ExitStack() as held, request.locating():
        return _compare(request, _Asked(chosen, seeds, tune), Progress(quiet=quiet), held)


def demo(
    *, methods: str | Sequence[str] = DEMO_METHODS, recipe: str | Path | None = None, **asked: Any
) -> Comparison:
    """A comparison on the embedded digits, at settings that suit them; a recipe has its own."""
    given = {key: value for key, value in asked.items() if value is not None}
    return compare("digits", methods=methods, recipe=recipe or DEMO, **given)


class _Asked(NamedTuple):
    """What a comparison is of."""

    methods: Sequence[str]
    seeds: int
    tunes: bool


def _compare(request: Request, asked: _Asked, progress: Progress, held: ExitStack) -> Comparison:
    configs = checked(request, asked.methods, asked.seeds)
    listing = cut_by_paths(open_source(request.data, progress), request.group_by)
    configs, unbalanced = by_class_where_possible(configs, listing)
    fabric, refuse = make_fabric(), ALL not in asked.methods
    setups, left_out = fitting(configs, listing, fabric.device, request, refuse=refuse)
    if asked.tunes:
        refuse_untunable(setups, request)
    out = _chosen(request.place, listing)
    if (sized := size_as_begun(request, out)) is not request:
        return _compare(sized, asked, progress, held)
    if (lengths := lengths_as_begun(request, out, configs, setups)) is not None:
        request, configs = replace(request, budget=None), dict(lengths)
        setups, left_out = fitting(configs, listing, fabric.device, request, refuse=refuse)
    first = next(iter(setups.values()))
    example = example_of(first.center, listing)
    widest = _widest(setups)
    encoder = make_encoder(widest, example, request.module)
    forecast = foreseen(in_order(setups, asked.seeds), listing, encoder, fabric.device, asked.tunes)
    if (smaller := smaller_views(request, forecast, progress)) is not None:
        return _compare(smaller, asked, progress, held)
    held.enter_context(in_use(out))
    request.say_beginning(f"nearfar compare on {listing.name}", progress)
    begun = [RunFolder(path) for path in sorted(out.glob("*/seed*")) if request.place.resume]
    chosen = measured(as_begun(widest, begun), encoder, fabric.device, progress).precision
    setups = {name: setup.with_precision(chosen) for name, setup in setups.items()}
    configs = {name: in_precision(config, chosen) for name, config in configs.items()}
    plan = _Plan(request, encoder, listing, out, asked.seeds, progress, asked.tunes)
    if request.budget is None:
        plan.say(setups, forecast)
    _say_left_out(left_out, unbalanced, progress)
    images = load_images(listing, first, progress)
    setups = still_fitting(setups, images, left_out, progress, refuse=refuse)
    whole = RunFolder(out, writes=fabric.is_global_zero)
    if request.place.force:
        whole.clear()
    ready = {widest.label: encoder}
    runs = ComparedRuns(setups, asked.seeds, images, out, request, fabric, example, ready, forecast)
    if request.budget is not None:
        runs, configs = _lengthened(runs, request.budget, configs, listing, progress)
        plan.say(runs.setups, runs.forecast)
    tunings: tuple[Tuning, ...] = ()
    if asked.tunes:
        trials = Trials(request, configs, listing, images, out, fabric, example, runs.forecast)
        setups, tunings = tune_all(trials, runs.setups, progress)
        runs = replace(runs, setups=setups)
    trained = train_all(runs, progress)
    with saying_what_is_finished(out, progress):
        summary = summary_of(runs, trained, left_out, unbalanced)
        return _written(whole, with_tuning(summary, tunings))


def _written(whole: RunFolder, summary: ComparisonResults) -> Comparison:
    write_comparison(whole, summary)
    return Comparison(whole.path, summary.as_json())


def _say_left_out(
    left_out: Sequence[LeftOut], unbalanced: Sequence[LeftOut], progress: Progress
) -> None:
    for left in left_out:
        progress.say(f"  left out   {left_line(left)}")
    for left in unbalanced:
        progress.say(f"  warning    data.sampling is left out for {left_line(left)}")


def _widest(setups: Mapping[str, Setup]) -> Setup:
    """The one that the plan is of."""
    return max(
        setups.values(), key=lambda setup: (setup.trains, setup.views.count * setup.multiply_adds)
    )


@dataclass(frozen=True)
class _Plan:
    """What is said before the work begins."""

    request: Request
    encoder: Encoder
    listing: Listing
    out: Path
    seeds: int
    progress: Progress
    tunes: bool

    def say(self, setups: Mapping[str, Setup], forecast: Forecast) -> None:
        """Not again for a comparison that goes on."""
        if self.request.place.resume and any(self.out.rglob(names.RUN_TOML)):
            self.progress.say(f"  goes on in {self.out}; what is complete there stays")
            return
        widest = _widest(setups)
        lines = f"the lines above are {widest.label}'s"
        where = f"runs       {_who(setups, self.seeds)}; {lines}; folder {self.out}"
        said = planned(widest, self.listing, self.encoder, forecast, where)
        if self.tunes:
            said.append(tuning_line(setups, self.request, self.seeds, forecast))
        said += [f"warning    {line}" for line in shared_settings(self.request, setups)]
        for line in said:
            self.progress.say(f"  {line}")


def _chosen(place: Place, listing: Listing) -> Path:
    """RunError: what is there may not be used."""
    out = place.out or (latest_folder if place.resume else free_folder)(listing.name, "compare")
    check_free(out, resume=place.resume, force=place.force, comparison=True)
    return out


def _who(setups: Mapping[str, Setup], seeds: int) -> str:
    """Who is trained; on which images, in which batches and how long, where they differ in that."""
    trained = {name: setup for name, setup in setups.items() if setup.trains}
    images = images_of_each({name: setup.images for name, setup in trained.items()})
    sizes = {name: setup.batch_size for name, setup in trained.items()}
    batches = batches_of_each(sizes) if len(set(sizes.values())) > 1 else ""
    epochs = epochs_of_each({name: setup.epochs for name, setup in trained.items()})
    parts = (f"{', '.join(setups)} x {seeds} seed(s)", images, batches, epochs)
    return ", ".join(part for part in parts if part)


def _lengthened(
    runs: ComparedRuns,
    budget: Budget,
    configs: Mapping[str, RunConfig],
    listing: Listing,
    progress: Progress,
) -> tuple[ComparedRuns, dict[str, RunConfig]]:
    """The runs with as many epochs as the budget has room for; and their configurations."""
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
    fitting_in = replace(runs, setups=found.setups, forecast=found.forecast, floors=found.floors)
    return fitting_in, found.configs
