"""One run, from a decided setup to a complete run folder."""

from nearfar.core.errors import RunError
from nearfar.core.memory import kept_memory
from nearfar.core.progress import Progress
from nearfar.experiment.encoding import same_start
from nearfar.experiment.environment import environment
from nearfar.experiment.evaluation import evaluate_run, measure_untrained
from nearfar.experiment.forecast import Stopwatch
from nearfar.experiment.judging import selection_accuracy, stop_if_diverged
from nearfar.experiment.plan import gigabytes
from nearfar.experiment.process_memory import peak_memory_bytes, reset_peak_memory
from nearfar.experiment.results import steps_left_out
from nearfar.experiment.running import Job, Running, prepare
from nearfar.experiment.sheets import run_sheet
from nearfar.experiment.stopping import stopping_well
from nearfar.experiment.train_classifier import train_classifier
from nearfar.run_folder import names
from nearfar.run_folder.records import Measurement, Results
from nearfar.training.checkpoint import load_checkpoint, save_checkpoint
from nearfar.training.loop import fit
from nearfar.training.observers import Audience, Observer, Row


def execute(
    job: Job, progress: Progress, untrained: tuple[Measurement, ...] | None = None
) -> Results:
    """Trains, where the method does, evaluates, writes the folder; returns the content of
    results.json.

    `untrained`: the floor's measurements, where another run of the same start has taken them.
    TrainingStoppedError: NaN, out of memory, disk full. KeyboardInterrupt passes. Whatever stops
    it leaves a usable run.
    """
    run = prepare(job, progress)
    with run.in_its_threads(), kept_memory(), stopping_well(run):
        _begin(run)
        job.forecast.begin(job.setup)
        if untrained is None and job.setup.trains:
            untrained = measure_untrained(run.evaluation, run.method.encoder)
        job.forecast.starts.add(same_start(job.setup))
        if job.resume:
            _continue(run)
        run.watch.begin()
        run.begun = True
        if job.setup.trains:
            _train(run)
        run.write_encoder()
        trained, stage = None, job.setup.classifier
        if stage is not None:
            encoder = run.method.encoder
            with job.forecast.timed(job.setup, "classifier"):
                trained = train_classifier(run.evaluation, stage, encoder, job.fabric, job.folder)
        evaluated = evaluate_run(run.evaluation, run.method, run.counters, job.folder, trained)
        run.count_seconds()
        return run.write_results(evaluated, untrained or evaluated.as_start())


def try_out(
    job: Job, progress: Progress, untrained: tuple[Measurement, ...] | None
) -> tuple[Measurement, ...]:
    """Measures the start, unless it was, and takes all steps: what the job's forecast then knows
    is all that is wanted. Returns the start's measurements.
    """
    run = prepare(job, progress)
    with run.in_its_threads(), kept_memory(), stopping_well(run):
        run.folder.make()
        if untrained is None:
            untrained = measure_untrained(run.evaluation, run.method.encoder)
        job.forecast.starts.add(same_start(job.setup))
        run.watch.begin()
        _train(run)
    return untrained


def _begin(run: Running) -> None:
    folder = run.folder
    folder.make()
    folder.write_config(run.setup.config.sections())
    folder.write_environment(environment(run.job.fabric.device))
    if run.setup.trains:
        folder.write_views(run_sheet(run))


def _continue(run: Running) -> None:
    """Takes up the last complete epoch; where none is complete the run starts anew."""
    folder = run.folder
    if folder.checkpoint.exists():
        run.counters = load_checkpoint(
            folder.checkpoint, run.method, run.optimizer, run.online_probe
        )
    if run.counters.best_epoch:
        selected = folder.path / names.ENCODER_SELECTED
        if not selected.exists():
            raise RunError(f"{selected} is missing; start again with --force")
        folder.read_tensors(names.ENCODER_SELECTED)
    folder.keep_metrics_until(run.counters.epoch)
    _say_where(run)


def _say_where(run: Running) -> None:
    """Where a resumed run goes on, and how long it still takes."""
    counters, forecast, setup = run.counters, run.job.forecast, run.setup
    if not counters.step:
        return
    forecast.steps = counters.step
    forecast.see(setup, "step", counters.train_seconds / counters.step)
    left = f", {words}" if (words := forecast.words()) else ""
    where = f"at epoch {counters.epoch + 1} of {setup.epochs}"
    if counters.epoch == setup.epochs:
        where = f"after the last of {setup.epochs} epochs"
    run.progress.say(f"  resumes {where}{left}")


def _train(run: Running) -> None:
    setup, counters, probe = run.setup, run.counters, run.online_probe
    reset_peak_memory(run.job.fabric.device)
    watch = Stopwatch(run.job.forecast, setup, lambda: _say_measured(run))
    title, told = run.job.forecast.title, list[str]()

    def after_epoch(row: Row) -> None:
        stop_if_diverged(run.evaluation, run.method, counters.epoch)
        row = {"epoch": counters.epoch, "step": counters.step, **row}
        row |= {
            "seconds": round(counters.train_seconds, 3),
            "views_seen": counters.views_seen,
            **_selected(run, watch),
        }
        run.folder.append_metrics(row)
        run.count_seconds()
        if run.folder.writes:
            save_checkpoint(run.folder.checkpoint, run.method, run.optimizer, counters, probe)
        watch.end_epoch()
        _tell(run, row)
        run.watch.see(row)
        bar.retitle(title(setup))
        if counters.steps_without_pair and not told:
            told.append(steps_left_out(setup, counters))
            run.progress.say(f"  epoch {counters.epoch}: {told[0]}")

    left = run.batches.total_steps - counters.step
    observers: list[Observer] = [watch] if probe is None else [probe, watch]
    with run.progress.bar(left, title(setup)) as bar:
        fit(
            run.job.fabric,
            run.method,
            run.optimizer,
            run.batches,
            setup.pace,
            counters,
            Audience(bar, after_epoch, observers),
        )


def _say_measured(run: Running) -> None:
    """The estimate, once the first steps of a method were measured."""
    forecast, setup = run.job.forecast, run.setup
    if not forecast.runs or setup.label in forecast.told:
        return
    forecast.told.add(setup.label)
    step = forecast.parts(setup.label).step
    used = peak_memory_bytes(run.job.fabric.device, alone=True)
    memory = f"; {gigabytes(used)} so far" if used is not None else ""
    run.progress.say(f"  measured   {1000 * step:.3g} ms a step, {forecast.words()}{memory}")


def _selected(run: Running, watch: Stopwatch) -> Row:
    """kNN accuracy on validation where it is this epoch's turn; the best encoder so far is kept."""
    every, counters = run.setup.selection_interval, run.counters
    if every is None or not run.evaluation.measurable():
        return {}
    if counters.epoch % every and counters.epoch != run.setup.epochs:
        return {}
    with watch.apart():
        value = selection_accuracy(run.evaluation, run.method.encoder)
    if value >= counters.best_value:
        counters.best_value, counters.best_epoch = value, counters.epoch
        state = run.method.encoder.net.state_dict()
        run.folder.write_tensors(names.ENCODER_SELECTED, state)
    return {"knn.top1.val": value}


def _tell(run: Running, row: Row) -> None:
    """A line now and then for those who see no bar."""
    every = run.setup.selection_interval
    if run.progress.has_bars or every is None or row["epoch"] % every:
        return
    loss = f"loss {row['loss']:.3f}" if "loss" in row else "no pair in any batch"
    chance = f" (chance {row['chance']:.3f})" if "chance" in row else ""
    knn = f", validation kNN {row['knn.top1.val']:.3f}" if "knn.top1.val" in row else ""
    left = f"; {words}" if (words := run.job.forecast.words()) else ""
    run.progress.say(
        f"  epoch {row['epoch']:.0f} of {run.setup.epochs}: {loss}{chance}{knn},"
        f" {row['seconds']:.0f} s{left}"
    )
