"""What is left usable when a run is stopped, whatever stops it: the encoder of the last complete
epoch, what is known of it, and why it stopped.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from nearfar.core.errors import NearfarError, TrainingStoppedError, UserError
from nearfar.experiment.running import Job, Running
from nearfar.run_folder.choosing import is_full
from nearfar.training.checkpoint import load_checkpoint

# how torch's allocators and libraries say it where they raise no OutOfMemoryError
_NO_MEMORY = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|_STATUS_ALLOC_FAILED"
)


@contextmanager
def stopping_well(run: Running) -> Iterator[None]:
    """Whatever ends a run early: what is complete is made usable, and the message names it.

    Out of memory and a full disk become TrainingStoppedErrors; everything else passes as it is.
    """
    try:
        yield
    except BaseException as error:
        stop = _explained(run, error)
        _leave_usable(run, stop)
        if stop is error:
            raise
        raise stop from error


def how_to_continue(job: Job) -> str:
    """Left to the caller where the run is one of several: its folder is not theirs."""
    if not job.alone:
        return ""
    return f"; continue with the same command and --out {job.folder.path} --resume"


def _explained(run: Running, error: BaseException) -> BaseException:
    """The error in the words of a user, where it is one of the machine's."""
    if is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
        return TrainingStoppedError(_out_of_memory(run))
    # without an errno: torch's writer
    if isinstance(error, OSError) and (error.errno is None or is_full(error)):
        return TrainingStoppedError(
            f"{run.folder.path} cannot be written any more ({error.strerror or error}) at epoch"
            f" {run.counters.epoch}; the last complete checkpoint stays: make room"
            f"{how_to_continue(run.job)}"
        )
    return error


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _out_of_memory(run: Running) -> str:
    views = run.setup.views_a_step
    return (
        f"out of memory with {views} rows a step of {run.setup.size} px; try --set"
        f" train.micro_batch_size={max(1, views // 8)}, or a smaller --batch-size"
    )


def _leave_usable(run: Running, stop: BaseException) -> None:
    """Nothing here may hide why the run stopped: a disk that is still full, say."""
    if isinstance(stop, UserError) and not run.begun:
        return
    interrupted = isinstance(stop, KeyboardInterrupt)
    if not interrupted:
        run.watch.stopped(stop)
    with suppress(OSError, NearfarError):
        if run.folder.checkpoint.exists():
            run.counters = load_checkpoint(run.folder.checkpoint, run.method)
            run.write_encoder()
            run.write_results(None, ())
    if interrupted:
        run.progress.say(f"stopped {_reached(run)}{how_to_continue(run.job)}")


def _reached(run: Running) -> str:
    """When it stopped, by the last complete epoch; of a run that goes on, and has not come that far
    yet, too.
    """
    epoch, epochs = run.counters.epoch, run.setup.epochs
    if not epochs:
        return "before everything was measured"
    late = epoch == epochs and run.setup.classifier is not None
    return f"after epoch {epoch} of {epochs}{', in the classifier stage' if late else ''}"
