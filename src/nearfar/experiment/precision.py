"""`train.precision = "measure"`: a run computes in what is faster for its encoder here."""

import copy
import statistics
import time
from collections.abc import Iterable

import torch

from nearfar.core.progress import Progress
from nearfar.core.threads import threads_for
from nearfar.experiment.setup import Setup
from nearfar.nn.encoders import Encoder, Precision, encode_views
from nearfar.run_folder import names
from nearfar.run_folder.folder import RunFolder

STEPS = 3  # of each precision, after one that is not counted


def as_begun(setup: Setup, folders: Iterable[RunFolder]) -> Setup:
    """Where it is to be measured: in the precision of what is begun in one of the folders."""
    begun = (folder.read_config() for folder in folders if folder.has(names.RUN_TOML))
    if setup.to_be_measured and (config := next(begun, None)) is not None:
        return setup.with_precision(config["train"]["precision"])
    return setup


def measured(setup: Setup, encoder: Encoder, device: torch.device, progress: Progress) -> Setup:
    """Where it is to be measured: in the precision that is faster, and the encoder set to it. From
    here on run.toml names it.
    """
    if setup.to_be_measured and setup.trains:
        with threads_for(setup.multiply_adds_at_once, device):
            seconds = seconds_a_step(encoder, setup.views_a_step, device)
        setup = setup.with_precision(min(seconds, key=lambda precision: seconds[precision]))
        told = ", ".join(f"{name} {taken:.3g} s" for name, taken in seconds.items())
        progress.say(f"  precision  {setup.precision}, for a step of the encoder takes in {told}")
    encoder.precision = setup.precision
    return setup.with_precision(setup.precision)


def seconds_a_step(encoder: Encoder, views: int, device: torch.device) -> dict[Precision, float]:
    """Median seconds of forward and backward of a copy, with a batch of so many views, the
    precisions in turn.
    """
    probe = copy.deepcopy(encoder).to(device).train()
    row = encoder.example.to(device)
    batch = row.expand(1, views, *row.shape[1:])
    taken: dict[Precision, list[float]] = {"float32": [], "bf16": []}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for step in range(STEPS + 1):
            for precision, seconds in taken.items():
                probe.precision = precision
                started = time.perf_counter()
                found = encode_views(probe, (batch,)).mean()
                if found.requires_grad:  # nothing of a frozen encoder does
                    torch.autograd.backward(found)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if step:
                    seconds.append(time.perf_counter() - started)
    return {precision: statistics.median(seconds) for precision, seconds in taken.items()}
