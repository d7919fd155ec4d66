"""One run, from a resolved configuration to a complete run folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from nearfar.config.models import RunConfig
from nearfar.core.errors import RunError, TrainingStoppedError
from nearfar.core.progress import Progress
from nearfar.core.randomness import seeded, stream_seed
from nearfar.data.store import ImageData
from nearfar.experiment import folder as files
from nearfar.experiment.assembly import make_batches, make_online_probe
from nearfar.experiment.classifier import train_classifier
from nearfar.experiment.encoding import encoder_json, make_encoder, make_evaluation_view
from nearfar.experiment.environment import environment
from nearfar.experiment.evaluation import (
    Evaluated,
    Stage,
    evaluate_run,
    measure_untrained,
    selection_accuracy,
    stop_if_diverged,
)
from nearfar.experiment.folder import append_metrics
from nearfar.experiment.memory import kept_memory, peak_memory_bytes, reset_peak_memory
from nearfar.experiment.optimization import make_optimizer, make_pace
from nearfar.experiment.plan import selection_interval, views_a_sample
from nearfar.experiment.results import results_json
from nearfar.experiment.views import run_sheet
from nearfar.experiment.watch import Watch
from nearfar.methods import method_class
from nearfar.methods.base import Method
from nearfar.run_folder.records import Measurement
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from nearfar.training.loop import Row, fit
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.compiling import compile_kernels


@dataclass(frozen=True)
class Job:
    """Everything that one run is made of. `alone`: whether it has the process, its memory and its
    --out, for itself.
    """

    config: RunConfig
    data: ImageData
    out: Path
    command: str
    fabric: Fabric
    module: nn.Module | None = None
    alone: bool = True
    resume: bool = False


def execute(
    job: Job, progress: Progress, untrained: list[Measurement] | None = None
) -> dict[str, Any]:
    """Trains, evaluates, writes the folder; returns the content of results.json.

    `untrained`: the floor's measurements, where another run of the same start has taken them.
    TrainingStoppedError: NaN, out of memory, disk full. KeyboardInterrupt passes, and leaves a
    usable run.
    """
    prepared = _prepare(job, progress)
    with kept_memory(), _stopping_well(job, prepared):
        _begin_folder(job, prepared)
        if untrained is None:
            untrained = measure_untrained(prepared.stage, prepared.method.encoder)
        if job.resume:
            _continue(job, prepared)
        prepared.watch.begin()
        _train(job, prepared)
        _write_encoder(job, prepared)
        trained = None
        if job.config.classifier.kind is not None:
            trained = train_classifier(prepared.stage, prepared.method.encoder, job.fabric, job.out)
        evaluated = evaluate_run(
            prepared.stage, prepared.method, prepared.counters, job.out, trained
        )
        prepared.count_seconds()
        return _write_results(job, prepared, evaluated, untrained)


@dataclass
class _Prepared:
    stage: Stage
    method: Method
    optimizer: torch.optim.Optimizer
    batches: Batches
    online_probe: OnlineProbe | None
    counters: Counters
    watch: Watch
    clock: float  # when the seconds were counted last

    def count_seconds(self) -> None:
        now = time.perf_counter()
        self.counters.total_seconds += now - self.clock
        self.clock = now


def _prepare(job: Job, progress: Progress) -> _Prepared:
    compile_kernels(progress, job.fabric.device)
    started = time.perf_counter()
    config, data = job.config, job.data
    assert config.data.size is not None
    kind = method_class(config.method_name)
    encoder = make_encoder(config, job.module).to(job.fabric.device)
    view = make_evaluation_view(config, data)
    facts = replace(data.facts(config.data.size), mean=view.mean, std=view.std)
    with seeded(stream_seed(config.train.seed, "head initialisation")):
        method = kind(encoder, config.method, facts).to(job.fabric.device)
    optimizer = make_optimizer(config.optimizer, method)
    batches = make_batches(config, data, job.fabric, method, view)
    online_probe = make_online_probe(config, data, encoder.width, job.fabric.device)
    watch = Watch(job.out, config.sections(), encoder.width, progress)
    stage = Stage(config, data, view, progress)
    return _Prepared(stage, method, optimizer, batches, online_probe, Counters(), watch, started)


def _begin_folder(job: Job, prepared: _Prepared) -> None:
    files.make(job.out)
    files.write_toml(job.out / files.RUN_TOML, job.config.sections())
    files.write_json(job.out / files.ENVIRONMENT, environment(job.fabric.device))
    batches = prepared.batches
    files.write_bytes(
        job.out / files.VIEWS,
        run_sheet(job.config, job.data, batches.pool, batches.plan, prepared.stage.view),
    )


def _continue(job: Job, prepared: _Prepared) -> None:
    """Takes up the last complete epoch; where none is complete the run starts anew."""
    path = job.out / files.CHECKPOINT
    if path.exists():
        prepared.counters = load_checkpoint(
            path, prepared.method, prepared.optimizer, prepared.online_probe
        )
    if prepared.counters.best_epoch:
        if not (job.out / files.ENCODER_SELECTED).exists():
            raise RunError(
                f"{job.out / files.ENCODER_SELECTED} is missing; start again with --force"
            )
        files.read_tensors(job.out / files.ENCODER_SELECTED)
    files.keep_rows_until(job.out / files.METRICS, prepared.counters.epoch)


def _train(job: Job, prepared: _Prepared) -> None:
    config, counters, stage = job.config, prepared.counters, prepared.stage
    reset_peak_memory(job.fabric.device)
    every = selection_interval(config)
    selects = every > 0 and stage.measurable()

    def after_epoch(row: Row) -> None:
        stop_if_diverged(stage, prepared.method, counters.epoch)
        row = {"epoch": counters.epoch, "step": counters.step, **row}
        row |= {"seconds": round(counters.train_seconds, 3), "views_seen": counters.views_seen}
        if selects and (counters.epoch % every == 0 or counters.epoch == config.train.epochs):
            value = selection_accuracy(stage, prepared.method.encoder)
            row["knn.top1.val"] = value
            if value >= counters.best_value:
                counters.best_value, counters.best_epoch = value, counters.epoch
                state = prepared.method.encoder.net.state_dict()
                files.write_tensors(job.out / files.ENCODER_SELECTED, state)
        append_metrics(job.out / files.METRICS, row)
        prepared.count_seconds()
        save_checkpoint(
            job.out / files.CHECKPOINT,
            prepared.method,
            prepared.optimizer,
            counters,
            prepared.online_probe,
        )
        _tell(stage.progress, row, config.train.epochs, every)
        prepared.watch.see(row)

    left = prepared.batches.total_steps - counters.step
    with stage.progress.bar(left, f"{config.method_name}, seed {config.train.seed}") as bar:
        fit(
            job.fabric,
            prepared.method,
            prepared.optimizer,
            prepared.batches,
            make_pace(config),
            counters=counters,
            bar=bar,
            after_epoch=after_epoch,
            online_probe=prepared.online_probe,
        )


def _tell(progress: Progress, row: Row, epochs: int, every: int) -> None:
    """A line now and then for those who see no bar."""
    if progress.has_bars or not every or row["epoch"] % every:
        return
    chance = f" (chance {row['chance']:.3f})" if "chance" in row else ""
    knn = f", validation kNN {row['knn.top1.val']:.3f}" if "knn.top1.val" in row else ""
    progress.say(
        f"  epoch {row['epoch']:.0f} of {epochs}: loss {row['loss']:.3f}{chance}{knn},"
        f" {row['seconds']:.0f} s"
    )


@contextmanager
def _stopping_well(job: Job, prepared: _Prepared) -> Iterator[None]:
    """Whatever ends a run early: what is complete is made usable, and the message names it."""
    try:
        yield
    except KeyboardInterrupt:
        _leave_usable(job, prepared)
        epoch, epochs = prepared.counters.epoch, job.config.train.epochs
        where = (
            ", in the classifier stage"
            if epoch == epochs and job.config.classifier.kind is not None
            else ""
        )
        prepared.stage.progress.say(
            f"stopped after epoch {epoch} of {epochs}{where}{_how_to_continue(job)}"
        )
        raise
    except TrainingStoppedError as error:
        prepared.watch.stopped(error)
        _leave_usable(job, prepared)
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingStoppedError(_out_of_memory(job)) from error
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "alloc" not in str(error):
            raise
        raise TrainingStoppedError(_out_of_memory(job)) from error
    except OSError as error:
        if error.errno is not None and not files.is_full(error):  # None: torch's writer
            raise
        epoch = prepared.counters.epoch
        raise TrainingStoppedError(
            f"{job.out} cannot be written any more ({error.strerror or error}) at epoch {epoch};"
            f" the last complete checkpoint stays: make room{_how_to_continue(job)}"
        ) from error


def _how_to_continue(job: Job) -> str:
    """Left to the caller where the run is one of several: its folder is not theirs."""
    return f"; continue with the same command and --out {job.out} --resume" if job.alone else ""


def _out_of_memory(job: Job) -> str:
    assert job.config.train.batch_size is not None
    rows = round(job.config.train.batch_size * views_a_sample(job.config))
    return (
        f"out of memory with {rows} rows a step of {job.config.data.size} px; "
        f"try --set train.micro_batch_size={max(1, rows // 8)}, or a smaller --batch-size"
    )


def _leave_usable(job: Job, prepared: _Prepared) -> None:
    """The encoder of the last complete epoch and what is known of it."""
    path = job.out / files.CHECKPOINT
    if not path.exists():
        return
    prepared.counters = load_checkpoint(path, prepared.method)
    _write_encoder(job, prepared)
    _write_results(job, prepared, None, [])


def _write_results(
    job: Job, prepared: _Prepared, evaluated: Evaluated | None, untrained: list[Measurement]
) -> dict[str, Any]:
    """results.json; `evaluated` is None for a run that is not complete."""
    content = results_json(
        prepared.stage,
        prepared.method.encoder,
        prepared.counters,
        evaluated,
        untrained,
        {
            "command": job.command,
            "verdicts": [verdict.text for verdict in prepared.watch.verdicts],
            "images": len(prepared.batches.pool),
            "steps_per_epoch": prepared.batches.steps_per_epoch,
            "peak_memory_bytes": peak_memory_bytes(job.fabric.device, alone=job.alone),
        },
    )
    files.write_json(job.out / files.RESULTS, content)
    return content


def _write_encoder(job: Job, prepared: _Prepared) -> None:
    encoder = prepared.method.encoder
    files.write_tensors(job.out / files.ENCODER, encoder.net.state_dict())
    files.write_json(
        job.out / files.ENCODER_JSON, encoder_json(encoder, prepared.stage.view, job.data)
    )
