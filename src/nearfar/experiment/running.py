"""A run in progress: what it is made of, how far it has come, what of it stands in its folder."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from lightning_fabric import Fabric

from nearfar.core.progress import Progress
from nearfar.core.randomness import seeded, stream_seed
from nearfar.core.threads import threads_for
from nearfar.data.images import ImageData
from nearfar.data.samples import ImageSamples
from nearfar.experiment.assembly import make_batches, make_online_probe, make_view_plan
from nearfar.experiment.encoding import encoder_file, make_evaluation_view, timm_file
from nearfar.experiment.evaluation import Evaluated, Evaluation
from nearfar.experiment.forecast import Forecast
from nearfar.experiment.labeling import images_of
from nearfar.experiment.optimizing import make_optimizer
from nearfar.experiment.process_memory import peak_memory_bytes
from nearfar.experiment.results import Process, make_results
from nearfar.experiment.setup import Setup
from nearfar.experiment.watch import Watch
from nearfar.methods.base import Method
from nearfar.nn.encoders import Encoder
from nearfar.run_folder.folder import RunFolder
from nearfar.run_folder.records import Measurement, Results, judged_ends
from nearfar.training.batches import Batches
from nearfar.training.checkpoint import Counters
from nearfar.training.online_probe import OnlineProbe
from nearfar.views.compiling import compile_kernels
from nearfar.views.making import ViewPlan


@dataclass(frozen=True)
class Job:
    """Everything that one run is made of. `alone`: whether it has the process, its memory and its
    --out, for itself. `encoder` is the one that is trained. `forecast` is of all runs, and learns
    from this one. `data` have all their labels, of which the run takes its own.
    """

    setup: Setup
    data: ImageData
    folder: RunFolder
    command: str
    fabric: Fabric
    encoder: Encoder
    alone: bool = True
    resume: bool = False
    forecast: Forecast = field(default_factory=Forecast)


@dataclass
class Running:
    """A job under way. `counters`, `clock` and `begun` move."""

    job: Job
    evaluation: Evaluation
    method: Method
    plan: ViewPlan
    optimizer: torch.optim.Optimizer
    batches: Batches
    online_probe: OnlineProbe | None
    watch: Watch
    counters: Counters
    clock: float  # when the seconds were counted last
    begun: bool = False  # training, in this process

    @property
    def setup(self) -> Setup:
        return self.job.setup

    @property
    def folder(self) -> RunFolder:
        return self.job.folder

    @property
    def progress(self) -> Progress:
        return self.evaluation.progress

    def in_its_threads(self) -> AbstractContextManager[None]:
        """Within it, in as many threads as its steps are worth."""
        return threads_for(self.setup.multiply_adds_at_once, self.job.fabric.device)

    def count_seconds(self) -> None:
        now = time.perf_counter()
        self.counters.total_seconds += now - self.clock
        self.clock = now

    def write_encoder(self) -> None:
        encoder, view = self.method.encoder, self.evaluation.view
        about = encoder_file(encoder, view, self.job.data)
        self.folder.write_encoder(encoder.net.state_dict(), about, timm_file(encoder, view))

    def write_results(
        self, evaluated: Evaluated | None, untrained: tuple[Measurement, ...]
    ) -> Results:
        """`evaluated` is None for a run that is not complete."""
        if evaluated is not None:
            by = self.evaluation.judged_by
            self.watch.measured(*judged_ends(evaluated.measurements, untrained, by))
        process = Process(
            command=self.job.command,
            verdicts=tuple(self.watch.verdicts),
            peak_memory_bytes=peak_memory_bytes(self.job.fabric.device, alone=self.job.alone),
        )
        results = make_results(
            self.evaluation, self.method.encoder, self.counters, evaluated, untrained, process
        )
        self.folder.write_results(results)
        return results


def prepare(job: Job, progress: Progress) -> Running:
    """Method, optimizer, batches and what watches them; nothing is written yet."""
    device = job.fabric.device
    compile_kernels(progress, device)
    started = time.perf_counter()
    data = images_of(job.setup, job.data)
    setup = replace(job.setup, facts=data.facts(job.setup.size))
    job = replace(job, data=data, setup=setup)
    encoder = job.encoder.to(device)
    view = make_evaluation_view(setup, data)
    plan = make_view_plan(setup, view, encoder)
    samples = ImageSamples(data, view, device, plan)
    with seeded(stream_seed(setup.seed, "head initialisation")):
        method = setup.method(encoder, setup.config.method, samples.facts()).to(device)
    return Running(
        job=job,
        evaluation=Evaluation(setup, samples, progress, job.forecast),
        method=method,
        plan=plan,
        optimizer=make_optimizer(setup.optimizer, method),
        batches=make_batches(setup, samples, job.fabric),
        online_probe=make_online_probe(setup, samples, encoder.width, device),
        watch=Watch(job.folder, setup, encoder.width, progress),
        counters=Counters(),
        clock=started,
    )
