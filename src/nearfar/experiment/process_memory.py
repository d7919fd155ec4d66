"""The peak of a run's memory, where it can be told apart from the rest of the process."""

import sys

import torch


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device, *, alone: bool) -> int | None:
    """On a GPU what torch allocated for this run; on a CPU the process's peak, None where runs
    share it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not alone or sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
