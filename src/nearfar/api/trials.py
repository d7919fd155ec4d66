"""`compare --tune`: before its runs, each method gets the same number of short trials on
validation, and runs with what was best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from nearfar.api.request import Request
from nearfar.api.train import refuse_other_settings
from nearfar.config.models import RunConfig
from nearfar.core.errors import ConfigError, DataError, RunError, UserError
from nearfar.core.progress import Bar, Progress
from nearfar.data.images import ImageData
from nearfar.data.listing import Listing
from nearfar.experiment import tuning as search
from nearfar.experiment.encoding import make_encoder
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.labeling import facts_of
from nearfar.experiment.plan import duration
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup
from nearfar.experiment.trial import run_trial
from nearfar.report.formats import plural
from nearfar.report.tuning import outcome
from nearfar.run_folder import names
from nearfar.run_folder.choosing import part_of
from nearfar.run_folder.comparison import TUNING_COST, ComparisonResults, TableEntry, Trial, Tuning
from nearfar.run_folder.folder import RunFolder
from nearfar.views.compiling import compile_kernels


@dataclass(frozen=True)
class Trials:
    """What the trials of all methods have in common. `out` is the comparison's folder."""

    request: Request
    configs: Mapping[str, RunConfig]
    listing: Listing
    images: ImageData
    out: Path
    fabric: Fabric
    example: Tensor  # of what encoders are shown
    forecast: Forecast  # of the trials and of the runs

    def setup(self, config: RunConfig, recipe: str | None) -> Setup:
        """The run of such a configuration on the images that could be read."""
        decided = self.request.setup(config, self.listing, self.fabric.device, recipe)
        return decided.with_facts(facts_of(decided, self.images))

    def folder(self, method: str) -> RunFolder:
        path = self.out / part_of(method) / names.TUNING
        return RunFolder(path, writes=self.fabric.is_global_zero)


def refuse_untunable(setups: Mapping[str, Setup], request: Request) -> None:
    """DataError: no labels to judge by. UserError: nothing to tune."""
    facts = next(iter(setups.values())).facts
    if sum(facts.val_counts) == 0 or sum(count > 0 for count in facts.class_counts) < 2:
        raise DataError(
            "--tune: wants labeled training and validation images of at least 2 classes, by which"
            f" trials are judged, and {facts.name} has none; leave --tune out, or give labels"
            " (folders of classes)"
        )
    if not any(setup.trains for setup in setups.values()):
        raise UserError(
            f"--tune: {', '.join(setups)} trains nothing, so there is nothing to tune; leave --tune"
            " out, or add a method that trains to --methods"
        )
    if not _paths(setups, request):
        raise UserError("--tune: nothing is left to tune, all is set by --set; leave out one of it")


def tuning_line(
    setups: Mapping[str, Setup], request: Request, seeds: int, forecast: Forecast
) -> str:
    """What the plan says of trials to come."""
    epochs = max(setup.epochs for setup in setups.values())  # of any method that trains
    plan = search.rungs(epochs)
    first, *others = plan
    trials = [f"{first.trials} trials of {plural(first.epochs, 'epoch')}"]
    trials += [f"{rung.trials} of {rung.epochs}" for rung in others]
    total = search.epochs_of(plan)
    line = (
        f"tuning     {', '.join(_paths(setups, request))}, on validation: of each method"
        f" {', '.join(trials)}, as long as {total / epochs:.2g} of its runs; about"
        f" {duration(forecast.trials_left())} of the time"
    )
    if total <= seeds * epochs:
        return line
    than = "run itself" if seeds == 1 else f"{seeds} runs themselves"
    return f"{line}; longer than the {than} ({total} epochs against {seeds * epochs})"


def tune(
    trials: Trials, setups: Mapping[str, Setup], progress: Progress
) -> tuple[dict[str, Setup], tuple[Tuning, ...]]:
    """The runs with what was chosen, and what was tried. An interrupt loses no finished trial."""
    refuse_untunable(setups, trials.request)
    compile_kernels(progress, trials.fabric.device)  # no trial's time
    chosen, found = {}, []
    for name, setup in setups.items():
        if not setup.trains:
            chosen[name] = setup
            continue
        try:
            done = _tune(trials, setup, progress)
        except KeyboardInterrupt:
            progress.say(
                f"stopped in the trials of {name}; continue with the same command and --out"
                f" {trials.out} --resume"
            )
            raise
        found.append(done)
        settings = search.moved(done.chosen, search.knobs(setup, trials.request.given))
        config = search.with_settings(trials.configs[name], settings)
        chosen[name] = trials.setup(config, setup.recipe) if settings else setup
    return chosen, tuple(found)


def with_tuning(results: ComparisonResults, found: Sequence[Tuning]) -> ComparisonResults:
    """compare.json with what was tried, and what that cost."""
    costs = [
        TableEntry(
            method=tuning.method,
            name=TUNING_COST,
            title="seconds of tuning",
            unit="seconds",
            better="lower",
            mean=tuning.seconds,
        )
        for tuning in found
    ]
    return results.model_copy(update={"table": (*results.table, *costs), "tuning": tuple(found)})


def _tune(trials: Trials, setup: Setup, progress: Progress) -> Tuning:
    """All trials of a method; those that an earlier call finished are taken from its folder."""
    name, tuned = setup.label, search.knobs(setup, trials.request.given)
    judged_by = f"linear probe on {sum(setup.facts.val_counts):,} validation images"
    folder, total = trials.folder(name), search.epochs_of(search.rungs(setup.epochs))
    known = _begin(folder, setup, resume=trials.request.place.resume)
    so_far: list[Trial] = []

    def attempt(going: Sequence[dict[str, float]], epochs: int) -> list[Trial]:
        before = len(so_far)
        title = f"tuning {name}: {len(going)} trials of {plural(epochs, 'epoch')}"
        steps = len(going) * epochs * setup.steps_per_epoch
        with progress.bar(steps, f"{title}, {trials.forecast.words()}") as bar:
            for settings in going:
                trial = known.get(_key(settings, epochs))
                so_far.append(trial or _try(trials, setup, settings, epochs, bar))
                if trial is None:
                    folder.write_trials(search.conclude(name, tuned, so_far, judged_by))
                trials.forecast.trials[name] = 1 - sum(done.epochs for done in so_far) / total
                bar.retitle(f"{title}, {trials.forecast.words()}")
        here = so_far[before:]
        found = outcome(search.conclude(name, tuned, here, judged_by))
        progress.say(f"{title}: {found}; {trials.forecast.words()}")
        return here

    settings = search.candidates(tuned) if tuned else []
    done = search.halve(search.rungs(setup.epochs), settings, attempt)
    trials.forecast.trials.pop(name, None)  # some are not needed where others are lost
    return search.conclude(name, tuned, done, judged_by)


def _try(trials: Trials, setup: Setup, settings: dict[str, float], epochs: int, bar: Bar) -> Trial:
    """One trial, by seed 0; settings that the method refuses lose."""
    tuned = search.knobs(setup, trials.request.given)
    config = trials.configs[setup.label]
    try:
        changes = search.moved(settings, tuned)
        trial = search.trial_config(config, changes, epochs, whole=setup.epochs)
        short = trials.setup(trial, setup.recipe)
    except ConfigError as error:
        return Trial(settings=settings, epochs=epochs, lost=str(error))
    job = Job(
        short,
        trials.images,
        RunFolder(trials.folder(setup.label).path, writes=False),
        trials.request.command,
        trials.fabric,
        make_encoder(short, trials.example, trials.request.module),
        alone=False,
        forecast=trials.forecast,
    )
    return run_trial(job, settings, bar)


def _begin(folder: RunFolder, setup: Setup, *, resume: bool) -> dict[object, Trial]:
    """The trials that are known already. RunError: they, or runs, were begun otherwise."""
    if resume and folder.has(names.RUN_TOML):
        refuse_other_settings(folder, setup)
        found = folder.read_trials().trials if folder.has(names.TRIALS) else ()
        return {_key(trial.settings, trial.epochs): trial for trial in found}
    if resume and (folder.path.parent / "seed0" / names.RUN_TOML).exists():
        raise RunError(
            f"--resume: {folder.path.parent} was begun without --tune; leave it out, or replace the"
            " comparison with --force"
        )
    folder.make()
    folder.write_config(setup.config.sections())
    return {}


def _key(settings: Mapping[str, float], epochs: int) -> object:
    return epochs, tuple(sorted(settings.items()))


def _paths(setups: Mapping[str, Setup], request: Request) -> list[str]:
    """All that is tuned, of whichever method."""
    found = [search.knobs(setup, request.given) for setup in setups.values()]
    return list(dict.fromkeys(knob.path for tuned in found for knob in tuned))
