"""One trial of a tuning: a short run that leaves no file, judged on validation."""

import time

from nearfar.core.errors import TrainingStoppedError
from nearfar.core.memory import kept_memory
from nearfar.core.progress import Bar, Progress
from nearfar.experiment.forecast import MEASURED_STEPS
from nearfar.experiment.judging import stop_if_diverged, trial_accuracy
from nearfar.experiment.running import Job, Running, prepare
from nearfar.experiment.stopping import stopping_well
from nearfar.run_folder.comparison import Trial
from nearfar.training.loop import fit
from nearfar.training.observers import Audience, Row

LOST = ("collapsed", "diverged")  # by the doctor's codes


def run_trial(job: Job, settings: dict[str, float], bar: Bar) -> Trial:
    """Trains and judges. A trial that diverges, collapses or runs out of memory loses; an interrupt
    passes.
    """
    started = time.perf_counter()
    score, lost = None, ""
    try:
        run = prepare(job, Progress(quiet=True))
        with run.in_its_threads(), kept_memory(), stopping_well(run):
            _train(run, bar)
            lost = _illness(run)
            score = None if lost else trial_accuracy(run.evaluation, run.method.encoder)
    except TrainingStoppedError as stop:
        lost = str(stop)
    seconds = round(time.perf_counter() - started, 3)
    return Trial(
        settings=settings, epochs=job.setup.epochs, score=score, seconds=seconds, lost=lost
    )


def _train(run: Running, bar: Bar) -> None:
    counters = run.counters

    def after_epoch(row: Row) -> None:
        stop_if_diverged(run.evaluation, run.method, counters.epoch)
        run.watch.see({"epoch": counters.epoch, "step": counters.step, **row})

    job = run.job
    audience = Audience(bar, after_epoch)
    fit(job.fabric, run.method, run.optimizer, run.batches, job.setup.pace, counters, audience)
    if counters.step >= MEASURED_STEPS:
        job.forecast.see(job.setup, "step", counters.train_seconds / counters.step)


def _illness(run: Running) -> str:
    found = [verdict.text for verdict in run.watch.verdicts if verdict.code in LOST]
    return found[0] if found else ""
