"""The runs of a comparison, one after another: each method with each seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from nearfar.api.across_seeds import summarize
from nearfar.api.budgeting import Floors
from nearfar.api.request import Request
from nearfar.api.train import finished
from nearfar.core.errors import TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.data.images import ImageData
from nearfar.experiment.encoding import make_encoder, same_start
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.run import execute
from nearfar.experiment.running import Job
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder
from nearfar.run_folder import names
from nearfar.run_folder.choosing import part_of
from nearfar.run_folder.comparison import ComparisonResults, Failed, LeftOut
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Results


@dataclass(frozen=True)
class ComparedRuns:
    """Every method, or recipe, with every seed, in the order in which they are trained."""

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
        for setup in in_order(self.setups, self.seeds):
            out = self.out / part_of(setup.label) / f"seed{setup.seed}"
            yield setup, RunFolder(out, writes=self.fabric.is_global_zero)

    def encoder(self, setup: Setup) -> Encoder:
        """Before training; what it returns once is the caller's alone."""
        if setup.seed == 0 and setup.label in self.planned:
            return self.planned.pop(setup.label)
        return make_encoder(setup, self.example, self.request.module)

    def __len__(self) -> int:
        return self.seeds * len(self.setups)


@dataclass(frozen=True)
class Trained:
    """The complete runs with their folders, and those that failed."""

    results: list[Results]
    paths: list[Path]
    failed: list[Failed]


def in_order(setups: Mapping[str, Setup], seeds: int) -> list[Setup]:
    return [setup.with_seed(seed) for seed in range(seeds) for setup in setups.values()]


def summary_of(
    runs: ComparedRuns,
    trained: Trained,
    left_out: Sequence[LeftOut],
    unbalanced: Sequence[LeftOut],
) -> ComparisonResults:
    """compare.json: the complete runs, which failed, and which methods and settings were left
    out.
    """
    complete = {result.label for result in trained.results}
    results = summarize(
        trained.results,
        methods=[method for method in runs.setups if method in complete],
        seeds=runs.seeds,
        left_out=left_out,
        runs=[str(path.relative_to(runs.out)) for path in trained.paths],
        command=runs.request.command,
        report=str(runs.out / names.REPORT),
    )
    return results.model_copy(
        update={"failed": tuple(trained.failed), "unbalanced": tuple(unbalanced)}
    )


def train_all(runs: ComparedRuns, progress: Progress) -> Trained:
    """TrainingStoppedError: the disk is full, or every run failed; of fewer the others go on."""
    floors, trained = runs.floors, Trained([], [], [])
    for number, (setup, folder) in enumerate(runs, start=1):
        resume = runs.request.place.resume
        if resume and (done := finished(folder, setup)) is not None:
            trained.results.append(done)
            trained.paths.append(folder.path)
            continue
        start = same_start(setup)
        runs.forecast.begin(setup)
        progress.say(
            f"run {number} of {len(runs)}: {setup.label}, seed {setup.seed};"
            f" {runs.forecast.words()}"
        )
        job = Job(
            setup,
            runs.images,
            folder,
            runs.request.command,
            runs.fabric,
            runs.encoder(setup),
            alone=False,
            resume=resume,
            forecast=runs.forecast,
        )
        try:
            result = execute(job, progress, floors.get(start))
        except KeyboardInterrupt:
            progress.say(_how_to_continue(runs, trained))
            raise
        except TrainingStoppedError as stop:
            last = number == len(runs) and not trained.results
            if last or isinstance(stop.__cause__, OSError):  # of which the next run would die too
                raise TrainingStoppedError(f"{stop}; {_how_to_continue(runs, trained)}") from stop
            failed = Failed(method=setup.label, seed=setup.seed, reason=str(stop))
            trained.failed.append(failed)
            progress.say(f"  failed: {failed.reason}")
            continue
        floors[start] = result.untrained
        trained.results.append(result)
        trained.paths.append(folder.path)
    return trained


def _how_to_continue(runs: ComparedRuns, trained: Trained) -> str:
    return (
        f"{len(trained.results)} of {len(runs)} runs are complete in {runs.out}; continue with the"
        f" same command and --out {runs.out} --resume"
    )
