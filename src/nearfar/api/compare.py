"""`nearfar compare`, `nearfar demo`: several methods at equal budget, several seeds, one table, one
report.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from nearfar.api.across_seeds import summarize
from nearfar.api.fitting import (
    ALL,
    checked_methods,
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
from nearfar.api.train import finished
from nearfar.api.trials import (
    Trials,
    refuse_untunable,
    trials_as_runs,
    tune,
    tuning_line,
    with_tuning,
)
from nearfar.core.errors import TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.data.listing import Listing
from nearfar.data.sources import open_source
from nearfar.data.store import ImageData
from nearfar.data.store import load as load_data
from nearfar.experiment.advice import advice_lines
from nearfar.experiment.encoding import example_of, make_encoder, same_start
from nearfar.experiment.page import write_comparison
from nearfar.experiment.planning import planned
from nearfar.experiment.precision import as_begun, measured
from nearfar.experiment.run import execute
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.report.formats import batches_of_each, images_of_each
from nearfar.run_folder import names
from nearfar.run_folder.choosing import check_free, free_folder, latest_folder, part_of
from nearfar.run_folder.comparison import ComparisonResults, Failed, LeftOut, Tuning
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Measurement, Results

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
    methods: str | Sequence[str | type[Method]],
    seeds: int = 3,
    encoder: str | nn.Module | None = None,
    epochs: int | None = None,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    smoke: bool = False,
    quiet: bool = False,
    tune: bool = False,
    command: str | None = None,
    **settings: Any,
) -> Comparison:
    """Trains each of `methods` with the seeds 0 ... seeds-1 at equal epochs; "a,b" or ["a", "b"];
    "all" that fit. An interrupt loses no complete run.

    `tune`: before, each method gets the same number of short trials on validation, and its runs
    have what was best: rate, strength of the views, temperature, but for what `settings` fix.
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
        command=command or called,
    )
    return _compare(request, chosen, seeds, Progress(quiet=quiet), tunes=tune)


def demo(
    *, methods: str | Sequence[str] = DEMO_METHODS, recipe: str | Path | None = None, **asked: Any
) -> Comparison:
    """A comparison on the embedded digits, at settings that suit them; a recipe has its own."""
    given = {key: value for key, value in asked.items() if value is not None}
    return compare("digits", methods=methods, recipe=recipe or DEMO, **given)


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
    request: Request, methods: Sequence[str], seeds: int, progress: Progress, *, tunes: bool
) -> Comparison:
    configs = checked_methods(request, methods, seeds)
    listing = open_source(request.data)
    fabric, refuse = make_fabric(), ALL not in methods
    setups, left_out = fitting(configs, listing, fabric.device, request, refuse=refuse)
    if tunes:
        refuse_untunable(setups, request)
    out = _chosen(request.place, listing)
    progress.say(f"nearfar compare on {listing.name}")
    first = next(iter(setups.values()))
    example = example_of(first.center, listing)
    widest = max(setups.values(), key=lambda setup: (setup.trains, setup.views.count))
    encoder = make_encoder(widest, example, request.module)
    begun = [RunFolder(path) for path in sorted(out.glob("*/seed*")) if request.place.resume]
    widest = measured(as_begun(widest, begun), encoder, fabric.device, progress)
    setups = {name: setup.with_precision(widest.precision) for name, setup in setups.items()}
    where = f"runs       {_who(setups, seeds)}; the lines above are {widest.method_name}'s; folder"
    runs = len(setups) * seeds + (trials_as_runs(setups) if tunes else 0)
    for line in planned(widest, listing, encoder, fabric.device, f"{where} {out}", runs=runs):
        progress.say(f"  {line}")
    if tunes:
        progress.say(f"  {tuning_line(setups, request, seeds)}")
    for line in shared_settings(request, setups):
        progress.say(f"  warning    {line}")
    for line in advice_lines(widest, listing.side, own_module=request.module is not None):
        progress.say(f"  {line}")
    for left in left_out:
        progress.say(f"  left out   {left_line(left)}")
    strict = first.config.data.strict
    images = load_data(listing, first.center, strict=strict, progress=progress)
    setups = still_fitting(setups, images, left_out, progress, refuse=refuse)
    whole = RunFolder(out, writes=fabric.is_global_zero)
    if request.place.force:
        whole.clear()
    tunings: tuple[Tuning, ...] = ()
    if tunes:
        trials = Trials(request, configs, listing, images, out, fabric, example)
        setups, tunings = tune(trials, setups, progress)
    ready = {widest.method_name: encoder}
    todo = _Runs(setups, seeds, images, out, request, fabric, example, ready)
    trained = _train_all(todo, progress)
    summary = with_tuning(_summary(todo, trained, left_out), tunings)
    write_comparison(whole, summary)
    return Comparison(out, summary.as_json())


def _chosen(place: Place, listing: Listing) -> Path:
    """RunError: what is there may not be used."""
    out = place.out or (latest_folder if place.resume else free_folder)(listing.name, "compare")
    check_free(out, resume=place.resume, force=place.force, comparison=True)
    return out


def _who(setups: Mapping[str, Setup], seeds: int) -> str:
    """Who is trained; on which images and in which batches, where methods differ in that."""
    trained = {name: setup for name, setup in setups.items() if setup.trains}
    images = images_of_each({name: setup.images for name, setup in trained.items()})
    sizes = {name: setup.batch_size for name, setup in trained.items()}
    batches = batches_of_each(sizes) if len(set(sizes.values())) > 1 else ""
    return ", ".join(
        part for part in (f"{', '.join(setups)} x {seeds} seed(s)", images, batches) if part
    )


@dataclass(frozen=True)
class _Trained:
    """The complete runs with their folders, and those that failed."""

    results: list[Results]
    paths: list[Path]
    failed: list[Failed]


def _summary(runs: _Runs, trained: _Trained, left_out: Sequence[LeftOut]) -> ComparisonResults:
    """compare.json: the complete runs, and which failed."""
    complete = {result.method for result in trained.results}
    results = summarize(
        trained.results,
        methods=[method for method in runs.setups if method in complete],
        seeds=runs.seeds,
        left_out=left_out,
        runs=[str(path.relative_to(runs.out)) for path in trained.paths],
        command=runs.request.command,
        report=str(runs.out / names.REPORT),
    )
    return results.model_copy(update={"failed": tuple(trained.failed)})


def _train_all(runs: _Runs, progress: Progress) -> _Trained:
    """TrainingStoppedError: the disk is full, or every run failed; of fewer the others go on."""
    floors: dict[str, tuple[Measurement, ...]] = {}
    trained = _Trained([], [], [])
    for number, (setup, folder) in enumerate(runs, start=1):
        resume = runs.request.place.resume
        if resume and (done := finished(folder, setup)) is not None:
            trained.results.append(done)
            trained.paths.append(folder.path)
            continue
        progress.say(f"run {number} of {len(runs)}: {setup.method_name}, seed {setup.seed}")
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
        )
        start = same_start(setup)
        try:
            result = execute(job, progress, floors.get(start))
        except KeyboardInterrupt:
            progress.say(_how_to_continue(runs, trained))
            raise
        except TrainingStoppedError as stop:
            last = number == len(runs) and not trained.results
            if last or isinstance(stop.__cause__, OSError):  # of which the next run would die too
                raise TrainingStoppedError(f"{stop}; {_how_to_continue(runs, trained)}") from stop
            failed = Failed(method=setup.method_name, seed=setup.seed, reason=str(stop))
            trained.failed.append(failed)
            progress.say(f"  failed: {failed.reason}")
            continue
        floors[start] = result.untrained
        trained.results.append(result)
        trained.paths.append(folder.path)
    return trained


def _how_to_continue(runs: _Runs, trained: _Trained) -> str:
    return (
        f"{len(trained.results)} of {len(runs)} runs are complete in {runs.out}; continue with the"
        f" same command and --out {runs.out} --resume"
    )
